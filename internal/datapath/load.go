// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The committed objects are those of clang 14.0.6, which Debian 12 has: with the same
// one scripts/fresh.sh compares them.
//
//go:generate go tool bpf2go -target bpfel -cflags "-O2 -g -Wall -Werror -Wextra -Wno-unused-parameter -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" endpoint ../../bpf/endpoint.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -target bpfel -cflags "-O2 -g -Wall -Werror -Wextra -Wno-unused-parameter -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" socket ../../bpf/socket.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -target bpfel -cflags "-O2 -g -Wall -Werror -Wextra -Wno-unused-parameter -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" port ../../bpf/port.bpf.c -- -I../../bpf
//go:generate go tool bpf2go -target bpfel -cflags "-mcpu=v3 -O2 -g -Wall -Werror -Wextra -Wno-unused-parameter -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" accel ../../bpf/accel.bpf.c -- -I../../bpf
//go:generate sh -c "sed -i \"s/^const build = .*/const build = \\\"$(cat endpoint_bpfel.o socket_bpfel.o port_bpfel.o accel_bpfel.o | sha256sum | cut -c 1-16)\\\"/\" build.go"

// load loads the programs and pins them and their maps. Maps that are pinned
// already are used: they know the containers that run. A load that was killed
// leaves maps, or a directory without the last program, and is made good.
func load() (err error) {
	dir, err := makePinDir()
	if err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	defer func() {
		if err != nil && os.Remove(dir) == nil { // it is empty: nobody uses it
			err = errors.Join(err, unmountOwn(dir))
		}
	}()
	// Before Linux 5.11 maps count as locked memory. The library's own package
	// for this asks the kernel at import, on every start; failing, the load tells.
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	spec, err := loadEndpoint()
	if err != nil {
		return fmt.Errorf("read eBPF object: %w", err)
	}
	return pinPrograms(dir, spec, pinFrom, pinTo)
}

// pinPrograms loads an object and pins its maps, which all builds share, and its
// programs, which are this build's, in the given order. A map whose pin was lost is
// found again.
func pinPrograms(dir string, spec *ebpf.CollectionSpec, names ...string) error {
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinByName
	}
	if err := restore(dir, slices.Collect(maps.Keys(spec.Maps))); err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: dir}})
	if err != nil {
		return errors.Join(ErrUnavailable, fmt.Errorf("load eBPF programs: %w", err))
	}
	defer coll.Close()
	programs := programDir(dir)
	if err := os.Mkdir(programs, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make pin directory: %w", err)
	}
	for _, name := range names {
		path := filepath.Join(programs, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove unfinished pin: %w", err)
		}
		if err := coll.Programs[name].Pin(path); err != nil {
			return fmt.Errorf("pin program %s: %w", name, err)
		}
	}
	return nil
}

// Available says, without a trace on the host, why OpenOrLoad would fail: nil if
// the programs are loaded, or as far as is known can be. Other errors than that of
// a hostile pin directory wrap ErrUnavailable.
func Available() error {
	h, err := Open()
	if err == nil {
		h.Close()
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if pinDir() == "" {
		if err := ownPlace(); err != nil {
			return err
		}
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	return m.Close()
}

// Unload removes all pins, wherever there are some, and the bpffs if it is ours. Programs
// that are attached stay so, with their maps.
func Unload() error {
	var errs []error
	for _, root := range []string{systemFS, ownFS} {
		if isBPFFS(root) {
			errs = append(errs, unload(filepath.Join(root, layoutDir)))
		}
	}
	if !isBPFFS(ownFS) {
		removeOwnFS() // of one who was killed before the mount, or after its end
	}
	return errors.Join(errs...)
}

func unload(dir string) error {
	if err := trusted(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return unmountOwn(dir)
		}
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	return unmountOwn(dir)
}

// unmountOwn removes the bpffs of a pin directory that is gone, if it is ours. Who looks
// into it just now does not keep it.
func unmountOwn(dir string) error {
	if filepath.Dir(dir) != ownFS {
		return nil
	}
	if err := unix.Unmount(ownFS, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", ownFS, err)
	}
	removeOwnFS()
	return nil
}
