// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// notice is how long the kernel may take to tell of what it has done.
const notice = time.Second

// sending is what a writer sees.
func sending() []behaviour {
	all := []behaviour{
		{"send after shutdown(WR)", "EPIPE, peer reads 0", func(a *scene) string {
			a.must(unix.Shutdown(a.ends[0].fd, unix.SHUT_WR))
			return a.try("one", 0) + ", peer reads " + a.hear(10)
		}},
		{"send to a closed peer", "3, EPIPE, EPIPE", func(a *scene) string {
			a.ends[1].close()
			a.must(a.ends[0].wait(unix.POLLRDHUP, tortureWait))
			out := a.try("one", 0)
			_ = a.ends[0].wait(0, silence) // for the answer
			return out + ", " + a.try("two", 0) + ", " + a.try("three", 0)
		}},
		{"send to a peer that has reset", "ECONNRESET, EPIPE", func(a *scene) string {
			a.ends[1].linger(0)
			a.ends[1].close()
			a.must(a.ends[0].wait(0, tortureWait))
			return a.try("one", 0) + ", " + a.try("two", 0)
		}},
		{"send of 0 bytes", "0, peer has nothing", func(a *scene) string {
			return a.try("", 0) + ", peer has " + a.ready(1, unix.POLLIN)
		}},
		{"SO_SNDTIMEO", "EAGAIN", func(a *scene) string {
			a.must(unix.SetsockoptTimeval(a.ends[0].fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 50_000}))
			for {
				_, err := unix.SendmsgN(a.ends[0].fd, make([]byte, 64<<10), nil, nil, unix.MSG_NOSIGNAL)
				if err != nil && !errors.Is(err, unix.EINTR) {
					return errorName(err)
				}
			}
		}},
		{"MSG_OOB", "PRI, 1 urgent, 2 others", func(a *scene) string {
			a.send("ab")
			_ = a.try("!", unix.MSG_OOB)
			a.must(a.ends[0].settle())
			return a.ready(1, unix.POLLPRI) + ", " + a.recv(1, 1, unix.MSG_OOB) + " urgent, " + a.recv(1, 10, 0) + " others"
		}},
		{"MSG_ZEROCOPY", "100, completed", func(a *scene) string {
			a.ends[0].set(unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1)
			out := a.try(strings.Repeat("x", 100), unix.MSG_ZEROCOPY)
			a.hear(100)
			return out + ", " + a.told("completed")
		}},
		{"transmit timestamps", "100, stamped", func(a *scene) string {
			a.ends[0].set(unix.SOL_SOCKET, unix.SO_TIMESTAMPING,
				unix.SOF_TIMESTAMPING_TX_ACK|unix.SOF_TIMESTAMPING_SOFTWARE|unix.SOF_TIMESTAMPING_OPT_ID|unix.SOF_TIMESTAMPING_OPT_TSONLY)
			out := a.try(strings.Repeat("x", 100), 0)
			a.hear(100)
			return out + ", " + a.told("stamped")
		}},
		{"sendfile", "5000, peer reads 5000", func(a *scene) string {
			file, err := os.CreateTemp(a.t.TempDir(), "sendfile")
			a.must(err)
			defer file.Close()
			a.must(file.Truncate(5000))
			var offset int64
			n, err := unix.Sendfile(a.ends[0].fd, int(file.Fd()), &offset, 5000)
			a.must(a.ends[0].settle())
			return result(n, err) + ", peer reads " + a.hear(10_000)
		}},
		{"sendfile of what changes", "as it is now", func(a *scene) string {
			file, err := unix.MemfdCreate("sendfile", unix.MFD_CLOEXEC)
			a.must(err)
			defer unix.Close(file)
			a.must1(unix.Pwrite(file, []byte("was"), 0))
			var offset int64
			a.must1(unix.Sendfile(a.ends[0].fd, file, &offset, 3))
			a.must1(unix.Pwrite(file, []byte("now"), 0))
			p := make([]byte, 3)
			a.must(a.ends[1].read(p))
			return map[string]string{"was": "as it was", "now": "as it is now"}[string(p)]
		}},
		{"splice to the socket", "100, peer reads 100", func(a *scene) string {
			var pipe [2]int
			a.must(unix.Pipe2(pipe[:], unix.O_CLOEXEC))
			defer unix.Close(pipe[0])
			defer unix.Close(pipe[1])
			a.must1(unix.Write(pipe[1], make([]byte, 100)))
			n, err := unix.Splice(pipe[0], nil, a.ends[0].fd, nil, 100, 0)
			return result(int(n), err) + ", peer reads " + a.hear(200)
		}},
		{"TCP_CORK", "held back", func(a *scene) string {
			return a.heldBack(func() { a.ends[0].set(unix.IPPROTO_TCP, unix.TCP_CORK, 1) },
				func() { a.ends[0].set(unix.IPPROTO_TCP, unix.TCP_CORK, 0) }, 0)
		}},
		{"MSG_MORE", "held back", func(a *scene) string {
			return a.heldBack(func() {}, func() { a.send("x") }, unix.MSG_MORE)
		}},
	}
	if testutil.Probe(testutil.TLS) == nil {
		all = append(all, behaviour{"kTLS", "ok, ok", func(a *scene) string {
			a.must(unix.SetsockoptString(a.ends[0].fd, unix.IPPROTO_TCP, unix.TCP_ULP, "tls"))
			var out []string
			for _, direction := range []int{1, 2} { // TLS_TX, TLS_RX
				// A struct tls12_crypto_info_aes_gcm_128: TLS 1.2, the cipher, and a key of zeroes.
				out = append(out, errorName(unix.SetsockoptString(a.ends[0].fd, unix.SOL_TLS, direction, "\x03\x03\x33\x00"+strings.Repeat("\x00", 36))))
			}
			return strings.Join(out, ", ")
		}})
	}
	if testutil.Probe(testutil.PageFault) == nil {
		all = append(all, behaviour{"send while the reader's call is held up", "3", func(a *scene) string {
			f := newFault(a.t)
			holds := a.wait(unix.SYS_SENDTO, func() string { return result(1, unix.Send(a.ends[1].fd, f.page[:1], unix.MSG_NOSIGNAL)) })
			f.awaitTouch()
			w := a.wait(unix.SYS_SENDMSG, func() string { return a.try("one", unix.MSG_DONTWAIT) })
			r := w.soon()
			f.letGo()
			holds.then()
			if r != "waits" {
				return r
			}
			return r + ", then " + w.then()
		}})
	}
	return all
}

// try says something, and what comes of it.
func (a *scene) try(text string, flags int) string {
	return result(unix.SendmsgN(a.ends[0].fd, []byte(text), nil, nil, flags|unix.MSG_NOSIGNAL))
}

// told is what end 0 is told of what it has sent, on its error queue.
func (a *scene) told(what string) string {
	if err := a.ends[0].wait(0, notice); err != nil {
		return "nothing"
	}
	if _, _, _, _, err := unix.Recvmsg(a.ends[0].fd, nil, make([]byte, 512), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT); err != nil {
		return errorName(err)
	}
	return what
}

// heldBack says whether a small message waits for more. The kernel sends it at last
// after a time, which a busy machine may let pass; so it is tried some times.
func (a *scene) heldBack(hold, release func(), flags int) string {
	for range 5 {
		hold()
		_ = a.try("one", flags)
		now := a.ready(1, unix.POLLIN)
		release()
		a.must(a.ends[0].settle())
		a.hear(10)
		a.swap(1, []byte("x"))
		if now == "nothing" {
			return "held back"
		}
	}
	return "sent"
}

// fill has an end write until there is no more room, and will not be.
func (a *scene) fill(who int) {
	a.t.Helper()
	p := make([]byte, 64<<10)
	for {
		_, err := unix.SendmsgN(a.ends[who].fd, p, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if a.ends[who].wait(unix.POLLOUT, silence) != nil {
				return
			}
		case err != nil && !errors.Is(err, unix.EINTR):
			a.t.Fatal(err)
		}
	}
}

// drain has an end read all that the other has written.
func (a *scene) drain(who int) {
	a.t.Helper()
	p := make([]byte, 64<<10)
	for {
		left, err := unix.IoctlGetInt(a.ends[1-who].fd, unix.SIOCOUTQ)
		a.must(err)
		n, _, err := unix.Recvfrom(a.ends[who].fd, p, unix.MSG_DONTWAIT)
		switch {
		case n > 0 || errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) && left == 0:
			return
		case errors.Is(err, unix.EAGAIN):
		default:
			a.t.Fatalf("drain: %d, %v", n, err)
		}
	}
}
