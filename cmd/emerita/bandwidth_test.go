// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// The limits of the tests: towards a container, and from it, bits/s and bits. They
// differ, so that neither is taken for the other. An emulated machine moves hardly more than
// the lesser, and half as much beside others.
var (
	limitIn    = 40_000_000 / limitShare()
	limitOut   = 60_000_000 / limitShare()
	limitBurst = 2_000_000 / limitShare() // what a busy machine keeps from being sent for 30 ms, and more
)

func limitShare() float64 {
	if emulated() {
		return 4
	}
	return 1
}

// limitKeys are keys for a network configuration.
var limitKeys = fmt.Sprintf(`"ingressRate":%.0f,"ingressBurst":%.0f,"egressRate":%.0f,"egressBurst":%.0f,`, limitIn, limitBurst, limitOut, limitBurst)

// withKeys puts keys before the others of a configuration.
func withKeys(config, keys string) string { return "{" + keys + config[1:] }

// needsLimits skips a test where the kernel has no means.
func needsLimits(t *testing.T) {
	t.Helper()
	testutil.Needs(t, testutil.TBF, testutil.IFB, testutil.Redirect)
}

// limited is a host with a container a that has limits, and b and c that have none.
func limited(t *testing.T, config string) *host {
	t.Helper()
	needsLimits(t)
	h := newHost(t)
	testutil.Netns(t, "c")
	h.config = withKeys(config, limitKeys)
	h.must("ADD", "a")
	h.config = config
	h.must("ADD", "b")
	h.must("ADD", "c")
	h.config = withKeys(config, limitKeys)
	return h
}

// speedFor is how long bytes are counted: long against the burst, which passes first,
// and what is skipped before.
const (
	speedSkip = 500 * time.Millisecond
	speedFor  = 2 * time.Second
)

// speed is how many bits of TCP payload a second get from one namespace to an address
// in another. The caller is locked to its thread.
func speed(t *testing.T, from, to, addr string) float64 {
	t.Helper()
	var l net.Listener
	err := inSpace(to, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var got atomic.Int64
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := c.Read(buf)
			got.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	err = inSpace(from, func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), reachWait)
		if err != nil {
			return err
		}
		go func() { _, _ = io.CopyBuffer(struct{ io.Writer }{c}, endless{}, make([]byte, 1<<16)) }()
		defer c.Close()
		<-time.After(speedSkip)
		before, start := got.Load(), time.Now()
		<-time.After(speedFor)
		got.Store(int64(float64(got.Load()-before) / time.Since(start).Seconds() * 8))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return float64(got.Load())
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// mustKeepTo measures until the speed is within a tenth of the limit, which counts
// headers as well. Above it a limit does not hold, at once; below, the machine may be
// busy with something else.
func mustKeepTo(t *testing.T, limit float64, from, to, addr string) {
	t.Helper()
	var got float64
	for range 4 {
		got = speed(t, from, to, addr)
		if got > 1.05*limit || got >= 0.9*limit {
			break
		}
	}
	if got > 1.05*limit || got < 0.9*limit {
		t.Errorf("from %s to %s (%s): %.1f Mbit/s, the limit is %.1f", from, to, addr, got/1e6, limit/1e6)
	}
}

// path is a direction of traffic of container a, and the limit that holds for it.
type limitedPath struct {
	from, to, addr string
	limit          float64
}

func limitedPaths() []limitedPath {
	return []limitedPath{
		{"a", "b", "10.1.0.3", limitOut}, {"b", "a", "10.1.0.2", limitIn},
		{"a", "host", "10.1.0.1", limitOut}, {"host", "a", "fd00:1::2", limitIn},
		{"a", "outside", "192.0.2.2", limitOut}, {"outside", "a", "10.1.0.2", limitIn},
		{"a", "b", "fd00:1::3", limitOut}, {"b", "a", "fd00:1::2", limitIn},
	}
}

// TestBandwidth says that a limit holds wherever packets go, and for nobody else.
func TestBandwidth(t *testing.T) {
	t.Parallel()
	h := limited(t, pathConfig)
	testutil.Run(t, "ip", "-n", "outside", "route", "add", "10.1.0.0/24", "via", "192.0.2.1")
	for _, p := range limitedPaths() {
		mustKeepTo(t, p.limit, p.from, p.to, p.addr)
	}
	// The neighbours have the fast path still, and what speed they like.
	before := h.counted("b").FastBytes
	if got := speed(t, "b", "c", "10.1.0.4"); got < 5*limitOut {
		t.Errorf("between two without limits: %.1f Mbit/s", got/1e6)
	}
	if fast := h.counted("b").FastBytes - before; float64(fast) < limitOut/8 {
		t.Errorf("%d bytes directly between two without limits", fast)
	}
	if a := h.counted("a"); a.FastBytes+a.FastInBytes > 0 {
		t.Errorf("%d bytes from and %d to one with limits directly", a.FastBytes, a.FastInBytes)
	}
	if out, code := h.check("a"); code != 0 {
		t.Errorf("CHECK: %s", out)
	}
}

// TestBandwidthOfRoot has root in the container try what it may.
func TestBandwidthOfRoot(t *testing.T) {
	t.Parallel()
	h := limited(t, pathConfig)
	testutil.Run(t, "ip", "-n", "a", "link", "set", "eth0", "gso_max_size", "500000", "txqueuelen", "10000")
	testutil.Run(t, "tc", "-n", "a", "qdisc", "replace", "dev", "eth0", "root", "pfifo", "limit", "10000")
	testutil.Run(t, "tc", "-n", "a", "qdisc", "del", "dev", "eth0", "root")
	testutil.Run(t, "tc", "-n", "a", "qdisc", "add", "dev", "eth0", "clsact")
	mustKeepTo(t, limitOut, "a", "b", "10.1.0.3")
	testutil.Run(t, "ip", "-n", "b", "link", "set", "eth0", "gso_max_size", "500000") // nor can who sends to it
	mustKeepTo(t, limitIn, "b", "a", "10.1.0.2")
	if out, code := h.check("a"); code != 0 {
		t.Errorf("CHECK: %s", out)
	}
}

// TestBandwidthWithoutPrograms has limits by tc alone.
func TestBandwidthWithoutPrograms(t *testing.T) {
	t.Parallel()
	h := limited(t, strings.Replace(strings.Replace(pathConfig, `"fastPath":"required",`, `"fastPath":"off",`, 1), `"isolation":"network",`, `"isolation":"off",`, 1))
	mustKeepTo(t, limitOut, "a", "b", "10.1.0.3")
	mustKeepTo(t, limitIn, "b", "a", "10.1.0.2")
	if out, code := h.check("a"); code != 0 {
		t.Errorf("CHECK: %s", out)
	}
	mustLack(t, testutil.Run(t, "tc", "filter", "show", "dev", h.hostEnd("a"), "ingress"), "from_container")
	mustLack(t, testutil.Run(t, "tc", "qdisc", "show", "dev", h.hostEnd("b")), "clsact", "tbf")
}

// TestBandwidthOfNetkit has limits of another kind of device.
func TestBandwidthOfNetkit(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.Netkit)
	h := limited(t, deviceConfig("net", 1, "netkit", ""))
	for _, p := range limitedPaths()[:4] {
		mustKeepTo(t, p.limit, p.from, p.to, p.addr)
	}
	if out, code := h.check("a"); code != 0 {
		t.Errorf("CHECK: %s", out)
	}
}
