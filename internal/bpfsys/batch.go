// SPDX-License-Identifier: MIT OR Apache-2.0

package bpfsys

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchAttr is the part of union bpf_attr for the BPF_MAP_*_BATCH commands.
type batchAttr struct {
	in, out      unsafe.Pointer
	keys, values unsafe.Pointer
	count        uint32
	mapFD        uint32
	elemFlags    uint64
	flags        uint64
}

// Entries are keys of a map, one behind the other, and their values likewise.
type Entries struct {
	Keys, Values []byte
	Count        int
}

// Add appends an entry.
func (e *Entries) Add(key, value []byte) {
	e.Keys, e.Values, e.Count = append(e.Keys, key...), append(e.Values, value...), e.Count+1
}

// Key is the key of the entry of a number.
func (e Entries) Key(i int) []byte { return part(e.Keys, i, e.Count) }

// Value is the value of the entry of a number.
func (e Entries) Value(i int) []byte { return part(e.Values, i, e.Count) }

func part(all []byte, i, count int) []byte {
	size := len(all) / count
	return all[i*size:][:size]
}

// from are the entries from a number on.
func (e Entries) from(i int) Entries {
	return Entries{Keys: e.Keys[i*len(e.Keys)/e.Count:], Values: e.Values[i*len(e.Values)/e.Count:], Count: e.Count - i}
}

// UpdateAll writes entries of a hash, new or not, by one call (Linux 5.6). After an
// error those before the one that could not be written are there.
func (fd FD) UpdateAll(e Entries) error {
	for e.Count > 0 {
		done, err := fd.batch(unix.BPF_MAP_UPDATE_BATCH, e)
		// The kernel's store of entries is filled up aside, and may be empty now.
		if err != nil && (done == 0 || !errors.Is(err, unix.ENOMEM)) {
			return fmt.Errorf("update map: %w", err)
		}
		e = e.from(done)
	}
	return nil
}

// DeleteAll removes entries of a hash likewise. One that is not there is passed over.
func (fd FD) DeleteAll(e Entries) error {
	for e.Count > 0 {
		done, err := fd.batch(unix.BPF_MAP_DELETE_BATCH, e)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("delete map entries: %w", err)
		}
		if err != nil {
			done++
		}
		e = e.from(done)
	}
	return nil
}

// batch says with how many entries a command was done.
func (fd FD) batch(command uintptr, e Entries) (int, error) {
	attr := batchAttr{
		keys: unsafe.Pointer(unsafe.SliceData(e.Keys)), values: unsafe.Pointer(unsafe.SliceData(e.Values)),
		count: uint32(e.Count), mapFD: uint32(fd),
	}
	_, errno := call(command, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if errno == 0 {
		return e.Count, nil
	}
	if int(attr.count) >= e.Count { // it has not got so far as to count
		return 0, errno
	}
	return int(attr.count), errno
}
