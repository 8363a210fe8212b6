#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# kernels.sh builds the tests that ask the kernel, and runs them as root on several
# of Debian's kernels in emulated machines; arguments are flags of test/kernels.
# All that it makes is in .cache/kernels, and docs/kernels.md.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh qemu-system-x86_64 depmod apt-get dpkg-deb /usr/share/keyrings/debian-archive-keyring.gpg nft iptables ip tc ss ping strace
# qemu brought it up to version 7.
[[ -e /usr/lib/qemu/virtiofsd ]] || scripts/deps.sh /usr/libexec/virtiofsd
# shellcheck source=scripts/root.sh
. scripts/root.sh

cache=.cache/kernels
bin=$cache/bin
mkdir -p "$bin/path"
# Built by the user, and static: the machines are as old as their kernels say.
export CGO_ENABLED=0
go build -o "$bin/" ./test/kernels ./scripts/testreport cmd/test2json
go build -trimpath -o "$bin/emerita" ./cmd/emerita
go build -o "$bin/plugins/" tool
mapfile -t packages < <("$bin/kernels" -list)
go test -c -o "$bin/" "${packages[@]}"
# In a machine nothing is compiled: go tool -n says where the plugin is.
cat >"$bin/path/go" <<'END'
#!/bin/sh
[ "$1 $2" = "tool -n" ] && ls "${0%/*}/../plugins/$3"
END
chmod +x "$bin/path/go"

failed=0
as_root env "EMERITA_DEBIAN_MIRROR=${EMERITA_DEBIAN_MIRROR-}" "$bin/kernels" "$@" || failed=1
((EUID == 0)) || as_root chown -R "$(id -u):$(id -g)" "$cache" docs/kernels.md
exit "$failed"
