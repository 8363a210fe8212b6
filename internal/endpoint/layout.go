// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/nft"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// layout is what the kernel shall hold for an attachment. ADD builds it, CHECK
// compares it; it is computed from the configuration and the addresses alone.
type layout struct {
	key          state.Key
	hostIf       string
	hostIndex    int // known once the interface exists
	hostMAC      net.HardwareAddr
	containerMAC net.HardwareAddr
	gatewayIf    string
	mtu          int // bytes
	routeMTU     int // bytes, of what leaves the host; 0 if as the interface's
	offload      offloads
	device       rtnl.Kind
	masquerade   bool
	programs     bool                   // eBPF programs are attached
	fastPath     bool                   // deliver directly where eBPF can
	isolated     bool                   // only within the network and with the allowed ones
	allowed      []string               // networks
	hostClosed   bool                   // it may not call the host
	congestion   *datapath.Congestion   // of local connections; nil if the host's
	acceleration *datapath.Acceleration // of its sockets; nil if none
	ports        []state.Port           // of the host, that lead to it
	loopback     bool                   // also at loopback addresses of the host
	limits       limits                 // of bandwidth
	ifbIndex     int                    // of the device for that of egress, if there is one

	ips      []cniproto.IPConfig // gateway filled in
	gateways []netip.Addr        // next hops of the container, each once
	onHost   []netip.Addr        // those of them that the shared interface carries
	routes   []cniproto.Route    // next hop filled in
}

// newLayout names everything that does not depend on addresses.
func newLayout(r *request) *layout {
	k := r.call.key()
	l := &layout{
		key: k, hostIf: k.HostIfName(), hostMAC: k.HostMAC(), containerMAC: k.ContainerMAC(),
		gatewayIf: r.options.GatewayInterface, masquerade: r.options.IPMasq,
		device: r.options.device(), fastPath: r.options.fastPath(), isolated: r.options.isolated(),
		allowed: r.options.AllowNetworks, hostClosed: r.options.hostClosed(),
		limits: r.options.limited,
	}
	// Packets that are delivered directly pass no queue. Where one direction has a limit,
	// the other goes by the host as well: its connection tracking must see both.
	l.fastPath = l.fastPath && !l.limits.any()
	if r.mac != nil {
		l.containerMAC = r.mac
	}
	return l
}

// chooseMTU takes the configured MTU, or the smallest of the uplinks that the
// container's addresses can use.
func (l *layout) chooseMTU(configured int, up4, up6 uplink) error {
	l.mtu = configured
	if l.mtu == 0 {
		l.mtu = min(up4.mtu, up6.mtu)
	}
	if l.has(false) && l.mtu < minMTU6 {
		return cniproto.Errorf(cniproto.CodeInvalidConfig, "choose MTU", "%d: IPv6 needs at least %d: raise mtu or remove the IPv6 ranges", l.mtu, minMTU6)
	}
	return nil
}

// The next hops of a network that has no room for a gateway address, as
// Calico's: the container reaches them through a permanent neighbour, and they
// are on no interface.
func linkLocalGateway(v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte{169, 254, 1, 1})
	}
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1})
}

// onNoInterface says so of a next hop. Any link-local one of IPv6 may be: the kernel takes
// none as the source of a route by another link than that on which it is.
func onNoInterface(gw netip.Addr) bool {
	return gw == linkLocalGateway(true) || gw.Is6() && gw.IsLinkLocalUnicast()
}

// plan fills in the next hops: of an address without gateway the first of its
// network, of a route without one the gateway of its family.
func (l *layout) plan(ips []cniproto.IPConfig, routes []cniproto.Route) error {
	if len(ips) == 0 {
		return cniproto.Errorf(cniproto.CodeIPAM, "plan addresses", "IPAM gave no address")
	}
	if len(routes) > cniproto.MaxRoutes {
		return cniproto.Errorf(cniproto.CodeInvalidConfig, "plan routes", "%w", cniproto.TooManyRoutes(len(routes)))
	}
	first := map[bool]netip.Addr{} // by "is IPv4"
	for _, ip := range ips {
		addr := ip.Address.Addr()
		if slices.Contains(l.addrs(), addr) {
			return cniproto.Errorf(cniproto.CodeIPAM, "plan addresses", "IPAM gave %s twice", addr)
		}
		if ip.Gateway.IsValid() && ip.Gateway.Is4() != addr.Is4() {
			return cniproto.Errorf(cniproto.CodeIPAM, "plan addresses", "gateway %s of %s is of the other address family", ip.Gateway, ip.Address)
		}
		own := ip.Gateway.IsValid()
		if !own {
			ip.Gateway = ip.Address.Masked().Addr().Next()
			own = ip.Address.Bits() < addr.BitLen()-1 && ip.Gateway != addr
			if !own {
				ip.Gateway = linkLocalGateway(addr.Is4())
			}
		}
		if ip.Gateway == addr {
			return cniproto.Errorf(cniproto.CodeIPAM, "plan addresses", "%s is both the container's address and its gateway", addr)
		}
		if own && !onNoInterface(ip.Gateway) && !slices.Contains(l.onHost, ip.Gateway) {
			l.onHost = append(l.onHost, ip.Gateway)
		}
		if _, ok := first[addr.Is4()]; !ok {
			first[addr.Is4()] = ip.Gateway
		}
		l.addGateway(ip.Gateway)
		l.ips = append(l.ips, ip)
	}
	for _, r := range routes {
		gw, ok := first[r.Dst.Addr().Is4()]
		if !ok && !r.GW.IsValid() {
			return cniproto.Errorf(cniproto.CodeInvalidConfig, "plan routes", "route %s: the container has no address of that family", r.Dst)
		}
		if !r.GW.IsValid() && !onLink(r) {
			r.GW = gw
		}
		if r.GW.IsValid() {
			l.addGateway(r.GW)
		}
		l.routes = append(l.routes, r)
	}
	return nil
}

// onLink says that a route is of the narrow scopes, link and host, which the
// kernel takes without a next hop only (fib_create_info in net/ipv4).
func onLink(r cniproto.Route) bool { return r.Scope != nil && *r.Scope >= unix.RT_SCOPE_LINK }

func (l *layout) addGateway(a netip.Addr) {
	if !slices.Contains(l.gateways, a) {
		l.gateways = append(l.gateways, a)
	}
}

// addrs are the container's addresses.
func (l *layout) addrs() []netip.Addr {
	out := make([]netip.Addr, len(l.ips))
	for i, ip := range l.ips {
		out[i] = ip.Address.Addr()
	}
	return out
}

// has says whether the container has an address of a family.
func (l *layout) has(v4 bool) bool {
	return slices.ContainsFunc(l.ips, func(ip cniproto.IPConfig) bool { return ip.Address.Addr().Is4() == v4 })
}

// networks are the prefixes for nftables.
func (l *layout) networks() []nft.Network {
	out := make([]nft.Network, len(l.ips))
	for i, ip := range l.ips {
		out[i] = nft.Network{Prefix: ip.Address.Masked(), Masquerade: l.masquerade}
	}
	return out
}

// alias names the owner of the host interface for whoever reads `ip link`, and
// for GC.
func (l *layout) alias() string { return alias(l.key) }

const aliasPrefix = "emerita:"

// maxAlias is IFALIASZ less the final NUL (include/uapi/linux/if.h).
const maxAlias = 255

// alias is the key, or the key's hash if it is too long; GC then relies on the
// record.
func alias(k state.Key) string {
	if text := aliasPrefix + k.String(); len(text) <= maxAlias {
		return text
	}
	return aliasPrefix + k.Hash()
}

// hostRoutes lead from the host to the container. Their source address is the
// gateway's, which every container of the network has a route to.
func (l *layout) hostRoutes(index int) []rtnl.Route {
	var out []rtnl.Route
	for _, ip := range l.ips {
		r := rtnl.Route{Dst: hostPrefix(ip.Address.Addr()), Link: index, Scope: unix.RT_SCOPE_LINK}
		if slices.Contains(l.onHost, ip.Gateway) {
			r.Src = ip.Gateway
		}
		out = append(out, r)
	}
	return out
}

// linkRoutes make the next hops reachable in the container, and its own network
// through them: nothing else is on its link.
func (l *layout) linkRoutes(index int) []rtnl.Route {
	var out []rtnl.Route
	for _, g := range l.gateways {
		out = append(out, rtnl.Route{Dst: hostPrefix(g), Link: index, Scope: unix.RT_SCOPE_LINK})
	}
	for _, ip := range l.ips {
		if p := ip.Address.Masked(); !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() {
			out = append(out, rtnl.Route{Dst: p, Gateway: ip.Gateway, Src: ip.Address.Addr(), Link: index})
		}
	}
	return out
}

// farRoutes are those that IPAM and the configuration ask for.
func (l *layout) farRoutes(index int) []rtnl.Route {
	var out []rtnl.Route
	for _, r := range l.routes {
		route := rtnl.Route{Dst: r.Dst.Masked(), Gateway: r.GW, Link: index, Priority: r.Priority, MTU: r.MTU, AdvMSS: r.AdvMSS}
		if r.Table != nil {
			route.Table = *r.Table
		}
		if r.Scope != nil {
			route.Scope = uint8(*r.Scope)
		}
		if !slices.ContainsFunc(out, func(o rtnl.Route) bool {
			return o.Dst == route.Dst && o.Table == route.Table && o.Priority == route.Priority
		}) {
			out = append(out, route)
		}
	}
	return out
}

// String is for logs.
func (l *layout) String() string {
	return fmt.Sprintf("%s: %s, addresses %v", l.key, l.hostIf, l.ips)
}
