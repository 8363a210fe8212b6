// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// The values of portConflict: what to do about a process of the host that listens on a
// port to be published. It would hear nothing from outside any more. Some runtimes bind
// the port themselves, to keep others off it.
const (
	portConflictError  = "error" // the default
	portConflictIgnore = "ignore"
)

// checkHostIPs refuses an address that is none of the host's own: what is sent to others
// is not ours to take (CVE-2020-8554). The routes are asked, as the nftables table asks
// them: a socket can be bound to a broadcast address, and with ip_nonlocal_bind to any.
func checkHostIPs(mappings []cniproto.PortMapping) error {
	named := slices.DeleteFunc(slices.Clone(mappings), func(m cniproto.PortMapping) bool {
		return !m.HostIP.IsValid() || m.HostIP.IsUnspecified()
	})
	if len(named) == 0 {
		return nil
	}
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()
	seen := map[netip.Addr]bool{}
	for _, m := range named {
		if seen[m.HostIP] {
			continue
		}
		seen[m.HostIP] = true
		if local, _ := rtnl.IsLocal(conn, m.HostIP); !local { // no route is an error, too
			return cniproto.Errorf(cniproto.CodeInvalidConfig, "publish ports",
				"%s at hostIP %s: the host does not have that address: take one of its own, or none", m, m.HostIP)
		}
	}
	return nil
}

// checkListeners refuses ports on which a process of the host listens.
func (o options) checkListeners(ports []state.Port) error {
	if o.PortConflict == portConflictIgnore {
		return nil
	}
	for _, p := range ports {
		listens, err := listener(p)
		if err != nil {
			return cniproto.Wrap(cniproto.CodeIO, "publish ports", err)
		}
		if listens {
			return cniproto.Errorf(cniproto.CodePortTaken, "publish "+p.String(),
				`a process of the host listens there (ss -lnp 'sport = %d'): stop it, publish another port, or set "portConflict":"ignore"`, p.HostPort)
		}
	}
	return nil
}

// listener asks the kernel by binding to the port. Where that fails without a listener,
// because a connection to somewhere else has the port for its own end, the list of
// sockets tells.
func listener(p state.Port) (bool, error) {
	kind, protocol := unix.SOCK_STREAM, int(protocolOf(p.Protocol))
	switch protocol {
	case unix.IPPROTO_UDP:
		kind = unix.SOCK_DGRAM
	case unix.IPPROTO_SCTP:
		// A socket would load the module for all of the machine, and take the protocol
		// away from who has it in user space.
		if unix.Access("/proc/thread-self/net/sctp", unix.F_OK) != nil {
			return false, nil
		}
	}
	err := tryBind(kind, protocol, netip.AddrPortFrom(p.HostIP, p.HostPort))
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return protocol == unix.IPPROTO_SCTP || listed(p), nil
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return false, nil // then nobody listens
	}
	return false, err
}

// tryBind binds a socket and closes it. It fails with EADDRINUSE where a socket listens.
func tryBind(kind, protocol int, at netip.AddrPort) error {
	family := unix.AF_INET6
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	if at.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if kind == unix.SOCK_STREAM { // a connection that is ending is no listener
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fmt.Errorf("bind to %s: %w", at, os.NewSyscallError("bind", err))
	}
	return nil
}

// The states of sockets that wait to be called, as /proc/net has them: TCP_LISTEN, and
// TCP_CLOSE of an unconnected UDP socket (include/net/tcp_states.h).
const (
	stateListen = "0A"
	stateClose  = "07"
)

// listed looks for a listening socket at the port in /proc/net/tcp, udp and their like
// of IPv6, which have the sockets of the thread's own namespace.
func listed(p state.Port) bool {
	wanted := stateListen
	if p.Protocol == "udp" {
		wanted = stateClose
	}
	for _, file := range []string{p.Protocol, p.Protocol + "6"} {
		f, err := os.Open("/proc/thread-self/net/" + file)
		if err != nil {
			continue
		}
		found := false
		for lines := bufio.NewScanner(f); lines.Scan() && !found; {
			col := strings.Fields(lines.Text())
			if len(col) < 4 || col[3] != wanted {
				continue
			}
			addr, port, ok := socketAddr(col[1])
			// One of IPv6 for every address may take IPv4 as well.
			found = ok && port == p.HostPort && (addr.Is4() == p.HostIP.Is4() && (addr == p.HostIP || addr.IsUnspecified() || p.HostIP.IsUnspecified()) ||
				addr == netip.IPv6Unspecified())
		}
		f.Close()
		if found {
			return true
		}
	}
	return false
}

// socketAddr reads ADDRESS:PORT in hexadecimal, the address in words of the host's order.
func socketAddr(text string) (addr netip.Addr, port uint16, ok bool) {
	a, p, _ := strings.Cut(text, ":")
	raw, err1 := hex.DecodeString(a)
	n, err2 := strconv.ParseUint(p, 16, 16)
	if err1 != nil || err2 != nil || len(raw)%4 != 0 {
		return addr, 0, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok = netip.AddrFromSlice(raw)
	return addr.Unmap(), uint16(n), ok
}
