// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import "path/filepath"

// build names the programs of this build: the beginning of the SHA-256 of all
// objects. It is written down because every ADD needs it, and to hash 50 KiB takes a
// tenth of a millisecond.
const build = "9aef6e441e83ab1a"

// programDir is where the programs of this build are pinned: one directory for each,
// so that two versions of the plugin on one host each attach their own.
func programDir(dir string) string { return filepath.Join(dir, "programs-"+build) }
