// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// TestOneReaderCounts: while two programs count what is read, that of the present link and
// one that is not gone yet, nothing is counted twice; and nothing at all while nobody is
// said to count. How much is counted is another matter: the kernel leaves out calls when
// somebody, another test for one, takes a program off the tracepoint.
func TestOneReaderCounts(t *testing.T) {
	t.Parallel()
	onHost(t, "of two", func(t *testing.T) {
		needsAcceleration(t)
		h := mustOpen(t)
		renews, err := h.LoadAcceleration(true)
		must(t, errors.Join(renews, err))
		old, err := bpfsys.Open(h.accelLink(pinAccelRead))
		must(t, err)
		defer old.Close()
		must(t, remove(h.accelLink(pinAccelRead)))
		renews, err = h.LoadAcceleration(true)
		must(t, errors.Join(renews, err))
		r := newReading(t)
		if once := r.counts(t); once == 0 {
			t.Error("nobody counts")
		}
		must(t, mustMap(t, pinAccelReader).Put(uint32(0), uint64(0)))
		if n := r.count(t, 100); n != 0 {
			t.Errorf("%d bytes are counted while nobody is said to", n)
		}
	})
}

// A reading is a socket that the programs take for one end of a connection that is
// enrolled, and its peer.
type reading struct {
	from, to net.Conn
	flows    *ebpf.Map
	own      accelFlowKey
}

func newReading(t *testing.T) *reading {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	r := &reading{flows: mustMap(t, pinAccelFlows), own: accelFlowKey{Network: 1, OwnPort: 2, PeerPort: 3}}
	r.from, err = net.Dial("tcp4", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { r.from.Close() })
	r.to, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { r.to.Close() })
	must(t, r.flows.Put(r.own, accelFlow{State: uint32(FlowSocket)}))
	raw, err := r.to.(*net.TCPConn).SyscallConn()
	must(t, err)
	turns := mustMap(t, pinAccelTurns)
	var put error
	must(t, raw.Control(func(fd uintptr) { put = turns.Put(int32(fd), accelTurn{Own: r.own, State: uint32(FlowSocket)}) }))
	must(t, put)
	return r
}

// counts reads until something is counted.
func (r *reading) counts(t *testing.T) (n uint64) {
	t.Helper()
	for late := time.Now().Add(10 * time.Second); n == 0 && time.Now().Before(late); {
		n = r.count(t, 100)
	}
	return n
}

// count reads bytes, one by one, and returns how many were counted.
func (r *reading) count(t *testing.T, bytes int) (counted uint64) {
	t.Helper()
	read := func() uint64 {
		t.Helper()
		var f accelFlow
		must(t, r.flows.Lookup(r.own, &f))
		return f.Read
	}
	p := make([]byte, 10)
	for range bytes {
		before := read()
		_, err := r.from.Write(p[:1])
		must(t, err)
		n, err := r.to.Read(p)
		must(t, err)
		more := read() - before
		if more > uint64(n) {
			t.Fatalf("%d byte is counted as %d", n, more)
		}
		counted += more
	}
	return counted
}

func mustMap(t *testing.T, pin string) *ebpf.Map {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(pinDir(), pin), nil)
	must(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}
