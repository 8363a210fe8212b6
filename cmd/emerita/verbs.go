// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"os"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/endpoint"
	"github.com/emerita-cni/emerita/internal/state"
)

func addCommand(e env, f *flags) error { return e.invoke(f, "ADD", nil) }

func delCommand(e env, f *flags) error { return e.invoke(f, "DEL", nil) }

// checkCommand brings the result of ADD itself, where a runtime would.
func checkCommand(e env, f *flags) error {
	return e.invoke(f, "CHECK", func(c *cniproto.Config) ([]byte, error) {
		if c.PrevResult != nil {
			return c.Raw, nil
		}
		result, err := e.plugin().RecordedResult(state.Key{Network: c.Name, ContainerID: f.container, IfName: f.ifname})
		if err != nil {
			return nil, err
		}
		if result == nil {
			return nil, cniproto.Errorf(cniproto.CodeUnknownContainer, "check",
				"container %q is not attached to network %q by %q", f.container, c.Name, f.ifname)
		}
		return cniproto.InjectPrevResult(c.Raw, result)
	})
}

// current lets the operator use a verb that the configuration's own version has
// not yet: it is there to be used by runtimes of that version.
func current(c *cniproto.Config) ([]byte, error) {
	return cniproto.InjectVersion(c.Raw, cniproto.Current)
}

func gcCommand(e env, f *flags) error {
	if f.dead {
		config, err := e.config(f)
		if err != nil {
			return err
		}
		return e.plugin().CollectDead(context.Background(), config.Name)
	}
	return e.invoke(f, "GC", func(c *cniproto.Config) ([]byte, error) {
		raw, err := current(c)
		if err == nil && (f.keepNone || len(f.keep) > 0) {
			raw, err = cniproto.InjectAttachments(raw, f.keep)
		}
		return raw, err
	})
}

// config reads the configuration that the flags name.
func (e env) config(f *flags) (*cniproto.Config, error) {
	raw, err := e.readInput(f.file)
	if err != nil {
		return nil, err
	}
	f.cniVersion = versionOf(raw)
	raw, err = cniproto.Select(raw, f.plugin)
	if err != nil {
		return nil, err
	}
	config, err := cniproto.ParseConfig(raw)
	if err == nil {
		f.cniVersion, f.network = config.CNIVersion, config.Name
	}
	return config, err
}

func (e env) readInput(file string) ([]byte, error) {
	in := e.stdin
	if file != "" && file != "-" {
		open, err := os.Open(file)
		if err != nil {
			return nil, cniproto.Wrap(cniproto.CodeIO, "read network configuration", err)
		}
		defer open.Close()
		in = open
	} else if e.terminal && file == "" {
		return nil, cniproto.Errorf(cniproto.CodeIO, "read network configuration",
			"stdin is a terminal: name a file, or redirect one to stdin")
	}
	return readConfig(in)
}

// invoke does what a runtime would: it completes the configuration, sets the
// environment, and calls the plugin.
func (e env) invoke(f *flags, verb string, amend func(*cniproto.Config) ([]byte, error)) error {
	config, err := e.config(f)
	if err != nil {
		return err
	}
	if amend != nil {
		raw, err := amend(config)
		if err != nil {
			return err
		}
		if config, err = cniproto.ParseConfig(raw); err != nil {
			return err
		}
	}
	cni := cniproto.Env{Command: verb, ContainerID: f.container, Netns: f.netns, IfName: f.ifname, Path: f.path, Args: f.args}
	if err := cni.Validate(); err != nil {
		return err
	}
	e.environ = append(e.environ,
		"CNI_COMMAND="+verb, "CNI_CONTAINERID="+f.container, "CNI_NETNS="+f.netns,
		"CNI_IFNAME="+f.ifname, "CNI_ARGS="+f.args, "CNI_PATH="+f.path)
	return serve(e, endpoint.Call{Env: cni, Config: config})
}
