#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# snapshot.sh prints the host's network state in a form that two runs can be
# compared by: all that Emerita could have changed, without counters, timers
# and learned neighbours.
set -euo pipefail

section() {
	echo "== $1"
	shift
	"$@" 2>&1 || true
}

# Router advertisements and DHCP count down on their own.
without_timers() { sed -E 's/ (expires|valid_lft|preferred_lft|age) [0-9a-z]+//g'; }
links() { ip -o link | sort -n; }
addresses() { ip -o addr | without_timers | sort -n; }
routes() { { ip -4 route show table all && ip -6 route show table all; } | without_timers | sort; }
rules() { ip -4 rule && ip -6 rule; }
qdiscs() { tc qdisc show | sort; }
# -s leaves counters out.
ruleset() { nft -s list ruleset; }
files() { for dir in "$@"; do [[ ! -e $dir ]] || find "$dir" | sort; done; }
# An interface's stable_secret reads as an error until it is set.
sysctls() { grep -r '' /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2>/dev/null | sort; }
bpf_pins() { ls /sys/fs/bpf; }

section links links
section addresses addresses
section routes routes
section rules rules
section qdiscs qdiscs
section ruleset ruleset
section files files /run/netns /run/emerita /var/lib/cni
section sysctls sysctls
section bpf bpf_pins
