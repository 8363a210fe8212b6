// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"strings"

	"golang.org/x/sys/unix"
)

// polling is what who waits for events is told.
func polling() []behaviour {
	const all = unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP
	return []behaviour{
		{"poll after all is read", "IN, 3, nothing", func(a *scene) string {
			a.send("one")
			return a.ready(1, unix.POLLIN) + ", " + a.recv(1, 10, 0) + ", " + a.ready(1, unix.POLLIN)
		}},
		{"poll for writability", "OUT, nothing, OUT", func(a *scene) string {
			out := a.ready(0, unix.POLLOUT)
			a.fill(0)
			out += ", " + a.ready(0, unix.POLLOUT)
			a.drain(1)
			_ = a.ends[0].wait(unix.POLLOUT, tortureWait)
			return out + ", " + a.ready(0, unix.POLLOUT)
		}},
		{"poll after the end", "IN+OUT+RDHUP", func(a *scene) string {
			a.must(unix.Shutdown(a.ends[0].fd, unix.SHUT_WR))
			a.must(a.ends[1].wait(unix.POLLRDHUP, tortureWait))
			return a.ready(1, all)
		}},
		{"poll after a reset", "IN+OUT+RDHUP+ERR+HUP", func(a *scene) string {
			a.ends[0].linger(0)
			a.ends[0].close()
			a.must(a.ends[1].wait(0, tortureWait))
			return a.ready(1, all)
		}},
		{"epoll, edge triggered", "IN, IN, nothing, IN", func(a *scene) string {
			e := a.epoll(1, unix.EPOLLIN)
			defer unix.Close(e)
			var out []string
			for _, step := range []func(){
				func() { a.send("one") },
				func() { a.send("two") },
				func() { a.recv(1, 2, 0) },
				func() { a.send("three") },
			} {
				step()
				out = append(out, events(e))
			}
			return strings.Join(out, ", ")
		}},
		{"epoll for writability, edge triggered", "OUT, nothing, OUT", func(a *scene) string {
			e := a.epoll(0, unix.EPOLLOUT)
			defer unix.Close(e)
			out := events(e)
			a.fill(0)
			for events(e) != "nothing" {
			}
			out += ", " + events(e)
			a.drain(1)
			_ = a.ends[0].wait(unix.POLLOUT, tortureWait)
			return out + ", " + events(e)
		}},
		{"epoll of the end, edge triggered", "IN+RDHUP", func(a *scene) string {
			e := a.epoll(1, unix.EPOLLIN|unix.EPOLLRDHUP)
			defer unix.Close(e)
			a.must(unix.Shutdown(a.ends[0].fd, unix.SHUT_WR))
			a.must(a.ends[1].wait(unix.POLLRDHUP, tortureWait))
			return events(e)
		}},
	}
}

// epoll waits for the edges of an end's events.
func (a *scene) epoll(who int, which uint32) int {
	a.t.Helper()
	e, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	a.must(err)
	a.must(unix.EpollCtl(e, unix.EPOLL_CTL_ADD, a.ends[who].fd, &unix.EpollEvent{Events: which | unix.EPOLLET}))
	return e
}

// events are those that there are within a time.
func events(e int) string {
	var list [1]unix.EpollEvent
	n, err := unix.EpollWait(e, list[:], int(silence.Milliseconds()))
	if err != nil {
		return errorName(err)
	}
	if n == 0 {
		return "nothing"
	}
	var names []string
	for _, f := range []struct {
		bit  uint32
		name string
	}{{unix.EPOLLIN, "IN"}, {unix.EPOLLOUT, "OUT"}, {unix.EPOLLRDHUP, "RDHUP"}, {unix.EPOLLERR, "ERR"}, {unix.EPOLLHUP, "HUP"}} {
		if list[0].Events&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, "+")
}
