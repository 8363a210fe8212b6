// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// portHooks are the programs that lead sockets of host processes from a loopback
// address to a container, by the names of their pins, and where they hang: connections
// and datagrams of each family, and what a socket is told of its peer, of which
// getpeername is the youngest (Linux 5.8).
func portHooks() []struct {
	name string
	at   bpfsys.AttachType
} {
	return []struct {
		name string
		at   bpfsys.AttachType
	}{
		// Names first, so that nothing is led away before it can be named.
		{"port_getpeername4", bpfsys.Inet4GetPeerName},
		{"port_getpeername6", bpfsys.Inet6GetPeerName},
		{"port_recvmsg4", bpfsys.UDP4RecvMsg},
		{"port_recvmsg6", bpfsys.UDP6RecvMsg},
		{"port_sendmsg4", bpfsys.UDP4SendMsg},
		{"port_sendmsg6", bpfsys.UDP6SendMsg},
		{"port_connect4", bpfsys.Inet4Connect},
		{"port_connect6", bpfsys.Inet6Connect},
	}
}

// portLink is the pin of a program's link to the cgroup, which all builds share.
func (h *Handle) portLink(name string) string { return filepath.Join(h.dir, name+"_link") }

// HasPorts says whether the programs for ports on loopback addresses are at work: this
// build's have been loaded, and the links and the map are there. The last link is made
// last: where it is, all are, unless somebody has removed one. After a downgrade the
// links may run another build's, with the same effect.
func (h *Handle) HasPorts() bool {
	hooks := portHooks()
	last := hooks[len(hooks)-1].name
	return there(h.portLink(last)) && there(filepath.Join(programDir(h.dir), last)) && there(filepath.Join(h.dir, pinLoopback))
}

// LostPorts is Lost for what ports on loopback addresses need.
func (h *Handle) LostPorts() error {
	var names []string
	if there(filepath.Join(programDir(h.dir), pinTo)) {
		names = portPins()
	}
	for _, hook := range portHooks() {
		names = append(names, filepath.Base(h.portLink(hook.name)))
	}
	return h.lost(names)
}

func there(path string) bool { return unix.Access(path, unix.F_OK) == nil }

// LoadPorts puts this build's programs for ports on loopback addresses (Linux 5.8) on
// the root of cgroup v2, in place of another build's: all, or none. The programs for
// devices are loaded, and the caller holds a lock that excludes others who load. The
// error wraps ErrUnavailable if that is not possible here.
func (h *Handle) LoadPorts() (err error) {
	root, err := cgroupRoot()
	if err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	spec, err := loadPort()
	if err != nil {
		return fmt.Errorf("read eBPF object: %w", err)
	}
	hooks := portHooks()
	names := make([]string, len(hooks))
	for i, hook := range hooks {
		names[i] = hook.name
	}
	if err := pinPrograms(h.dir, spec, names...); err != nil {
		return err
	}
	var made []string // links that were not there before
	defer func() {
		for _, pin := range slices.Backward(made) {
			if err != nil {
				err = errors.Join(err, os.Remove(pin))
			}
		}
	}()
	for _, hook := range hooks {
		pin := h.portLink(hook.name)
		fresh := !there(pin)
		if err := h.linkPinned(hook.name, pin, root, hook.at); err != nil {
			return errors.Join(ErrUnavailable, err)
		}
		if fresh {
			made = append(made, pin)
		}
	}
	return nil
}
