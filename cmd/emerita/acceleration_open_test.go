// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// sysctl sets one in both containers.
func (x *half) sysctl(setting string) {
	x.t.Helper()
	for _, id := range x.ids {
		testutil.Run(x.t, "ip", "netns", "exec", id, "sysctl", "-qw", setting)
	}
}

// What is said before the answerer's application has the connection comes first.
func tortureBeforeAccept(x *half, w way, seed uint64) (string, error) {
	l := x.listen(w, 0)
	defer l.close()
	return talkBeforeAccept(x, l, w, seed, enrolled)
}

// Here not even the answerer's kernel has the connection before it hears something.
func tortureDeferAccept(x *half, w way, seed uint64) (string, error) {
	l := x.listen(w, 0, option{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30})
	defer l.close()
	return talkBeforeAccept(x, l, w, seed, "")
}

func talkBeforeAccept(x *half, l end, w way, seed uint64, path string) (string, error) {
	caller := x.call(l, 0, 0)
	defer caller.close()
	early := says(seed)
	for n := range 10 {
		p := make([]byte, 1+n*1000)
		_, _ = early.Read(p)
		if _, err := unix.Write(caller.fd, p); err != nil {
			return "", err
		}
	}
	c := conn{[2]end{caller, l.accept()}}
	k := newDialogue(c, seed)
	defer k.close()
	k.said[0] = early
	if err := k.hear(1, 10+45*1000, upTo(17), k.dice); err != nil {
		return "", err
	}
	if err := k.turns(10, upTo(15)); err != nil {
		return "", err
	}
	if path != "" {
		x.takes(c, "said before accept, "+w.name, path, path)
	}
	return "", k.finish()
}

// The answerer makes the connection from what the caller sends back.
func tortureCookies(x *half, w way, seed uint64) (string, error) {
	x.sysctl("net.ipv4.tcp_syncookies=2")
	defer x.sysctl("net.ipv4.tcp_syncookies=1")
	c := x.connect(w)
	k := newDialogue(c, seed)
	defer k.close()
	if err := k.turns(20, upTo(15)); err != nil {
		return "", err
	}
	if err := k.both(200_000, upTo(20), upTo(17)); err != nil {
		return "", err
	}
	return "", k.finish()
}

// tcpiOptSynData is TCPI_OPT_SYN_DATA of include/uapi/linux/tcp.h: what was sent with
// the SYN was accepted.
const tcpiOptSynData = 32

// What is sent with the SYN comes first. Such a connection is not accelerated.
func tortureFastOpen(x *half, w way, seed uint64) (string, error) {
	x.sysctl("net.ipv4.tcp_fastopen=3")
	defer x.sysctl("net.ipv4.tcp_fastopen=1")
	l := x.listen(w, 0, option{unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 100})
	defer l.close()
	taken := 0
	for i, size := range []int{10, 1, 1000, 1400, 4000, 50_000} { // the first gets a cookie
		seed := seed + uint64(i)
		caller := x.open(0, l.at.Addr(), 0)
		early := says(seed)
		p := make([]byte, size)
		_, _ = early.Read(p)
		n, err := x.fastOpen(caller, l.at, p)
		if err != nil {
			return "", fmt.Errorf("send %d bytes with the SYN: %w", size, err)
		}
		caller.connected(l.at)
		c := conn{[2]end{caller, l.accept()}}
		info, err := unix.GetsockoptTCPInfo(caller.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return "", err
		}
		k := newDialogue(c, seed)
		k.said[0] = says(seed)
		_, _ = k.said[0].Read(p[:n])
		err = firstError(k.hear(1, n, upTo(17), k.dice), k.turns(10, upTo(15)))
		if info.Options&tcpiOptSynData != 0 {
			taken++
			x.takes(c, "Fast Open, "+w.name, apart, apart)
		}
		if err := firstError(err, k.both(100_000, upTo(20), upTo(17)), k.finish()); err != nil {
			return "", fmt.Errorf("%d bytes with the SYN: %w", size, err)
		}
	}
	if taken == 0 {
		return "", errors.New("none was opened fast")
	}
	return "", nil
}

// fastOpen sends with the SYN, and says how much was taken. A signal while the call waits for
// the connection would have the kernel begin it anew, after what went with the SYN: the peer
// would hear that twice (tcp_sendmsg_fastopen of net/ipv4/tcp.c returns ERESTARTSYS).
func (x *half) fastOpen(from end, to netip.AddrPort, p []byte) (int, error) {
	defer undisturbed(x.t)()
	return unix.SendmsgN(from.fd, p, nil, sockaddr(to), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL)
}

// Both call each other at once, by the same two ports: the answerer does not hear the
// caller's first SYN, and the caller hears the answerer's.
func tortureSimultaneous(x *half, w way, seed uint64) (string, error) {
	const rule = "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; add rule inet deaf in tcp flags & (syn | ack) == syn drop"
	nft := func(args ...string) {
		testutil.Run(x.t, "ip", append([]string{"netns", "exec", x.ids[1], "nft"}, args...)...)
	}
	nft(rule)
	defer func() { _ = exec.Command("ip", "netns", "exec", x.ids[1], "nft", "delete table inet deaf").Run() }()
	var c conn
	addrs := [2]netip.Addr{x.in(w.caller), x.in(w.dial)}
	for i := range c.ends {
		c.ends[i] = x.open(i, addrs[i], 0)
		if err := unix.Bind(c.ends[i].fd, sockaddr(netip.AddrPortFrom(addrs[i], 0))); err != nil {
			return "", err
		}
		c.ends[i].at = c.ends[i].name()
		c.ends[i].block(false)
	}
	defer c.close()
	for i, e := range c.ends {
		if err := unix.Connect(e.fd, sockaddr(c.ends[1-i].at)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			return "", err
		}
	}
	for i := range c.ends {
		c.ends[i].connected(c.ends[1-i].at)
	}
	nft("delete table inet deaf")
	k := newDialogue(c, seed)
	defer k.close()
	if err := firstError(k.turns(20, upTo(15)), k.both(200_000, upTo(20), upTo(17))); err != nil {
		return "", err
	}
	return "", k.finish()
}

// A listener of MPTCP, as Go's are by themselves, serves callers of TCP and its own
// kind, and one of TCP serves callers of MPTCP; neither is accelerated, nor is one side
// of it.
func tortureMPTCP(x *half, w way, seed uint64) (string, error) {
	if testutil.Probe(testutil.MPTCP) != nil {
		return "", nil
	}
	for i, protocols := range [][2]int{{0, unix.IPPROTO_MPTCP}, {unix.IPPROTO_MPTCP, unix.IPPROTO_MPTCP}, {unix.IPPROTO_MPTCP, 0}} {
		what := []string{"to MPTCP", "both of MPTCP", "from MPTCP"}[i]
		l := x.listen(w, protocols[1])
		c := conn{[2]end{x.call(l, protocols[0], 0), l.accept()}}
		l.close()
		k := newDialogue(c, seed)
		defer k.close()
		if err := firstError(k.turns(20, upTo(15)), k.both(200_000, upTo(20), upTo(17))); err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		x.takes(c, what+", "+w.name, apart, apart)
		if err := k.finish(); err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
	}
	return "", nil
}

// The answerer's own firewall leads what calls a port to another, so that the two ends
// do not have the same name for the connection.
func tortureRedirected(x *half, w way, seed uint64) (string, error) {
	l := x.listen(w, 0)
	defer l.close()
	to := l.at.Port()
	nft := func(rules string) { testutil.Run(x.t, "ip", "netns", "exec", x.ids[1], "nft", rules) }
	nft(fmt.Sprintf("add table inet lead; add chain inet lead in { type nat hook prerouting priority -100; }; add rule inet lead in tcp dport 7777 redirect to :%d", to))
	defer nft("delete table inet lead")
	l.at = netip.AddrPortFrom(l.at.Addr(), 7777)
	c := x.again(l, 0)
	k := newDialogue(c, seed)
	defer k.close()
	if err := firstError(k.turns(20, upTo(15)), k.both(200_000, upTo(20), upTo(17))); err != nil {
		return "", err
	}
	return "", k.finish()
}
