// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// mustPipe makes a pipe whose writing end has the flags.
func mustPipe(t *testing.T, flags int) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[1], flags&unix.O_NONBLOCK != 0); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// deafPipe is one that nobody reads from.
func deafPipe(t *testing.T) *os.File {
	t.Helper()
	r, w := mustPipe(t, 0)
	r.Close()
	return w
}

// TestNobodyHearsTheResult: an ADD that cannot tell its result leaves nothing, and exits
// rather than die of a signal.
func TestNobodyHearsTheResult(t *testing.T) {
	for _, test := range []struct {
		name     string
		cli      bool
		redirect string // by a shell
		prepare  func(*testing.T, *exec.Cmd)
		says     string // on stderr, if that is heard
	}{
		{name: "closed pipe", says: "write result: write: broken pipe",
			prepare: func(t *testing.T, c *exec.Cmd) { c.Stdout = deafPipe(t) }},
		{name: "closed pipe of the command line", cli: true, says: "write result: write: broken pipe",
			prepare: func(t *testing.T, c *exec.Cmd) { c.Stdout = deafPipe(t) }},
		{name: "nor the log", prepare: func(t *testing.T, c *exec.Cmd) {
			c.Env = append(c.Env, logVariable+"=debug")
			c.Stdout = deafPipe(t)
			c.Stderr = c.Stdout
		}},
		{name: "closed", redirect: ">&-", says: "stdout is closed"},
		{name: "closed on the command line", redirect: ">&-", cli: true, says: "stdout is closed"},
		{name: "for reading only", redirect: "1</dev/null", says: "bad file descriptor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			clean := h.snapshot()
			cmd := h.command("ADD", "a")
			if test.cli {
				cmd.Env = os.Environ()
				cmd.Args = append(cmd.Args, "add", "-n", "/run/netns/a", "-c", "a", "-i", "eth0")
			}
			if test.redirect != "" {
				sh := exec.Command("sh", append([]string{"-c", `exec "$0" "$@" ` + test.redirect}, cmd.Args...)...)
				sh.Env, sh.Stdin = cmd.Env, cmd.Stdin
				cmd = sh
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if test.prepare != nil {
				test.prepare(t, cmd)
			}
			err := cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("%v (status %d), want status 1", err, code)
			}
			if !strings.Contains(stderr.String(), test.says) {
				t.Errorf("stderr is %q, want %q in it", stderr.String(), test.says)
			}
			h.forgetShared()
			h.resetContainer("a")
			h.nothingLeft(clean, "ADD whose result nobody hears")
		})
	}
}

// TestListToNobody: a list that was read far enough ends as shells expect it to.
func TestListToNobody(t *testing.T) {
	h := newHost(t)
	cmd := exec.Command("emerita", "version")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = deafPipe(t), &stderr
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != exitPipe || stderr.Len() > 0 {
		t.Errorf("status %d, stderr %q", code, stderr.String())
	}
	// /dev/null is a place for a result that is not wanted.
	testutil.Run(t, "sh", "-c", `echo '`+h.config+`' | emerita add -n /run/netns/a -c a -i eth0 >/dev/null`)
	h.must("DEL", "a")
}

// TestDescriptorWaits: a descriptor that was made non-blocking gets all bytes.
func TestDescriptorWaits(t *testing.T) {
	t.Parallel()
	r, w := mustPipe(t, unix.O_NONBLOCK)
	sent := bytes.Repeat([]byte("emerita\n"), 1<<17) // many times what a pipe holds
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(r)
		got <- all
	}()
	fd, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD_CLOEXEC, 0) // Fd makes the file a blocking one
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	w.Close()
	n, err := descriptor(fd).Write(sent)
	if n != len(sent) || err != nil {
		t.Errorf("%d of %d bytes, %v", n, len(sent), err)
	}
	unix.Close(fd)
	if !bytes.Equal(<-got, sent) {
		t.Error("other bytes arrived")
	}
}
