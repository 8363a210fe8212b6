// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nft"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/state"
)

// resolvePorts says for each mapping which address of the container it leads to: the
// first of its family. One without an address of the host is for both families, and
// counts for those that the container has; so does one for every address of a family.
// What cannot be served at all is an error.
func resolvePorts(mappings []cniproto.PortMapping, ips []cniproto.IPConfig) ([]state.Port, error) {
	const what = "publish ports"
	first := map[bool]netip.Addr{} // by "is IPv4"
	for _, ip := range slices.Backward(ips) {
		first[ip.Address.Addr().Is4()] = ip.Address.Addr()
	}
	var out []state.Port
	at := map[string][]int{} // indexes of out, by protocol and port
	for _, m := range mappings {
		hosts := []netip.Addr{m.HostIP}
		if !m.HostIP.IsValid() {
			hosts = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
		}
		for _, host := range hosts {
			to, ok := first[host.Is4()]
			if !ok && !host.IsUnspecified() {
				return nil, cniproto.Errorf(cniproto.CodeInvalidConfig, what,
					"%s at hostIP %s: the container has no address of that family: give the network a range, or take another hostIP", m, host)
			}
			if !ok {
				continue
			}
			p := state.Port{Protocol: m.Protocol, HostIP: host, HostPort: m.HostPort, ContainerIP: to, ContainerPort: m.ContainerPort}
			key := fmt.Sprintf("%s/%d/%v", m.Protocol, m.HostPort, host.Is4())
			again := slices.IndexFunc(at[key], func(i int) bool {
				return out[i].HostIP == host || out[i].HostIP.IsUnspecified() || host.IsUnspecified()
			})
			if again < 0 {
				at[key] = append(at[key], len(out))
				out = append(out, p)
				continue
			}
			old := &out[at[key][again]]
			if old.ContainerPort != p.ContainerPort {
				return nil, cniproto.Errorf(cniproto.CodeInvalidConfig, what, "%s at %s: the port leads to %d already, at %s", m, host, old.ContainerPort, old.HostIP)
			}
			if host.IsUnspecified() {
				old.HostIP = host // the wider one says it all
			}
		}
	}
	return out, nil
}

// protocolOf is the number of a protocol.
func protocolOf(name string) uint8 {
	switch name {
	case "tcp":
		return unix.IPPROTO_TCP
	case "udp":
		return unix.IPPROTO_UDP
	default:
		return unix.IPPROTO_SCTP
	}
}

// tablePorts are ports of an attachment as the nftables table has them, which has no use
// for those at loopback addresses.
func tablePorts(k state.Key, ports []state.Port) []nft.Port {
	var out []nft.Port
	for _, p := range ports {
		if p.HostIP.IsLoopback() {
			continue
		}
		out = append(out, nft.Port{
			Protocol: protocolOf(p.Protocol), HostAddr: p.HostIP, HostPort: p.HostPort,
			Addr: p.ContainerIP, Port: p.ContainerPort, Owner: k.HostIfName(),
		})
	}
	return out
}

// portsOf are the ports of recorded attachments. One whose host end is gone has none: its
// address may be another's, and so may it be after a boot. One that is being made has
// those that it has claimed; one that is complete, those that nobody else has: somebody
// may have removed the claims. The caller holds the lock of shared objects.
func (p *Plugin) portsOf(records []*state.Record) ([]nft.Port, error) {
	records = slices.DeleteFunc(slices.Clone(records), func(r *state.Record) bool { return len(r.Ports) == 0 })
	if len(records) == 0 {
		return nil, nil
	}
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	dir, err := state.OpenPorts(p.RunDir, false)
	if err != nil {
		return nil, err
	}
	if dir != nil {
		defer dir.Close()
	}
	var all []nft.Port
	taken := map[nft.Port]bool{} // of the host: nftables refuse two elements of one key
	for _, r := range records {
		if _, found, err := findHostLink(conn, r.Key, r); err != nil {
			return nil, err
		} else if !found {
			continue
		}
		for _, p := range r.Ports {
			own, err := owns(dir, r, p)
			if err != nil {
				return nil, err
			}
			host := nft.Port{Protocol: protocolOf(p.Protocol), HostAddr: p.HostIP, HostPort: p.HostPort}
			if own && !taken[host] {
				taken[host] = true
				all = append(all, tablePorts(r.Key, []state.Port{p})...)
			}
		}
	}
	return all, nil
}

// owns says whether a port of a record is its attachment's. dir is nil if nobody has
// claimed anything.
func owns(dir *state.Ports, r *state.Record, p state.Port) (bool, error) {
	if dir == nil {
		return r.Phase == state.Ready, nil
	}
	if r.Phase != state.Ready {
		return dir.Has(p, r.Key)
	}
	others, err := dir.Others(p, r.Key)
	return len(others) == 0, err
}

// hasPorts says which port of attachments does not lead to them, for CHECK and STATUS.
func hasPorts(attached ...*layout) error {
	var ports []nft.Port
	for _, l := range attached {
		ports = append(ports, tablePorts(l.key, l.ports)...)
	}
	if len(ports) == 0 {
		return nil
	}
	if ok, err := nft.HasPorts(ports); err != nil {
		return fmt.Errorf("published ports: %w", err)
	} else if ok {
		return nil
	}
	for i, p := range ports {
		if ok, _ := nft.HasPorts(ports[i : i+1]); !ok {
			return fmt.Errorf("published port: table inet emerita does not lead port %d of %s to %s: somebody changed the nftables ruleset: emerita repair puts it back",
				p.HostPort, p.HostAddr, netip.AddrPortFrom(p.Addr, p.Port))
		}
	}
	return nil
}
