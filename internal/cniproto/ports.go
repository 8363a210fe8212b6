// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// PortMapping is an entry of the capability portMappings (CONVENTIONS.md): a port of
// the host that leads to one of the container.
type PortMapping struct {
	HostPort      uint16
	ContainerPort uint16
	Protocol      string     // tcp, udp or sctp
	HostIP        netip.Addr // invalid: every address of the host, of both families
}

func (m PortMapping) String() string {
	return fmt.Sprintf("%s/%d to %d", m.Protocol, m.HostPort, m.ContainerPort)
}

// maxMappings bounds a list: each takes 0.1 ms or so, in which others may wait for a lock.
const maxMappings = 16384

// ParsePortMappings reads the capability; nil for an absent one. Equal entries count
// once. A protocol that is left out is tcp. Errors have CodeInvalidConfig and name the
// entry.
func ParsePortMappings(raw json.RawMessage) ([]PortMapping, error) {
	const what = "parse portMappings"
	if raw == nil {
		return nil, nil
	}
	var in []struct {
		HostPort      int    `json:"hostPort"`
		ContainerPort int    `json:"containerPort"`
		Protocol      string `json:"protocol"`
		HostIP        string `json:"hostIP"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, Wrap(CodeInvalidConfig, what, wrongType("runtimeConfig.portMappings", &in, err))
	}
	if len(in) > maxMappings {
		return nil, Errorf(CodeInvalidConfig, what, "%d entries: the most is %d", len(in), maxMappings)
	}
	out := make([]PortMapping, 0, len(in))
	type hostSide struct {
		port     uint16
		protocol string
		ip       netip.Addr
	}
	seen := map[hostSide]uint16{}
	for i, e := range in {
		m := PortMapping{Protocol: strings.ToLower(e.Protocol)}
		var err error
		if m.HostPort, err = port("hostPort", e.HostPort); err == nil {
			m.ContainerPort, err = port("containerPort", e.ContainerPort)
		}
		if err == nil {
			m.HostIP, err = hostIP(e.HostIP)
		}
		if m.Protocol == "" {
			m.Protocol = "tcp"
		}
		if err == nil && !slices.Contains([]string{"tcp", "udp", "sctp"}, m.Protocol) {
			err = fmt.Errorf("protocol %q: want tcp, udp or sctp", e.Protocol)
		}
		if err != nil {
			return nil, Errorf(CodeInvalidConfig, what, "entry %d: %w", i, err)
		}
		host := hostSide{m.HostPort, m.Protocol, m.HostIP}
		to, twice := seen[host]
		if twice && to != m.ContainerPort {
			return nil, Errorf(CodeInvalidConfig, what, "entry %d: %s leads to port %d already", i, m, to)
		}
		if !twice {
			seen[host] = m.ContainerPort
			out = append(out, m)
		}
	}
	return out, nil
}

func port(key string, n int) (uint16, error) {
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("%s %d: want 1 to 65535", key, n)
	}
	return uint16(n), nil
}

// hostIP reads an address of the host; an empty text is the invalid address. Whether
// the host has it is not known here.
func hostIP(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err == nil && a.Zone() != "" {
		err = errors.New("an address with a zone cannot be mapped")
	}
	if a = a.Unmap(); err == nil && a.IsMulticast() {
		err = errors.New("a multicast address is no address of the host's")
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("hostIP %q: %w", text, err)
	}
	return a, nil
}
