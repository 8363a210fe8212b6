// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"net"
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestAtOnce uses both addresses of a container in the moment in which ADD
// returns: to listen on, to connect from, and to be masqueraded.
func TestAtOnce(t *testing.T) {
	testutil.Root(t)
	path := toolPath(t)
	testutil.EnterHost(t)
	for _, addr := range []string{"192.0.2.2:80", "[2001:db8::2]:80"} {
		serveCaller(t, "/run/netns/outside", addr)
	}
	c := newChain(t, path, nil, chainHead6)
	result := c.mustAdd()
	four, six := result.IPs[0].Address.IP, result.IPs[1].Address.IP
	mine := serveCaller(t, webSpace, net.JoinHostPort(six.String(), "0"))
	mustCallFrom(t, webSpace, six, "[2001:db8::2]:80", "2001:db8::1")
	mustCallFrom(t, webSpace, four, "192.0.2.2:80", "192.0.2.1")
	mustCall(t, hostSpace, mine.String(), "fd00:88::1")
	mine = serveCaller(t, webSpace, net.JoinHostPort(four.String(), "0"))
	mustCall(t, hostSpace, mine.String(), "10.88.0.1")
	c.mustDel()
}
