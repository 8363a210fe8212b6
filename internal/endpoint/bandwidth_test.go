// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	both := limits{ingress: limit{1000, 2000}, egress: limit{3000, 4000}}
	const four = `"ingressRate":1000,"ingressBurst":2000,"egressRate":3000,"egressBurst":4000`
	for _, test := range []struct {
		name, keys string
		want       limits
	}{
		{"none", ``, limits{}},
		{"static", four, both},
		{"asked for", `"runtimeConfig":{"bandwidth":{` + four + `}}`, both},
		{"one direction", `"egressRate":3000,"egressBurst":4000`, limits{egress: both.egress}},
		{"zeros", `"ingressRate":0,"ingressBurst":0`, limits{}},
		// As upstream decides: any static key, and the runtime is not asked.
		{"both", `"egressRate":3000,"egressBurst":4000,"runtimeConfig":{"bandwidth":{"ingressRate":1,"ingressBurst":2}}`, limits{egress: both.egress}},
		{"static zero", `"egressRate":0,"runtimeConfig":{"bandwidth":{` + four + `}}`, limits{}},
		{"static null", `"egressRate":null,"runtimeConfig":{"bandwidth":{` + four + `}}`, limits{}},
		{"empty lists", `"shapedSubnets":[],"unshapedSubnets":null,` + four, both},
		{"the most", `"ingressRate":9007199254740991,"ingressBurst":34359738359`, limits{ingress: limit{maxRate, maxBits}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o, err := parseOptions([]byte("{" + test.keys + "}"))
			if err != nil {
				t.Fatal(err)
			}
			if o.limited != test.want {
				t.Errorf("got %+v, want %+v", o.limited, test.want)
			}
			if back := limitsOf(&state.Record{Bandwidth: o.limited.record()}); back != test.want {
				t.Errorf("the record says %+v, want %+v", back, test.want)
			}
		})
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		l    limit
		want rtnl.TBF
		gso  int
	}{
		{limit{100e6, 1e6}, rtnl.TBF{Rate: 12.5e6, Burst: 125e3, Queue: 31250, Whole: 6250}, 6250},
		{limit{1e6, 1e6}, rtnl.TBF{Rate: 125e3, Burst: 125e3, Queue: 8 * 1514, Whole: 2 * 1514}, 2 * 1514},
		{limit{10e9, 100e6}, rtnl.TBF{Rate: 1.25e9, Burst: 12.5e6, Queue: 3125000, Whole: 625000}, 65536},
		{limit{100e6, 8}, rtnl.TBF{Rate: 12.5e6, Burst: 1514, Queue: 31250, Whole: 1514}, 1514},
		{limit{maxRate, maxBits}, rtnl.TBF{Rate: rtnl.MaxRate - 1, Burst: math.MaxUint32 - 1, Queue: math.MaxUint32, Whole: math.MaxUint32 - 1}, 65536},
	} {
		if diff := cmp.Diff(test.want, test.l.bucket(1500)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.l, diff)
		}
		if o := test.l.offload(1500); o != (rtnl.Offload{GSO: test.gso}) {
			t.Errorf("%+v: %+v", test.l, o)
		}
	}
	if o := (limit{}).offload(1500); o != (rtnl.Offload{}) {
		t.Errorf("without a limit: %+v", o)
	}
}

// What a kernel lacks is named by the message that it refuses; this kernel has it all.
func TestExplainShape(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		op   nlmsg.OpError
		code cniproto.Code
		says string
	}{
		{nlmsg.OpError{What: `create ifb "ei"`, Errno: unix.EOPNOTSUPP, Reason: "Unknown device type"}, 50, "CONFIG_IFB"},
		{nlmsg.OpError{What: `add tbf to "em"`, Errno: unix.ENOENT, Reason: "Specified qdisc kind is unknown"}, 50, "CONFIG_NET_SCH_TBF"},
		{nlmsg.OpError{What: `add clsact to "em"`, Errno: unix.ENOENT}, 50, "CONFIG_NET_SCH_INGRESS"},
		{nlmsg.OpError{What: `redirect "em" to "ei"`, Errno: unix.ENOENT, Reason: "TC classifier not found"}, 50, "u32 (CONFIG_NET_CLS_U32)"},
		{nlmsg.OpError{What: `redirect "em" to "ei"`, Errno: unix.ENOENT, Reason: "Failed to load TC action module"}, 50, "mirred (CONFIG_NET_ACT_MIRRED)"},
		{nlmsg.OpError{What: `redirect "em" to "ei"`, Errno: unix.ENOENT}, 50, "CONFIG_NET_ACT_MIRRED"},
		{nlmsg.OpError{What: `add tbf to "em"`, Errno: unix.ENOMEM}, 102, "memory"},
		{nlmsg.OpError{What: `set link "ei" up`, Errno: unix.ENOENT}, 102, "set link"},
	} {
		err := explainShape(&layout{}, errors.Join(&test.op))
		if e := cniproto.AsError(err); e.Code != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v: code %d, %v", &test.op, e.Code, err)
		}
	}
	if err := explainShape(&layout{}, nil); err != nil {
		t.Error(err)
	}
}
