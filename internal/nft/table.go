// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The names of the table, which are also the operator's interface.
const (
	tableName   = "emerita"
	chainName   = "postrouting"
	networksSet = "networks" // what the other sets were made from, with comments
)

// ipFamily is the family-specific half of the table.
type ipFamily struct {
	v4               bool
	proto            byte
	saddr, daddr     uint32 // offsets in the IP header
	size             uint32 // of an address, bytes
	local, masq      string // names of sets
	typ              nftables.SetDatatype
	multicast, llink netip.Prefix // never rewritten, whoever sends there
}

func families() [2]ipFamily {
	return [2]ipFamily{
		{
			v4: true, proto: unix.NFPROTO_IPV4, saddr: 12, daddr: 16, size: 4, local: "local4", masq: "masquerade4", typ: nftables.TypeIPAddr,
			multicast: netip.MustParsePrefix("224.0.0.0/4"), llink: netip.MustParsePrefix("169.254.0.0/16"),
		},
		{
			proto: unix.NFPROTO_IPV6, saddr: 8, daddr: 24, size: 16, local: "local6", masq: "masquerade6", typ: nftables.TypeIP6Addr,
			multicast: netip.MustParsePrefix("ff00::/8"), llink: netip.MustParsePrefix("fe80::/10"),
		},
	}
}

// ruleCount is the number of rules in the chain: three for each family.
const ruleCount = 6

// build queues the whole table in place of the one that stands. Sets, chain and
// rules change in one transaction: no packet sees half of it, and whatever
// anybody did to the table is mended.
func build(c *nftables.Conn, networks []Network) error {
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	c.DelTable(table)
	table = c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	chain := c.AddChain(&nftables.Chain{
		Name: chainName, Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	for _, f := range families() {
		local := &nftables.Set{Table: table, Name: f.local, KeyType: f.typ, Interval: true}
		if err := c.AddSet(local, intervals(outermost(networks, f.v4, false))); err != nil {
			return err
		}
		masq := &nftables.Set{Table: table, Name: f.masq, KeyType: f.typ, Interval: true}
		if err := c.AddSet(masq, intervals(outermost(networks, f.v4, true))); err != nil {
			return err
		}
		addRules(c, table, chain, f, local, masq)
	}
	elements := make([]nftables.SetElement, 0, len(networks))
	for _, n := range networks {
		elements = append(elements, nftables.SetElement{Key: n.marker(), Comment: n.comment()})
	}
	// Without its byte order the type ifname prints as "", which nft does not
	// read back, and a saved ruleset would not load.
	return c.AddSet(&nftables.Set{
		Table: table, Name: networksSet, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian,
	}, elements)
}

// addRules adds the three rules of a family:
//
//	ip daddr 224.0.0.0/4 return
//	ip daddr 169.254.0.0/16 return
//	ip saddr @masquerade4 ip daddr != @local4 masquerade
func addRules(c *nftables.Conn, table *nftables.Table, chain *nftables.Chain, f ipFamily, local, masq *nftables.Set) {
	rule := func(exprs ...expr.Any) {
		proto := []expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.proto}},
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(proto, exprs...)})
	}
	address := func(offset uint32) expr.Any {
		return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.size}
	}
	for _, p := range []netip.Prefix{f.multicast, f.llink} {
		rule(address(f.daddr),
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: f.size, Mask: mask(p), Xor: make([]byte, f.size)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()},
			&expr.Verdict{Kind: expr.VerdictReturn})
	}
	rule(address(f.saddr),
		&expr.Lookup{SourceRegister: 1, SetName: masq.Name, SetID: masq.ID},
		address(f.daddr),
		&expr.Lookup{SourceRegister: 1, SetName: local.Name, SetID: local.ID, Invert: true},
		&expr.Masq{})
}

// mask is the network mask of a prefix.
func mask(p netip.Prefix) []byte {
	m := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// intervals are the elements of an interval set: the first address of each
// prefix, and the first one after it, which ends the interval and is left out
// where the address space ends with it.
func intervals(prefixes []netip.Prefix) []nftables.SetElement {
	var out []nftables.SetElement
	for _, p := range prefixes {
		first := p.Masked().Addr().AsSlice()
		out = append(out, nftables.SetElement{Key: first})
		last := make([]byte, len(first))
		for i, m := range mask(p) {
			last[i] = first[i] | ^m
		}
		end, _ := netip.AddrFromSlice(last)
		if end = end.Next(); end.IsValid() {
			out = append(out, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}
