// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// masqueradeFile is there, empty, while some network of the host is masqueraded.
const masqueradeFile = "masquerade"

// Masquerades says whether a network of the host is, or is just being, masqueraded.
func (s *Store) Masquerades() bool {
	return unix.Faccessat(s.fd, masqueradeFile, unix.F_OK, 0) == nil
}

// NoteMasquerade notes that one is, before the records are read for it.
func (s *Store) NoteMasquerade() error {
	fd, err := unix.Openat(s.fd, masqueradeFile, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("note that a network is masqueraded: %w", &os.PathError{Op: "open", Path: s.dir + "/" + masqueradeFile, Err: err})
	}
	return unix.Close(fd)
}

// ForgetMasquerade notes that none is any more.
func (s *Store) ForgetMasquerade() error {
	if err := unix.Unlinkat(s.fd, masqueradeFile, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("forget that networks are masqueraded: %w", err)
	}
	return nil
}
