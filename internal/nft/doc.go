// SPDX-License-Identifier: MIT OR Apache-2.0

// Package nft keeps Emerita's one nftables table, which masquerades containers
// by sets of network prefixes and needs no rule per container.
package nft
