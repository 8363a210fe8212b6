// SPDX-License-Identifier: MIT OR Apache-2.0

// Package nlmsg encodes netlink messages into batches and exchanges a whole
// batch with the kernel in one system call.
package nlmsg
