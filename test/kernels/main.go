// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	var err error
	switch {
	case os.Getpid() == 1:
		guest()
		return
	case len(os.Args) == 2 && os.Args[1] == guestTestsWord:
		err = guestTests()
	case len(os.Args) == 2 && os.Args[1] == shareFilesWord:
		err = shareFiles()
	default:
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
		defer stop()
		err = run(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

// metaPackage is that of the kernel, which depends on the current one. The cloud's is
// the smallest, and has all that Emerita may use.
const metaPackage = "linux-image-cloud-amd64"

// wanted are the kernels: of fixed suites, and then the newest of several.
var wanted = []struct {
	title  string
	suites []string
}{
	{"Debian 12", []string{"bookworm"}},
	{"Debian 13", []string{"trixie"}},
	{"newest", []string{"trixie-backports", "testing"}},
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("kernels", flag.ContinueOnError)
	only := flags.String("only", "", "run `kernels` whose title contains this, and write no table")
	tests := flags.String("run", "", "run tests whose name matches the `expression`, and write no table")
	list := flags.Bool("list", false, "list the packages whose tests run")
	cpus := flags.Int("cpus", 1, "`number` of CPUs of a machine")
	atOnce := flags.Int("at-once", 3, "`number` of machines that run at the same time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *list {
		fmt.Println("./" + strings.Join(dirs, "\n./"))
		return nil
	}
	source, err := os.Getwd()
	if err != nil {
		return err
	}
	cache := filepath.Join(source, ".cache/kernels")
	whole := *only == "" && *tests == "" && flags.NArg() == 0
	some := dirs
	if flags.NArg() > 0 {
		some = flags.Args()
	}
	packages := suite(source, filepath.Join(cache, "bin"), *tests, some)
	kernels, err := findKernels(cache, *only)
	if err != nil {
		return err
	}

	results := make([]result, len(kernels))
	errs := make([]error, len(kernels))
	done := make(chan int)
	slots := make(chan struct{}, *atOnce)
	for i, k := range kernels {
		go func() {
			slots <- struct{}{}
			defer func() { <-slots; done <- i }()
			m := &vm{dir: filepath.Join(cache, "run", k.release), kernel: k, cpus: *cpus, memory: "2G"}
			results[i], errs[i] = test(ctx, m, source, filepath.Join(cache, "bin"), packages)
		}()
	}
	for range kernels {
		<-done
	}
	if whole && ctx.Err() == nil {
		errs = append(errs, os.WriteFile(filepath.Join(source, "docs/kernels.md"), []byte(document(results, time.Now())), 0o644))
	}
	return errors.Join(errs...)
}

// findKernels fetches and unpacks the kernels that are wanted.
func findKernels(cache, only string) (kernels []*kernel, err error) {
	var suites []string
	for _, w := range wanted {
		suites = append(suites, w.suites...)
	}
	a, err := newApt(filepath.Join(cache, "apt"), suites...)
	if err != nil {
		return nil, err
	}
	versions, err := a.versions(metaPackage)
	if err != nil {
		return nil, err
	}
	for _, w := range wanted {
		if !strings.Contains(w.title, only) {
			continue
		}
		c, err := newest(versions, w.suites)
		if err != nil {
			return nil, err
		}
		debs, err := a.download(metaPackage, c.version)
		if err != nil {
			return nil, err
		}
		k := &kernel{title: w.title, version: c.version, suite: c.suite}
		if err := k.unpack(cache, debs); err != nil {
			return nil, err
		}
		kernels = append(kernels, k)
	}
	return kernels, nil
}

// tooLong is when a machine is taken to hang.
const tooLong = time.Hour

// test runs the tests on one kernel, and prints what came of it.
func test(ctx context.Context, m *vm, source, bin string, packages []pkg) (result, error) {
	start := time.Now()
	r := result{kernel: m.kernel}
	limited, cancel := context.WithTimeout(ctx, tooLong)
	defer cancel()
	err := m.run(limited, plan{
		Modules: m.kernel.modules(), Release: m.kernel.release, Bin: bin, Packages: packages,
		// Before the host's own go comes a stand-in, which has no need to compile.
		Path: filepath.Join(bin, "path") + ":" + os.Getenv("PATH"),
	})
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	var out strings.Builder
	if _, statErr := os.Stat(m.path("events")); statErr == nil {
		var judgeErr error
		r.summary, judgeErr = judge(m, packages, bin, source, &out)
		err = errors.Join(err, judgeErr)
	}
	fmt.Printf("== Linux %s, %s\n%s%s\n", m.kernel.release, m.kernel.title, out.String(), time.Since(start).Round(time.Second))
	return r, err
}
