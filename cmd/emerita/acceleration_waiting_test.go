// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// waiting is what a thread sees that waits in recv, while something happens that is no
// data: the kernel's recv of a socket in a map waits once, whatever wakes it up
// (tcp_bpf_recvmsg in net/ipv4/tcp_bpf.c), and TCP's until there is something to return.
func waiting() []behaviour {
	return []behaviour{
		{"signal in a blocking recv", "waits, then 1", func(a *scene) string {
			w := a.recvWaits(10, 0)
			a.must(unix.Tgkill(unix.Getpid(), w.thread, harmless))
			return a.afterwards(w, "x")
		}},
		{"two blocking readers", "3 and waits, then 3", func(a *scene) string {
			readers := []waiter{a.recvWaits(10, 0), a.recvWaits(10, 0)}
			a.send("one")
			first := []string{readers[0].soon(), readers[1].soon()}
			out := slices.Sorted(slices.Values(first))
			for i, r := range first {
				if r == "waits" {
					a.send("two")
					out[1] += ", then " + readers[i].then()
				}
			}
			return strings.Join(out, " and ")
		}},
		{"recv while another thread sends", "waits, then 1", func(a *scene) string {
			w := a.recvWaits(10, 0)
			const all = 3 << 20 // far more than may be under way by the socket
			s := a.wait(unix.SYS_SENDMSG, func() string {
				for left := all; left > 0; {
					n, err := unix.SendmsgN(a.ends[1].fd, make([]byte, min(left, 10_000)), nil, nil, unix.MSG_NOSIGNAL)
					if err != nil {
						return errorName(err)
					}
					left -= n
				}
				return "sent"
			})
			a.must(a.ends[0].read(make([]byte, all)))
			if r := s.then(); r != "sent" {
				return r
			}
			return a.afterwards(w, "x")
		}},
		{"recv while another thread sends a little", "waits, then 1", func(a *scene) string {
			w := a.recvWaits(10, 0)
			for range 50 {
				a.swap(1, make([]byte, 1000))
			}
			return a.afterwards(w, "x")
		}},
		{"recv while a send gets room", "waits, then 1", func(a *scene) string {
			w := a.recvWaits(10, 0)
			a.fill(1)
			a.drain(0)
			return a.afterwards(w, "x")
		}},
		{"recv after a large send", "1", func(a *scene) string {
			w := a.wait(unix.SYS_RECVFROM, func() string {
				p := make([]byte, 1<<20)
				for len(p) > 0 {
					n, err := unix.SendmsgN(a.ends[1].fd, p, nil, nil, unix.MSG_NOSIGNAL)
					if err != nil && !errors.Is(err, unix.EINTR) {
						return errorName(err)
					}
					p = p[max(n, 0):]
				}
				n, _, err := unix.Recvfrom(a.ends[1].fd, make([]byte, 10), 0)
				return result(n, err)
			}, func() { _, _, _ = unix.Recvfrom(a.ends[0].fd, make([]byte, 64<<10), unix.MSG_DONTWAIT) })
			a.drain(0)
			r := w.soon()
			if r != "waits" {
				return r
			}
			a.send("x")
			return w.then()
		}},
		{"reset in a blocking recv", "ECONNRESET", func(a *scene) string {
			w := a.recvWaits(10, 0)
			a.ends[0].linger(0)
			a.ends[0].close()
			return w.then()
		}},
		{"end in a blocking recv", "0", func(a *scene) string {
			w := a.recvWaits(10, 0)
			a.must(unix.Shutdown(a.ends[0].fd, unix.SHUT_WR))
			return w.then()
		}},
		{"shutdown(RD) in a blocking recv", "0", func(a *scene) string {
			w := a.recvWaits(10, 0)
			a.must(unix.Shutdown(a.ends[1].fd, unix.SHUT_RD))
			return w.then()
		}},
		{"shutdown(WR) in a blocking recv", "waits, then 1", func(a *scene) string {
			w := a.recvWaits(10, 0)
			a.must(unix.Shutdown(a.ends[1].fd, unix.SHUT_WR))
			return a.afterwards(w, "x")
		}},
		{"SO_SNDBUF in a blocking recv", "waits, then 1", func(a *scene) string {
			w := a.recvWaits(10, 0)
			a.ends[1].set(unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<16)
			return a.afterwards(w, "x")
		}},
		{"TCP_NOTSENT_LOWAT in a blocking recv", "waits, then 1", func(a *scene) string {
			w := a.recvWaits(10, 0)
			a.ends[1].set(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 1<<16)
			return a.afterwards(w, "x")
		}},
	}
}

// afterwards is what a waiting call has returned, or that it waits, and what it returns
// when the other end says something more.
func (a *scene) afterwards(w waiter, text string) string {
	a.t.Helper()
	r := w.soon()
	if r != "waits" {
		return r
	}
	a.send(text)
	return r + ", then " + w.then()
}
