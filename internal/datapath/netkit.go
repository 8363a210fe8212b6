// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import "github.com/emerita-cni/emerita/internal/bpfsys"

// AttachNetkit puts the program for what a container sends on the peer of a netkit
// device (Linux 6.7), given the index of its host end; atomically in place of the one
// of another build. What the host sends to the container has the same hook as with a
// veth pair: on the one of netkit a packet has forgotten where it came in.
func (h *Handle) AttachNetkit(ifindex int) error {
	return bpfsys.AttachDevice(h.FromContainer, ifindex, bpfsys.NetkitPeer)
}

// AttachedNetkit is the identifier of the program on the peer of a netkit device, 0 if
// there is none.
func AttachedNetkit(ifindex int) (uint32, error) {
	return bpfsys.AttachedTo(ifindex, bpfsys.NetkitPeer, pinFrom)
}
