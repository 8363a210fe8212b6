// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Port is a port of the host that leads to one of a container.
type Port struct {
	Protocol uint8      // unix.IPPROTO_TCP and the like
	HostAddr netip.Addr // unspecified: every one of the host and of the family
	HostPort uint16
	Addr     netip.Addr // of the container, of the same family
	Port     uint16
	Owner    string // what the operator reads beside it; at most maxOwner bytes
}

// maxOwner bounds the comment of an element, bytes (NFT_USERDATA_MAXLEN is 256).
const maxOwner = 128

// mapName is the map that has the port: ports4 and ports6 for every address of the
// host, hostports4 and hostports6 for one.
func (p Port) mapName() string {
	name := "hostports"
	if p.HostAddr.IsUnspecified() {
		name = "ports"
	}
	if p.HostAddr.Is4() {
		return name + "4"
	}
	return name + "6"
}

// key is protocol [. address] . port, each padded to a register.
func (p Port) key() []byte {
	k := []byte{p.Protocol, 0, 0, 0}
	if !p.HostAddr.IsUnspecified() {
		k = append(k, p.HostAddr.AsSlice()...)
	}
	return append(binary.BigEndian.AppendUint16(k, p.HostPort), 0, 0)
}

// value is address . port of the container.
func (p Port) value() []byte {
	return append(binary.BigEndian.AppendUint16(p.Addr.AsSlice(), p.Port), 0, 0)
}

// element is the port as the library writes it.
func (p Port) element() nftables.SetElement {
	return nftables.SetElement{Key: p.key(), Val: p.value(), Comment: p.Owner[:min(len(p.Owner), maxOwner)]}
}

// maxElements is how many elements go into one message: the length of the attribute
// that holds them has 16 bits.
const maxElements = 256

// addPorts adds the maps of a family, and the rules that look into them, at the same
// cost however many ports there are:
//
//	dnat ip to meta l4proto . ip daddr . th dport map @hostports4
//	dnat ip to meta l4proto . th dport map @ports4
func (t *tableBuild) addPorts(c chains, f ipFamily, ports []Port) error {
	to := nftables.MustConcatSetType(f.typ, nftables.TypeInetService)
	maps := map[string]*nftables.Set{}
	for name, key := range map[string]nftables.SetDatatype{
		"hostports" + f.suffix: nftables.MustConcatSetType(nftables.TypeInetProto, f.typ, nftables.TypeInetService),
		"ports" + f.suffix:     nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
	} {
		maps[name] = &nftables.Set{Table: t.table, Name: name, IsMap: true, KeyType: key, DataType: to}
		if err := t.AddSet(maps[name], nil); err != nil {
			return err
		}
	}
	elements := map[string][]nftables.SetElement{}
	for _, p := range ports {
		if p.HostAddr.Is4() == f.v4 {
			elements[p.mapName()] = append(elements[p.mapName()], p.element())
		}
	}
	for name, all := range elements {
		for len(all) > 0 {
			n := min(len(all), maxElements)
			if err := t.SetAddElements(maps[name], all[:n]); err != nil {
				return err
			}
			all = all[n:]
		}
	}
	t.addDNAT(c.ports, f, maps["hostports"+f.suffix], true)
	t.addDNAT(c.ports, f, maps["ports"+f.suffix], false)
	return nil
}

func (t *tableBuild) addDNAT(chain *nftables.Chain, f ipFamily, m *nftables.Set, withAddr bool) {
	exprs := []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg(0)}}
	port := uint32(1)
	if withAddr {
		exprs = append(exprs, f.load(f.daddr, reg(1)))
		port += f.words()
	}
	exprs = append(exprs,
		&expr.Payload{DestRegister: reg(port), Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: reg(0), DestRegister: reg(0), IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f.proto), RegAddrMin: reg(0), RegProtoMin: reg(f.words())})
	t.addRule(chain, f.proto, exprs...)
}
