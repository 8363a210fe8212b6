// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// insideCommand is the sub-command that the sandbox starts; it is not for people.
const insideCommand = "inside"

const usage = `bench measures CNI plugins. It has to run as root.

  go run . [flags] [adddel]

adddel   wall and CPU time of ADD and DEL: alone, beside many containers, in bursts

Everything happens in namespaces of the tool's own; nothing of the host is changed.

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

	if len(args) == 2 && args[0] == insideCommand {
		return inside(ctx, args[1], stderr)
	}

	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.emerita, "emerita", "../../bin/emerita", "the emerita binary `file`")
	flags.StringVar(&o.out, "out", "../../docs/benchmarks", "`directory` for the report, the raw data and the plots")
	flags.StringVar(&o.variants, "variants", strings.Join(variantNames(), ","), "what to measure, a comma-separated `list`")
	flags.IntVar(&o.rounds, "rounds", 31, "rounds of single calls")
	flags.BoolVar(&o.quick, "quick", false, "one-minute smoke run; writes to a new temporary directory instead of -out")
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
	switch sub := flags.Args(); {
	case len(sub) == 0, len(sub) == 1 && sub[0] == "adddel":
		return addDel(ctx, o, stdout, stderr)
	default:
		return fmt.Errorf("sub-command %q: unknown, see -h", strings.Join(sub, " "))
	}
}

// addDel builds what is measured, measures it in the sandbox and writes the report.
func addDel(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	p, err := newPlan(o)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "emerita-bench-")
	if err != nil {
		return fmt.Errorf("make a working directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	machine, err := build(ctx, work, o.emerita, p, stderr)
	if err != nil {
		return err
	}
	res, err := sandbox(ctx, work, p, stderr)
	if err != nil {
		return err
	}
	res.Machine = machine

	out := o.out
	if o.quick {
		if out, err = os.MkdirTemp("", "emerita-bench-quick-"); err != nil {
			return fmt.Errorf("make a directory for the report: %w", err)
		}
	}
	if err := writeReport(out, res, stdout); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "written to %s\n", filepath.Clean(out))
	if n := len(res.Failures); n > 0 {
		return fmt.Errorf("measure: %d calls did not keep the protocol, see above", n)
	}
	return nil
}
