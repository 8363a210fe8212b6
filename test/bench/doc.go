// SPDX-License-Identifier: MIT OR Apache-2.0

// Command bench measures Emerita against the newest upstream CNI plugins, built
// and run side by side in namespaces that vanish with it.
package main
