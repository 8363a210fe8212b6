// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// BootID is the kernel's random identifier of this boot. It is read without package os,
// whose first file sets up the runtime's poller.
func BootID() (string, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	var buf [64]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", &os.PathError{Op: "read", Path: path, Err: err})
	}
	return string(bytes.TrimSpace(buf[:n])), nil
}
