#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# test.sh runs every test of the project as root, counts them, accepts no skip
# that scripts/allowed-skips.txt does not name, and proves that the host is
# afterwards as it was. Arguments, if any, are go test's flags and packages
# instead of ./...
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/root.sh
. scripts/root.sh

bench=test/bench
if (($#)); then bench=; else set -- ./...; fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

go build -o "$tmp/testreport" ./scripts/testreport
as_root scripts/snapshot.sh >"$tmp/before"

# The user builds the test binaries, only their run is root's. With
# EMERITA_REQUIRE_ROOT a test that lacks root or namespaces fails, never skips.
export EMERITA_REQUIRE_ROOT=1
exec_flag=()
((EUID == 0)) || exec_flag=("-exec=sudo -H env 'PATH=$PATH' EMERITA_REQUIRE_ROOT=1")
allowed=$PWD/scripts/allowed-skips.txt
features=$PWD/scripts/kernel-features.txt
suite() { # suite DIR [FLAG-OR-PACKAGE]...
	local dir=$1
	shift
	# Tests build upstream's plugins in namespaces that reach no module proxy.
	(cd "$dir" && go mod download && go vet ./... &&
		go test -count=1 -json ${exec_flag[@]+"${exec_flag[@]}"} "$@" |
		"$tmp/testreport" -allowed-skips "$allowed" -features "$features")
}

failed=0
for dir in . $bench; do
	suite "$dir" "$@" || failed=1
done

as_root scripts/snapshot.sh >"$tmp/after"
if ! diff -u --label before --label after "$tmp/before" "$tmp/after"; then
	echo "FAIL: the tests changed the host" >&2
	failed=1
fi
exit "$failed"
