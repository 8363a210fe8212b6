// SPDX-License-Identifier: MIT OR Apache-2.0

package testutil

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// apart runs a probe in network and mount namespaces of its own, on a thread
// that is thrown away. A loopback interface is there, as number 1.
func apart(probe func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNET|unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		if err != nil {
			done <- fmt.Errorf("enter namespaces: %w", err)
			return
		}
		done <- probe()
	}()
	return <-done
}

const loopback = 1

// do sends one request to the kernel.
func do(b *nlmsg.Batch) error {
	c, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(b)
}

func ifinfo(b *nlmsg.Batch, index, flags uint32) {
	p := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(p[4:], index)
	binary.NativeEndian.PutUint32(p[8:], flags)
	binary.NativeEndian.PutUint32(p[12:], flags)
	b.Raw(p)
}

// probeLink makes a device of a kind. The kernel loads the module.
func probeLink(kind string) error {
	var b nlmsg.Batch
	b.Begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "create "+kind)
	ifinfo(&b, 0, 0)
	b.String(unix.IFLA_IFNAME, "probe")
	b.Nest(unix.IFLA_LINKINFO, func() { b.String(unix.IFLA_INFO_KIND, kind) })
	return do(&b)
}

// probeQdisc gives the loopback interface a qdisc.
func probeQdisc(kind string, handle, parent uint32) error {
	var b nlmsg.Batch
	b.Begin(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "add qdisc "+kind)
	tcmsg := make([]byte, 20)
	binary.NativeEndian.PutUint32(tcmsg[4:], loopback)
	binary.NativeEndian.PutUint32(tcmsg[8:], handle)
	binary.NativeEndian.PutUint32(tcmsg[12:], parent)
	b.Raw(tcmsg)
	b.String(unix.TCA_KIND, kind)
	return do(&b)
}

// Handles of include/uapi/linux/pkt_sched.h.
const (
	tcHRoot   = 0xffffffff // TC_H_ROOT
	tcHClsact = 0xfffffff1 // TC_H_CLSACT
)

func probeClsact() error { return probeQdisc("clsact", tcHClsact&0xffff0000, tcHClsact) }

func probeFQ() error { return probeQdisc("fq", 0, tcHRoot) }

// probeBigTCPIPv4 looks for the attribute in what the kernel tells of a device: one
// that does not know it would ignore it when told (rtnl_fill_ifinfo, Linux 6.3).
func probeBigTCPIPv4() error {
	const gsoIPv4MaxSize = 63 // IFLA_GSO_IPV4_MAX_SIZE
	c, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.Close()
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETLINK, 0, "look at lo")
	ifinfo(&b, loopback, 0)
	found := false
	err = c.Get(&b, func(_ uint16, payload []byte) error {
		for typ := range nlmsg.Attrs(payload[unix.SizeofIfInfomsg:]) {
			found = found || typ == gsoIPv4MaxSize
		}
		return nil
	})
	if err == nil && !found {
		return errors.New("a link has no IFLA_GSO_IPV4_MAX_SIZE")
	}
	return err
}

// probeAddrProto adds a marked address to lo, and looks whether it has the mark: a kernel
// that does not know it passes over it.
func probeAddrProto() error {
	const ifaProto = 11 // IFA_PROTO of include/uapi/linux/if_addr.h
	c, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.Close()
	head := make([]byte, unix.SizeofIfAddrmsg)
	var b nlmsg.Batch
	b.Begin(unix.RTM_NEWADDR, unix.NLM_F_CREATE, "add address to lo")
	head[0], head[1] = unix.AF_INET, 32
	binary.NativeEndian.PutUint32(head[4:], loopback)
	b.Raw(head)
	b.Bytes(unix.IFA_LOCAL, []byte{127, 0, 0, 9})
	b.U8(ifaProto, 100)
	if err := c.Do(&b); err != nil {
		return err
	}
	b = nlmsg.Batch{}
	b.Begin(unix.RTM_GETADDR, unix.NLM_F_DUMP, "list addresses")
	b.Raw(make([]byte, unix.SizeofIfAddrmsg))
	found := false
	err = c.Get(&b, func(_ uint16, payload []byte) error {
		for typ, v := range nlmsg.Attrs(payload[unix.SizeofIfAddrmsg:]) {
			found = found || typ == ifaProto && len(v) == 1 && v[0] == 100
		}
		return nil
	})
	if err == nil && !found {
		return errors.New("an address has no IFA_PROTO")
	}
	return err
}

func probeIPv6ForceForward() error {
	_, err := os.Stat("/proc/sys/net/ipv6/conf/lo/force_forwarding")
	return err
}

// probeTCPOption sets an option of a TCP socket that is not connected.
func probeTCPOption(option int, value string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return os.NewSyscallError("setsockopt", unix.SetsockoptString(fd, unix.IPPROTO_TCP, option, value))
}

func probeMPTCP() error { return probeStream(unix.IPPROTO_MPTCP) }

func probeSCTP() error { return probeStream(unix.IPPROTO_SCTP) }

// probeStream opens a socket of a protocol. The kernel loads the module.
func probeStream(protocol int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	return unix.Close(fd)
}

func probeBBR() error { return probeTCPOption(unix.TCP_CONGESTION, "bbr") }

// probeTLS tells the refusal of a socket that is not connected, by the protocol
// (tls_init of net/tls/tls_main.c), from that of a kernel without it.
func probeTLS() error {
	if err := probeTCPOption(unix.TCP_ULP, "tls"); !errors.Is(err, unix.ENOTCONN) {
		return err
	}
	return nil
}

// probeCIFS mounts nothing: the kernel says whether it is for want of the file system, for
// which it loads the module.
func probeCIFS() error {
	if err := unix.Mount("none", "/", "cifs", 0, ""); errors.Is(err, unix.ENODEV) {
		return os.NewSyscallError("mount", err)
	}
	return nil
}

func probePageFault() error {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("userfaultfd", errno)
	}
	return unix.Close(int(fd))
}
