// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"bufio"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain is also the server and the client, which need processes of their own.
func TestMain(m *testing.M) {
	encoded := os.Getenv("TRAFFIC_SPEC")
	if encoded == "" {
		os.Exit(m.Run())
	}
	var s Spec
	err := json.Unmarshal([]byte(encoded), &s)
	if err == nil {
		if s.Server.IsValid() {
			err = Run(s, os.Stdout)
		} else {
			err = Serve(s, os.Stdout)
		}
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

func TestEveryKindOverLoopback(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Spec{
		"stream":      {Kind: Stream, Flows: 1, Size: 4096},
		"two streams": {Kind: Stream, Flows: 2, Size: 4096},
		"dual stack":  {Kind: Stream, Flows: 1, Size: 4096, DualStack: true},
		"reno":        {Kind: Stream, Flows: 1, Size: 4096, Congestion: "reno"},
		"turns":       {Kind: Turns, Flows: 1, Size: 100},
		"datagrams":   {Kind: Datagrams, Flows: 1, Size: 64},
		"batches":     {Kind: Batches, Flows: 1, Size: 64 * 100},
		"UDP turns":   {Kind: UDPTurns, Flows: 1, Size: 1},
		"connections": {Kind: Connections, Flows: 1, Size: 1},
		"download":    {Kind: Download, Flows: 2, Size: 4096},
		"paced":       {Kind: Paced, Flows: 1, Size: 64, Interval: time.Millisecond},
		"big answers": {Kind: Turns, Flows: 1, Size: 64, Response: 100_000},
		"longer ones": {Kind: Connections, Flows: 1, Size: 1, Trips: 8},
		"MPTCP":       {Kind: Stream, Flows: 1, Size: 4096, DualStack: true, MPTCP: true},
		"stopped":     {Kind: Stopped, Flows: 1, Size: 1024, Trips: 3},
		"from where":  {Kind: Connections, Flows: 1, Size: 1, Source: netip.MustParseAddr("127.0.0.2"), Port: mustFreePort(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if s.MPTCP && !HasMPTCP() {
				t.Skip("kernel lacks feature mptcp: no socket of it is to be had") // as testutil.Lacks has it, for testreport
			}
			s.CPU, s.WarmUp, s.Window = -1, 20*time.Millisecond, 200*time.Millisecond // in which a busy machine gets to it, too
			server := mustStart(t, s)
			var ready Ready
			server.mustSay(t, &ready)
			s.Server = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ready.Port)
			client := mustStart(t, s)

			var res Result
			if s.Kind.ServerMeasures() {
				server.mustSay(t, &res)
			} else {
				client.mustSay(t, &res)
			}
			if s.Kind == Connections && (res.Connect50 <= 0 || res.Connect99 < res.Connect50 || res.P50 < res.Connect50 || res.P99 < res.P50) {
				t.Errorf("result %+v, want connect before the whole, and both in order", res)
			}
			if s.Kind == Turns || s.Kind == UDPTurns || s.Kind == Paced {
				if res.P50 <= 0 || res.P99 < res.P50 {
					t.Errorf("result %+v, want latencies in order", res)
				}
				if s.Kind == Turns && s.Response == 0 && res.Direct > 0.5 {
					t.Errorf("%.0f %% of the requests went past TCP", res.Direct*100)
				}
			} else if s.Kind == Stopped {
				if res.Pushed < 64 || res.Pushed >= enough/1024 {
					t.Errorf("result %+v, want what the buffers of TCP hold", res)
				}
			} else if res.Rate <= 0 {
				t.Errorf("result %+v, want a rate", res)
			}
			if err := client.cmd.Wait(); err != nil {
				t.Errorf("client: %v", err)
			}
		})
	}
}

func TestUnknownKind(t *testing.T) {
	t.Parallel()
	s := Spec{Kind: "pigeons", CPU: -1, Server: netip.MustParseAddrPort("127.0.0.1:9")}
	if err := mustStart(t, s).cmd.Wait(); err == nil {
		t.Error("the client accepted an unknown kind")
	}
}

// mustFreePort returns a port that nobody listens on.
func mustFreePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

type process struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// mustStart starts a server, or a client if the spec says where to.
func mustStart(t *testing.T, s Spec) process {
	t.Helper()
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), "TRAFFIC_SPEC="+string(encoded))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return process{cmd, bufio.NewReader(out)}
}

func (p process) mustSay(t *testing.T, into any) {
	t.Helper()
	b, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("read what the process says: %v", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}
