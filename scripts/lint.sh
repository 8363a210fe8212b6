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
# bpf/include holds other projects' headers, kept as they were.
mapfile -d '' c_files < <(find bpf -name '*.[ch]' -not -path 'bpf/include/*' -print0 2>/dev/null)
((${#c_files[@]} == 0)) || clang-format --dry-run -Werror "${c_files[@]}" || failed=1
exit "$failed"
