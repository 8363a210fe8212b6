// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// A Kind is what client and server do with each other.
type Kind string

// The kinds of traffic.
const (
	Stream      Kind = "stream"      // TCP, one way, as fast as the receiver takes it
	Turns       Kind = "tcp turns"   // TCP, one request and one response at a time
	Datagrams   Kind = "datagrams"   // UDP, one way, as fast as the sender can
	Batches     Kind = "batches"     // UDP, one way, many datagrams in a call (UDP_SEGMENT, UDP_GRO)
	UDPTurns    Kind = "udp turns"   // UDP, one request and one response at a time
	Connections Kind = "connections" // TCP, one at a time: connect, a byte each way as often as Trips says, close
	Download    Kind = "download"    // TCP, one way, from the server, as fast as the client takes it
	Paced       Kind = "paced"       // UDP, a request each Interval, whether or not the one before was answered
	Stopped     Kind = "stopped"     // TCP, from the client, as much as goes to a server that has stopped reading
)

// ServerMeasures tells whose result counts: of traffic that goes one way it is
// what arrives. Of Stream and Download the other side tells what it had to send again.
func (k Kind) ServerMeasures() bool { return k == Stream || k == Datagrams || k == Batches }

// A Spec says what one side of one sample does. Client and server get the same
// one but for CPU and Server.
type Spec struct {
	Kind       Kind           `json:"kind"`
	Server     netip.AddrPort `json:"server"`                // where the client connects to
	Source     netip.Addr     `json:"source,omitzero"`       // address of the client, unless the kernel chooses
	Port       uint16         `json:"port,omitempty"`        // that the server listens on, 0 for any free one
	DualStack  bool           `json:"dual_stack,omitempty"`  // the server listens on the IPv6 wildcard and gets IPv4 mapped
	MPTCP      bool           `json:"mptcp,omitempty"`       // the server listens for MPTCP, which the client does not speak
	Congestion string         `json:"congestion,omitempty"`  // congestion control of the sender; none is the namespace's own
	Flows      int            `json:"flows"`                 // streams at once
	Size       int            `json:"size"`                  // bytes of a write, of a datagram, of a request and its response
	Response   int            `json:"response,omitempty"`    // bytes of a response of Turns, 0 for as many as of the request
	Trips      int            `json:"trips,omitempty"`       // times that a byte goes each way: of a connection, 0 for once; before a reader stops
	CPU        int            `json:"cpu"`                   // that the work is pinned to, -1 for none
	WarmUp     time.Duration  `json:"warm_up_ns"`            // what is not counted, at the beginning
	Window     time.Duration  `json:"window_ns"`             // what is
	Interval   time.Duration  `json:"interval_ns,omitempty"` // between two requests of Paced
}

// response is the size of a response.
func (s Spec) response() int { return cmp.Or(s.Response, s.Size) }

// A Result is what one side found. A side that has nothing to measure has none.
type Result struct {
	// Rate is in Gb/s of the payload of a stream or of batches, thousands of datagrams or connections
	// a second, zero for turns.
	Rate float64 `json:"rate,omitempty"`
	// P50 and P99 of a turn, or of a connection from connect to close, in microseconds. Of Paced,
	// a request without an answer is not among them but in Lost.
	P50 float64 `json:"p50,omitempty"`
	P99 float64 `json:"p99,omitempty"`
	// Connect50 and Connect99 are those of connect alone.
	Connect50 float64 `json:"connect50,omitempty"`
	Connect99 float64 `json:"connect99,omitempty"`
	// Lost is the share of requests that nobody answered.
	Lost float64 `json:"lost,omitempty"`
	// Resent is the share of all segments with data that were sent before.
	Resent float64 `json:"resent,omitempty"`
	// Direct is the share of the requests of Turns that did not go as segments of TCP.
	Direct float64 `json:"direct,omitempty"`
	// Pushed is what a writer got rid of until a reader that had stopped stopped it, in KiB.
	Pushed float64 `json:"pushed,omitempty"`
}

// turnsOf summarises durations.
func turnsOf(d []time.Duration) (Result, error) {
	p50, p99, err := percentiles(d)
	return Result{P50: p50, P99: p99}, err
}

// percentiles are in microseconds. There has to be at least one duration; it sorts
// them.
func percentiles(d []time.Duration) (p50, p99 float64, err error) {
	if len(d) == 0 {
		return 0, 0, errors.New("nothing ended in the window")
	}
	slices.Sort(d)
	at := func(q float64) float64 { return float64(d[int(q*float64(len(d)-1))]) / float64(time.Microsecond) }
	return at(0.50), at(0.99), nil
}

// A window tells when to start counting and when to stop.
type window struct {
	begin, end time.Time
	count      int64
	from       time.Time // of the first count, zero before
}

func newWindow(s Spec, now time.Time) *window {
	begin := now.Add(s.WarmUp)
	return &window{begin: begin, end: begin.Add(s.Window)}
}

// add counts n of what has come in by now, unless it is still warming up, and
// tells whether the window is over.
func (w *window) add(n int64, now time.Time) bool {
	switch {
	case now.Before(w.begin):
		return false
	case w.from.IsZero():
		w.from = now // what came before this moment is warm-up
		return false
	}
	w.count += n
	return !now.Before(w.end)
}

// perSecond is the rate between the first count and now.
func (w *window) perSecond(now time.Time) float64 {
	return float64(w.count) / now.Sub(w.from).Seconds()
}
