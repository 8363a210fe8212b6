// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bootModules are needed before the host's files can be seen. Kernels have the one
// or other built in.
var bootModules = []string{"virtio_pci", "virtio_console", "virtiofs", "overlay"}

// writeInitrd writes an initial root for a kernel: this program, and the modules in the
// order in which they load.
func writeInitrd(name string, k *kernel, init string) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("make initrd: %w", err)
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	modules, err := loadOrder(k.modules(), bootModules)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	for _, dir := range []string{"dev", "proc", "sys", "host", "memory", "root", "modules"} {
		cpio(w, dir, 0o40755, nil)
	}
	for i, module := range modules {
		text, err := os.ReadFile(filepath.Join(k.modules(), module))
		if err != nil {
			return fmt.Errorf("read module: %w", err)
		}
		cpio(w, fmt.Sprintf("modules/%02d-%s", i, filepath.Base(module)), 0o100644, text)
	}
	self, err := os.ReadFile(init)
	if err != nil {
		return fmt.Errorf("read init: %w", err)
	}
	cpio(w, "init", 0o100755, self)
	cpio(w, "TRAILER!!!", 0, nil)
	return w.Flush()
}

// cpio writes an entry in the form "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
// The writer keeps its first error.
func cpio(w io.Writer, name string, mode int, text []byte) {
	fields := []int{0, mode, 0, 0, 1, 0, len(text), 0, 0, 0, 0, len(name) + 1, 0}
	head := "070701"
	for _, f := range fields {
		head += fmt.Sprintf("%08x", f)
	}
	pad := func(n int) []byte { return make([]byte, -n&3) }
	head += name + "\x00"
	w.Write(slices.Concat([]byte(head), pad(len(head))))
	w.Write(text)
	w.Write(pad(len(text)))
}

// loadOrder are the files of modules and of what they depend on, dependencies first.
// Modules that are not in modules.dep are built in.
func loadOrder(dir string, names []string) (order []string, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("read dependencies of modules: %w", err)
	}
	depends := map[string][]string{} // by name: its file and those it needs, nearest first
	for line := range bytes.Lines(raw) {
		words := strings.Fields(string(line))
		words[0] = strings.TrimSuffix(words[0], ":")
		name, _, _ := strings.Cut(filepath.Base(words[0]), ".")
		depends[strings.ReplaceAll(name, "-", "_")] = words
	}
	for _, name := range names {
		for _, file := range slices.Backward(depends[name]) {
			if !slices.Contains(order, file) {
				order = append(order, file)
			}
		}
	}
	return order, nil
}
