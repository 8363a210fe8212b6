// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// lockName is host-local's lock file: whoever holds flock(2) on it may change
// the directory.
const lockName = "lock"

// removeLock is the mend for a directory in place of the lock.
const removeLock = "remove it: the next call makes a file there"

// tempName is where a file is written before it gets its name. The holder of
// the lock owns it. host-local ignores it, because it is not an address.
const tempName = ".emerita.tmp"

// directory is host-local's dataDir/network. Every file in it is reached
// through fd, so that nobody can exchange the path in between.
type directory struct {
	path string
	fd   int
	lock int // descriptor of the lock file, or -1
}

// openDirectory opens path, which is dataDir/network. Neither of these two
// components may be a symbolic link or writable for others than root and the
// caller. With create, what is missing is made. The error of a missing
// directory satisfies errors.Is(err, fs.ErrNotExist).
func openDirectory(path string, create bool) (*directory, error) {
	parent, err := openTrusted(unix.AT_FDCWD, filepath.Dir(path), filepath.Dir(path), create)
	if err != nil {
		return nil, err
	}
	defer unix.Close(parent)
	fd, err := openTrusted(parent, filepath.Base(path), path, create)
	if err != nil {
		return nil, err
	}
	return &directory{path: path, fd: fd, lock: -1}, nil
}

// openTrusted opens directory name relative to at; path is its name in errors.
func openTrusted(at int, name, path string, create bool) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := openat(at, name, flags, 0)
	if errors.Is(err, unix.ENOENT) && create {
		if err := makeDirectory(at, name); err != nil {
			return -1, fmt.Errorf("create directory %q: %w", path, err)
		}
		fd, err = openat(at, name, flags, 0)
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return -1, fmt.Errorf("open directory %q: %w: put a directory there, not a symbolic link or a file", path, err)
	}
	if err != nil {
		return -1, fmt.Errorf("open directory %q: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("stat directory %q: %w", path, err)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		unix.Close(fd)
		return -1, fmt.Errorf("open directory %q: owner %d, mode %#o: others may change it: run chown root and chmod go-w on it",
			path, st.Uid, st.Mode&0o7777)
	}
	return fd, nil
}

func makeDirectory(at int, name string) error {
	if at == unix.AT_FDCWD {
		return os.MkdirAll(name, 0o700)
	}
	if err := unix.Mkdirat(at, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// openLocked opens the directory and takes its lock. It also removes what a
// killed predecessor left under tempName: as a second name of a reservation
// it would make that one look planted.
func openLocked(ctx context.Context, path string, create bool, timeout time.Duration) (*directory, error) {
	d, err := openDirectory(path, create)
	if err != nil {
		return nil, err
	}
	if err := d.acquire(ctx, timeout); err != nil {
		d.close()
		return nil, err
	}
	if err := d.remove(tempName); err != nil && !errors.Is(err, unix.EROFS) {
		d.close()
		return nil, err
	}
	return d, nil
}

// acquire polls, because a blocking flock(2) can be given no deadline.
func (d *directory) acquire(ctx context.Context, timeout time.Duration) error {
	path := filepath.Join(d.path, lockName)
	fd, err := openat(d.fd, lockName, unix.O_RDONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EISDIR) {
		err = fmt.Errorf("%w: %s", err, removeLock)
	}
	if err != nil {
		return fmt.Errorf("open lock %q: %w", path, err)
	}
	d.lock = fd
	const shortest, longest = 50 * time.Microsecond, 5 * time.Millisecond
	deadline := time.Now().Add(timeout)
	for pause := shortest; ; pause = min(2*pause, longest) {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %q: %w", path, err)
		}
		if !time.Now().Before(deadline) {
			return cniproto.Errorf(cniproto.CodeTryAgain, fmt.Sprintf("lock %q", path),
				"held by another process for %v: try again, and see with fuser who holds it", timeout)
		}
		select {
		case <-ctx.Done():
			return cniproto.Errorf(cniproto.CodeTryAgain, fmt.Sprintf("lock %q", path), "%w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// close also gives the lock back, explicitly: a child that another thread has
// forked shares it until it execs.
func (d *directory) close() {
	if d.lock >= 0 {
		_ = unix.Flock(d.lock, unix.LOCK_UN)
		unix.Close(d.lock)
	}
	unix.Close(d.fd)
}

// remove unlinks a file. One that is gone is no error.
func (d *directory) remove(name string) error {
	if err := unix.Unlinkat(d.fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %q: %w", filepath.Join(d.path, name), err)
	}
	return nil
}

// addrs lists the files whose name is an address in its canonical form.
func (d *directory) addrs() ([]netip.Addr, error) {
	fd, err := openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", d.path, err)
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", d.path, err)
	}
	addrs := make([]netip.Addr, 0, len(names))
	for _, name := range names {
		if a, err := netip.ParseAddr(name); err == nil && a.String() == name {
			addrs = append(addrs, a)
		}
	}
	return addrs, nil
}

// openat is openat(2) again after each EINTR, which network and FUSE file
// systems return when the Go runtime preempts the thread by a signal.
func openat(at int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
