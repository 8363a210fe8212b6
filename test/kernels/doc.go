// SPDX-License-Identifier: MIT OR Apache-2.0

// Command kernels runs the tests that are about the kernel on several of Debian's,
// each in an emulated machine that sees the host's files but writes to memory, and
// writes what came of it to docs/kernels.md. scripts/kernels.sh builds and calls it.
//
// The same program is process 1 of the machine: see guest.go.
package main
