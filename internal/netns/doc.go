// SPDX-License-Identifier: MIT OR Apache-2.0

// Package netns opens, identifies and enters network namespaces. It is the only
// place that changes the namespace of a thread, and such a thread never runs
// anything else again.
package netns
