// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The sub-commands that the tool itself starts; they are not for people.
const (
	insideCommand = "inside"
	clientCommand = "client"
	serverCommand = "server"
)

const usage = `bench measures CNI plugins. It has to run as root.

  go run . [flags] [adddel | datapath | sockets | ports | bandwidth]

adddel     wall and CPU time of ADD and DEL: alone, beside many containers, in bursts
datapath   throughput, latency, packets and connections per second, against loopback as well
sockets    TCP with socket acceleration, and what that costs containers without it
ports      published ports: ADD and DEL with and beside them, connections through them
bandwidth  limits: how exactly they are kept, and latency beside streams that fill them

Without a sub-command it is one after the other.

Everything happens in namespaces and a cgroup of the tool's own; nothing of the host is
changed.

`

type options struct {
	emerita  string
	out      string
	variants string
	rounds   int
	quick    bool
}

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()

	if len(args) > 1 {
		switch args[0] {
		case insideCommand:
			return inside(ctx, args[1:], stderr)
		case clientCommand, serverCommand:
			return exchange(args[0], args[1], stdout)
		}
	}

	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.emerita, "emerita", "../../bin/emerita", "the emerita binary `file`")
	flags.StringVar(&o.out, "out", "../../docs/benchmarks", "`directory` for the report, the raw data and the plots")
	flags.StringVar(&o.variants, "variants", "", "what to measure, a comma-separated `list`; by default everything")
	flags.IntVar(&o.rounds, "rounds", 0, "rounds: of single calls, by default 31; of the data path and of sockets, by default 7; of published ports, by default 11; of bandwidth, by default 5")
	flags.BoolVar(&o.quick, "quick", false, "smoke run, a minute for each sub-command; writes to a new temporary directory instead of -out")
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("make namespaces: run as root")
	}
	type command func(context.Context, options, io.Writer, io.Writer) error
	var commands []command
	switch sub := flags.Args(); {
	case len(sub) == 0:
		commands = []command{addDel, dataPath, sockets, ports, bandwidth}
	case len(sub) == 1 && sub[0] == "adddel":
		commands = []command{addDel}
	case len(sub) == 1 && sub[0] == "datapath":
		commands = []command{dataPath}
	case len(sub) == 1 && sub[0] == "sockets":
		commands = []command{sockets}
	case len(sub) == 1 && sub[0] == "ports":
		commands = []command{ports}
	case len(sub) == 1 && sub[0] == "bandwidth":
		commands = []command{bandwidth}
	default:
		return fmt.Errorf("sub-command %q: unknown, see -h", strings.Join(sub, " "))
	}
	var errs []error
	for _, c := range commands {
		errs = append(errs, c(ctx, o, stdout, stderr))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// addDel builds what is measured, measures it in the sandbox and writes the report.
func addDel(ctx context.Context, o options, stdout, stderr io.Writer) error {
	p, err := newPlan(o.or(31, variantNames()))
	if err != nil {
		return err
	}
	var res results
	return o.measure(ctx, addDelSection, p.plugins(), p, &res, stderr, func(m machine, dir string) error {
		res.Machine = m
		if err := writeReport(dir, &res, stdout); err != nil {
			return err
		}
		return failed(res.Failures)
	})
}

// dataPath is the same for the data path.
func dataPath(ctx context.Context, o options, stdout, stderr io.Writer) error {
	p, err := newPathPlan(o.or(7, pathVariantNames()))
	if err != nil {
		return err
	}
	var res pathResults
	return o.measure(ctx, dataPathSection, p.plugins(), p, &res, stderr, func(m machine, dir string) error {
		res.Machine = m
		if err := writePathReport(dir, &res, stdout); err != nil {
			return err
		}
		return failed(res.Failures)
	})
}

// sockets is the same for socket acceleration.
func sockets(ctx context.Context, o options, stdout, stderr io.Writer) error {
	p, err := newSocketPlan(o.or(7, socketVariantNames()))
	if err != nil {
		return err
	}
	var res pathResults
	return o.measure(ctx, socketsSection, p.plugins(), p, &res, stderr, func(m machine, dir string) error {
		res.Machine = m
		if err := writeSocketReport(dir, &res, stdout); err != nil {
			return err
		}
		return failed(res.Failures)
	})
}

// ports is the same for published ports.
func ports(ctx context.Context, o options, stdout, stderr io.Writer) error {
	p, err := newPortsPlan(o.or(11, portsVariantNames()))
	if err != nil {
		return err
	}
	var res portsResults
	return o.measure(ctx, portsSection, p.plugins(), p, &res, stderr, func(m machine, dir string) error {
		res.Machine = m
		if err := writePortsReport(dir, &res, stdout); err != nil {
			return err
		}
		return failed(res.Failures)
	})
}

// bandwidth is the same for limits of bandwidth.
func bandwidth(ctx context.Context, o options, stdout, stderr io.Writer) error {
	p, err := newBandwidthPlan(o.or(5, bandwidthVariantNames()))
	if err != nil {
		return err
	}
	var res bandwidthResults
	return o.measure(ctx, bandwidthSection, p.plugins(), p, &res, stderr, func(m machine, dir string) error {
		res.Machine = m
		if err := writeBandwidthReport(dir, &res, stdout); err != nil {
			return err
		}
		return failed(res.Failures)
	})
}

// or fills in what a sub-command measures by default.
func (o options) or(rounds int, variants []string) options {
	o.rounds = cmp.Or(o.rounds, rounds)
	o.variants = cmp.Or(o.variants, strings.Join(variants, ","))
	return o
}

// measure builds the plugins, runs a section in the sandbox, which fills res, and
// has the report written.
func (o options) measure(ctx context.Context, section string, plugins []string, plan, res any, stderr io.Writer, report func(m machine, dir string) error) (err error) {
	work, err := os.MkdirTemp("", "emerita-bench-")
	if err != nil {
		return fmt.Errorf("make a working directory: %w", err)
	}
	defer func() { err = errors.Join(err, removeCgroups(work), os.RemoveAll(work)) }()

	emerita := ""
	if slices.Contains(plugins, "emerita") {
		emerita = o.emerita
	}
	m, err := build(ctx, work, emerita, stderr)
	if err != nil {
		return err
	}
	if err := makeCgroups(work); err != nil {
		return err
	}
	if err := sandbox(ctx, work, section, plan, res, stderr); err != nil {
		return err
	}
	out := o.out
	if o.quick {
		if out, err = os.MkdirTemp("", "emerita-bench-quick-"); err != nil {
			return fmt.Errorf("make a directory for the report: %w", err)
		}
	}
	defer fmt.Fprintf(stderr, "written to %s\n", filepath.Clean(out))
	return report(m, out)
}

func failed(failures []string) error {
	if n := len(failures); n > 0 {
		return fmt.Errorf("measure: %d calls went wrong, see above", n)
	}
	return nil
}
