// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// closing is what one end sees of how the other ends.
func closing() []behaviour {
	return []behaviour{
		{"close with unread bytes", "ECONNRESET", func(a *scene) string {
			a.send("one")
			a.ends[1].close()
			a.must(a.ends[0].wait(unix.POLLRDHUP, tortureWait))
			return a.recv(0, 10, 0)
		}},
		{"close after the last byte", "3, then 0", func(a *scene) string {
			a.send("one")
			a.ends[0].close()
			a.must(a.ends[1].wait(unix.POLLRDHUP, tortureWait))
			return a.recv(1, 10, 0) + ", then " + a.recv(1, 10, 0)
		}},
		{"SO_LINGER of some time", "3, then 0", func(a *scene) string {
			a.ends[0].linger(5)
			a.send("one")
			a.ends[0].close()
			a.must(a.ends[1].wait(unix.POLLRDHUP, tortureWait))
			return a.recv(1, 10, 0) + ", then " + a.recv(1, 10, 0)
		}},
		{"reset after the last byte", "3, then ECONNRESET", func(a *scene) string {
			a.send("one")
			a.ends[0].linger(0)
			a.ends[0].close()
			a.must(a.ends[1].wait(0, tortureWait))
			return a.recv(1, 10, 0) + ", then " + a.recv(1, 10, 0)
		}},
		{"SO_ERROR after a reset", "ECONNRESET", func(a *scene) string {
			a.ends[0].linger(0)
			a.ends[0].close()
			a.must(a.ends[1].wait(0, tortureWait))
			return errorName(unix.Errno(a.ends[1].option(unix.SOL_SOCKET, unix.SO_ERROR)))
		}},
		{"listener closed before accept", "ECONNRESET", func(a *scene) string {
			l := a.half.listen(ways()[0], 0)
			a.ends[0].close()
			a.ends[0] = a.half.call(l, 0, 0)
			defer a.ends[0].close()
			a.send("one")
			l.close()
			a.must(a.ends[0].wait(unix.POLLRDHUP, tortureWait))
			return a.recv(0, 10, 0)
		}},
		{"disconnect with unread bytes", "ECONNRESET, then ENOTCONN", func(a *scene) string {
			a.send("one")
			a.must(disconnect(a.ends[1].fd))
			return a.recv(1, 10, 0) + ", then " + a.recv(1, 10, 0)
		}},
		{"killed by ss -K", "ECONNABORTED, peer ECONNRESET", func(a *scene) string {
			testutil.Run(a.t, "ip", "netns", "exec", a.half.ids[0], "ss", "-K", "-t", "sport", "=", fmt.Sprint(a.ends[0].at.Port()))
			for who := range a.ends {
				a.must(a.ends[who].wait(0, tortureWait))
			}
			return a.recv(0, 10, 0) + ", peer " + a.recv(1, 10, 0)
		}},
	}
}

// observing is what others see of the connection.
func observing() []behaviour {
	return []behaviour{
		{"TCP_INFO counters", "1000 sent, 1000 received", func(a *scene) string {
			var before, after [2]*unix.TCPInfo
			read := func(all *[2]*unix.TCPInfo) {
				for who := range all {
					info, err := unix.GetsockoptTCPInfo(a.ends[who].fd, unix.IPPROTO_TCP, unix.TCP_INFO)
					a.must(err)
					all[who] = info
				}
			}
			read(&before)
			a.send(strings.Repeat("x", 1000))
			read(&after)
			return fmt.Sprintf("%d sent, %d received", after[0].Bytes_sent-before[0].Bytes_sent, after[1].Bytes_received-before[1].Bytes_received)
		}},
		{"Recv-Q of ss", "1000", func(a *scene) string {
			a.send(strings.Repeat("x", 1000))
			at := a.ends[1].at.Port()
			out := testutil.Run(a.t, "ip", "netns", "exec", a.half.ids[1], "ss", "-tnH", "state", "established", "sport", "=", fmt.Sprint(at))
			f := strings.Fields(out)
			if len(f) < 4 {
				a.t.Fatalf("ss: %q", out)
			}
			return f[0]
		}},
		{"interface counters", "counted", func(a *scene) string {
			before := a.sent()
			for range 10 {
				a.swap(0, make([]byte, 1000))
				a.swap(1, []byte("x"))
			}
			if a.sent()-before < 10_000 {
				return "not counted"
			}
			return "counted"
		}},
		{"firewall rule added later", "nothing, then 3", func(a *scene) string {
			nft := func(rules string) {
				testutil.Run(a.t, "ip", "netns", "exec", a.half.ids[1], "nft", rules)
			}
			nft("add table inet own; add chain inet own in { type filter hook input priority 0; }; add rule inet own in meta l4proto tcp drop")
			_ = a.try("one", 0)
			_ = a.ends[1].wait(unix.POLLIN, silence)
			first := a.recv(1, 10, 0)
			nft("delete table inet own")
			if first != "EAGAIN" {
				return first
			}
			return "nothing, then " + a.hear(10)
		}},
	}
}

// sent counts the bytes that the caller's interface has sent.
func (a *scene) sent() int {
	a.t.Helper()
	var links []struct {
		Stats64 struct {
			TX struct {
				Bytes int `json:"bytes"`
			} `json:"tx"`
		} `json:"stats64"`
	}
	a.must(json.Unmarshal([]byte(testutil.Run(a.t, "ip", "-n", a.half.ids[0], "-j", "-s", "link", "show", "dev", "eth0")), &links))
	return links[0].Stats64.TX.Bytes
}
