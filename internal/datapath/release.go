// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// releaseAtLeast is nil if the kernel is of a release or later. What a kernel can do is
// better found out by trying; this is for what it does wrong.
func releaseAtLeast(want [2]int) error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("ask for the kernel's release: %w", err)
	}
	release := unix.ByteSliceToString(uts.Release[:])
	var is [2]int
	if _, err := fmt.Sscanf(release, "%d.%d", &is[0], &is[1]); err != nil {
		return fmt.Errorf("read the kernel's release %q: %w", release, err)
	}
	if is[0] < want[0] || is[0] == want[0] && is[1] < want[1] {
		return fmt.Errorf("the kernel is %s, older than %d.%d", release, want[0], want[1])
	}
	return nil
}
