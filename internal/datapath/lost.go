// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// The maps of each object, all of them pinned by their names.
func endpointPins() []string {
	return []string{pinInterfaces, pinEndpoints, pinAllowed, pinCounts, pinPublished, pinConversations}
}

func socketPins() []string { return []string{pinSockets, pinEndpoints} }

func portPins() []string { return []string{pinLoopback, pinLedSockets, pinDatagrams} }

func accelPins() []string {
	return []string{
		pinAccelSockets, pinAccelPeers, pinAccelFlows, pinAccelSockhash,
		pinAccelTurns, pinAccelReader, pinAccelStop, pinAccelServices,
	}
}

// Lost says which pin a container with programs needs is not there, or which link is
// detached: nil if none is. Programs that run do without most of them; those that are loaded
// next, and commands, do not. Which maps there are depends on the build: while only
// another one's programs are loaded, that is for the next ADD, which loads this one's.
func (h *Handle) Lost(e Endpoint) error {
	var names []string
	if there(filepath.Join(programDir(h.dir), pinTo)) {
		names = endpointPins()
	} else if all, _ := filepath.Glob(filepath.Join(h.dir, "programs-*", pinTo)); len(all) == 0 {
		return lostPin(filepath.Join(programDir(h.dir), pinTo))
	}
	maps := len(names) > 0
	if e.Congestion != nil {
		names = append(names, pinSockets, pinCongestionLink)
	}
	if a := e.Acceleration; a != nil {
		if maps {
			names = append(names, accelPins()...)
		}
		names = append(names, h.accelLinks(a.Cgroup == "")...)
	}
	return h.lost(names)
}

func (h *Handle) lost(names []string) error {
	for _, name := range names {
		path := filepath.Join(h.dir, name)
		if !there(path) {
			return lostPin(path)
		}
		if !strings.HasSuffix(name, "_link") {
			continue
		}
		l, err := bpfsys.Open(path)
		if err != nil {
			return err
		}
		detached, err := l.Detached()
		l.Close()
		if detached {
			err = fmt.Errorf("eBPF link %q is detached", path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func lostPin(path string) error { return fmt.Errorf("eBPF pin %q is missing", path) }

// accelLinks are the names of the links of socket acceleration. That of the program which
// counts is not there where the kernel refuses it, which a build has noted then.
func (h *Handle) accelLinks(everywhere bool) []string {
	names := []string{filepath.Base(h.accelLink(pinAccelVerdict))}
	if everywhere {
		names = append(names, filepath.Base(h.accelLink(pinAccelEnrol)))
	}
	if blind, _ := filepath.Glob(filepath.Join(h.dir, "programs-*", pinAccelBlind)); len(blind) == 0 {
		names = append(names, filepath.Base(h.accelLink(pinAccelRead)))
	}
	return names
}

// Restore pins again the maps whose pins somebody has removed, with all that is in them.
// The caller holds a lock that excludes others who load.
func Restore() error {
	dir := pinDir()
	if dir == "" {
		return nil
	}
	if err := trusted(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return restore(dir, slices.Concat(endpointPins(), socketPins(), portPins(), accelPins()))
}

// restore looks for maps among those of the programs that are pinned in a directory: where
// one runs on with a map without a pin, a second map of that name would part it from
// those that are loaded next.
func restore(dir string, names []string) error {
	lost := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return there(filepath.Join(dir, name)) })
	if len(lost) == 0 {
		return nil
	}
	links, _ := filepath.Glob(filepath.Join(dir, "*_link"))
	own, _ := filepath.Glob(filepath.Join(programDir(dir), "*"))
	all, _ := filepath.Glob(filepath.Join(dir, "programs-*", "*"))
	for _, pin := range slices.Concat(links, own, all) { // those at work before all
		if err := restoreOf(pin, dir, lost); err != nil {
			return fmt.Errorf("restore pins by those of %q: %w", pin, err)
		}
	}
	return nil
}

// restoreOf pins those of the lost maps that a pinned program, or that of a pinned link,
// uses.
func restoreOf(pin, dir string, lost []string) error {
	program, err := programOf(pin)
	if err != nil {
		return err
	}
	if program == nil {
		return nil
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return err
	}
	ids, _ := info.MapIDs()
	for _, id := range ids {
		if err := restoreMap(id, dir, lost); err != nil {
			return err
		}
	}
	return nil
}

// programOf is nil for a link whose program is gone.
func programOf(pin string) (*ebpf.Program, error) {
	if !strings.HasSuffix(pin, "_link") {
		return ebpf.LoadPinnedProgram(pin, nil)
	}
	l, err := bpfsys.Open(pin)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	id, err := l.Linked()
	if err != nil || id == 0 {
		return nil, err
	}
	program, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return program, err
}

func restoreMap(id ebpf.MapID, dir string, lost []string) error {
	m, err := ebpf.NewMapFromID(id)
	if err != nil {
		return err
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil || !slices.Contains(lost, info.Name) {
		return err
	}
	if err := m.Pin(filepath.Join(dir, info.Name)); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
