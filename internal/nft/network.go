// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"slices"
	"strings"
)

// Network is what the table knows of a container network: a prefix from which
// containers have addresses, and whether they are masqueraded when they leave
// it.
type Network struct {
	Prefix     netip.Prefix
	Masquerade bool
}

// masqueraded ends the comment of a Network that is.
const masqueraded = " masquerade"

// comment is the Network as the operator sees it in `nft list ruleset`, and as
// parseNetwork reads it back.
func (n Network) comment() string {
	s := n.Prefix.String()
	if n.Masquerade {
		s += masqueraded
	}
	return s
}

func parseNetwork(comment string) (Network, bool) {
	text, masq := strings.CutSuffix(comment, masqueraded)
	p, err := netip.ParsePrefix(text)
	return Network{Prefix: p, Masquerade: masq}, err == nil
}

// markerLen is the size of the nftables type ifname, which prints as a string.
const markerLen = 16

// marker is the Network's key in the set of networks: 15 characters of a hash,
// and a NUL. One lookup of it tells ADD that all of the Network's elements are
// there, because they come and go in one transaction.
func (n Network) marker() []byte {
	sum := sha256.Sum256([]byte(n.comment()))
	text := strings.ToLower(base32.HexEncoding.EncodeToString(sum[:]))
	return append([]byte(text[:markerLen-1]), 0)
}

// normalize masks, sorts and dedupes.
func normalize(list []Network) []Network {
	out := slices.Clone(list)
	for i := range out {
		out[i].Prefix = out[i].Prefix.Masked()
	}
	slices.SortFunc(out, func(a, b Network) int { return cmp.Compare(a.comment(), b.comment()) })
	return slices.Compact(out)
}

// outermost returns the prefixes of one family that no other one contains,
// because the elements of an interval set must not overlap.
func outermost(list []Network, v4, onlyMasqueraded bool) []netip.Prefix {
	var all []netip.Prefix
	for _, n := range list {
		if n.Prefix.Addr().Is4() == v4 && (n.Masquerade || !onlyMasqueraded) {
			all = append(all, n.Prefix)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return cmp.Compare(a.Bits(), b.Bits()) })
	var out []netip.Prefix
	for _, p := range all {
		if !slices.ContainsFunc(out, func(o netip.Prefix) bool { return o.Overlaps(p) }) {
			out = append(out, p)
		}
	}
	return out
}
