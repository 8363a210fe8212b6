// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("testreport", flag.ContinueOnError)
	allowedPath := flags.String("allowed-skips", "", "`file` of the skips that are right")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var allowed []skip
	if *allowedPath != "" {
		file, err := os.Open(*allowedPath)
		if err != nil {
			return fmt.Errorf("open allowed skips: %w", err)
		}
		defer file.Close()
		if allowed, err = parseSkips(file); err != nil {
			return fmt.Errorf("read allowed skips %q: %w", *allowedPath, err)
		}
	}

	out := bufio.NewWriter(stdout)
	r := newReport(out)
	err := r.read(stdin)
	if err == nil {
		err = r.verdict(allowed)
	}
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	return err
}
