// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	planFile    = "plan.json"
	resultsFile = "results.json"
)

// sandbox measures in a process of its own that is init of new PID, mount and
// network namespaces. When it ends, by whatever cause, the kernel kills what it
// started and drops every mount, namespace and link: no clean-up has to be
// trusted, but that of empty cgroups. Being init, it also inherits, and can wait
// for, what a plugin left running. It runs a section with a plan and fills res.
func sandbox(ctx context.Context, work, section string, plan, res any, stderr io.Writer) error {
	b, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	if err := os.WriteFile(filepath.Join(work, planFile), b, 0o600); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}

	// Pdeathsig is sent when the thread ends, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, "/proc/self/exe", insideCommand, section, work)
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return errors.New("measure: interrupted")
		}
		return fmt.Errorf("measure: %w", err) // the sandbox has said why
	}

	b, err = os.ReadFile(filepath.Join(work, resultsFile))
	if err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	if err := json.Unmarshal(b, res); err != nil {
		return fmt.Errorf("decode results: %w", err)
	}
	return nil
}

// The sections that the sandbox can run.
const (
	addDelSection    = "adddel"
	dataPathSection  = "datapath"
	socketsSection   = "sockets"
	portsSection     = "ports"
	bandwidthSection = "bandwidth"
)

// inside is the process in the sandbox; args are the section and the working
// directory.
func inside(ctx context.Context, args []string, progress io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("sandbox: %d arguments, want section and directory", len(args))
	}
	section, work := args[0], args[1]
	plan, err := os.ReadFile(filepath.Join(work, planFile))
	if err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	if err := privateMounts(); err != nil {
		return err
	}
	if err := mount("proc", "/proc"); err != nil {
		return err
	}
	var results []byte
	switch section {
	case addDelSection:
		results, err = runAddDel(ctx, work, plan, progress)
	case dataPathSection:
		results, err = runDataPath(ctx, work, plan, progress)
	case socketsSection:
		results, err = runSockets(ctx, work, plan, progress)
	case portsSection:
		results, err = runPorts(ctx, work, plan, progress)
	case bandwidthSection:
		results, err = runBandwidth(ctx, work, plan, progress)
	default:
		return fmt.Errorf("sandbox: section %q: unknown", section)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, resultsFile), results, 0o600); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// privateMounts keeps what is mounted in the thread's mount namespace there.
func privateMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return nil
}

// mount mounts a file system that has no device.
func mount(fstype, target string) error {
	if err := unix.Mount(fstype, target, fstype, unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount %s on %q: %w", fstype, target, err)
	}
	return nil
}
