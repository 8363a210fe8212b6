// SPDX-License-Identifier: MIT OR Apache-2.0

// Command tcpcheck moves bytes over one TCP connection and prints how fast they
// went: the demo's own, so that it needs neither netcat nor iperf.
package main
