// SPDX-License-Identifier: MIT OR Apache-2.0

package nlmsg_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/testutil"
)

func TestAttrsReadsWhatBatchWrites(t *testing.T) {
	t.Parallel()
	if typ, v := firstAttr(t, func(b *nlmsg.Batch) { b.String(7, "abc") }); typ != 7 || nlmsg.CString(v) != "abc" {
		t.Errorf("string: type %d, %q", typ, v)
	}
	if typ, v := firstAttr(t, func(b *nlmsg.Batch) { b.U32(8, 0xdeadbeef) }); typ != 8 || nlmsg.Uint32(v) != 0xdeadbeef {
		t.Errorf("integer: type %d, %x", typ, v)
	}
	addr := netip.MustParseAddr("2001:db8::7")
	if typ, v := firstAttr(t, func(b *nlmsg.Batch) { b.Addr(9, addr) }); typ != 9 || !bytes.Equal(v, addr.AsSlice()) {
		t.Errorf("address: type %d, %x", typ, v)
	}
	typ, v := firstAttr(t, func(b *nlmsg.Batch) {
		b.Nest(unix.NLA_F_NESTED|10, func() { b.U8(1, 5); b.U8(2, 6) })
	})
	var inner []byte
	for typ, v := range nlmsg.Attrs(v) {
		inner = append(inner, byte(typ), v[0])
	}
	if typ != 10 || !bytes.Equal(inner, []byte{1, 5, 2, 6}) {
		t.Errorf("nest: type %d, members %v", typ, inner)
	}
}

// firstAttr nests what put writes in an attribute by hand, and reads it back.
func firstAttr(t *testing.T, put func(*nlmsg.Batch)) (typ uint16, v []byte) {
	t.Helper()
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETLINK, 0, "test")
	put(&b)
	raw := b.Encoded()
	if len(raw)%4 != 0 {
		t.Errorf("message of %d bytes is not aligned", len(raw))
	}
	if n := binary.NativeEndian.Uint32(raw); int(n) != len(raw) {
		t.Errorf("header says %d bytes of %d", n, len(raw))
	}
	for typ, v := range nlmsg.Attrs(raw[unix.NLMSG_HDRLEN:]) {
		return typ, v
	}
	t.Fatal("no attribute")
	return 0, nil
}

func TestAttrsStopsAtMalformed(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"short header": {1, 0, 0},
		"size too big": {9, 0, 1, 0, 0, 0, 0, 0},
		"size too low": {3, 0, 1, 0},
	} {
		for typ := range nlmsg.Attrs(raw) {
			t.Errorf("%s: yields type %d", name, typ)
		}
	}
}

// setUp adds a message that brings a link up.
func setUp(b *nlmsg.Batch, index uint32, what string) {
	b.Begin(unix.RTM_SETLINK, 0, what)
	p := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(p[4:], index)
	binary.NativeEndian.PutUint32(p[8:], unix.IFF_UP)
	binary.NativeEndian.PutUint32(p[12:], unix.IFF_UP)
	b.Raw(p)
}

func TestDoReportsEachRefusal(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	c := open(t)
	var b nlmsg.Batch
	setUp(&b, 4711, "first, to nowhere")
	setUp(&b, 4712, "second, tolerated")
	b.Tolerate(unix.ENODEV)
	setUp(&b, 1, "third, good")
	setUp(&b, 4713, "fourth, to nowhere")
	err := c.Do(&b)
	if !errors.Is(err, unix.ENODEV) {
		t.Fatalf("got %v", err)
	}
	want := "first, to nowhere: no such device\nfourth, to nowhere: no such device"
	if err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}
	var ok nlmsg.Batch
	setUp(&ok, 1, "good")
	if err := c.Do(&ok); err != nil {
		t.Errorf("the connection is unusable after an error: %v", err)
	}
	if err := c.Do(new(nlmsg.Batch)); err != nil {
		t.Errorf("empty batch: %v", err)
	}
}

// TestDoHoldsALargeBatch: neither the message nor its answers fit in buffers of the usual
// size.
func TestDoHoldsALargeBatch(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	c := open(t)
	const n = 10000
	var b nlmsg.Batch
	for i := range n {
		setUp(&b, uint32(1000000+i), "set link up")
	}
	err := c.Do(&b)
	if got := strings.Count(fmt.Sprint(err), "set link up"); got != n {
		t.Errorf("%d of %d refusals are told: %.300v", got, n, err)
	}
}

func TestDoGivesTheKernelsWords(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	var b nlmsg.Batch
	b.Begin(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, "add route")
	b.Raw([]byte{unix.AF_INET, 32, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, 0, unix.RTN_UNICAST, 0, 0, 0, 0})
	b.Addr(unix.RTA_DST, netip.MustParseAddr("10.1.2.3"))
	b.Addr(unix.RTA_GATEWAY, netip.MustParseAddr("10.9.9.9"))
	b.U32(unix.RTA_OIF, 1)
	err := open(t).Do(&b)
	var op *nlmsg.OpError
	if !errors.As(err, &op) || op.What != "add route" || op.Reason == "" {
		t.Errorf("got %#v, want an OpError with the kernel's reason", err)
	}
}

func TestGetWalksADump(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETLINK, unix.NLM_F_DUMP, "list links")
	b.Raw(make([]byte, unix.SizeofIfInfomsg))
	n := 0
	if err := open(t).Get(&b, func(typ uint16, _ []byte) error {
		if typ == unix.RTM_NEWLINK {
			n++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n < 2 { // lo and uplink0
		t.Errorf("got %d links", n)
	}
}

func TestDetachSends(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	testutil.Run(t, "ip", "link", "set", "lo", "down")
	var b nlmsg.Batch
	setUp(&b, 1, "up")
	child, err := nlmsg.Detach(&b)
	if err != nil {
		t.Fatal(err)
	}
	for !child.Exited() {
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
	if out := testutil.Run(t, "ip", "-br", "link", "show", "lo"); !bytes.Contains([]byte(out), []byte("LOOPBACK,UP")) {
		t.Errorf("lo is not up: %s", out)
	}
}

func open(t *testing.T) *nlmsg.Conn {
	t.Helper()
	c, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
