// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"fmt"
	"iter"
	"math"
	"math/bits"
	"net/netip"
	"strings"
)

// rangeSet is a list of ranges of one family from which an attachment gets one
// address.
type rangeSet []addrRange

// newRangeSet checks the ranges of a set: one family, no overlap.
func newRangeSet(confs []rangeConfig) (rangeSet, error) {
	if len(confs) == 0 {
		return nil, invalid("ranges", "[]", "is an empty range set")
	}
	set := make(rangeSet, 0, len(confs))
	for _, c := range confs {
		r, err := newRange(c)
		if err != nil {
			return nil, err
		}
		if len(set) > 0 && r.first.Is4() != set[0].first.Is4() {
			return nil, invalid("subnet", c.Subnet, "is of another family than the rest of its range set")
		}
		if set.overlaps(rangeSet{r}) {
			return nil, invalid("subnet", c.Subnet, fmt.Sprintf("range %s overlaps another one of its range set", r))
		}
		set = append(set, r)
	}
	return set, nil
}

func (s rangeSet) String() string {
	names := make([]string, len(s))
	for i, r := range s {
		names[i] = r.String()
	}
	return strings.Join(names, ",")
}

// find returns the range that contains a.
func (s rangeSet) find(a netip.Addr) (addrRange, bool) {
	for _, r := range s {
		if r.contains(a) {
			return r, true
		}
	}
	return addrRange{}, false
}

func (s rangeSet) overlaps(t rangeSet) bool {
	for _, r := range s {
		for _, q := range t {
			if r.contains(q.first) || q.contains(r.first) {
				return true
			}
		}
	}
	return false
}

func (s rangeSet) size() uint64 {
	var n uint64
	for _, r := range s {
		sum, carry := bits.Add64(n, r.size(), 0)
		if carry != 0 {
			return math.MaxUint64
		}
		n = sum
	}
	return n
}

// after walks once around the set, beginning behind last, so that an address
// just released is the last to be given again. A last outside the set begins
// at the first address.
func (s rangeSet) after(last netip.Addr) iter.Seq2[netip.Addr, addrRange] {
	return func(yield func(netip.Addr, addrRange) bool) {
		i, cur := 0, s[0].first
		for j, r := range s {
			if r.contains(last) {
				i, cur = s.next(j, last)
				break
			}
		}
		start := cur
		for {
			if r := s[i]; !r.reserved(cur) && !yield(cur, r) {
				return
			}
			if i, cur = s.next(i, cur); cur == start {
				return
			}
		}
	}
}

// next is the position behind address cur of range i, around the set.
func (s rangeSet) next(i int, cur netip.Addr) (int, netip.Addr) {
	if cur != s[i].last {
		return i, cur.Next()
	}
	i = (i + 1) % len(s)
	return i, s[i].first
}
