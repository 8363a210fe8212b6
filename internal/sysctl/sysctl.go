// SPDX-License-Identifier: MIT OR Apache-2.0

package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Family is the directory of an address family under /proc/sys/net.
type Family string

// The families that have interface settings.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// All is the pseudo-interface whose settings are the namespace's own.
const All = "all"

// path names the file of a setting. Interface names cannot hold a slash, so
// they cannot lead elsewhere (validated before anything is done).
func path(f Family, iface, key string) string {
	return "/proc/sys/net/" + string(f) + "/conf/" + iface + "/" + key
}

// Get reads a setting, such as Get(IPv4, "eth0", "forwarding"). The error wraps
// fs.ErrNotExist when the kernel has no such setting or no such interface.
func Get(f Family, iface, key string) (string, error) {
	p := path(f, iface, key)
	raw, err := os.ReadFile(p)
	if err != nil {
		return "", fmt.Errorf("read sysctl: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// Set writes a setting. Where /proc/sys is read-only, a setting that has the
// value already is fine.
func Set(f Family, iface, key, value string) error {
	p := path(f, iface, key)
	err := write(p, value)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		if now, rerr := Get(f, iface, key); rerr == nil && now == value {
			return nil
		}
	}
	return fmt.Errorf("set sysctl net.%s.conf.%s.%s to %s: %w", f, iface, key, value, err)
}

// write avoids os.WriteFile, which asks the poller about every file it opens.
func write(p, value string) error {
	fd, err := unix.Open(p, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

// Has says whether the kernel knows a setting for an interface.
func Has(f Family, iface, key string) bool {
	return unix.Access(path(f, iface, key), unix.F_OK) == nil
}
