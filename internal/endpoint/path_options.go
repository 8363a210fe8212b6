// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/rtnl"
)

// pathOptions are the keys of a network configuration that say which way packets
// take and who may send some. The defaults, which their zero values are as well, are what
// makes the data path fast and safe where the kernel can, and nothing where it cannot.
type pathOptions struct {
	FastPath      string   `json:"fastPath"`
	Device        string   `json:"device"`
	BigTCP        bigTCP   `json:"bigTCP"`
	Congestion    string   `json:"localCongestionControl"`
	Isolation     *string  `json:"isolation"`
	AllowNetworks []string `json:"allowNetworks"`
	HostAccess    *bool    `json:"hostAccess"`
}

// defaultPath is what keys that are left out say. An empty text is none of their values.
func defaultPath() pathOptions {
	return pathOptions{FastPath: modeAuto, Device: modeAuto, Congestion: modeAuto}
}

// The values of the keys. Without isolation it is network where that can be had.
const (
	modeAuto     = "auto"
	modeRequired = "required"
	modeOff      = "off"
	modeNetwork  = "network"
	modeLocal    = "local"
)

// fastPath says whether packets are to be delivered directly.
func (o pathOptions) fastPath() bool { return o.FastPath != modeOff }

// isolated says whether other networks are to be kept out.
func (o pathOptions) isolated() bool { return o.Isolation == nil || *o.Isolation != modeOff }

// insistsOnIsolation says whether it is asked for in so many words.
func (o pathOptions) insistsOnIsolation() bool { return o.Isolation != nil && o.isolated() }

// hostClosed says whether containers may not call the host.
func (o pathOptions) hostClosed() bool { return o.HostAccess != nil && !*o.HostAccess }

// device is the kind of pair. A netkit's program is attached with a wait for a
// grace period, which a default must not cost (ADR 14).
func (o pathOptions) device() rtnl.Kind {
	if o.Device == string(rtnl.Netkit) {
		return rtnl.Netkit
	}
	return rtnl.Veth
}

// namesCongestion says whether a congestion control is asked for by name.
func (o pathOptions) namesCongestion() bool {
	return !slices.Contains([]string{"", modeAuto, modeOff}, o.Congestion)
}

// wantsPrograms says whether any of them asks for the eBPF programs.
func (o pathOptions) wantsPrograms() bool {
	return o.fastPath() || o.isolated() || o.needsPrograms()
}

// needsPrograms says whether one cannot do without.
func (o pathOptions) needsPrograms() bool {
	return o.FastPath == modeRequired || o.insistsOnIsolation() || o.hostClosed() || o.namesCongestion()
}

// maxCongestionName is TCP_CA_NAME_MAX less the final NUL (include/net/tcp.h).
const maxCongestionName = 15

func (o pathOptions) validate() error {
	for _, key := range []struct {
		name  string
		value *string
		valid []string
	}{
		{"fastPath", &o.FastPath, []string{modeAuto, modeRequired, modeOff}},
		{"device", &o.Device, []string{modeAuto, string(rtnl.Veth), string(rtnl.Netkit)}},
		{"isolation", o.Isolation, []string{modeNetwork, modeOff}},
	} {
		if key.value != nil && !slices.Contains(key.valid, *key.value) {
			return fmt.Errorf("%s %q: want one of %q", key.name, *key.value, key.valid)
		}
	}
	if o.Congestion == "" || len(o.Congestion) > maxCongestionName || slices.ContainsFunc([]byte(o.Congestion), notOfCongestion) {
		return fmt.Errorf("localCongestionControl %q: want auto, off, or a name of at most %d letters, digits, _ and -", o.Congestion, maxCongestionName)
	}
	for _, name := range o.AllowNetworks {
		if err := cniproto.ValidateNetworkName(name); err != nil {
			return fmt.Errorf("allowNetworks: %w", err)
		}
	}
	return nil
}

func notOfCongestion(c byte) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
}

// bigTCP is the key of that name: a mode, or bytes.
type bigTCP struct {
	mode  string
	bytes int
}

// The limits of a size, bytes: what the kernel takes without being asked
// (GSO_LEGACY_MAX_SIZE) and the most (GSO_MAX_SIZE of include/linux/netdevice.h).
const (
	legacySize = 65536
	maxSize    = 8 * 65535
)

// UnmarshalJSON reads a string or a number. null is absent, as everywhere.
func (b *bigTCP) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	if json.Unmarshal(raw, &b.mode) == nil && slices.Contains([]string{modeAuto, modeLocal, modeOff}, b.mode) {
		return nil
	}
	if json.Unmarshal(raw, &b.bytes) == nil && b.bytes >= legacySize && b.bytes <= maxSize {
		return nil
	}
	return fmt.Errorf("bigTCP %s: want auto, local, off, or bytes from %d to %d", raw, legacySize, maxSize)
}
