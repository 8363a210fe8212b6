// SPDX-License-Identifier: MIT OR Apache-2.0

// Package cniproto is the CNI protocol as data: configurations, environment,
// results and errors of every version from 0.1.0 to 1.1.0.
package cniproto
