// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl_test

import (
	"math"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestTBF compares what is sent with what tc reads, and with what is read here.
func TestTBF(t *testing.T) {
	c, link := pair(t)
	testutil.Needs(t, testutil.TBF)
	for _, want := range []rtnl.TBF{
		{Rate: 12_500_000, Burst: 125_000, Queue: 31_250, Whole: 6250},
		{Rate: 1000, Burst: 1514, Queue: 12112, Whole: 1514},
		{Rate: 5_000_000_000, Burst: 10_000_000, Queue: 12_500_000, Whole: 2_500_000}, // 40 Gbit/s
		{Rate: 125_000, Burst: math.MaxInt32 / 8, Queue: 12112, Whole: 3028},          // Kubernetes' burst
		{Rate: rtnl.MaxRate - 1, Burst: 125_000, Queue: 31_250, Whole: 6250},
	} {
		var b nlmsg.Batch
		rtnl.DelTBF(&b, link.Index, "host0") // of nothing: success
		rtnl.AddTBF(&b, link.Index, want, "host0")
		must(t, c.Do(&b))
		for name, v := range map[string]struct {
			t    rtnl.TBF
			same bool
		}{
			"itself":        {want, true},
			"another rate":  {rtnl.TBF{Rate: want.Rate + want.Rate/50 + 1, Burst: want.Burst}, false},
			"another burst": {rtnl.TBF{Rate: want.Rate, Burst: want.Burst / 2}, want.Rate == rtnl.MaxRate-1}, // of no time
		} {
			if same, err := rtnl.HasTBF(c, link.Index, v.t); same != v.same || err != nil {
				t.Errorf("%+v compared with %s: %v, %v", want, name, same, err)
			}
		}
		if want.Rate == 12_500_000 { // of other bursts tc counts the time in 32 bits
			out := testutil.Run(t, "tc", "-d", "-r", "qdisc", "show", "dev", "host0", "root")
			for _, part := range []string{"tbf", "rate 100Mbit burst 125000b", "limit 31250b", "linklayer ethernet"} {
				if !strings.Contains(out, part) {
					t.Errorf("tc reads no %q: %s", part, out)
				}
			}
		}
		b = nlmsg.Batch{}
		rtnl.DelTBF(&b, link.Index, "host0")
		must(t, c.Do(&b))
		if has, err := rtnl.HasTBF(c, link.Index, want); has || err != nil {
			t.Errorf("%+v removed, it is still there: %v, %v", want, has, err)
		}
	}
}

func TestRedirect(t *testing.T) {
	c, link := pair(t)
	testutil.Needs(t, testutil.Redirect)
	testutil.Run(t, "ip", "link", "add", "aside", "type", "bridge")
	aside, err := rtnl.Index(c, "aside")
	must(t, err)
	expect := func(want int) {
		t.Helper()
		if to, err := rtnl.Redirect(c, link.Index); to != want || err != nil {
			t.Errorf("redirected to %d, %v, want %d", to, err, want)
		}
	}
	var b nlmsg.Batch
	rtnl.DelRedirect(&b, link.Index, "host0") // without clsact: success
	rtnl.AddClsact(&b, link.Index, "host0")
	must(t, c.Do(&b))
	expect(0)
	testutil.Run(t, "tc", "filter", "add", "dev", "host0", "ingress", "prio", "7", "u32", "match", "u32", "0", "0", "flowid", "1:1")
	for range 2 {
		b = nlmsg.Batch{}
		rtnl.DelRedirect(&b, link.Index, "host0") // without such a filter: success
		rtnl.AddRedirect(&b, link.Index, aside, "host0", "aside")
		must(t, c.Do(&b))
		expect(aside)
	}
	if out := testutil.Run(t, "tc", "filter", "show", "dev", "host0", "ingress"); strings.Count(out, "Egress Redirect to device aside) stolen") != 1 {
		t.Errorf("tc reads %s", out)
	}
	b = nlmsg.Batch{}
	rtnl.DelRedirect(&b, link.Index, "host0")
	must(t, c.Do(&b))
	expect(0)
	if out := testutil.Run(t, "tc", "filter", "show", "dev", "host0", "ingress"); !strings.Contains(out, "pref 7 u32") {
		t.Errorf("somebody else's filter is gone: %s", out)
	}
}
