// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// loadAccelRead puts the program that counts what applications read on its tracepoint, in
// place of another build's, whose link the kernel takes off in its own time: nobody counts
// from before the new one is linked until it is told that it does. What is counted twice
// would be taken for read when it is not; what is not counted only ends the acceleration
// of those connections. Kernels that are locked down have no such programs.
func (h *Handle) loadAccelRead(spec *ebpf.ProgramSpec) error {
	maps := map[string]*ebpf.Map{}
	defer func() {
		for _, m := range maps {
			m.Close()
		}
	}()
	for _, name := range []string{pinAccelTurns, pinAccelFlows, pinAccelReader} {
		m, err := ebpf.LoadPinnedMap(filepath.Join(h.dir, name), nil)
		if err != nil {
			return fmt.Errorf("open pin %q: %w", name, err)
		}
		maps[name] = m
		if err := spec.Instructions.AssociateMap(name, m); err != nil {
			return fmt.Errorf("load program %s: %w", pinAccelRead, err)
		}
	}
	program, err := ebpf.NewProgram(spec)
	if err != nil {
		return fmt.Errorf("load program %s: %w", pinAccelRead, err)
	}
	defer program.Close()
	counts := func(cookie uint64) error {
		if err := maps[pinAccelReader].Put(uint32(0), cookie); err != nil {
			return fmt.Errorf("say who counts: %w", err)
		}
		return nil
	}
	if err := counts(0); err != nil {
		return err
	}
	pin, cookie := h.accelLink(pinAccelRead), uint64(time.Now().UnixNano())
	if err := removeReader(pin); err != nil {
		return err
	}
	l, err := bpfsys.LinkTracing(bpfsys.FD(program.FD()), bpfsys.RawTracepoint, cookie)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Pin(pin); err != nil {
		return err
	}
	return counts(cookie)
}

// The longest wait for a reader that is replaced to be gone, and between two looks.
const (
	readerWait = time.Second
	readerLook = time.Millisecond
)

// removeReader ends the link of the program that counts, if there is one, and waits until
// the kernel has taken it off: meanwhile it leaves out calls of others on the tracepoint.
func removeReader(pin string) error {
	l, err := bpfsys.Open(pin)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	program, err := l.Linked()
	l.Close()
	if err := errors.Join(err, remove(pin)); err != nil {
		return err
	}
	for late := time.Now().Add(readerWait); bpfsys.Exists(program) && time.Now().Before(late); {
		time.Sleep(readerLook)
	}
	return nil
}
