// SPDX-License-Identifier: MIT OR Apache-2.0

// Package endpoint carries out ADD, DEL, CHECK, GC and STATUS, each as one
// transaction over addresses, links, routes, nftables and the record.
package endpoint
