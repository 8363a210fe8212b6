// SPDX-License-Identifier: MIT OR Apache-2.0

package bpfsys

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FD is an open map or program. Its owner closes it.
type FD int

// Close closes the descriptor; the object lives on by its pins and users.
func (fd FD) Close() error { return unix.Close(int(fd)) }

// The attributes hold pointers as pointers, not as the integers of the kernel's
// declaration, so that the runtime can move what they point to until the call:
// on 64-bit machines the layout is the same.

// objAttr is the part of union bpf_attr for BPF_OBJ_GET and BPF_OBJ_PIN.
type objAttr struct {
	pathname  unsafe.Pointer
	bpfFD     uint32
	fileFlags uint32
}

// elemAttr is the part of union bpf_attr for the BPF_MAP_*_ELEM commands.
type elemAttr struct {
	mapFD uint32
	_     uint32
	key   unsafe.Pointer
	value unsafe.Pointer
	flags uint64
}

// Open opens the map or program pinned at a path (Linux 4.4).
func Open(path string) (FD, error) {
	name, err := unix.ByteSliceFromString(path)
	if err != nil {
		return -1, fmt.Errorf("open pin %q: %w", path, err)
	}
	attr := objAttr{pathname: unsafe.Pointer(unsafe.SliceData(name))}
	fd, errno := call(unix.BPF_OBJ_GET, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if errno != 0 {
		return -1, fmt.Errorf("open pin %q: %w", path, errno)
	}
	return FD(fd), nil
}

// Update writes an entry of a map, new or not. Key and value have exactly the
// sizes of the map's.
func (fd FD) Update(key, value []byte) error {
	return fd.elem(unix.BPF_MAP_UPDATE_ELEM, key, value, unix.BPF_ANY, "update map")
}

// Insert writes an entry that a map does not have. The error wraps unix.EEXIST
// if it has one.
func (fd FD) Insert(key, value []byte) error {
	return fd.elem(unix.BPF_MAP_UPDATE_ELEM, key, value, unix.BPF_NOEXIST, "insert into map")
}

// Delete removes an entry. The error wraps unix.ENOENT if there is none.
func (fd FD) Delete(key []byte) error {
	return fd.elem(unix.BPF_MAP_DELETE_ELEM, key, nil, 0, "delete map entry")
}

// Lookup reads an entry into value. The error wraps unix.ENOENT if there is
// none.
func (fd FD) Lookup(key, value []byte) error {
	return fd.elem(unix.BPF_MAP_LOOKUP_ELEM, key, value, 0, "look up map entry")
}

func (fd FD) elem(command uintptr, key, value []byte, flags uint64, what string) error {
	attr := elemAttr{
		mapFD: uint32(fd), flags: flags,
		key: unsafe.Pointer(unsafe.SliceData(key)), value: unsafe.Pointer(unsafe.SliceData(value)),
	}
	_, errno := call(command, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if errno != 0 {
		return fmt.Errorf("%s: %w", what, errno)
	}
	return nil
}

func call(command uintptr, attr unsafe.Pointer, size uintptr) (uintptr, unix.Errno) {
	r, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
	return r, errno
}
