// SPDX-License-Identifier: MIT OR Apache-2.0

// Package state is what Emerita remembers of an attachment: its key, the kernel
// names derived from the key, the record on disk, and the locks around both.
package state
