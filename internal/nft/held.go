// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// Lacks says in words which set an element of one of the networks is missing from, empty
// if none is. Elements come and go together with what Present looks at, unless
// somebody flushes a set: it is for those who have the time.
func Lacks(networks ...Network) (string, error) {
	c, err := nlmsg.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer c.Close()
	for _, n := range normalize(networks) {
		for _, e := range n.elements() {
			found := false
			err := c.Get(keyRequest(e.set, e.key), func(uint16, []byte) error { found = true; return nil })
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return "", err
			}
			if !found {
				return fmt.Sprintf("set %s of table inet %s lacks network %s", e.set, tableName, n.Prefix), nil
			}
		}
	}
	return "", nil
}

// setKey is a key that is within an element of a set.
type setKey struct {
	set string
	key []byte
}

// elements are keys of the network in the sets of addresses. The elements are intervals
// that are the network's or larger (outermost): the kernel finds them by any address.
func (n Network) elements() []setKey {
	first, suffix := n.Prefix.Addr().AsSlice(), "6"
	if n.Prefix.Addr().Is4() {
		suffix = "4"
	}
	out := []setKey{{"local" + suffix, first}, {"same" + suffix, append(n.Prefix.Addr().AsSlice(), first...)}}
	if n.Masquerade {
		out = append(out, setKey{"masquerade" + suffix, first})
	}
	return out
}
