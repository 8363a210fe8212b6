// SPDX-License-Identifier: MIT OR Apache-2.0

// Package traffic is the client and the server with which a data path is
// measured, each the only work of a process of its own.
package traffic
