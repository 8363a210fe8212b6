// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// sampleTimeout is beyond what any sample takes; it keeps a hung one from hanging
// the run.
const sampleTimeout = 20 * time.Second

// exchange is a process that plays one side of a sample.
func exchange(command, encoded string, out io.Writer) error {
	var s traffic.Spec
	if err := json.Unmarshal([]byte(encoded), &s); err != nil {
		return fmt.Errorf("decode what to do: %w", err)
	}
	if command == serverCommand {
		return traffic.Serve(s, out)
	}
	return traffic.Run(s, out)
}

// A side is a process that was started for a sample.
type side struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr bytes.Buffer
}

// startSide starts this program in a namespace to play client or server.
func startSide(ctx context.Context, at end, command string, s traffic.Spec) (*side, error) {
	encoded, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode what the %s does: %w", command, err)
	}
	return startProgram(ctx, at, "/proc/self/exe", command, string(encoded))
}

func startProgram(ctx context.Context, at end, program string, args ...string) (*side, error) {
	p := &side{cmd: exec.CommandContext(ctx, program, args...)}
	// A signal to the thread that blocks in a system call would end it early.
	p.cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	p.out = bufio.NewReader(out)
	if err := at.start(p.cmd); err != nil {
		return nil, err
	}
	return p, nil
}

// line decodes the next line that the process writes.
func (p *side) line(into any) error {
	b, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read from %s: %w", p.cmd.Args[1], err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("decode what %s says: %w", p.cmd.Args[1], err)
	}
	return nil
}

// wait returns what went wrong in the process.
func (p *side) wait() error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", p.cmd.Args[1], err, strings.TrimSpace(p.stderr.String()))
	}
	return nil
}

// kill ends a server that would go on for ever.
func (p *side) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// sample takes one sample of a metric on a path.
func (p *path) sample(ctx context.Context, m metric, s traffic.Spec, cpus [2]int) (res traffic.Result, err error) {
	client, server, address := p.ends(m.Scope)
	if m.Kind == witness {
		ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
		defer cancel()
		return iperf3(ctx, client, server, address, cpus)
	}
	return takeSample(ctx, client, server, s, cpus, func(port uint16) netip.AddrPort { return netip.AddrPortFrom(address, port) })
}

// takeSample takes one sample of traffic. The client connects to what target says of the port
// on which the server listens.
func takeSample(ctx context.Context, clientEnd, serverEnd end, s traffic.Spec, cpus [2]int, target func(port uint16) netip.AddrPort) (res traffic.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	s.CPU = cpus[1]
	server, err := startSide(ctx, serverEnd, serverCommand, s)
	if err != nil {
		return res, err
	}
	var ready traffic.Ready
	if err := server.line(&ready); err != nil {
		server.kill()
		return res, errors.Join(err, errors.New(server.stderr.String()))
	}
	s.CPU, s.Server = cpus[0], target(ready.Port)
	client, err := startSide(ctx, clientEnd, clientCommand, s)
	if err != nil {
		server.kill()
		return res, err
	}
	if s.Kind.ServerMeasures() {
		err = server.line(&res)
		if err != nil {
			server.kill()
			return res, errors.Join(err, errors.New(server.stderr.String()), client.wait())
		}
		return res, errors.Join(server.wait(), client.wait())
	}
	err = client.line(&res)
	waitErr := client.wait()
	server.kill()
	if err != nil || waitErr != nil {
		return res, errors.Join(err, waitErr, errors.New(server.stderr.String()))
	}
	return res, nil
}

// iperf3 is the outside witness: the same streams, by a tool that others wrote.
func iperf3(ctx context.Context, clientEnd, serverEnd end, address netip.Addr, cpus [2]int) (res traffic.Result, err error) {
	cpu := func(i int) string { return fmt.Sprint(cpus[i]) }
	server, err := startProgram(ctx, serverEnd, "iperf3", "--server", "--one-off", "--forceflush", "--affinity", cpu(1))
	if err != nil {
		return res, err
	}
	defer server.kill()
	for line := ""; !strings.Contains(line, "listening"); {
		if line, err = server.out.ReadString('\n'); err != nil {
			return res, fmt.Errorf("wait for iperf3: %w: %s", err, server.stderr.String())
		}
	}
	client, err := startProgram(ctx, clientEnd, "iperf3", "--client", address.String(), "--time", "1", "--json", "--affinity", cpu(0))
	if err != nil {
		return res, err
	}
	var report struct {
		End struct {
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	decodeErr := json.NewDecoder(client.out).Decode(&report)
	if err := errors.Join(decodeErr, client.wait()); err != nil {
		return res, fmt.Errorf("measure with iperf3: %w", err)
	}
	return traffic.Result{Rate: report.End.Received.BitsPerSecond / 1e9}, nil
}
