// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The names of the table, which are also the operator's interface.
const (
	tableName   = "emerita"
	networksSet = "networks" // what the other sets were made from, with comments
)

// ruleCount is the number of rules in the table: of each family one for the loopback
// addresses, two for the ports, one for who calls its own network by the host, and three
// for who leaves the host; and the two that ask for the host's own addresses.
const ruleCount = 2*(1+2+1+3) + 2

// build queues the whole table in place of the one that stands. Sets, chains and
// rules change in one transaction: no packet sees half of it, and whatever
// anybody did to the table is mended.
func build(c *nftables.Conn, networks []Network, ports []Port) error {
	t := tableBuild{Conn: c}
	t.table = c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	c.DelTable(t.table)
	t.table = c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	chains := t.addChains()
	for _, f := range families() {
		if err := errors.Join(t.addPorts(chains, f, ports), t.addMasquerade(chains.postrouting, f, networks)); err != nil {
			return err
		}
	}
	elements := make([]nftables.SetElement, 0, len(networks))
	for _, n := range networks {
		elements = append(elements, nftables.SetElement{Key: n.marker(), Comment: n.comment()})
	}
	// Without its byte order the type ifname prints as "", which nft does not
	// read back, and a saved ruleset would not load.
	return c.AddSet(&nftables.Set{
		Table: t.table, Name: networksSet, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian,
	}, elements)
}

// tableBuild is the table while it is being built.
type tableBuild struct {
	*nftables.Conn
	table *nftables.Table
}

// chains are those of the table. Whatever is for an address of the host itself goes
// through ports, whether it comes in or is the host's own.
type chains struct{ postrouting, prerouting, output, ports *nftables.Chain }

func (t *tableBuild) addChains() chains {
	base := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return t.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority})
	}
	c := chains{
		postrouting: base("postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource),
		prerouting:  base("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest),
		output:      base("output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest),
		ports:       t.AddChain(&nftables.Chain{Name: "ports", Table: t.table}),
	}
	// Loopback addresses are the eBPF programs' on the cgroup; from the wire they are a lie,
	// which the host would find out only after it has been rewritten (moby#48721).
	for _, f := range families() {
		t.addRule(c.ports, f.proto, f.within(f.daddr, f.loopback, &expr.Verdict{Kind: expr.VerdictReturn})...)
	}
	for _, from := range []*nftables.Chain{c.prerouting, c.output} {
		t.AddRule(&nftables.Rule{Table: t.table, Chain: from, Exprs: []expr.Any{
			&expr.Fib{Register: reg(0), ResultADDRTYPE: true, FlagDADDR: true},
			&expr.Cmp{Op: expr.CmpOpEq, Register: reg(0), Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
			&expr.Verdict{Kind: expr.VerdictJump, Chain: c.ports.Name},
		}})
	}
	return c
}

// addRule adds a rule for packets of one family.
func (t *tableBuild) addRule(chain *nftables.Chain, proto byte, exprs ...expr.Any) {
	family := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg(0)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg(0), Data: []byte{proto}},
	}
	t.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: append(family, exprs...)})
}
