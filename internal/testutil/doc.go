// SPDX-License-Identifier: MIT OR Apache-2.0

// Package testutil gives tests a host of their own: namespaces in which the
// plugin may do what it does, and which vanish with the test.
package testutil
