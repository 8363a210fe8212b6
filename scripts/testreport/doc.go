// SPDX-License-Identifier: MIT OR Apache-2.0

// Command testreport reads the events of go test -json on stdin, prints the
// failures and the number of tests, and fails when a test failed, when one was
// skipped for a reason nobody has audited, or when a package ran none.
package main
