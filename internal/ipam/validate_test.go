// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/state"
)

func TestNewRejects(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		ipam string
		edit func(*Request)
		want string
	}{
		{name: "no ipam", ipam: ``, want: "type"},
		{name: "no type", ipam: `{}`, want: "missing"},
		{name: "type leads out", ipam: `{"type":"../../bin/x"}`, want: "not a plain file name"},
		{name: "type is absolute", ipam: `{"type":"/bin/sh"}`, want: "not a plain file name"},
		{name: "type is parent", ipam: `{"type":".."}`, want: "not a plain file name"},
		{name: "type is here", ipam: `{"type":"."}`, want: "not a plain file name"},
		{name: "type is an option", ipam: `{"type":"-c"}`, want: "not a plain file name"},
		{name: "type is no string", ipam: `{"type":3}`, want: "ipam.type: want a string, not a JSON number"},
		{name: "type not installed", ipam: `{"type":"dhcp"}`, want: `CNI_PATH ""`},
		{name: "exec is no bool", ipam: `{"type":"static","exec":"yes"}`, want: "exec"},
		{name: "exec not installed", ipam: `{"type":"host-local","exec":true}`, want: "install"},

		{name: "no range", ipam: `{"type":"host-local"}`, want: "no range"},
		{name: "start without subnet", ipam: `{"type":"host-local","rangeStart":"10.0.0.3"}`, want: "no range"},
		{name: "empty set", ipam: hl(`"ranges":[[]]`), want: "empty range set"},
		{name: "range without subnet", ipam: hl(`"ranges":[[{"rangeStart":"10.0.0.3"}]]`), want: `subnet "": is missing`},
		{name: "subnet is no prefix", ipam: hl(`"subnet":"10.0.0.0"`), want: "is not a prefix"},
		{name: "host bits", ipam: hl(`"subnet":"10.0.0.1/24"`), want: "write 10.0.0.0/24"},
		{name: "too small", ipam: hl(`"subnet":"10.0.0.0/31"`), want: "too small"},
		{name: "too small in v6", ipam: hl(`"subnet":"fd00::/127"`), want: "too small"},
		{name: "loopback subnet", ipam: hl(`"subnet":"127.0.0.0/24"`), want: "127.0.0.0/8"},
		{name: "subnet around loopback", ipam: hl(`"subnet":"126.0.0.0/7"`), want: "127.0.0.0/8"},
		{name: "this network", ipam: hl(`"subnet":"0.0.0.0/0"`), want: "0.0.0.0/8"},
		{name: "multicast subnet", ipam: hl(`"subnet":"224.1.0.0/16"`), want: "224.0.0.0/4"},
		{name: "multicast subnet in v6", ipam: hl(`"subnet":"ff02::/64"`), want: "ff00::/8"},
		{name: "v4-mapped subnet", ipam: hl(`"subnet":"::ffff:10.0.0.0/120"`), want: "subnet"},
		{name: "v6 loopback subnet", ipam: hl(`"subnet":"::/64"`), want: "::/127"},
		{name: "start outside", ipam: hl(`"subnet":"10.0.0.0/24","rangeStart":"10.0.1.1"`), want: `rangeStart "10.0.1.1"`},
		{name: "end outside", ipam: hl(`"subnet":"10.0.0.0/24","rangeEnd":"10.0.1.1"`), want: `rangeEnd "10.0.1.1"`},
		{name: "end before start", ipam: hl(`"subnet":"10.0.0.0/24","rangeStart":"10.0.0.9","rangeEnd":"10.0.0.8"`), want: "before rangeStart"},
		{name: "start of another family", ipam: hl(`"subnet":"10.0.0.0/24","rangeStart":"fd00::1"`), want: "rangeStart"},
		{name: "start with zone", ipam: hl(`"subnet":"fd00::/64","rangeStart":"fd00::1%eth0"`), want: "zone"},
		{name: "gateway is nonsense", ipam: hl(`"subnet":"10.0.0.0/24","gateway":"here"`), want: "gateway"},
		{name: "gateway of another family", ipam: hl(`"subnet":"10.0.0.0/24","gateway":"fd00::1"`), want: "family"},
		{name: "gateway is multicast", ipam: hl(`"subnet":"10.0.0.0/24","gateway":"224.0.0.1"`), want: "multicast"},
		{name: "gateway is the broadcast address", ipam: hl(`"subnet":"10.0.0.0/24","gateway":"10.0.0.255"`), want: "broadcast address of subnet 10.0.0.0/24"},
		{name: "link-local subnet", ipam: hl(`"subnet":"fe80::/64"`), want: "fe80::/10"},
		{name: "mixed families", ipam: hl(`"ranges":[[{"subnet":"10.0.0.0/24"},{"subnet":"fd00::/64"}]]`), want: "family"},
		{name: "overlap in set", ipam: hl(`"ranges":[[{"subnet":"10.0.0.0/24"},{"subnet":"10.0.0.0/25"}]]`), want: "overlaps"},
		{name: "overlap of sets", ipam: hl(`"ranges":[[{"subnet":"10.0.0.0/24"}],[{"subnet":"10.0.0.128/25"}]]`), want: "range set 1 overlaps range set 0"},
		{name: "overlap with runtime's", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.RuntimeRanges = json.RawMessage(`[[{"subnet":"10.0.0.0/25"}]]`) }, want: "overlaps"},
		{name: "subnet is no string", ipam: hl(`"subnet":5`), want: "ipam.subnet: want a string, not a JSON number"},
		{name: "ranges are no sets", ipam: hl(`"ranges":[{"subnet":"10.0.0.0/24"}]`), want: "ipam.ranges: want a list, not a JSON object"},
		{name: "start is no string", ipam: hl(`"ranges":[[{"rangeStart":{}}]]`), want: "ipam.ranges.rangeStart: want a string, not a JSON object"},
		{name: "addresses are no objects", ipam: `{"type":"static","addresses":["10.0.0.5/24"]}`, want: "ipam.addresses: want an object, not a JSON string"},
		{name: "nameserver is none", ipam: `{"type":"static","dns":{"nameservers":["x"]}}`, want: `ipam.dns.nameservers[0] "x": want an IP address`},
		{name: "dns is none", ipam: `{"type":"static","dns":[]}`, want: "ipam.dns: want an object, not a JSON array"},
		{name: "runtime's subnet is no string", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.RuntimeRanges = json.RawMessage(`[[{"subnet":5}]]`) }, want: "runtimeConfig.ipRanges.subnet: want a string"},
		{name: "runtime's are nonsense", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.RuntimeRanges = json.RawMessage(`{}`) }, want: "runtimeConfig.ipRanges: want a list, not a JSON object"},
		{name: "two of a family in 0.2.0", ipam: hl(`"ranges":[[{"subnet":"10.0.0.0/24"}],[{"subnet":"10.0.1.0/24"}]]`),
			edit: func(r *Request) { r.CNIVersion = "0.2.0" }, want: "raise it to 0.3.0"},

		{name: "dataDir is relative", ipam: hl(`"subnet":"10.0.0.0/24","dataDir":"var"`), want: "dataDir"},
		{name: "dataDir climbs", ipam: hl(`"subnet":"10.0.0.0/24","dataDir":"/var/../etc"`), want: "dataDir"},
		{name: "dataDir is the root", ipam: hl(`"subnet":"10.0.0.0/24","dataDir":"/"`), want: "dataDir"},
		{name: "dataDir in proc", ipam: hl(`"subnet":"10.0.0.0/24","dataDir":"/proc/sys"`), want: "/proc"},
		{name: "dataDir in sys", ipam: hl(`"subnet":"10.0.0.0/24","dataDir":"/sys/fs/bpf"`), want: "/sys"},
		{name: "dataDir in dev", ipam: hl(`"subnet":"10.0.0.0/24","dataDir":"/dev/shm"`), want: "/dev"},
		{name: "resolvConf is relative", ipam: hl(`"subnet":"10.0.0.0/24","resolvConf":"resolv.conf"`), want: `resolvConf "resolv.conf": is not an absolute path`},
		{name: "network leads out", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.Key.Network = "../x" }, want: "network name"},

		{name: "route without dst", ipam: hl(`"subnet":"10.0.0.0/24","routes":[{"gw":"10.0.0.1"}]`), want: `ipam.routes[0].dst "": want a prefix`},
		{name: "route over another family", ipam: hl(`"subnet":"10.0.0.0/24","routes":[{"dst":"10.0.0.0/8","gw":"fd00::1"}]`), want: `ipam.routes[0].gw "fd00::1": is not of the family`},
		{name: "route with negative mtu", ipam: hl(`"subnet":"10.0.0.0/24","routes":[{"dst":"10.0.0.0/8","mtu":-1}]`), want: "ipam.routes[0].mtu -1: want 0 to 65520"},
		{name: "route with unknown scope", ipam: hl(`"subnet":"10.0.0.0/24","routes":[{"dst":"10.0.0.0/8","scope":256}]`), want: "ipam.routes[0].scope 256: want 0 to 254"},

		{name: "requested nonsense", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.EnvIP = []string{"x"} }, want: "CNI_ARGS IP"},
		{name: "requested loopback", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.ArgsIPs = []string{"127.0.0.1"} }, want: "args.cni.ips"},
		{name: "requested v4-mapped", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.RuntimeIPs = []string{"::ffff:10.0.0.5"} }, want: "write 10.0.0.5"},
		{name: "requested 0/8", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.RuntimeIPs = []string{"0.1.2.3/8"} }, want: "runtimeConfig.ips"},
		{name: "requested broadcast", ipam: hl(`"subnet":"10.0.0.0/24"`),
			edit: func(r *Request) { r.RuntimeIPs = []string{"255.255.255.255"} }, want: "broadcast"},

		{name: "static without length", ipam: `{"type":"static","addresses":[{"address":"10.0.0.5"}]}`, want: "addresses.address"},
		{name: "static multicast", ipam: `{"type":"static","addresses":[{"address":"ff02::5/64"}]}`, want: "multicast"},
		{name: "static gateway", ipam: `{"type":"static","addresses":[{"address":"10.0.0.5/24","gateway":"x"}]}`, want: "addresses.gateway"},
		{name: "static gateway is the broadcast address", ipam: `{"type":"static","addresses":[{"address":"10.0.0.5/24","gateway":"10.0.0.255"}]}`, want: "broadcast"},
		{name: "static twice", ipam: `{"type":"static","addresses":[{"address":"10.0.0.5/24"},{"address":"10.0.0.5/16"}]}`, want: "twice"},
		{name: "static twice by args", ipam: `{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}`,
			edit: func(r *Request) { r.EnvIP = []string{"10.0.0.5/24"} }, want: "twice"},
		{name: "static from args without length", ipam: `{"type":"static"}`,
			edit: func(r *Request) { r.EnvIP = []string{"10.0.0.5/24,10.0.0.6"} }, want: "CNI_ARGS IP"},
		{name: "static gateway from args", ipam: `{"type":"static"}`,
			edit: func(r *Request) { r.EnvGateway = []string{"x"} }, want: "CNI_ARGS GATEWAY"},
		{name: "static two of a family in 0.1.0", ipam: `{"type":"static","addresses":[{"address":"10.0.0.5/24"},{"address":"10.0.0.6/24"}]}`,
			edit: func(r *Request) { r.CNIVersion = "0.1.0" }, want: "raise it to 0.3.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := Request{
				Key:        state.Key{Network: officeName, ContainerID: "ann", IfName: "eth0"},
				CNIVersion: "1.1.0",
				IPAM:       json.RawMessage(test.ipam),
			}
			if test.edit != nil {
				test.edit(&r)
			}
			_, err := New(r)
			wantError(t, err, cniproto.CodeInvalidConfig, test.want)
		})
	}
}

// hl is an ipam object of type host-local. New makes no directory, so that the
// default dataDir does no harm.
func hl(fields string) string { return `{"type":"host-local",` + fields + `}` }

func TestTypeOfOtherPluginKeepsItsFields(t *testing.T) {
	t.Parallel()
	r := Request{IPAM: json.RawMessage(`{"type":"other","exec":"its own","ranges":7,"dns":[]}`), Path: pluginDir(t, "other", "exit 0")}
	mustNew(t, r)
}

func TestOldVersionTakesOneOfEachFamily(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]any{"ranges": [][]map[string]string{{{"subnet": "10.0.0.0/24"}}, {{"subnet": "fd00::/64"}}}})
	r := o.request("ann")
	r.CNIVersion = "0.2.0"
	wantAddrs(t, mustAdd(t, mustNew(t, r), Hooks{}), "10.0.0.2", "fd00::2")
}

func TestResolvConf(t *testing.T) {
	t.Parallel()
	got := parseResolvConf(strings.Join([]string{
		"# comment", "; comment", "", "nameserver 10.0.0.1 ignored", "nameserver", "domain first",
		"domain example.org", "search a b", "search c", "options ndots:5", "\toptions rotate edns0\r",
	}, "\n"))
	want := cniproto.DNS{
		Nameservers: []string{"10.0.0.1"}, Domain: "example.org",
		Search: []string{"a", "b", "c"}, Options: []string{"ndots:5", "rotate", "edns0"},
	}
	wantEqual(t, got, want)
}
