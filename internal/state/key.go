// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net"
	"strings"
)

// Key identifies an attachment, as the CNI specification does: one interface of
// one container on one network. All names in the kernel are functions of it, so
// that DEL and GC find every object without a record.
type Key struct {
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

// hostIfPrefix begins the name of every host-side interface.
const hostIfPrefix = "em"

// base32Lower has no upper case (names may land on case-insensitive file
// systems) and none of the characters that an interface name may not have.
var base32Lower = base32.HexEncoding.WithPadding(base32.NoPadding)

func (k Key) String() string {
	return fmt.Sprintf("%s/%s/%s", k.Network, k.ContainerID, k.IfName)
}

// sum hashes the key. NUL separates the fields: none of them can hold one.
func (k Key) sum(purpose string) [sha256.Size]byte {
	return sha256.Sum256([]byte(purpose + "\x00" + k.Network + "\x00" + k.ContainerID + "\x00" + k.IfName))
}

// hashLen is 130 bits of base32.
const hashLen = 26

// Hash is the key's name in the state directory.
func (k Key) Hash() string {
	s := k.sum("attachment")
	return strings.ToLower(base32Lower.EncodeToString(s[:]))[:hashLen]
}

// HostIfName is the name of the host-side interface: 15 characters, the most
// that IFNAMSIZ allows, 13 of them (65 bits) from the hash.
func (k Key) HostIfName() string { return hostIfName(k.Hash()) }

func hostIfName(hash string) string { return hostIfPrefix + hash[:13] }

// IsHostIfName says whether an interface has the name that belongs to a key's hash.
func IsHostIfName(name, hash string) bool {
	return len(hash) == hashLen && name == hostIfName(hash)
}

// HostMAC is the address of the host-side interface. It is given in the very
// message that creates the interface, and so is also the mark of ownership: an
// interface with the derived name and another address is somebody else's.
func (k Key) HostMAC() net.HardwareAddr { return k.mac("host") }

// ifbPrefix begins the name of every ifb device.
const ifbPrefix = "ei"

// IfbName is the name of the device by which what the container sends is limited, if
// it is.
func (k Key) IfbName() string {
	return ifbPrefix + k.Hash()[:13]
}

// IfbMAC is the address of that device, and the mark of ownership as HostMAC is.
func (k Key) IfbMAC() net.HardwareAddr { return k.mac("ifb") }

// ContainerMAC is the address of the container's interface when nobody asks
// for another one.
func (k Key) ContainerMAC() net.HardwareAddr { return k.mac("container") }

// mac is a locally administered unicast address (IEEE 802: bit 1 set, bit 0
// clear in the first octet).
func (k Key) mac(purpose string) net.HardwareAddr {
	s := k.sum("mac " + purpose)
	s[0] = s[0]&^1 | 2
	return net.HardwareAddr(s[:6])
}
