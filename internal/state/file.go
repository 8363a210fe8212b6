// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of a file that somebody else may have written. The largest
// record has every port of the host, twice: some 100 MB.
const maxFile = 128 << 20

// readFile reads a regular file of the state directory; nil without error if
// there is none, or something else in its place.
func (s *Store) readFile(name string) ([]byte, error) {
	fd, err := unix.Openat(s.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", &os.PathError{Op: "open", Path: s.dir + "/" + name, Err: err})
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxFile {
		return nil, nil
	}
	raw := make([]byte, st.Size)
	n, err := unix.Read(fd, raw)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", &os.PathError{Op: "read", Path: s.dir + "/" + name, Err: err})
	}
	return raw[:n], nil
}

// tempName is where a file is built: one name for each, so that a killed call
// leaves at most one, which the next one overwrites.
func tempName(name string) string { return "." + name }

// writeFile puts a file in place of an older one: aside, then by one rename.
func (s *Store) writeFile(name string, raw []byte) (err error) {
	tmp := tempName(name)
	defer func() {
		if err != nil {
			_ = unix.Unlinkat(s.fd, tmp, 0)
			err = fmt.Errorf("write state %q: %w", s.dir+"/"+name, err)
		}
	}()
	fd, err := unix.Openat(s.fd, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	if err := writeClose(fd, raw); err != nil {
		return err
	}
	return os.NewSyscallError("rename", unix.Renameat(s.fd, tmp, s.fd, name))
}

// appendFile adds to a file that writeFile has made. What is added counts only
// if all of it is there: it ends with a newline.
func (s *Store) appendFile(name string, raw []byte) error {
	fd, err := unix.Openat(s.fd, name, unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("write state: %w", &os.PathError{Op: "open", Path: s.dir + "/" + name, Err: err})
	}
	if err := writeClose(fd, raw); err != nil {
		return fmt.Errorf("write state %q: %w", s.dir+"/"+name, err)
	}
	return nil
}

// writeClose writes all of raw, and closes fd.
func writeClose(fd int, raw []byte) error {
	n, err := unix.Write(fd, raw)
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err == nil && n < len(raw) {
		err = unix.ENOSPC
	}
	return os.NewSyscallError("write", err)
}
