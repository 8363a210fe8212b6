// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/state"
)

// pluginDir makes a directory with a shell script as plugin, which finds a
// directory of its own in $HOME.
func pluginDir(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	return dir
}

// clerk is a delegate whose calls are noted in a log.
func clerk(t *testing.T, script string) (r Request, calls func() string) {
	t.Helper()
	home := t.TempDir()
	dir := pluginDir(t, "clerk", `echo "$CNI_COMMAND $CNI_IFNAME $(cat)" >> "$HOME/calls"`+"\n"+script)
	r = Request{
		Key:        state.Key{Network: officeName, ContainerID: "ann", IfName: "eth0"},
		CNIVersion: "1.1.0",
		Config:     []byte(`{"name":"office","ipam":{"type":"clerk"}}`),
		IPAM:       json.RawMessage(`{"type":"clerk"}`),
		Path:       "relative:/nonexistent:" + dir,
		Environ:    []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "CNI_COMMAND=wrong", "CNI_IFNAME=eth0"},
	}
	return r, func() string {
		data, err := os.ReadFile(filepath.Join(home, "calls"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(data), " eth0 "+string(r.Config), "")
	}
}

func TestDelegateAdd(t *testing.T) {
	t.Parallel()
	r, calls := clerk(t, `echo a warning >&2; echo '{"ips":[{"address":"10.0.0.5/24","gateway":"10.0.0.1"}]}'`)
	var stderr bytes.Buffer
	r.Stderr = &stderr
	claimed := 0
	got := mustAdd(t, mustNew(t, r), Hooks{Claiming: func(c Claim) error {
		claimed++
		wantEqual(t, c, Claim{})
		wantEqual(t, calls(), "")
		return nil
	}})
	wantAddrs(t, got, "10.0.0.5")
	wantEqual(t, claimed, 1)
	wantEqual(t, calls(), "ADD\n")
	wantEqual(t, stderr.String(), "a warning\n")
}

func TestDelegateOtherVerbs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ version, want string }{
		{"1.1.0", "DEL\nCHECK\nGC\nSTATUS\n"},
		{"1.0.0", "DEL\nCHECK\n"},
		{"0.4.0", "DEL\nCHECK\n"},
	} {
		r, calls := clerk(t, ``)
		r.CNIVersion = test.version
		m := mustNew(t, r)
		must(t, m.Del(t.Context(), nil))
		must(t, m.Check(t.Context(), nil))
		must(t, m.GC(t.Context(), nil))
		must(t, m.Status(t.Context()))
		wantEqual(t, calls(), test.want)
	}
}

func TestDelegateFailureIsUndone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, script string
		code         cniproto.Code
		want         []string
	}{
		{"error object", `echo '{"cniVersion":"1.1.0","code":11,"msg":"busy","details":"come back"}'; exit 1`, cniproto.CodeTryAgain, []string{`IPAM plugin "clerk"`, "busy", "come back"}},
		{"error object without code", `echo '{"msg":"no"}'; exit 1`, cniproto.CodeIPAM, []string{"no"}},
		{"text on stdout", `echo oops; exit 1`, cniproto.CodeIPAM, []string{"oops", "exit status 1"}},
		{"text on stderr", `echo oops >&2; exit 3`, cniproto.CodeIPAM, []string{"oops", "exit status 3"}},
		{"no word", `exit 1`, cniproto.CodeIPAM, []string{"without a message"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, calls := clerk(t, `[ "$CNI_COMMAND" = DEL ] && exit 0`+"\n"+test.script)
			_, err := mustNew(t, r).Add(t.Context(), Hooks{})
			wantError(t, err, test.code, test.want...)
			wantEqual(t, calls(), "ADD\nDEL\n")
		})
	}
	t.Run("not a result", func(t *testing.T) {
		t.Parallel()
		r, calls := clerk(t, `[ "$CNI_COMMAND" = DEL ] && exit 0; echo hello`)
		if _, err := mustNew(t, r).Add(t.Context(), Hooks{}); err == nil {
			t.Error("no error")
		}
		wantEqual(t, calls(), "ADD\nDEL\n")
	})
	t.Run("a route that the kernel would cut", func(t *testing.T) {
		t.Parallel()
		r, calls := clerk(t, `[ "$CNI_COMMAND" = DEL ] && exit 0; echo '{"ips":[{"address":"10.0.0.5/24"}],"routes":[{"dst":"10.1.0.0/16","table":4294967296}]}'`)
		_, err := mustNew(t, r).Add(t.Context(), Hooks{})
		wantError(t, err, cniproto.CodeIPAM, "routes[0].table 4294967296: want 1 to 4294967295")
		wantEqual(t, calls(), "ADD\nDEL\n")
	})
	t.Run("undo fails too", func(t *testing.T) {
		t.Parallel()
		r, _ := clerk(t, `echo "{\"code\":7,\"msg\":\"$CNI_COMMAND failed\"}"; exit 1`)
		_, err := mustNew(t, r).Add(t.Context(), Hooks{})
		wantError(t, err, cniproto.CodeInvalidConfig, "ADD failed", "DEL failed")
	})
}

// A plugin that is being replaced in place is waited for, with an end. Not
// parallel: a child that another test forks holds the writer's descriptor too,
// until it execs.
func TestDelegateBusyExecutable(t *testing.T) {
	for _, test := range []struct {
		name    string
		closeAt int // pause at which the writer is done
		pauses  int
	}{
		{"done at once", 1, 1},
		{"done late", 5, 5},
		{"never done", 9, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, _ := clerk(t, ``)
			m := mustNew(t, r).(*delegate)
			writer, err := os.OpenFile(m.path, os.O_WRONLY, 0)
			must(t, err)
			defer writer.Close()
			pauses := 0
			m.pause = func(context.Context, time.Duration) error {
				if pauses++; pauses == test.closeAt {
					must(t, writer.Close())
				}
				return nil
			}
			err = m.Del(t.Context(), nil)
			if test.closeAt <= 5 {
				must(t, err)
			} else {
				wantError(t, err, cniproto.CodeIPAM, "text file busy")
			}
			wantEqual(t, pauses, test.pauses)
		})
	}
}

func TestDelegateEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r, calls := clerk(t, `[ "$CNI_COMMAND" = DEL ] && exit 0; touch "$HOME/up"; exec tail -f /dev/null`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.Stderr = nil
	home := strings.TrimPrefix(r.Environ[1], "HOME=")
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(home, "up")); err == nil {
				cancel()
			}
		}
	}()
	_, err := mustNew(t, r).Add(ctx, Hooks{})
	wantError(t, err, cniproto.CodeIPAM, "context canceled")
	wantEqual(t, calls(), "ADD\nDEL\n")
}

func TestFindPluginWantsAnExecutableFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "text"), nil, 0o600))
	for _, name := range []string{"directory", "text", "absent"} {
		_, err := findPlugin(name, dir)
		wantError(t, err, cniproto.CodeInvalidConfig, name, dir, "CNI_PATH")
	}
}
