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
	SockOps       AttachType = unix.BPF_CGROUP_SOCK_OPS
	SKMsgVerdict  AttachType = unix.BPF_SK_MSG_VERDICT // what the sockets of a map send; by link Linux 6.10
	RawTracepoint AttachType = unix.BPF_TRACE_RAW_TP   // the one for which the program was loaded; by link Linux 5.19
	NetkitPeer    AttachType = 55                      // what leaves by the peer of a netkit device (Linux 6.7)

	Inet4Connect     AttachType = unix.BPF_CGROUP_INET4_CONNECT // Linux 4.17
	Inet6Connect     AttachType = unix.BPF_CGROUP_INET6_CONNECT
	UDP4SendMsg      AttachType = unix.BPF_CGROUP_UDP4_SENDMSG // without connection (Linux 4.18)
	UDP6SendMsg      AttachType = unix.BPF_CGROUP_UDP6_SENDMSG
	UDP4RecvMsg      AttachType = unix.BPF_CGROUP_UDP4_RECVMSG // who asks for the source (Linux 5.2)
	UDP6RecvMsg      AttachType = unix.BPF_CGROUP_UDP6_RECVMSG
	Inet4GetPeerName AttachType = unix.BPF_CGROUP_INET4_GETPEERNAME // Linux 5.8
	Inet6GetPeerName AttachType = unix.BPF_CGROUP_INET6_GETPEERNAME
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

// linkAttr is the part of union bpf_attr for BPF_LINK_CREATE, with what tracing programs
// take.
type linkAttr struct {
	program, target, attachType, flags uint32
	_                                  uint64 // target_btf_id
	cookie                             uint64
}

// Link links a program to what a descriptor stands for, a cgroup (Linux 5.7), where it
// is beside those of others, or a map. The link ends with its last descriptor or pin.
func Link(program FD, target int, t AttachType) (FD, error) {
	return createLink(linkAttr{program: uint32(program), target: uint32(target), attachType: uint32(t)}, unsafe.Offsetof(linkAttr{}.cookie)-8)
}

// LinkTracing links a tracing program to what it was loaded for; a tracepoint's reads the
// cookie (Linux 6.10).
func LinkTracing(program FD, t AttachType, cookie uint64) (FD, error) {
	return createLink(linkAttr{program: uint32(program), attachType: uint32(t), cookie: cookie}, unsafe.Sizeof(linkAttr{}))
}

func createLink(attr linkAttr, size uintptr) (FD, error) {
	fd, errno := call(unix.BPF_LINK_CREATE, unsafe.Pointer(&attr), size)
	if errno != 0 {
		return -1, fmt.Errorf("link program: %w", errno)
	}
	return FD(fd), nil
}

// Linked is the identifier of the program of a link (Linux 5.8).
func (fd FD) Linked() (uint32, error) {
	var is struct{ typ, id, program uint32 } // the beginning of struct bpf_link_info
	if err := fd.describe(unsafe.Pointer(&is), unsafe.Sizeof(is)); err != nil {
		return 0, fmt.Errorf("describe link: %w", err)
	}
	return is.program, nil
}

// Kinds of links of which Detached knows what they hang on (enum bpf_link_type).
const (
	linkCgroup  = unix.BPF_LINK_TYPE_CGROUP
	linkSockMap = 14 // Linux 6.10
)

// Detached says whether a link to a cgroup or a map hangs on nothing any more, because
// somebody detached it (BPF_LINK_DETACH): its pin stays, and it can do nothing more.
func (fd FD) Detached() (bool, error) {
	var is struct { // the beginning of struct bpf_link_info
		typ, id, program, _ uint32
		target              [2]uint32 // a cgroup's identifier, or that of a map and another field
	}
	if err := fd.describe(unsafe.Pointer(&is), unsafe.Sizeof(is)); err != nil {
		return false, fmt.Errorf("describe link: %w", err)
	}
	switch is.typ {
	case linkCgroup:
		return is.target == [2]uint32{}, nil
	case linkSockMap:
		return is.target[0] == 0, nil
	}
	return false, nil
}

// Exists says whether there is a program of an identifier.
func Exists(program uint32) bool {
	fd, err := byID(program)
	if err == nil {
		fd.Close()
	}
	return err == nil
}

// UpdateLink puts another program in the place of a link's, atomically. The error wraps
// unix.ENOLINK if it is Detached.
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

// AttachDevice attaches a program to a device (netkit: Linux 6.7), atomically in place
// of one of the same name, and beside those of others. The kernel waits for a grace
// period. The program goes with the device.
func AttachDevice(program FD, ifindex int, t AttachType) error {
	return attach(program, ifindex, t, 0)
}

// AttachCgroup attaches a program to an open cgroup in the same way. It goes with the
// cgroup.
func AttachCgroup(program FD, cgroup int, t AttachType) error {
	return attach(program, cgroup, t, unix.BPF_F_ALLOW_MULTI)
}

// DetachCgroup takes the program of a name off an open cgroup. Where there is none that
// is success.
func DetachCgroup(cgroup int, t AttachType, name string) error {
	id, err := AttachedTo(cgroup, t, name)
	if err != nil || id == 0 {
		return err
	}
	program, err := byID(id)
	if err != nil {
		return err
	}
	defer program.Close()
	attr := attachAttr{target: uint32(cgroup), program: uint32(program), attachType: uint32(t)}
	if _, errno := call(unix.BPF_PROG_DETACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errno != 0 {
		return fmt.Errorf("detach program from cgroup: %w", errno)
	}
	return nil
}

func attach(program FD, target int, t AttachType, flags uint32) error {
	own, err := program.info()
	if err != nil {
		return err
	}
	attr := attachAttr{target: uint32(target), program: uint32(program), attachType: uint32(t), flags: flags}
	id, err := AttachedTo(target, t, own.name())
	if err != nil {
		return err
	}
	if id == own.id { // the kernel does not replace a program by itself
		return nil
	}
	if id != 0 {
		old, err := byID(id)
		if err != nil {
			return err
		}
		defer old.Close()
		attr.flags, attr.replace = flags|unix.BPF_F_REPLACE, uint32(old)
	}
	if _, errno := call(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errno != 0 {
		if id, err = AttachedTo(target, t, own.name()); err == nil && id == own.id {
			return nil // another process has been faster
		}
		return fmt.Errorf("attach program to %d: %w", target, errno)
	}
	return nil
}

// AttachedTo is the identifier of the program of a name on a device, by its index, or on
// an open cgroup, 0 if there is none.
func AttachedTo(target int, t AttachType, name string) (uint32, error) {
	var ids [64]uint32 // the most that either takes (BPF_MPROG_MAX, BPF_CGROUP_MAX_PROGS)
	attr := queryAttr{target: uint32(target), attachType: uint32(t), programs: unsafe.Pointer(&ids), count: uint32(len(ids))}
	if _, errno := call(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errno != 0 {
		return 0, fmt.Errorf("list programs of %d: %w", target, errno)
	}
	for _, id := range ids[:min(int(attr.count), len(ids))] {
		fd, err := byID(id)
		if err != nil {
			return 0, err
		}
		is, err := fd.info()
		fd.Close()
		if err != nil {
			return 0, err
		}
		if is.name() == name {
			return id, nil
		}
	}
	return 0, nil
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

// programInfo is the beginning of struct bpf_prog_info.
type programInfo struct {
	typ, id uint32
	_       [56]byte // tag to map_ids
	text    [unix.BPF_OBJ_NAME_LEN]byte
}

func (i programInfo) name() string { return unix.ByteSliceToString(i.text[:]) }

// info describes a program (Linux 4.15).
func (fd FD) info() (programInfo, error) {
	var is programInfo
	if err := fd.describe(unsafe.Pointer(&is), unsafe.Sizeof(is)); err != nil {
		return is, fmt.Errorf("describe program: %w", err)
	}
	return is, nil
}

// describe fills in what the kernel tells of an object.
func (fd FD) describe(is unsafe.Pointer, size uintptr) error {
	attr := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{fd: uint32(fd), size: uint32(size), info: is}
	if _, errno := call(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); errno != 0 {
		return errno
	}
	return nil
}
