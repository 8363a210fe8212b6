// SPDX-License-Identifier: MIT OR Apache-2.0

package testutil

import (
	"errors"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

func probeRedirectPeer() error {
	return features.HaveProgramHelper(ebpf.SchedCLS, asm.FnRedirectPeer)
}

func probeSockMap() error {
	return errors.Join(features.HaveMapType(ebpf.SockHash), features.HaveProgramType(ebpf.SkMsg))
}

// probeSockMapLink links a program to a map of its own.
func probeSockMapLink() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "probe", Type: ebpf.SkMsg, AttachType: ebpf.AttachSkMsgVerdict, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}, // SK_PASS
	})
	if err != nil {
		return err
	}
	defer p.Close()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "probe", Type: ebpf.SockHash, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return err
	}
	defer m.Close()
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: m.FD(), Program: p, Attach: ebpf.AttachSkMsgVerdict})
	if err != nil {
		return err
	}
	return l.Close()
}

// probeTCX attaches a program that lets everything pass.
func probeTCX() error {
	p, err := passAll(ebpf.SchedCLS)
	if err != nil {
		return err
	}
	defer p.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: loopback, Program: p, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return err
	}
	return l.Close()
}

// probeSockOps attaches a program to a cgroup that is made for it.
func probeSockOps() (err error) {
	p, err := passAll(ebpf.SockOps)
	if err != nil {
		return err
	}
	defer p.Close()
	return inCgroup2(func(dir string) error {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: dir, Attach: ebpf.AttachCGroupSockOps, Program: p})
		if err != nil {
			return err
		}
		return l.Close()
	})
}

// probePeerName attaches one of the youngest programs on sockets' addresses likewise; the
// kernel takes none that could say no.
func probePeerName() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "probe", Type: ebpf.CGroupSockAddr, AttachType: ebpf.AttachCgroupInet4GetPeername, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	return inCgroup2(func(dir string) error {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: dir, Attach: ebpf.AttachCgroupInet4GetPeername, Program: p})
		if err != nil {
			return err
		}
		return l.Close()
	})
}

func probeCgroup2() error { return inCgroup2(func(string) error { return nil }) }

// inCgroup2 makes a cgroup in the unified hierarchy, mounted aside, and removes both.
func inCgroup2(use func(dir string) error) (err error) {
	root, err := os.MkdirTemp("", "cgroup2-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(root)) }()
	if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	defer func() { err = errors.Join(err, os.NewSyscallError("umount", unix.Unmount(root, unix.MNT_DETACH))) }() // a child that is just being started may have it open
	dir, err := os.MkdirTemp(root, "emerita-probe-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	return use(dir)
}

// passAll is a program that returns 0: pass, for a classifier.
func passAll(typ ebpf.ProgramType) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "probe", Type: typ, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
}
