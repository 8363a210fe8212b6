// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"errors"
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
	skips := flags.String("allowed-skips", "", "`file` of the skips that are right")
	features := flags.String("features", "", "`file` of what kernel features need")
	release := flags.String("kernel-release", "", "`release` of the kernel that the tests ran on, if not this one")
	config := flags.String("kernel-config", "", "`file` of its configuration")
	summaryPath := flags.String("summary", "", "`file` to write the numbers to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var a audit
	var err error
	if a.allowed, err = parseFile(*skips, parseSkips); err != nil {
		return fmt.Errorf("read allowed skips: %w", err)
	}
	if a.needs, err = parseFile(*features, parseNeeds); err != nil {
		return fmt.Errorf("read kernel features: %w", err)
	}
	if *release == "" {
		a.kernel, err = runningKernel()
	} else {
		a.kernel.release = *release
		a.kernel.config, err = readConfig(*config)
	}
	if err != nil {
		return err
	}

	out := bufio.NewWriter(stdout)
	r := newReport(out)
	err = r.read(stdin)
	if err == nil {
		err = r.verdict(a)
	}
	if *summaryPath != "" {
		err = errors.Join(err, writeSummary(*summaryPath, r.summary()))
	}
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	return err
}

// parseFile reads a list from a file, if one is named.
func parseFile[T any](path string, parse func(io.Reader) (T, error)) (list T, err error) {
	if path == "" {
		return list, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return list, err
	}
	defer file.Close()
	if list, err = parse(file); err != nil {
		return list, fmt.Errorf("%q: %w", path, err)
	}
	return list, nil
}
