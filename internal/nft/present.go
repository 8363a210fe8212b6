// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// ErrUnsupported is wrapped when the kernel has no nftables.
var ErrUnsupported = errors.New("the kernel has no nftables")

// Present says whether the table stands with all its rules, in whichever chains,
// and holds each of the networks. It is the question of every ADD: it only reads, so that it
// waits for no grace period, and its cost does not grow with anything.
func Present(networks ...Network) (bool, error) {
	c, err := nlmsg.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer c.Close()
	rules := 0
	err = c.Get(rulesRequest(), func(uint16, []byte) error { rules++; return nil })
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return false, fmt.Errorf("%w: %w", ErrUnsupported, err)
	case err != nil:
		return false, err
	case rules != ruleCount:
		return false, nil
	}
	for _, n := range normalize(networks) {
		found := false
		err := c.Get(elementRequest(n), func(uint16, []byte) error { found = true; return nil })
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, err
		}
		if !found {
			return false, nil
		}
	}
	return true, nil
}

// standing says whether the set of networks is there. The library's own answer
// to that does not wrap the kernel's.
func standing() (bool, error) {
	c, err := nlmsg.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer c.Close()
	var b nlmsg.Batch
	begin(&b, unix.NFT_MSG_GETSET, 0, "get set "+networksSet+" of table inet "+tableName)
	b.String(unix.NFTA_SET_TABLE, tableName)
	b.String(unix.NFTA_SET_NAME, networksSet)
	found := false
	err = c.Get(&b, func(uint16, []byte) error { found = true; return nil })
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return found, err
}

// begin starts a message to nf_tables: struct nfgenmsg with the family inet.
func begin(b *nlmsg.Batch, typ, flags uint16, what string) {
	b.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, what)
	b.Raw([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0})
}

func rulesRequest() *nlmsg.Batch {
	b := new(nlmsg.Batch)
	begin(b, unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, "list rules of table inet "+tableName)
	b.String(unix.NFTA_RULE_TABLE, tableName)
	return b
}

func elementRequest(n Network) *nlmsg.Batch { return keyRequest(networksSet, n.marker()) }

// keyRequest asks for the element of a set that has a key.
func keyRequest(set string, key []byte) *nlmsg.Batch {
	b := new(nlmsg.Batch)
	begin(b, unix.NFT_MSG_GETSETELEM, 0, "get element of set "+set+" of table inet "+tableName)
	b.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
	b.String(unix.NFTA_SET_ELEM_LIST_SET, set)
	b.Nest(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
		b.Nest(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, func() {
			b.Nest(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_KEY, func() {
				b.Bytes(unix.NFTA_DATA_VALUE, key)
			})
		})
	})
	return b
}
