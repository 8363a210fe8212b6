// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tableFile is there, empty, while some attachment of the host needs the nftables table.
const tableFile = "nftables"

// NeedsTable says whether an attachment of the host does, or is just being made that will.
func (s *Store) NeedsTable() bool {
	return unix.Faccessat(s.fd, tableFile, unix.F_OK, 0) == nil
}

// NoteTable notes that one does, before the records are read for it.
func (s *Store) NoteTable() error {
	fd, err := unix.Openat(s.fd, tableFile, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("note that nftables are needed: %w", &os.PathError{Op: "open", Path: s.dir + "/" + tableFile, Err: err})
	}
	return unix.Close(fd)
}

// ForgetTable notes that none does any more.
func (s *Store) ForgetTable() error {
	if err := unix.Unlinkat(s.fd, tableFile, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("forget that nftables are needed: %w", err)
	}
	return nil
}
