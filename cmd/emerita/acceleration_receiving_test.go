// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"
)

// receiving is what a reader sees of what has come.
func receiving() []behaviour {
	return []behaviour{
		{"MSG_WAITALL", "waits, then 20", func(a *scene) string {
			w := a.recvWaits(20, unix.MSG_WAITALL)
			a.send(strings.Repeat("x", 10))
			return a.afterwards(w, strings.Repeat("x", 10))
		}},
		{"SO_RCVLOWAT in recv", "waits, then 20", func(a *scene) string {
			a.ends[1].set(unix.SOL_SOCKET, unix.SO_RCVLOWAT, 20)
			w := a.recvWaits(100, 0)
			a.send(strings.Repeat("x", 10))
			return a.afterwards(w, strings.Repeat("x", 10))
		}},
		{"SO_RCVLOWAT in poll", "nothing, then IN", func(a *scene) string {
			a.ends[1].set(unix.SOL_SOCKET, unix.SO_RCVLOWAT, 20)
			a.send(strings.Repeat("x", 10))
			before := a.ready(1, unix.POLLIN)
			a.send(strings.Repeat("x", 10))
			return before + ", then " + a.ready(1, unix.POLLIN)
		}},
		{"SO_RCVTIMEO", "EAGAIN, then 3", func(a *scene) string {
			a.must(unix.SetsockoptTimeval(a.ends[1].fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}))
			first := a.recvWaits(10, 0).then()
			a.send("one")
			return first + ", then " + a.recvWaits(10, 0).then()
		}},
		{"several messages in one recv", "30", func(a *scene) string {
			for range 3 {
				a.send(strings.Repeat("x", 10))
			}
			return a.recv(1, 100, 0)
		}},
		{"recv of 0 bytes", "0, then 3", func(a *scene) string {
			a.send("one")
			return a.recv(1, 0, 0) + ", then " + a.recv(1, 10, 0)
		}},
		{"MSG_PEEK", "20, then 20", func(a *scene) string {
			a.send(strings.Repeat("x", 10))
			a.send(strings.Repeat("x", 10))
			return a.recv(1, 100, unix.MSG_PEEK) + ", then " + a.recv(1, 100, 0)
		}},
		{"SO_PEEK_OFF", "15, then 5", func(a *scene) string {
			a.ends[1].set(unix.SOL_SOCKET, unix.SO_PEEK_OFF, 5)
			a.send(strings.Repeat("x", 20))
			return a.recv(1, 100, unix.MSG_PEEK) + ", then " + a.recv(1, 5, 0)
		}},
		{"MSG_TRUNC", "15, then 5", func(a *scene) string {
			a.send(strings.Repeat("x", 20))
			// There is no buffer: the bytes are thrown away.
			n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(a.ends[1].fd), 0, 15, unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
			first := result(int(n), nil)
			if errno != 0 {
				first = errorName(errno)
			}
			return first + ", then " + a.recv(1, 100, 0)
		}},
		{"FIONREAD", "1000", func(a *scene) string {
			a.send(strings.Repeat("x", 400))
			a.send(strings.Repeat("x", 600))
			return result(unix.IoctlGetInt(a.ends[1].fd, unix.SIOCINQ))
		}},
		{"splice from the socket", "100", func(a *scene) string {
			a.send(strings.Repeat("x", 100))
			a.ends[1].block(false)
			return a.splice()
		}},
		{"blocking splice from the socket", "100", func(a *scene) string {
			w := a.wait(unix.SYS_SPLICE, func() string { return a.splice() })
			a.send(strings.Repeat("x", 100))
			if r := w.soon(); r != "waits" {
				return r
			}
			a.must(unix.Shutdown(a.ends[0].fd, unix.SHUT_WR))
			return "waits, and at the end " + w.then()
		}},
		{"recv after shutdown(RD)", "3, then 0", func(a *scene) string {
			a.must(unix.Shutdown(a.ends[1].fd, unix.SHUT_RD))
			a.send("one")
			return a.recv(1, 10, 0) + ", then " + a.recv(1, 10, 0)
		}},
		{"TCP_INQ", "60", func(a *scene) string {
			a.ends[1].set(unix.IPPROTO_TCP, unix.TCP_INQ, 1)
			a.send(strings.Repeat("x", 100))
			p, control := make([]byte, 40), make([]byte, 512)
			_, n, _, _, err := unix.Recvmsg(a.ends[1].fd, p, control, unix.MSG_DONTWAIT)
			a.must(err)
			for _, c := range a.control(control[:n]) {
				if c.Header.Level == unix.IPPROTO_TCP && c.Header.Type == unix.TCP_CM_INQ {
					return result(int(binary.NativeEndian.Uint32(c.Data)), nil)
				}
			}
			return "nothing"
		}},
		{"receive timestamps", "stamped", func(a *scene) string {
			a.ends[1].set(unix.SOL_SOCKET, unix.SO_TIMESTAMPING, unix.SOF_TIMESTAMPING_RX_SOFTWARE|unix.SOF_TIMESTAMPING_SOFTWARE)
			for late := deadline(2 * silence); !late(); { // the kernel takes its time to begin
				a.send("one")
				p, control := make([]byte, 40), make([]byte, 512)
				_, n, _, _, err := unix.Recvmsg(a.ends[1].fd, p, control, unix.MSG_DONTWAIT)
				a.must(err)
				a.swap(1, []byte("x"))
				for _, c := range a.control(control[:n]) {
					if c.Header.Level == unix.SOL_SOCKET && c.Header.Type == unix.SCM_TIMESTAMPING {
						return "stamped"
					}
				}
			}
			return "nothing"
		}},
	}
}

// splice moves what end 1 hears to a pipe.
func (a *scene) splice() string {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return errorName(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	n, err := unix.Splice(a.ends[1].fd, nil, pipe[1], nil, 100, 0)
	return result(int(n), err)
}

func (a *scene) control(p []byte) []unix.SocketControlMessage {
	a.t.Helper()
	all, err := unix.ParseSocketControlMessage(p)
	a.must(err)
	return all
}
