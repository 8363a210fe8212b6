#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# demo.sh gives two network namespaces a network with Emerita, talks between
# them, and leaves the host as it was, also when interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."

a=emerita-demo-a
b=emerita-demo-b
config='{"cniVersion":"1.0.0","name":"emerita","type":"emerita","ipMasq":true,"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"gateway":"10.88.0.1","subnet":"10.88.0.0/16"}]]}}'
# What an ADD may make on a host that has none; the demo removes what it made.
state_dirs=(/var/lib/cni/networks/emerita /var/lib/cni/networks /var/lib/cni/emerita /var/lib/cni /run/emerita /run/netns)

# Built by the user, for root would leave its files in the user's caches.
if [[ -z ${EMERITA_DEMO_BUILT-} ]]; then
	[[ -n ${EMERITA_BUILT-} ]] || make --no-print-directory build
	CGO_ENABLED=0 go build -o bin/tcpcheck ./scripts/tcpcheck
	scripts/deps.sh ip tc nft ping
	export EMERITA_DEMO_BUILT=1
fi
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
((EUID == 0)) || exec sudo -H env "PATH=$PATH" EMERITA_DEMO_BUILT=1 "$PWD/scripts/demo.sh"

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
say() { # say COMMAND...: show it, then run it
	printf '$ %s\n' "$*"
	"$@"
}
refuse() {
	echo "demo: $*" >&2
	exit 1
}
emerita() { # emerita VERB A|B: the CLI on one of the two namespaces
	local verb=$1 netns=$2
	printf '$ emerita %s -n /var/run/netns/%s -c %s -i eth0 < config.json\n' "$verb" "$netns" "${netns#emerita-}"
	bin/emerita "$verb" -n "/var/run/netns/$netns" -c "${netns#emerita-}" -i eth0 <<<"$config"
}
address_of() { # address_of FILE: the first address in a CNI result
	grep -o '"address": *"[^"/]*' "$1" | head -n 1 | sed 's/.*"//'
}
forwarding() { grep -r '' /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv[46]/conf/*/forwarding; }

for netns in "$a" "$b"; do
	[[ ! -e /run/netns/$netns ]] || refuse "the network namespace $netns exists; if an earlier demo was killed: ip netns delete $netns"
done
# 10.88.0.0/16 is also what podman takes by default.
if ip -4 route show table all root 10.88.0.0/16 | grep -vqw emerita0; then
	refuse "10.88.0.0/16 is in use on this host: $(ip -4 route show table all root 10.88.0.0/16 | head -n 1)"
fi

tmp=$(mktemp -d)
server=
had_links=" $(ip -o link | awk -F ': ' '{ sub(/@.*/, "", $2); printf "%s ", $2 }')"
had_table=
nft list table inet emerita >/dev/null 2>&1 && had_table=1
had_dirs=" "
for dir in "${state_dirs[@]}"; do [[ ! -e $dir ]] || had_dirs+="$dir "; done
forwarding >"$tmp/forwarding"
scripts/snapshot.sh >"$tmp/before"

remove_unless_had_link() {
	[[ $had_links == *" $1 "* || -z $(ip -o link show dev "$1" 2>/dev/null) ]] || ip link delete "$1"
}
restore_forwarding() {
	local part setting value
	# "all" first: writing it writes every interface's.
	for part in /conf/all/ /; do
		while IFS=: read -r setting value; do
			[[ ! -e $setting || $(<"$setting") == "$value" ]] || echo "$value" >"$setting"
		done < <(grep -F "$part" "$tmp/forwarding")
	done
}
remove_state() {
	case $1 in
	*/emerita) rm -rf "$1" ;;
	# ip netns mounts this one.
	/run/netns) umount "$1" 2>/dev/null || true ;&
	*) rmdir --ignore-fail-on-non-empty "$1" ;;
	esac
}
clean_up() {
	local status=$? netns dir
	trap '' INT TERM
	trap - EXIT
	# Every step is tried, whatever became of the one before.
	set +e
	[[ -z $server ]] || kill "$server" 2>/dev/null
	wait
	title "Clean up"
	for netns in "$a" "$b"; do
		emerita del "$netns" || status=1
		[[ ! -e /run/netns/$netns ]] || ip netns delete "$netns"
	done
	echo '$ emerita gc --dead < config.json'
	bin/emerita gc --dead <<<"$config" || status=1
	remove_unless_had_link emerita0
	# Loading the kernel's dummy module, as the first emerita0 does, makes one of its own.
	remove_unless_had_link dummy0
	[[ -n $had_table ]] || nft delete table inet emerita 2>/dev/null
	for dir in "${state_dirs[@]}"; do
		[[ $had_dirs == *" $dir "* || ! -e $dir ]] || remove_state "$dir"
	done
	restore_forwarding
	scripts/snapshot.sh >"$tmp/after"
	if diff -u --label before --label after "$tmp/before" "$tmp/after"; then
		echo "the host is as it was"
	else
		echo "demo: the host is not as it was" >&2
		status=1
	fi
	rm -rf "$tmp"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

title "Two network namespaces"
say ip netns add "$a"
say ip netns add "$b"

title "A network for both"
echo "$config"
emerita add "$a" | tee "$tmp/result-a"
emerita add "$b" | tee "$tmp/result-b"
address_a=$(address_of "$tmp/result-a")
address_b=$(address_of "$tmp/result-b")
[[ -n $address_a && -n $address_b ]] || refuse "no address in the result"

title "Ping, both ways"
say ip netns exec "$a" ping -q -c 3 -i 0.2 -W 2 "$address_b"
say ip netns exec "$b" ping -q -c 3 -i 0.2 -W 2 "$address_a"

stream() { # stream NETNS-OF-SERVER ADDRESS: TCP from b, printed and kept as its rate
	ip netns exec "$1" bin/tcpcheck serve "$2:7000" &
	server=$!
	say ip netns exec "$b" bin/tcpcheck send "$2:7000" 2048 | tee "$tmp/stream"
	wait "$server"
	server=
	rate=$(sed -n 's|.* \([0-9.]*\) Gbit/s|\1|p' "$tmp/stream")
}
title "TCP from $b to $a, and by loopback within $b"
stream "$a" "$address_a"
between=$rate
stream "$b" 127.0.0.1
awk -v a="$between" -v b="$rate" 'BEGIN { printf "between the two: %.2f times loopback\n", a / b }'
bin/emerita list

title "Is all as it should be?"
emerita check "$a"
emerita check "$b"
echo '$ emerita status < config.json'
bin/emerita status <<<"$config"
