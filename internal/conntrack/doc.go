// SPDX-License-Identifier: MIT OR Apache-2.0

// Package conntrack forgets the connections that the kernel tracks to ports of the host,
// by ctnetlink.
package conntrack
