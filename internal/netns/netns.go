// SPDX-License-Identifier: MIT OR Apache-2.0

package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrNotNetns is wrapped by the errors of Open for a path that exists and is
// not a network namespace, such as the plain file that `ip netns del` leaves
// when a mount is gone.
var ErrNotNetns = errors.New("not a network namespace")

// nsfsMagic is NSFS_MAGIC of include/uapi/linux/magic.h.
const nsfsMagic = 0x6e736673

// ID identifies a network namespace while it lives: the device and inode of
// its nsfs file (ns(7)). Paths do not, they can be mounted anew.
type ID struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// NS is an open network namespace; it stays alive until Close.
type NS struct {
	fd int
	id ID
}

// Open opens the namespace at a path. The path may be hostile: nothing but an
// nsfs file is opened for more than a look, so that neither a FIFO blocks nor a
// device does whatever opening it does.
func Open(path string) (*NS, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, fmt.Errorf("open network namespace %q: %w", path, os.NewSyscallError("fstatfs", err))
	}
	if fs.Type != nsfsMagic {
		return nil, fmt.Errorf("open network namespace %q: %w", path, ErrNotNetns)
	}
	real, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	id, err := identify(real)
	if err != nil {
		unix.Close(real)
		return nil, fmt.Errorf("open network namespace %q: %w", path, err)
	}
	return &NS{fd: real, id: id}, nil
}

// identify says which network namespace fd is; other kinds of namespaces live
// on nsfs too (NS_GET_NSTYPE, ioctl_ns(2), Linux 4.11).
func identify(fd int) (ID, error) {
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return ID{}, os.NewSyscallError("ioctl NS_GET_NSTYPE", err)
	}
	if kind != unix.CLONE_NEWNET {
		return ID{}, ErrNotNetns
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return ID{}, os.NewSyscallError("fstat", err)
	}
	return ID{Dev: st.Dev, Ino: st.Ino}, nil
}

// Close lets go of the namespace.
func (n *NS) Close() error { return unix.Close(n.fd) }

// FD is the descriptor, for IFLA_NET_NS_FD. It stays the NS's.
func (n *NS) FD() int { return n.fd }

// ID identifies the namespace.
func (n *NS) ID() ID { return n.id }

// IsHost says that the namespace is the plugin's own or that of process 1. To
// configure it as a container would cut the host off.
func (n *NS) IsHost() (bool, error) {
	own, err := pathID("/proc/thread-self/ns/net")
	if err != nil {
		return false, err
	}
	if n.id == own {
		return true, nil
	}
	first, err := pathID("/proc/1/ns/net")
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return false, nil // process 1 is hidden: the own namespace was compared
	}
	return n.id == first, err
}

func pathID(path string) (ID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return ID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return ID{Dev: st.Dev, Ino: st.Ino}, nil
}

// Do runs fn on a thread of its own inside the namespace. The thread is thrown
// away, so that no error can leave a thread of the program in the wrong
// namespace. fn must not start goroutines that rely on the namespace.
func (n *NS) Do(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", os.NewSyscallError("setns", err))
			return
		}
		done <- fn()
	}()
	return <-done
}
