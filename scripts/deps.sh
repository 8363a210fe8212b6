#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# deps.sh TOOL... makes sure that the named programs, and files where a path is
# named, are installed: silent when all are, else through apt-get as root or by
# sudo, else it says what to install.
set -euo pipefail

# A user's PATH on Debian lacks the directories of nft, tc and iptables.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

package_of() {
	case $1 in
	nft) echo nftables ;;
	ip | tc | ss) echo iproute2 ;;
	ping) echo iputils-ping ;;
	qemu-system-x86_64) echo qemu-system-x86 ;;
	depmod) echo kmod ;;
	/usr/libexec/virtiofsd) echo virtiofsd ;;
	/usr/share/keyrings/debian-archive-keyring.gpg) echo debian-archive-keyring ;;
	llvm-strip) echo llvm ;;
	/usr/include/linux/*) echo linux-libc-dev ;;
	iptables | strace | shellcheck | clang-format | clang | conntrack | git | make | iperf3) echo "$1" ;;
	*)
		echo "deps.sh: no Debian package is known for $1" >&2
		return 1
		;;
	esac
}

installed() {
	if [[ $1 == /* ]]; then [[ -e $1 ]]; else command -v "$1" >/dev/null; fi
}

tools=() packages=()
for tool in "$@"; do
	installed "$tool" && continue
	tools+=("$tool")
	package=$(package_of "$tool")
	[[ " ${packages[*]-} " == *" $package "* ]] || packages+=("$package")
done
((${#tools[@]})) || exit 0

as_root=()
((EUID == 0)) || as_root=(sudo -n)
if ! command -v apt-get >/dev/null || { ((EUID != 0)) && ! sudo -n true 2>/dev/null; }; then
	echo "missing: ${tools[*]}; install the packages: ${packages[*]}" >&2
	exit 1
fi

echo "installing ${packages[*]}" >&2
apt() { ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null >&2; }
# The lists of a fresh machine are missing or old; a failing source need not stop the others.
apt update || echo "apt-get update: some sources failed" >&2
apt install -y --no-install-recommends "${packages[@]}"

for tool in "${tools[@]}"; do
	installed "$tool" || {
		echo "$tool: still missing after installing $(package_of "$tool")" >&2
		exit 1
	}
done
