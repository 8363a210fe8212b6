// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// What the machine is told on its command line: a file of the host's with the plan.
const planParameter = "emerita.plan="

// plan is what to do in a machine.
type plan struct {
	Modules  string // directory of the kernel's modules on the host
	Release  string // the kernel's
	Path     string // PATH of the tests
	Bin      string // directory of test2json and emerita
	Packages []pkg  // in this order
}

// guestTestsWord makes the program run the tests of the plan.
const guestTestsWord = "guest-tests"

// scratch is the tests' directory for temporary files.
const scratch = "/scratch"

// guest is process 1: it sees the host's files, has what is written to them go to
// memory, has the tests run by a child of its own, reaps whatever they orphan, and
// turns the machine off.
func guest() {
	if err := runGuest(); err != nil {
		fmt.Println("kernels:", err)
	}
	unix.Sync()
	fmt.Println("kernels: power off:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

func runGuest() error {
	if err := mountHost(); err != nil {
		return err
	}
	child := exec.Command("/proc/self/exe", guestTestsWord)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		return fmt.Errorf("start tests: %w", err)
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for tests: %w", err)
		}
		if pid == child.Process.Pid {
			return nil
		}
	}
}

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func mountAll(mounts ...mount) error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.source, m.target, err)
		}
	}
	return nil
}

// mountHost makes the host's files, under a layer of memory, the root.
func mountHost() error {
	if err := mountAll(
		mount{"proc", "/proc", "proc", 0, ""},
		mount{"sysfs", "/sys", "sysfs", 0, ""},
		mount{"devtmpfs", "/dev", "devtmpfs", 0, ""},
	); err != nil {
		return err
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := mountAll(
		mount{hostTag, "/host", "virtiofs", unix.MS_RDONLY, ""},
		mount{"memory", "/memory", "tmpfs", 0, ""},
	); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir("/memory/upper", 0o755), os.Mkdir("/memory/work", 0o755)); err != nil {
		return err
	}
	if err := mountAll(mount{"root", "/root", "overlay", 0, "lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work"}); err != nil {
		return err
	}
	// As switch_root(8) does, so that the root is a mount of its own.
	if err := errors.Join(os.Chdir("/root"), unix.Mount(".", "/", "", unix.MS_MOVE, ""), unix.Chroot("."), os.Chdir("/")); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	return mountAll(
		mount{"proc", "/proc", "proc", 0, ""},
		mount{"sysfs", "/sys", "sysfs", 0, ""},
		mount{"bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700"},
		mount{"cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""},
		mount{"devtmpfs", "/dev", "devtmpfs", 0, ""},
		mount{"devpts", "/dev/pts", "devpts", 0, ""},
		mount{"tmpfs", "/dev/shm", "tmpfs", 0, ""},
		mount{"tmpfs", "/run", "tmpfs", 0, "mode=0755"},
		mount{"tmpfs", scratch, "tmpfs", 0, "mode=1777"},
	)
}

func loadModules(dir string) error {
	files, err := filepath.Glob(dir + "/*") // sorted: the order in which they load
	if err != nil {
		return err
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		flags := 0
		if !strings.HasSuffix(name, ".ko") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		err = unix.FinitModule(int(file.Fd()), "", flags)
		file.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load module %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// guestTests runs the tests of the plan, whose events go to the port.
func guestTests() error {
	p, err := readPlan()
	if err != nil {
		return err
	}
	modules := filepath.Join("/lib/modules", p.Release)
	if err := mountAll(mount{p.Modules, modules, "", unix.MS_BIND, ""}); err != nil {
		return err
	}
	ports, err := filepath.Glob("/dev/vport*")
	if err != nil || len(ports) != 1 {
		return fmt.Errorf("find the port: %q, %w", ports, errors.Join(err, os.ErrNotExist))
	}
	events, err := os.OpenFile(ports[0], os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open port: %w", err)
	}
	defer events.Close()
	for _, t := range p.Packages {
		fmt.Println("kernels: test", t.Path)
		cmd := exec.Command(filepath.Join(p.Bin, "test2json"), append([]string{"-t", "-p", t.Path}, t.command()...)...)
		cmd.Dir = t.Dir
		cmd.Stdout, cmd.Stderr = events, os.Stdout
		cmd.Env = []string{
			"PATH=" + p.Path, "HOME=/root", "TMPDIR=" + scratch,
			"EMERITA_REQUIRE_ROOT=1", "EMERITA_TEST_BINARY=" + filepath.Join(p.Bin, "emerita"),
		}
		if err := cmd.Run(); err != nil {
			fmt.Printf("kernels: %s: %v\n", t.Path, err) // the events tell what
		}
	}
	return nil
}

func readPlan() (p plan, err error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return p, err
	}
	for _, word := range strings.Fields(string(line)) {
		name, isPlan := strings.CutPrefix(word, planParameter)
		if !isPlan {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return p, fmt.Errorf("read plan: %w", err)
		}
		return p, json.Unmarshal(raw, &p)
	}
	return p, errors.New("no plan on the kernel's command line")
}
