// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A behaviour is something that an application sees of its connection, other than the
// bytes. What happens is put in a few words; plain is what happens by TCP.
type behaviour struct {
	name, plain string
	run         func(*scene) string
}

// documented are the differences that docs/socket-acceleration.md names: what happens
// while a connection goes by the socket. When it goes by TCP it is TCP.
func documented() map[string][]string {
	return map[string][]string{
		"signal in a blocking recv":               {"EAGAIN"},
		"two blocking readers":                    {"3 and EAGAIN"},
		"recv while another thread sends":         {"EAGAIN"}, // nearly always: when a send has waited for room
		"recv while a send gets room":             {"EAGAIN"},
		"send while the reader's call is held up": {"waits, then 3"},
		"reset in a blocking recv":                {"EAGAIN"},
		"shutdown(RD) in a blocking recv":         {"EAGAIN"},
		"shutdown(WR) in a blocking recv":         {"EAGAIN"},
		"SO_SNDBUF in a blocking recv":            {"EAGAIN"},
		"TCP_NOTSENT_LOWAT in a blocking recv":    {"EAGAIN"},
		"send from memory that is not there":      {"0, peer has nothing"}, // on Linux 6.12 as by TCP
		"send from memory that ends":              {"0, peer has nothing"}, // likewise
		"recv into memory that ends":              {"3, then 5"},
		"a control message that nobody knows":     {"3, peer has IN"},
		"send with TCP_REPAIR":                    {"3, peer has IN"},
		"sendfile of what changes":                {"as it was"},
		"MSG_WAITALL":                             {"10"},
		"SO_RCVLOWAT in recv":                     {"10"},
		"SO_RCVLOWAT in poll":                     {"IN, then IN"},
		"SO_PEEK_OFF":                             {"20, then 5"},
		"MSG_TRUNC":                               {"EFAULT, then 20"},
		"splice from the socket":                  {"EAGAIN"},
		"blocking splice from the socket":         {"waits, and at the end 0"},
		"TCP_INQ":                                 {"nothing"},
		"receive timestamps":                      {"nothing"},
		"send to a peer that has reset":           {"ECONNRESET, ECONNRESET"},
		"MSG_OOB":                                 {"nothing, 1 urgent, 2 others"}, // as if there was no such flag
		"transmit timestamps":                     {"100, nothing"},
		"TCP_CORK":                                {"sent"},
		"MSG_MORE":                                {"sent"},
		"kTLS":                                    {"EINVAL, EINVAL"},
		"close with unread bytes":                 {"0"},
		"disconnect with unread bytes":            {"3, then EAGAIN"},
		"TCP_INFO counters":                       {"0 sent, 0 received"},
		"Recv-Q of ss":                            {"0"},
		"interface counters":                      {"not counted"},
		"firewall rule added later":               {"3"},
	}
}

// A stage is a connection on which behaviours are compared.
type stage struct {
	name string
	half *half
	path string
}

// TestAcceleratedBehaviour compares what applications see of plain TCP, of connections
// that are accelerated, and of such as are not any more.
func TestAcceleratedBehaviour(t *testing.T) {
	t.Parallel()
	halves := newHalves(t)
	stages := []stage{{"plain", halves[0], apart}, {"socket", halves[1], bySocket}, {"tcp", halves[1], byTCP}}
	var table strings.Builder
	known := documented()
	for _, b := range slices.Concat(waiting(), receiving(), mistaken(), sending(), closing(), polling(), observing()) {
		var got [3]string
		for i, s := range stages {
			got[i] = s.run(t, b)
		}
		fmt.Fprintf(&table, "| %s | %s |\n", b.name, strings.Join(got[:], " | "))
		if got[0] != b.plain {
			t.Errorf("%s: plain TCP: %q, want %q", b.name, got[0], b.plain)
		}
		if got[1] != got[0] && !slices.Contains(known[b.name], got[1]) {
			t.Errorf("%s, by socket: %q, by plain TCP %q, documented %q", b.name, got[1], got[0], known[b.name])
		}
		if got[2] != got[0] {
			t.Errorf("%s, by TCP after the socket: %q, by plain TCP %q", b.name, got[2], got[0])
		}
		if may, ok := known[b.name]; ok && got[1] == got[0] {
			t.Logf("%s: documented as different (%q), and is not on this kernel", b.name, may)
		}
	}
	t.Logf("what applications see:\n| behaviour | plain | socket | tcp |\n|---|---|---|---|\n%s", table.String())
}

// run has a behaviour happen on a connection that is on its path in both directions.
func (s stage) run(t *testing.T, b behaviour) string {
	t.Helper()
	defer undisturbed(t)()
	c := s.half.connect(ways()[0])
	defer c.close()
	a := &scene{t: t, half: s.half, ends: c.ends}
	if s.path == byTCP {
		// More than may be under way by the socket.
		for who := range c.ends {
			a.swap(who, make([]byte, 100<<10))
		}
	}
	for who := range c.ends {
		a.swap(who, []byte("x"))
	}
	s.half.takes(c, b.name, s.path, s.path)
	return b.run(a)
}
