// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
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
	return fmt.Sprintf("%s of %s", p.fileName(), p.HostIP)
}

// portsDir holds a file for each claimed port, named PROTOCOL-PORT. Its lines are the
// claims: an address of the host, and the record file of the attachment that has the
// port there. A claim is found by name, however many there are; one whose record is
// gone counts for nothing.
const portsDir = "ports"

// maxClaims bounds what is read of one such file, bytes.
const maxClaims = 64 << 10

func (p Port) fileName() string { return fmt.Sprintf("%s-%d", p.Protocol, p.HostPort) }

// overlaps says whether two addresses at one port are the same port for somebody.
func overlaps(a, b netip.Addr) bool {
	return a.Is4() == b.Is4() && (a == b || a.IsUnspecified() || b.IsUnspecified())
}

// Ports is the open directory of claims. Whoever has it open holds the lock of shared
// objects, so that a file is read once.
type Ports struct {
	store *Store
	fd    int
	known map[string][]Claim // by name of the file
}

// OpenPorts opens the directory, and makes it if create is true; else a missing one is
// nil without error: nobody has claimed anything.
func (s *Store) OpenPorts(create bool) (*Ports, error) {
	if create {
		if err := unix.Mkdirat(s.fd, portsDir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("make directory of ports: %w", &os.PathError{Op: "mkdir", Path: s.dir + "/" + portsDir, Err: err})
		}
	}
	fd, err := unix.Openat(s.fd, portsDir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) && !create {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open directory of ports: %w", &os.PathError{Op: "open", Path: s.dir + "/" + portsDir, Err: err})
	}
	return &Ports{store: s, fd: fd, known: map[string][]Claim{}}, nil
}

// ForgetPorts removes the directory of claims if nobody has any.
func (s *Store) ForgetPorts() error {
	err := unix.Unlinkat(s.fd, portsDir, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return os.NewSyscallError("remove directory of ports", err)
}

// Close closes the directory.
func (d *Ports) Close() error { return unix.Close(d.fd) }

// Claim is a line of a port's file.
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

// ReleaseIf takes back the claims of a file that gone says so of.
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

// Names are the files of all claimed ports.
func (d *Ports) Names() ([]string, error) {
	dir, err := os.Open(d.store.dir + "/" + portsDir)
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

// read parses the claims of a file; none if there is no file. Lines that are none, such
// as a torn last one, are skipped: to write them was the last thing that their ADD did.
func (d *Ports) read(name string) ([]Claim, error) {
	claims, ok := d.known[name]
	if ok {
		return claims, nil
	}
	claims, err := d.parse(name)
	if err == nil {
		d.known[name] = claims
	}
	return claims, err
}

func (d *Ports) parse(name string) ([]Claim, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, d.failed("open", name, err)
	}
	defer unix.Close(fd)
	var claims []Claim
	buf := make([]byte, 512) // more than a file has as a rule
	n, err := unix.Read(fd, buf)
	for err == nil && n == len(buf) && n < maxClaims {
		buf = append(buf, make([]byte, len(buf))...)
		var more int
		more, err = unix.Read(fd, buf[n:])
		n += more
		if more == 0 {
			break
		}
	}
	if err != nil {
		return nil, d.failed("read", name, err)
	}
	for line := range bytes.Lines(buf[:n]) {
		addr, holder, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		a, err := netip.ParseAddr(addr)
		if ok && err == nil && strings.HasSuffix(string(line), "\n") {
			claims = append(claims, Claim{a, holder})
		}
	}
	return claims, nil
}

// write puts claims in place of those of a file: by a new file if there is none yet, by
// a rename otherwise. Without claims the file goes.
func (d *Ports) write(name string, claims []Claim) error {
	d.known[name] = claims
	if len(claims) == 0 {
		if err := unix.Unlinkat(d.fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return d.failed("unlink", name, err)
		}
		return nil
	}
	var raw []byte
	for _, c := range claims {
		raw = append(raw, c.HostIP.String()+" "+c.Holder+"\n"...)
	}
	fd, err := unix.Openat(d.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return d.failed("write", name, writeClose(fd, raw)) // what a crash leaves of it is no line
	}
	tmp := tempName(name)
	fd, err = unix.Openat(d.fd, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return d.failed("open", tmp, err)
	}
	if err := writeClose(fd, raw); err != nil {
		return d.failed("write", tmp, err)
	}
	return d.failed("rename", name, unix.Renameat(d.fd, tmp, d.fd, name))
}

func (d *Ports) failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("claim port: %w", &os.PathError{Op: op, Path: d.store.dir + "/" + portsDir + "/" + name, Err: err})
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
