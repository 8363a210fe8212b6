// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultDir is where records live. It outlives a reboot, so that a container
// that comes back gets its address back.
const DefaultDir = "/var/lib/cni/emerita"

// suffix ends the name of every record; it begins with the network, and '@' is
// no character of a network name.
const suffix = ".json"

// Store is an open state directory.
type Store struct {
	dir string
	fd  int
}

// Open opens a state directory, and makes it (0700) if create is true. It
// refuses a directory that somebody else could write to. Without create, a
// missing directory is an error that wraps fs.ErrNotExist.
func Open(dir string, create bool) (*Store, error) {
	fd, err := openDir(dir)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make state directory: %w", err)
		}
		fd, err = openDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open state directory: %w", err)
	}
	if err := trusted(fd, dir); err != nil {
		return nil, fmt.Errorf("open state directory %w", err)
	}
	return &Store{dir: dir, fd: fd}, nil
}

// trusted closes a directory that somebody else could write to, and says so.
func trusted(fd int, dir string) error {
	var st unix.Stat_t
	err := os.NewSyscallError("fstat", unix.Fstat(fd, &st))
	if err == nil {
		err = ours(&st, dir)
	} else {
		err = fmt.Errorf("%q: %w", dir, err)
	}
	if err != nil {
		unix.Close(fd)
	}
	return err
}

// ours refuses what is no directory, or one that somebody else could write to.
func ours(st *unix.Stat_t, dir string) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%q: %w: put a directory there, not a symbolic link or a file", dir, unix.ENOTDIR)
	case os.Geteuid() != 0 && st.Uid == 0:
		return fmt.Errorf("%q is root's: run as root: %w", dir, fs.ErrPermission)
	case int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0:
		return fmt.Errorf("%q: owner %d, mode %#o: it must be ours and writable by nobody else: chown and chmod 0700 it", dir, st.Uid, st.Mode&0o7777)
	}
	return nil
}

func openDir(dir string) (int, error) {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return -1, fmt.Errorf("open %s: %w: put a directory there, not a symbolic link or a file", dir, err)
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fd, nil
}

// Close closes the directory.
func (s *Store) Close() error { return unix.Close(s.fd) }

// Writable says why no record could be written, such as a file system that is
// mounted read-only, or why nobody could take a lock.
func (s *Store) Writable() error {
	if err := unix.Faccessat(s.fd, ".", unix.W_OK|unix.X_OK, 0); err != nil {
		return fmt.Errorf("write state directory %q: %w: mount it writable", s.dir, err)
	}
	fd, err := s.openLock(0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func fileName(k Key) string { return k.Network + "@" + k.Hash() + suffix }

// Load reads the record of a key. No record, and one that a power cut left torn
// or that is not of this key, is nil without error: nothing that matters is in
// it that cannot be found otherwise.
func (s *Store) Load(k Key) (*Record, error) {
	r, err := s.read(fileName(k))
	if r == nil || r.Key != k {
		return nil, err
	}
	return r, nil
}

// read decodes a record file: JSON lines, of which the last whole one counts.
func (s *Store) read(name string) (*Record, error) {
	raw, err := s.readFile(name)
	for len(raw) > 0 {
		line := raw[bytes.LastIndexByte(raw[:len(raw)-1], '\n')+1:]
		r := new(Record)
		if json.Unmarshal(line, r) == nil && r.Version == recordVersion {
			return r, nil
		}
		raw = raw[:len(raw)-len(line)]
	}
	return nil, err
}

// Save writes a record in place of an older one. It is not synced: a record
// says what lives in the kernel, and that does not survive a power cut either.
func (s *Store) Save(r *Record) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	return s.writeFile(fileName(r.Key), line)
}

// Update writes a new version of a record that this call has saved, behind the
// old one: no second file has to be renamed over the first, which ext4 would
// write out to disk there and then.
func (s *Store) Update(r *Record) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	return s.appendFile(fileName(r.Key), line)
}

func encode(r *Record) ([]byte, error) {
	r.Version = recordVersion
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record of %v: %w", r.Key, err)
	}
	return append(raw, '\n'), nil
}

// Remove deletes the record of a key, and what a killed Save left of it. None
// is success. It needs no free block.
func (s *Store) Remove(k Key) error {
	name := fileName(k)
	_ = unix.Unlinkat(s.fd, tempName(name), 0)
	if err := unix.Unlinkat(s.fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove record: %w", &os.PathError{Op: "unlink", Path: s.dir + "/" + name, Err: err})
	}
	return nil
}

// Empty says whether there is no record at all, torn ones included. It reads no
// more of the directory than it takes to find one, so that a DEL may ask.
func (s *Store) Empty() (bool, error) {
	dir, err := os.Open(s.dir)
	if err != nil {
		return false, fmt.Errorf("list records: %w", err)
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(64)
		if slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "@") && !strings.HasPrefix(n, ".") }) {
			return false, nil
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("list records: %w", err)
		}
	}
}

// List reads all records of a network, or of all networks if it is empty. It
// skips torn ones.
func (s *Store) List(network string) ([]*Record, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	var all []*Record
	for _, e := range entries {
		name := e.Name()
		owner, _, ok := strings.Cut(name, "@")
		if !ok || !strings.HasSuffix(name, suffix) || strings.HasPrefix(name, ".") || network != "" && owner != network {
			continue
		}
		r, err := s.read(name)
		if err != nil {
			return nil, err
		}
		if r != nil && fileName(r.Key) == name {
			all = append(all, r)
		}
	}
	return all, nil
}
