// SPDX-License-Identifier: MIT OR Apache-2.0

package bpfsys

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// AttachType says where a program hangs (enum bpf_attach_type of
// include/uapi/linux/bpf.h).
type AttachType uint32

// The attach types in use.
const (
	SockOps    AttachType = unix.BPF_CGROUP_SOCK_OPS
	NetkitPeer AttachType = 55 // what leaves by the peer of a netkit device (Linux 6.7)
)

// Pin gives an object a name on a bpffs, by which it lives on.
func (fd FD) Pin(path string) error {
	name, err := unix.ByteSliceFromString(path)
	if err != nil {
		return fmt.Errorf("pin %q: %w", path, err)
	}
	attr := objAttr{pathname: unsafe.Pointer(unsafe.SliceData(name)), bpfFD: uint32(fd)}
	if _, errno := call(unix.BPF_OBJ_PIN, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errno != 0 {
		return fmt.Errorf("pin %q: %w", path, errno)
	}
	return nil
}

// linkAttr is the part of union bpf_attr for BPF_LINK_CREATE.
type linkAttr struct {
	program, target, attachType, flags uint32
}

// LinkCgroup links a program to a cgroup (Linux 5.7), beside those of others. The
// link ends with its last descriptor or pin.
func LinkCgroup(program FD, cgroup int, t AttachType) (FD, error) {
	attr := linkAttr{program: uint32(program), target: uint32(cgroup), attachType: uint32(t)}
	fd, errno := call(unix.BPF_LINK_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if errno != 0 {
		return -1, fmt.Errorf("link program to cgroup: %w", errno)
	}
	return FD(fd), nil
}

// UpdateLink puts another program in the place of a link's, atomically.
func (fd FD) UpdateLink(program FD) error {
	attr := struct{ link, program, flags, old uint32 }{link: uint32(fd), program: uint32(program)}
	if _, errno := call(unix.BPF_LINK_UPDATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errno != 0 {
		return fmt.Errorf("update link: %w", errno)
	}
	return nil
}

// attachAttr is the part of union bpf_attr for BPF_PROG_ATTACH to a device.
type attachAttr struct {
	target, program, attachType, flags uint32
	replace                            uint32
	relative                           uint32
	revision                           uint64
}

// queryAttr is the part of union bpf_attr for BPF_PROG_QUERY of a device.
type queryAttr struct {
	target, attachType, flags, attachFlags uint32
	programs                               unsafe.Pointer
	count                                  uint32
	_                                      uint32
	programFlags, links, linkFlags         uint64
	revision                               uint64
}

// AttachDevice attaches a program to a device (netkit: Linux 6.7) as the only one
// there, atomically in place of whichever is: whoever owns the device is the only one
// to do so. The kernel waits for a grace period. The program goes with the device.
func AttachDevice(program FD, ifindex int, t AttachType) error {
	attr := attachAttr{target: uint32(ifindex), program: uint32(program), attachType: uint32(t)}
	id, err := AttachedTo(ifindex, t)
	if err != nil {
		return err
	}
	if id != 0 {
		old, err := byID(id)
		if err != nil {
			return err
		}
		defer old.Close()
		attr.flags, attr.replace = unix.BPF_F_REPLACE, uint32(old)
	}
	if _, errno := call(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errno != 0 {
		return fmt.Errorf("attach program to device %d: %w", ifindex, errno)
	}
	return nil
}

// AttachedTo is the identifier of the first program on a device, 0 if there is none.
func AttachedTo(ifindex int, t AttachType) (uint32, error) {
	var ids [8]uint32
	attr := queryAttr{target: uint32(ifindex), attachType: uint32(t), programs: unsafe.Pointer(&ids), count: uint32(len(ids))}
	if _, errno := call(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errno != 0 {
		return 0, fmt.Errorf("list programs of device %d: %w", ifindex, errno)
	}
	if attr.count == 0 {
		return 0, nil
	}
	return ids[0], nil
}

// byID opens a program by its identifier.
func byID(id uint32) (FD, error) {
	attr := struct{ id, next, flags uint32 }{id: id}
	fd, errno := call(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if errno != 0 {
		return -1, fmt.Errorf("open program %d: %w", id, errno)
	}
	return FD(fd), nil
}
