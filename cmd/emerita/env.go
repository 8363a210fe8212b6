// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/endpoint"
	"github.com/emerita-cni/emerita/internal/state"
)

// env is everything that the program takes from outside, so that tests can give
// it something else.
type env struct {
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	getenv   func(string) string
	environ  []string
	stateDir string
	runDir   string
	lockWait time.Duration // longest wait for a lock
	self     string        // the program's own file, to run it again; empty if that cannot be
	terminal bool          // stdin is one: nobody will write a configuration to it
	mute     bool          // stdout was closed: nobody will read a result
}

func processEnv() env {
	_, err := unix.IoctlGetTermios(0, unix.TCGETS)
	return env{
		stdin:    os.Stdin,
		stdout:   descriptor(1),
		stderr:   descriptor(2),
		getenv:   os.Getenv,
		environ:  os.Environ(),
		stateDir: state.DefaultDir,
		runDir:   state.DefaultRunDir,
		lockWait: lockTimeout,
		self:     "/proc/self/exe",
		terminal: err == nil,
		mute:     wasClosed(1),
	}
}

// lockTimeout is well below the two minutes after which runtimes kill a plugin.
const lockTimeout = 10 * time.Second

// logVariable names the variable that sets the lowest level logged: debug,
// info, warn (the default) or error.
const logVariable = "EMERITA_LOG"

// logLevel is the default for anything else, and says so: a container is not to be left
// without network for it.
func (e env) logLevel() (level slog.Level, err error) {
	text := e.getenv(logVariable)
	level = slog.LevelWarn
	if text != "" && level.UnmarshalText([]byte(text)) != nil {
		level = slog.LevelWarn
		err = fmt.Errorf("%s %q: want debug, info, warn or error: taken for warn", logVariable, text)
	}
	return level, err
}

func (e env) plugin() *endpoint.Plugin {
	level, _ := e.logLevel() // run has said what is wrong with it
	return &endpoint.Plugin{
		StateDir:    e.stateDir,
		RunDir:      e.runDir,
		Version:     version,
		Log:         slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: level})),
		Stderr:      e.stderr,
		Environ:     e.environ,
		LockTimeout: e.lockWait,
		Self:        e.self,
	}
}
