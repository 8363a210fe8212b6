// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// needs says which inputs a command takes.
type needs uint

const (
	needContainer needs = 1 << iota // -c and -i
	needNetns                       // -n is not optional
	needConfig                      // a file, or stdin
)

// defaultPath is where delegated plugins are looked for.
const defaultPath = "/opt/cni/bin"

// flags are the inputs of all commands; each command uses some.
type flags struct {
	netns, container, ifname string
	args, path, plugin       string
	file                     string // configuration; "" and "-" are stdin
	keep                     []cniproto.Attachment
	keepNone, dead           bool
	stop, start              bool // acceleration

	cniVersion string // of the configuration, once it is read
	network    string // likewise, its name
}

func parseFlags(c command, args []string) (*flags, error) {
	f := &flags{cniVersion: cniproto.Current}
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.SetOutput(io.Discard) // the caller prints the error with the usage
	both := func(p *string, short, long, value string) {
		set.StringVar(p, long, value, "")
		if short != "" {
			set.StringVar(p, short, value, "")
		}
	}
	if c.needs&needContainer != 0 {
		both(&f.netns, "n", "netns-path", "")
		both(&f.container, "c", "container-id", "")
		both(&f.ifname, "i", "interface", "")
		both(&f.args, "a", "args", "")
	}
	if c.needs&needConfig != 0 {
		both(&f.path, "", "cni-path", defaultPath)
		both(&f.plugin, "", "plugin", "")
	}
	if c.name == "flows" {
		set.BoolVar(&f.stop, "stop", false, "")
		set.BoolVar(&f.start, "start", false, "")
	}
	if c.name == "gc" {
		set.BoolVar(&f.keepNone, "keep-none", false, "")
		set.BoolVar(&f.dead, "dead", false, "")
		set.Func("keep", "", f.addKeep)
	}
	// The configuration may stand before or after the flags.
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			break
		}
		if f.file != "" || c.needs&needConfig == 0 {
			return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
		}
		f.file, args = set.Arg(0), set.Args()[1:]
	}
	return f, f.complete(c)
}

func (f *flags) addKeep(text string) error {
	id, ifname, ok := strings.Cut(text, "/")
	if !ok {
		return fmt.Errorf("want ID/IFNAME, got %q", text)
	}
	f.keep = append(f.keep, cniproto.Attachment{ContainerID: id, IfName: ifname})
	return nil
}

// complete says what is missing.
func (f *flags) complete(c command) error {
	var missing []string
	if c.needs&needNetns != 0 && f.netns == "" {
		missing = append(missing, "-n NETNS")
	}
	if c.needs&needContainer != 0 && f.container == "" {
		missing = append(missing, "-c ID")
	}
	if c.needs&needContainer != 0 && f.ifname == "" {
		missing = append(missing, "-i IFNAME")
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing %s", strings.Join(missing, ", "))
	}
	if f.keepNone && (f.dead || len(f.keep) > 0) || f.dead && len(f.keep) > 0 {
		return fmt.Errorf("--keep, --keep-none and --dead exclude each other")
	}
	if f.stop && f.start {
		return fmt.Errorf("--stop and --start exclude each other")
	}
	if c.name == "gc" && !f.keepNone && !f.dead && len(f.keep) == 0 {
		return fmt.Errorf("say what to keep: --keep ID/IFNAME, --keep-none or --dead")
	}
	return nil
}
