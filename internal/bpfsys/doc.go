// SPDX-License-Identifier: MIT OR Apache-2.0

// Package bpfsys makes the few calls of bpf(2) that an ADD and a DEL need:
// opening pins and writing map entries. Everything else is the library's.
package bpfsys
