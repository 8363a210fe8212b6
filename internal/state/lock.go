// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is wrapped when a lock could not be had in time.
var ErrLocked = errors.New("locked by another call")

// lockFile holds no data. Each lock is one byte of it by offset, so that there
// is a lock per attachment and still one file, which never has to be deleted.
const lockFile = "lock"

// Lock is held until Unlock or the end of the process.
type Lock struct {
	fd   int
	path string
}

// LockKey locks an attachment: ADD, DEL and CHECK of one never overlap.
func (s *Store) LockKey(k Key, timeout time.Duration) (*Lock, error) {
	return s.lock("attachment "+k.String(), timeout)
}

// LockShared locks an object that attachments share, by name.
func (s *Store) LockShared(name string, timeout time.Duration) (*Lock, error) {
	return s.lock(name, timeout)
}

func (s *Store) lock(name string, timeout time.Duration) (*Lock, error) {
	l := &Lock{path: s.dir + "/" + lockFile}
	var err error
	if l.fd, err = s.openLock(unix.O_CREAT); err != nil {
		return nil, err
	}
	if err := l.take(unix.F_WRLCK, name, timeout); err != nil {
		unix.Close(l.fd)
		return nil, err
	}
	return l, nil
}

// openLock opens the file, and makes it if that is among the flags.
func (s *Store) openLock(flags int) (int, error) {
	fd, err := unix.Openat(s.fd, lockFile, flags|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return fd, nil
	}
	mend := ""
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a directory, a link, a socket
		mend = ": remove it: the next call makes a file there"
	}
	return -1, fmt.Errorf("open lock: %w%s", &os.PathError{Op: "open", Path: s.dir + "/" + lockFile, Err: err}, mend)
}

// Share adds to a lock that is held another one, by name, that any number may hold
// besides. It costs one system call.
func (l *Lock) Share(name string, timeout time.Duration) error {
	return l.take(unix.F_RDLCK, name, timeout)
}

// Alone gives up what Share took, and takes it when nobody shares it. Whoever waits here
// no longer shares it: two that do so do not wait for each other.
func (l *Lock) Alone(name string, timeout time.Duration) error {
	if err := l.take(unix.F_UNLCK, name, 0); err != nil {
		return err
	}
	return l.take(unix.F_WRLCK, name, timeout)
}

// take takes an open-file-description lock (Linux 3.15): it belongs to the
// descriptor, and a killed process loses it. Waiting is polling, because the
// blocking form cannot be given up.
func (l *Lock) take(typ int16, name string, timeout time.Duration) error {
	sum := sha256.Sum256([]byte(name))
	req := unix.Flock_t{
		Type:  typ,
		Start: int64(binary.BigEndian.Uint64(sum[:]) >> 2),
		Len:   1,
	}
	deadline := time.Now().Add(timeout)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		err := unix.FcntlFlock(uintptr(l.fd), unix.F_OFD_SETLK, &req)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s in %q: %w", name, l.path, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("lock %s in %q for %v: %w", name, l.path, timeout, ErrLocked)
		}
		time.Sleep(pause)
	}
}

// Unlock releases the lock, and all that it shares.
func (l *Lock) Unlock() { unix.Close(l.fd) }
