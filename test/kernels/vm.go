// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostTag is the name under which a machine finds the host's files.
const hostTag = "host"

// fileServers are where Debian has virtiofsd: of qemu up to 7, and the later one.
var fileServers = []string{"/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"}

// vm is an emulated machine.
type vm struct {
	dir    string // for its files: initrd, plan, console, events
	kernel *kernel
	cpus   int
	memory string
}

func (m *vm) path(name string) string { return filepath.Join(m.dir, name) }

// run starts the machine and waits until it is off. The tests' events are in the file
// "events" then, what the kernel said in "console".
func (m *vm) run(ctx context.Context, p plan) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(m.dir), os.MkdirAll(m.dir, 0o755)); err != nil {
		return err
	}
	if err := writeInitrd(m.path("initrd"), m.kernel, self); err != nil {
		return err
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.path("plan"), raw, 0o644); err != nil {
		return err
	}
	// The path of a socket is short.
	sockets, err := os.MkdirTemp("", "kernels-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sockets)
	socket := filepath.Join(sockets, "fs")
	stop, err := serveFiles(ctx, socket, m.path("virtiofsd"))
	if err != nil {
		return err
	}
	defer stop()

	// Neither KVM nor its cpu type: what the emulation can is all there is.
	out, err := exec.CommandContext(ctx, "nice", "qemu-system-x86_64",
		"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", fmt.Sprint(m.cpus), "-m", m.memory,
		"-object", "memory-backend-memfd,id=memory,share=on,size="+m.memory, "-numa", "node,memdev=memory",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-serial", "file:"+m.path("console"),
		"-chardev", "socket,id=host,path="+socket, "-device", "vhost-user-fs-pci,chardev=host,tag="+hostTag,
		"-device", "virtio-serial-pci", "-chardev", "file,id=events,path="+m.path("events"),
		"-device", "virtserialport,chardev=events",
		"-kernel", m.kernel.file("vmlinuz"), "-initrd", m.path("initrd"),
		"-append", "console=ttyS0 quiet panic=-1 "+planParameter+m.path("plan"),
	).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run qemu: %w: %s", err, out)
	}
	return nil
}

// serveFiles shares the host's files with a machine, and returns a function that ends it.
func serveFiles(ctx context.Context, socket, log string) (stop func(), err error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	listener.SetUnlinkOnClose(false)
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	errs, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer errs.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", shareFilesWord)
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // which makes mounts private
	cmd.Stdout, cmd.Stderr = errs, errs
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start virtiofsd: %w", err)
	}
	return func() { _, _ = cmd.Process.Kill(), cmd.Wait() }, nil
}

// shareFilesWord makes the program serve the host's files.
const shareFilesWord = "share-files"

// shareFiles becomes the server of the host's files on the socket that is descriptor 3,
// in its mount namespace in which nothing can be written any more.
func shareFiles() error {
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &readOnly); err != nil {
		return fmt.Errorf("make mounts read-only: %w", err)
	}
	for _, server := range fileServers {
		err := unix.Exec(server, []string{server, "--fd=3", "-o", "source=/,cache=always,sandbox=chroot"}, os.Environ())
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("run %s: %w", server, err)
		}
	}
	return fmt.Errorf("find virtiofsd at %q: %w", fileServers, fs.ErrNotExist)
}
