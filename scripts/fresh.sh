#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# fresh.sh compiles the eBPF objects anew, aside, and compares them with the
# committed ones. Another clang than the one that made those makes other code
# from the same source: then the compilation must succeed, and that is all.
set -euo pipefail
cd "$(dirname "$0")/../internal/datapath"

want=$(sed -n 's|^// The committed objects are those of clang \([0-9.]*[0-9]\).*|\1|p' load.go)
have=$("${BPF2GO_CC:-clang}" -dumpversion)
mapfile -t generate < <(sed -n 's|^//go:generate \(.* bpf2go .*\)|\1|p' ./*.go)
[[ $want && ${#generate[@]} -gt 0 ]] || {
	echo "fresh.sh: internal/datapath/load.go names no clang or no bpf2go" >&2
	exit 1
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# Each line is quoted as for go generate, which splits it as a shell would.
for line in "${generate[@]}"; do
	eval "GOPACKAGE=datapath ${line/ bpf2go / bpf2go -output-dir $tmp }" >/dev/null
done
if [[ $have != "$want" ]]; then
	echo "eBPF objects: not compared: they are of clang $want, here is clang $have" >&2
	exit 0
fi
failed=0
for file in "$tmp"/*; do
	cmp -s "$file" "$(basename "$file")" || {
		echo "internal/datapath/$(basename "$file") is not of its source: make generate" >&2
		failed=1
	}
done
exit "$failed"
