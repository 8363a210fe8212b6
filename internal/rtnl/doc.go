// SPDX-License-Identifier: MIT OR Apache-2.0

// Package rtnl makes and inspects links, addresses, routes and neighbours
// through rtnetlink, many in one system call.
package rtnl
