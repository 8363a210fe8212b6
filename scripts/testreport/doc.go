// SPDX-License-Identifier: MIT OR Apache-2.0

// Command testreport reads the events of go test -json on stdin, prints the
// failures and the number of tests, and fails when a test failed, when one was
// skipped for a reason nobody has audited, or when a package ran none.
//
// A skip for want of a kernel feature (testutil.Needs) is right if the kernel's
// configuration or version says as well that the feature is not there.
package main
