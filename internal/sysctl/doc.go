// SPDX-License-Identifier: MIT OR Apache-2.0

// Package sysctl reads and writes per-interface settings under /proc/sys/net,
// in the network namespace of the calling thread.
package sysctl
