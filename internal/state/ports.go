// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Port is a port of the host that leads to one of a container.
type Port struct {
	Protocol      string     `json:"protocol"` // tcp, udp or sctp
	HostIP        netip.Addr `json:"hostIP"`   // unspecified: every one of the family
	HostPort      uint16     `json:"hostPort"`
	ContainerIP   netip.Addr `json:"containerIP"` // of the same family
	ContainerPort uint16     `json:"containerPort"`
}

func (p Port) String() string {
	return fmt.Sprintf("%s port %d at %s", p.Protocol, p.HostPort, p.HostIP)
}

// DefaultRunDir is where claims live, in memory: they say what the kernel leads where,
// and end with it. On a disk, making and removing hundreds of files takes longer than all
// the rest of an ADD.
const DefaultRunDir = "/run/emerita"

// portsDir holds a symbolic link for each claimed port, named PROTOCOL-PORT, which takes
// one system call to make, to read or to remove. It leads nowhere: its text is the claims,
// each an address of the host, and the record file of the attachment that has the port
// there. A claim is found by name, however many there are; one whose record is gone
// counts for nothing.
const portsDir = "ports"

func (p Port) fileName() string { return fmt.Sprintf("%s-%d", p.Protocol, p.HostPort) }

// overlaps says whether two addresses at one port are the same port for somebody.
func overlaps(a, b netip.Addr) bool {
	return a.Is4() == b.Is4() && (a == b || a.IsUnspecified() || b.IsUnspecified())
}

// Ports is the open directory of claims. Whoever has it open holds the lock of shared
// objects, so that a claim is read once.
type Ports struct {
	dir   string
	fd    int
	known map[string][]Claim // by name of the link
}

// OpenPorts opens the directory below a run directory, and makes both if create is true;
// else a missing one is nil without error: nobody has claimed anything. It refuses
// directories that somebody else could write to: who can write to the first could put
// another in place of the second, and with it take the claims away.
func OpenPorts(runDir string, create bool) (*Ports, error) {
	dir := filepath.Join(runDir, portsDir)
	var st unix.Stat_t
	if unix.Lstat(runDir, &st) == nil { // else what follows tells
		if err := ours(&st, runDir); err != nil {
			return nil, fmt.Errorf("open directory of ports: %w", err)
		}
	}
	fd, err := openDir(dir)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make directory of ports: %w", err)
		}
		fd, err = openDir(dir)
	}
	if errors.Is(err, fs.ErrNotExist) && !create {
		return nil, nil
	}
	if err == nil {
		err = trusted(fd, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open directory of ports: %w", err)
	}
	return &Ports{dir: dir, fd: fd, known: map[string][]Claim{}}, nil
}

// ForgetPorts removes the directories if nobody has claimed anything.
func ForgetPorts(runDir string) error {
	for _, dir := range []string{filepath.Join(runDir, portsDir), runDir} {
		err := unix.Rmdir(dir)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("remove directory of ports: %w", &os.PathError{Op: "rmdir", Path: dir, Err: err})
		}
	}
	return nil
}

// Close closes the directory.
func (d *Ports) Close() error { return unix.Close(d.fd) }

// Claim is a part of a port's link.
type Claim struct {
	HostIP netip.Addr
	Holder string // name of a record file: ByName gives the record
}

// Others are the claims of a port, but for those of the key, at an address that overlaps
// the port's.
func (d *Ports) Others(p Port, but Key) ([]Claim, error) {
	claims, err := d.read(p.fileName())
	return slices.DeleteFunc(slices.Clone(claims), func(c Claim) bool {
		return c.Holder == fileName(but) || !overlaps(c.HostIP, p.HostIP)
	}), err
}

// Has says whether the key has claimed the port.
func (d *Ports) Has(p Port, k Key) (bool, error) {
	claims, err := d.read(p.fileName())
	for _, c := range claims {
		if c.HostIP == p.HostIP && c.Holder == fileName(k) {
			return true, nil
		}
	}
	return false, err
}

// Claim gives a port to a key, and takes it from whom the caller knows to be gone:
// from everybody else who has it.
func (d *Ports) Claim(p Port, k Key) error {
	name := p.fileName()
	old, err := d.read(name)
	if err != nil {
		return err
	}
	claims := []Claim{{p.HostIP, fileName(k)}}
	for _, c := range old {
		if !overlaps(c.HostIP, p.HostIP) {
			claims = append(claims, c)
		}
	}
	return d.write(name, claims)
}

// Release takes back the claim of a key, if it has one.
func (d *Ports) Release(p Port, k Key) error {
	return d.ReleaseIf(p.fileName(), func(c Claim) bool {
		return c.HostIP == p.HostIP && c.Holder == fileName(k)
	})
}

// ReleaseIf takes back the claims of a link that gone says so of.
func (d *Ports) ReleaseIf(name string, gone func(Claim) bool) error {
	old, err := d.read(name)
	if err != nil {
		return err
	}
	stay := slices.DeleteFunc(slices.Clone(old), gone)
	if len(stay) == len(old) && len(old) > 0 {
		return nil
	}
	return d.write(name, stay)
}

// Names are the links of all claimed ports.
func (d *Ports) Names() ([]string, error) {
	dir, err := os.Open(d.dir)
	if err != nil {
		return nil, fmt.Errorf("list claimed ports: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list claimed ports: %w", err)
	}
	return names, nil
}

// separator stands between claims, and cannot be part of one.
const separator = ","

// read parses the claims of a link; none if there is no link. What is no claim is skipped.
func (d *Ports) read(name string) ([]Claim, error) {
	if claims, ok := d.known[name]; ok {
		return claims, nil
	}
	var buf [4096]byte // PATH_MAX
	n, err := unix.Readlinkat(d.fd, name, buf[:])
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) { // or none of our links
		return nil, d.failed("readlink", name, err)
	}
	var claims []Claim
	for text := range strings.SplitSeq(string(buf[:max(n, 0)]), separator) {
		addr, holder, ok := strings.Cut(text, " ")
		if a, err := netip.ParseAddr(addr); ok && err == nil {
			claims = append(claims, Claim{a, holder})
		}
	}
	d.known[name] = claims
	return claims, nil
}

// write puts claims in place of those of a link: by a new link if there is none, else by
// one rename. Without claims the link goes.
func (d *Ports) write(name string, claims []Claim) error {
	d.known[name] = claims
	if len(claims) == 0 {
		if err := unix.Unlinkat(d.fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return d.failed("unlink", name, err)
		}
		return nil
	}
	var parts []string
	for _, c := range claims {
		parts = append(parts, c.HostIP.String()+" "+c.Holder)
	}
	text := strings.Join(parts, separator)
	err := unix.Symlinkat(text, d.fd, name)
	if !errors.Is(err, unix.EEXIST) {
		return d.failed("symlink", name, err)
	}
	tmp := tempName(name)
	if err := unix.Unlinkat(d.fd, tmp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return d.failed("unlink", tmp, err)
	}
	if err := unix.Symlinkat(text, d.fd, tmp); err != nil {
		return d.failed("symlink", tmp, err)
	}
	return d.failed("rename", name, unix.Renameat(d.fd, tmp, d.fd, name))
}

func (d *Ports) failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("claim port: %w", &os.PathError{Op: op, Path: d.dir + "/" + name, Err: err})
}

// ByName reads the record of a holder; nil if it is gone.
func (s *Store) ByName(name string) (*Record, error) {
	if !strings.HasSuffix(name, suffix) || strings.ContainsRune(name, '/') {
		return nil, nil
	}
	r, err := s.read(name)
	if r == nil || fileName(r.Key) != name {
		return nil, err
	}
	return r, nil
}
