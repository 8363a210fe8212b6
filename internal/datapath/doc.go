// SPDX-License-Identifier: MIT OR Apache-2.0

// Package datapath loads Emerita's eBPF programs once per host, finds them
// again by their pins, and keeps the maps by which they know the containers.
package datapath
