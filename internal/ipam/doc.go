// SPDX-License-Identifier: MIT OR Apache-2.0

// Package ipam gives a container its addresses: in process against the files
// of host-local, in process from the configuration (static), or through
// another IPAM plugin.
package ipam
