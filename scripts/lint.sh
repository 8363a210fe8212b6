#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# lint.sh runs every linter over every file that it is for, all of them even
# when one complains.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
failed=0
golangci() { (cd "$1" && go tool "-modfile=$root/tools/go.mod" golangci-lint run -c "$root/.golangci.yml" ./...); }

golangci . || failed=1
[[ ! -f test/bench/go.mod ]] || golangci test/bench || failed=1
shellcheck scripts/*.sh .ci/run || failed=1
find bpf -name '*.[ch]' -exec clang-format --dry-run -Werror {} + || failed=1
scripts/fresh.sh || failed=1
exit "$failed"
