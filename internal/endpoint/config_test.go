// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// TestOptionsSayWhatIsWrong by the key as it is written, and by what is wanted.
func TestOptionsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	const rate, burst = "want 0, no limit, or from 8 to 9007199254740991 bits/s, in digits", "want from 0 to 34359738359 bits, in digits"
	for keys, want := range map[string]string{
		`"ipMasq":"true"`: "ipMasq: want true or false, not a JSON string", `"hostAccess":"no"`: "hostAccess: want true or false, not a JSON string",
		`"fastPath":1`: "fastPath: want a string, not a JSON number", `"mtu":"big"`: "mtu: want an integer, not a JSON string",
		`"runtimeConfig":{"bandwidth":7}`: "runtimeConfig.bandwidth: want an object, not a JSON number", `"runtimeConfig":7`: "runtimeConfig: want an object",
		`"args":{"cni":5}`: "args.cni: want an object", `"socketAcceleration":"x"`: `socketAcceleration "x": want true, false or "cgroup"`,
		`"args":{"cni":{"socketAcceleration":5}}`:                              `args.cni.socketAcceleration 5: want true, false or "cgroup"`,
		`"socketAcceleration":true,"args":{"cni":{"socketAcceleration":"x"}}`:  `args.cni.socketAcceleration "x": want`,
		`"socketAcceleration":"x","args":{"cni":{"socketAcceleration":false}}`: `socketAcceleration "x": want`,
		`"allowNetworks":"a"`: "allowNetworks: want a list, not a JSON string", `"routes":{}`: "routes: want a list, not a JSON object",
		`"routes":[{"dst":"x"}]`: `routes[0].dst "x": want a prefix such as 10.0.0.0/8`, `"routes":[{"dst":5}]`: "routes.dst: want a string, not a JSON number",
		`"routes":[{"dst":"10.0.0.0/8","table":"main"}]`: "routes.table: want an integer, not a JSON string",
		`"ingressRate":-1`: "ingressRate -1: " + rate, `"egressRate":1e3`: "egressRate 1e3: " + rate, `"egressBurst":1.5`: "egressBurst 1.5: " + burst,
		`"runtimeConfig":{"bandwidth":{"ingressBurst":-1}}`: "runtimeConfig.bandwidth.ingressBurst -1: " + burst,
		`"gatewayInterface":""`:                             `gatewayInterface "": empty: leave it out for emerita0`, `"gatewayInterface":"a/b"`: `gatewayInterface "a/b": '/'`,
		`"capabilities":"x"`: "capabilities: want an object, not a JSON string", `"capabilities":{"ips":true,"x":5}`: "capabilities.x 5: want true or false",
		`"dns":{"nameservers":["10.0.0.1","x"]}`: `dns.nameservers[1] "x": want an IP address`, `"dns":{"nameservers":["10.0.0.1/8"]}`: "dns.nameservers[0]",
		`"localCongestionControl":""`: `localCongestionControl "": want auto, off, or a name`, `"isolation":""`: `isolation "": want one of ["network" "off"]`,
		`"isolation":"auto"`: `isolation "auto": want one of`, `"fastPath":""`: `fastPath "": want one of`, `"device":""`: `device "": want one of`,
		`"bigTCP":""`: `bigTCP "": want auto, local, off, or bytes`, `"portConflict":""`: `portConflict "": want "error" or "ignore"`,
	} {
		_, err := parseOptions([]byte("{" + keys + "}"))
		var e *cniproto.Error
		if !errors.As(err, &e) || e.Code != cniproto.CodeInvalidConfig {
			t.Errorf("%s: %v, want an error with code 7", keys, err)
			continue
		}
		if text := e.Error(); !strings.HasPrefix(text, "parse network configuration: "+want) || strings.Contains(text, "CNI_IFNAME") {
			t.Errorf("%s: %s\nwant %s", keys, text, want)
		}
	}
}

// TestNullIsAbsent: for every key, and then the defaults count.
func TestNullIsAbsent(t *testing.T) {
	t.Parallel()
	for _, keys := range []string{
		``, `"fastPath":null,"device":null,"isolation":null,"bigTCP":null,"localCongestionControl":null,"portConflict":null,"hostAccess":null`,
		`"fastPath":"auto","device":"auto","bigTCP":"auto","localCongestionControl":"auto","portConflict":"error","hostAccess":true`,
		`"gatewayInterface":null,"capabilities":null,"dns":null,"routes":null,"allowNetworks":null,"mtu":null,"ipMasq":null,"socketAcceleration":null`,
		`"capabilities":{"mac":true,"ips":false,"bandwidth":null},"dns":{"nameservers":["fe80::1%eth0","10.0.0.1"]}`,
	} {
		o, err := parseOptions([]byte("{" + keys + "}"))
		if err != nil {
			t.Errorf("%s: %v", keys, err)
			continue
		}
		if !o.fastPath() || !o.isolated() || o.needsPrograms() || o.namesCongestion() || o.hostClosed() || o.device() != "veth" || o.GatewayInterface != "emerita0" {
			t.Errorf("%s: %+v are not the defaults", keys, o)
		}
	}
	o, err := parseOptions([]byte(`{"isolation":"network"}`))
	if err != nil || !o.isolated() || !o.needsPrograms() {
		t.Errorf("isolation asked for: %+v, %v", o, err)
	}
}
