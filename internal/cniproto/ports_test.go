// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePortMappings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
	}{
		{`[]`, ``},
		{`[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]`, `tcp/8080 to 80@invalid IP`},
		{`[{"hostPort":53,"containerPort":53,"protocol":"UDP","hostIP":"::"}]`, `udp/53 to 53@::`},
		{`[{"hostPort":1,"containerPort":65535,"hostIP":"0.0.0.0"}]`, `tcp/1 to 65535@0.0.0.0`},
		{`[{"hostPort":1,"containerPort":2,"protocol":"sctp","hostIP":"::ffff:192.0.2.1"}]`, `sctp/1 to 2@192.0.2.1`},
		{`[{"hostPort":1,"containerPort":2},{"hostPort":1,"containerPort":2,"protocol":"tcp"}]`, `tcp/1 to 2@invalid IP`},
		{`[{"hostPort":1,"containerPort":2},{"hostPort":1,"containerPort":3,"protocol":"udp"}]`, `tcp/1 to 2@invalid IP udp/1 to 3@invalid IP`},
	} {
		got, err := ParsePortMappings(json.RawMessage(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
		var text []string
		for _, m := range got {
			text = append(text, fmt.Sprintf("%s@%s", m, m.HostIP))
		}
		if d := cmp.Diff(c.want, strings.Join(text, " ")); d != "" {
			t.Errorf("%s: %s", c.in, d)
		}
	}
	if got, err := ParsePortMappings(nil); got != nil || err != nil {
		t.Errorf("absent: %v, %v", got, err)
	}
}

func TestBadPortMappings(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`: "portMappings: want a list",
		`[{"hostPort":0,"containerPort":80,"protocol":"tcp"}]`:                               "entry 0: hostPort 0: want 1 to 65535",
		`[{"hostPort":1,"containerPort":1},{"hostPort":65536,"containerPort":80}]`:           "entry 1: hostPort 65536",
		`[{"hostPort":-1,"containerPort":80}]`:                                               "hostPort -1",
		`[{"hostPort":80}]`:                                                                  "containerPort 0",
		`[{"hostPort":80,"containerPort":65536}]`:                                            "containerPort 65536",
		`[{"hostPort":80,"containerPort":80,"protocol":"icmp"}]`:                             `protocol "icmp": want tcp, udp or sctp`,
		`[{"hostPort":80,"containerPort":80,"hostIP":"localhost"}]`:                          `hostIP "localhost"`,
		`[{"hostPort":80,"containerPort":80,"hostIP":"224.0.0.1"}]`:                          "multicast",
		`[{"hostPort":80,"containerPort":80,"hostIP":"fe80::1%eth0"}]`:                       "zone",
		`[{"hostPort":80.5,"containerPort":80}]`:                                             "want an integer",
		`[{"hostPort":1e99,"containerPort":80}]`:                                             "want an integer",
		`[{"hostPort":"80","containerPort":80}]`:                                             "want an integer, not a JSON string",
		`[{"hostPort":1,"containerPort":2},{"hostPort":1,"containerPort":3}]`:                "entry 1: tcp/1 to 3 leads to port 2 already",
		`[{"hostPort":99999999999999999999999,"containerPort":80,"protocol":"\u0000 evil"}]`: "want an integer",
	} {
		_, err := ParsePortMappings(json.RawMessage(in))
		if err == nil || AsError(err).Code != CodeInvalidConfig || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want code 7 and %q", in, err, want)
		}
	}
}
