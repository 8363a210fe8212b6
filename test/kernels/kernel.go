// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// kernel is an unpacked one, with its modules.
type kernel struct {
	title   string // as in the table
	version string // Debian's
	suite   string
	release string // as uname -r says
	root    string // directory that holds lib/modules
}

func (k *kernel) modules() string { return filepath.Join(k.root, "lib/modules", k.release) }

// file is the image ("vmlinuz") or the configuration ("config"), which are in /boot or,
// in packages of Linux 7, beside the modules.
func (k *kernel) file(name string) string {
	inBoot := filepath.Join(k.root, "boot", name+"-"+k.release)
	if _, err := os.Stat(inBoot); err == nil {
		return inBoot
	}
	return filepath.Join(k.modules(), name)
}

// unpack makes a kernel of its packages, unless that is done already.
func (k *kernel) unpack(cache string, debs []string) error {
	k.root = filepath.Join(cache, "roots", k.version)
	if _, err := os.Stat(k.root); errors.Is(err, fs.ErrNotExist) {
		if err := unpackAside(k.root, debs); err != nil {
			return err
		}
	}
	found, err := filepath.Glob(filepath.Join(k.root, "lib/modules/*"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("find the modules of %s: %q, %w", k.version, found, errors.Join(err, fs.ErrNotExist))
	}
	k.release = filepath.Base(found[0])
	return nil
}

// unpackAside unpacks under another name and renames when all is there.
func unpackAside(root string, debs []string) error {
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(filepath.Dir(root), ".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	for _, deb := range debs {
		if _, err := output(aside, "dpkg-deb", "-x", deb, aside); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(aside, "lib")); errors.Is(err, fs.ErrNotExist) {
		if err := os.Symlink("usr/lib", filepath.Join(aside, "lib")); err != nil {
			return err
		}
	}
	found, err := filepath.Glob(filepath.Join(aside, "lib/modules/*"))
	if err != nil {
		return err
	}
	for _, dir := range found {
		if _, err := output(aside, "depmod", "-b", aside, filepath.Base(dir)); err != nil {
			return err
		}
	}
	if err := os.Chmod(aside, 0o755); err != nil {
		return err
	}
	return os.Rename(aside, root)
}
