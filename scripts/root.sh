# shellcheck shell=bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Sourced. Defines as_root, which runs a command as root, through sudo if need
# be, with this user's PATH. HOME becomes root's, so that Go run as root leaves
# no file of root's in the user's caches.

# A user's PATH on Debian lacks the directories of nft, tc and iptables.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
sudo_words=()
if ((EUID != 0)); then
	command -v sudo >/dev/null || {
		echo "$0: needs root, and there is no sudo; run it as root" >&2
		exit 1
	}
	sudo -v
	sudo_words=(sudo -H env "PATH=$PATH")
fi
as_root() { ${sudo_words[@]+"${sudo_words[@]}"} "$@"; }
