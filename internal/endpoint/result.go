// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"net"
	"slices"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// result is what ADD reports: the shared interface, the host end and the
// container's, after whatever plugins earlier in the chain made.
func (l *layout) result(r *request, gatewayMAC net.HardwareAddr, dns cniproto.DNS) *cniproto.Result {
	out := &cniproto.Result{CNIVersion: r.call.Config.CNIVersion, DNS: dns}
	if r.prev != nil {
		out.Interfaces = slices.Clone(r.prev.Interfaces)
		out.IPs = slices.Clone(r.prev.IPs)
		out.Routes = slices.Clone(r.prev.Routes)
		if dns.IsZero() {
			out.DNS = r.prev.DNS
		}
	}
	out.Interfaces = append(out.Interfaces,
		cniproto.Interface{Name: l.gatewayIf, Mac: gatewayMAC.String()},
		cniproto.Interface{Name: l.hostIf, Mac: l.hostMAC.String(), MTU: l.mtu},
		cniproto.Interface{Name: l.key.IfName, Mac: l.containerMAC.String(), MTU: l.mtu, Sandbox: r.call.Env.Netns},
	)
	container := len(out.Interfaces) - 1
	for _, ip := range l.ips {
		ip.Interface = &container
		out.IPs = append(out.IPs, ip)
	}
	out.Routes = append(out.Routes, l.routes...)
	return out
}
