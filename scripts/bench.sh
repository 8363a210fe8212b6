#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# bench.sh runs the benchmark of test/bench as root; arguments are its flags.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh nft iptables ip iperf3
# shellcheck source=scripts/root.sh
. scripts/root.sh

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p docs/benchmarks
cd test/bench
# Built by the user: go run as root would leave files of root's in the user's cache.
go build -o "$tmp/bench" .
as_root "$tmp/bench" -emerita ../../bin/emerita -out ../../docs/benchmarks "$@"
((EUID == 0)) || as_root chown -R "$(id -u):$(id -g)" ../../docs/benchmarks
