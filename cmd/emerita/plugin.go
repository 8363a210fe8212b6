// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/endpoint"
)

// runPlugin serves one call of a container runtime.
func runPlugin(e env) (status int) {
	cniVersion := cniproto.Current
	defer guard(e, &cniVersion, &status)
	cni := cniproto.EnvFrom(e.getenv)
	if err := cni.Validate(); err != nil {
		return report(e, err, cniVersion)
	}
	raw, err := readConfig(e.stdin)
	if err != nil {
		return report(e, err, cniVersion)
	}
	if cni.Command == "VERSION" {
		return report(e, writeVersion(e, raw), cniVersion)
	}
	config, err := cniproto.ParseConfig(raw)
	if err != nil {
		return report(e, err, versionOf(raw))
	}
	cniVersion = config.CNIVersion
	return report(e, serve(e, endpoint.Call{Env: cni, Config: config}), cniVersion)
}

// versionOf is the version to answer a configuration in that cannot be used.
func versionOf(raw []byte) string {
	var in struct {
		CNIVersion string `json:"cniVersion"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return cniproto.Current
	}
	version, err := cniproto.NormalizeVersion(in.CNIVersion)
	if err != nil {
		return cniproto.Current
	}
	return version
}

// serve carries out a validated call, and prints the result of an ADD. An ADD
// whose result cannot be told has failed, and is undone.
func serve(e env, call endpoint.Call) error {
	ctx := context.Background()
	p := e.plugin()
	switch call.Env.Command {
	case "ADD":
		if e.mute {
			return cniproto.Errorf(cniproto.CodeIO, "write result", "stdout is closed: nobody would have it: send it to a pipe or a file")
		}
		result, err := p.Add(ctx, call)
		if err != nil {
			return err
		}
		if err := cniproto.EncodeResult(e.stdout, result, call.Config.CNIVersion); err != nil {
			return errors.Join(err, p.Del(ctx, call))
		}
		return nil
	case "DEL":
		return p.Del(ctx, call)
	case "CHECK":
		return p.Check(ctx, call)
	case "GC":
		return p.GC(ctx, call)
	default: // Validate let nothing else through
		return p.Status(ctx, call)
	}
}
