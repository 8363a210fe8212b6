// SPDX-License-Identifier: MIT OR Apache-2.0

package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// Port is a port of the host to which connections are forgotten: those that lead to a
// target which has it no more, or all that lead anywhere but to the one that has it now.
// So none is lost that was begun meanwhile.
type Port struct {
	Protocol uint8      // unix.IPPROTO_TCP and the like
	Addr     netip.Addr // unspecified: every address of the host and of the family
	Port     uint16
	Target   netip.AddrPort
	Gone     bool // the target has the port no more
}

// The messages of ctnetlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
const (
	ctGet     = 1 // IPCTNL_MSG_CT_GET
	ctDelete  = 2 // IPCTNL_MSG_CT_DELETE
	ctaTuple  = 1 // CTA_TUPLE_ORIG
	ctaReply  = 2 // CTA_TUPLE_REPLY
	ctaID     = 12
	ctaZone   = 18
	ctaIP     = 1 // CTA_TUPLE_IP
	ctaProto  = 2 // CTA_TUPLE_PROTO
	ctaSrcV4  = 1
	ctaDstV4  = 2
	ctaSrcV6  = 3
	ctaDstV6  = 4
	ctaNumber = 1 // CTA_PROTO_NUM
	ctaSport  = 2 // CTA_PROTO_SRC_PORT
	ctaDport  = 3 // CTA_PROTO_DST_PORT
)

// Tracked says whether the kernel tracks any connection of this namespace: mostly what
// makes Forget, which walks through the table of the whole machine, unnecessary.
func Tracked() bool {
	fd, err := unix.Open("/proc/sys/net/netfilter/nf_conntrack_count", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // there is no connection tracking
	}
	defer unix.Close(fd)
	var buf [32]byte
	n, err := unix.Read(fd, buf[:])
	return err == nil && strings.TrimSpace(string(buf[:n])) != "0"
}

// Forget deletes the connections that were begun to the ports and lead to where those do
// not lead: to the address of the port, or to one that local says the host has. All
// others stay, also those to the same port of another machine. It walks through the kernel's table: some 12 ms for 262,144
// buckets, however few connections there are.
func Forget(ports []Port, local func(netip.Addr) bool) (forgotten int, err error) {
	c, err := nlmsg.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("forget connections: %w", err)
	}
	defer c.Close()
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		of := slices.DeleteFunc(slices.Clone(ports), func(p Port) bool { return p.Addr.Is4() != (family == unix.AF_INET) })
		if len(of) == 0 {
			continue
		}
		found, err := find(c, family, of, local)
		if err != nil {
			return forgotten, err
		}
		for _, b := range found {
			switch err := c.Do(b); {
			case err == nil:
				forgotten++
			case !errors.Is(err, unix.ENOENT): // it ended by itself
				return forgotten, err
			}
		}
	}
	return forgotten, nil
}

// find returns a request for each connection to be deleted.
func find(c *nlmsg.Conn, family byte, ports []Port, local func(netip.Addr) bool) (found []*nlmsg.Batch, err error) {
	type port struct {
		protocol uint8
		port     uint16
	}
	wanted := map[port][]Port{}
	for _, p := range ports {
		k := port{p.Protocol, p.Port}
		wanted[k] = append(wanted[k], p)
	}
	err = c.Get(begin(ctGet, unix.NLM_F_DUMP, family), func(_ uint16, payload []byte) error {
		e, ok := parse(payload)
		if !ok {
			return nil
		}
		if slices.ContainsFunc(wanted[port{e.protocol, e.port}], func(p Port) bool {
			return (p.Addr == e.dst || p.Addr.IsUnspecified() && local(e.dst)) && (e.target == p.Target) == p.Gone
		}) {
			found = append(found, e.deletion(family))
		}
		return nil
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // the kernel has no connection tracking
	}
	return found, err
}

func begin(typ, flags uint16, family byte) *nlmsg.Batch {
	b := new(nlmsg.Batch)
	b.Begin(unix.NFNL_SUBSYS_CTNETLINK<<8|typ, flags, "forget connections")
	b.Raw([]byte{family, unix.NFNETLINK_V0, 0, 0})
	return b
}

// entry is what is needed of a tracked connection.
type entry struct {
	protocol uint8
	dst      netip.Addr // as it was begun
	port     uint16
	target   netip.AddrPort // who answers
	tuple    []byte         // CTA_TUPLE_ORIG as it came
	id, zone []byte
}

func parse(payload []byte) (e entry, ok bool) {
	if len(payload) < 4 {
		return e, false
	}
	for typ, v := range nlmsg.Attrs(payload[4:]) {
		switch typ {
		case ctaTuple:
			t := parseTuple(v)
			e.tuple, e.protocol, e.dst, e.port = slices.Clone(v), t.protocol, t.dst, t.dport
		case ctaReply:
			t := parseTuple(v)
			e.target = netip.AddrPortFrom(t.src, t.sport)
		case ctaID:
			e.id = slices.Clone(v)
		case ctaZone:
			e.zone = slices.Clone(v)
		}
	}
	return e, e.port != 0 && e.dst.IsValid()
}

// tuple is a direction of a connection; ICMP and others have no ports.
type tuple struct {
	protocol     uint8
	src, dst     netip.Addr
	sport, dport uint16
}

func parseTuple(raw []byte) (t tuple) {
	for part, v := range nlmsg.Attrs(raw) {
		for typ, w := range nlmsg.Attrs(v) {
			switch {
			case part == ctaIP && (typ == ctaSrcV4 || typ == ctaSrcV6):
				t.src, _ = netip.AddrFromSlice(w)
			case part == ctaIP && (typ == ctaDstV4 || typ == ctaDstV6):
				t.dst, _ = netip.AddrFromSlice(w)
			case part == ctaProto && typ == ctaNumber && len(w) == 1:
				t.protocol = w[0]
			case part == ctaProto && typ == ctaSport && len(w) == 2:
				t.sport = binary.BigEndian.Uint16(w)
			case part == ctaProto && typ == ctaDport && len(w) == 2:
				t.dport = binary.BigEndian.Uint16(w)
			}
		}
	}
	return t
}

// deletion names the connection by tuple, zone and identifier: another one of the same
// tuple that has begun meanwhile is not meant.
func (e *entry) deletion(family byte) *nlmsg.Batch {
	b := begin(ctDelete, 0, family)
	b.Bytes(unix.NLA_F_NESTED|ctaTuple, e.tuple)
	if e.zone != nil {
		b.Bytes(ctaZone, e.zone)
	}
	if e.id != nil {
		b.Bytes(ctaID, e.id)
	}
	return b
}
