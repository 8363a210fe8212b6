// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// dstNAT is IPS_DST_NAT of include/uapi/linux/netfilter/nf_conntrack_common.h.
const dstNAT = 1 << 5

// addMasquerade adds the sets and rules by which the host lends its address:
//
//	ct status dnat ip saddr . ip daddr @same4 masquerade
//	ip daddr 224.0.0.0/4 return
//	ip daddr 169.254.0.0/16 return
//	ip saddr @masquerade4 ip daddr != @local4 masquerade
//
// The first is for a container that calls one of its own network, or itself, by a port
// of the host. The answer would go to it directly, past the host that has to put its
// own address back into it.
func (t *tableBuild) addMasquerade(chain *nftables.Chain, f ipFamily, networks []Network) error {
	local := &nftables.Set{Table: t.table, Name: "local" + f.suffix, KeyType: f.typ, Interval: true}
	if err := t.AddSet(local, intervals(outermost(networks, f.v4, false))); err != nil {
		return err
	}
	masq := &nftables.Set{Table: t.table, Name: "masquerade" + f.suffix, KeyType: f.typ, Interval: true}
	if err := t.AddSet(masq, intervals(outermost(networks, f.v4, true))); err != nil {
		return err
	}
	same := &nftables.Set{
		Table: t.table, Name: "same" + f.suffix, KeyType: nftables.MustConcatSetType(f.typ, f.typ), Interval: true, Concatenation: true,
	}
	if err := t.AddSet(same, pairs(outermost(networks, f.v4, false))); err != nil {
		return err
	}
	t.addRule(chain, f.proto,
		&expr.Ct{Key: expr.CtKeySTATUS, Register: reg(0)},
		&expr.Bitwise{SourceRegister: reg(0), DestRegister: reg(0), Len: 4, Mask: binaryutil.NativeEndian.PutUint32(dstNAT), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg(0), Data: make([]byte, 4)},
		f.load(f.saddr, reg(0)),
		f.load(f.daddr, reg(f.words())),
		&expr.Lookup{SourceRegister: reg(0), SetName: same.Name, SetID: same.ID},
		&expr.Masq{})
	for _, p := range []netip.Prefix{f.multicast, f.llink} {
		t.addRule(chain, f.proto, f.within(f.daddr, p, &expr.Verdict{Kind: expr.VerdictReturn})...)
	}
	t.addRule(chain, f.proto,
		f.load(f.saddr, reg(0)),
		&expr.Lookup{SourceRegister: reg(0), SetName: masq.Name, SetID: masq.ID},
		f.load(f.daddr, reg(0)),
		&expr.Lookup{SourceRegister: reg(0), SetName: local.Name, SetID: local.ID, Invert: true},
		&expr.Masq{})
	return nil
}

// pairs are the elements that hold two addresses of one prefix.
func pairs(prefixes []netip.Prefix) []nftables.SetElement {
	var out []nftables.SetElement
	for _, p := range prefixes {
		first, last := p.Masked().Addr().AsSlice(), lastOf(p).AsSlice()
		out = append(out, nftables.SetElement{Key: append(first, first...), KeyEnd: append(last, last...)})
	}
	return out
}
