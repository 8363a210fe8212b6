// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A scene is where a behaviour happens: end 0 has called end 1, and each has heard a
// byte of the other. In most end 0 says something, and end 1 hears it. What calls return
// is put in words: a number, or an error's name.
type scene struct {
	t    *testing.T
	half *half
	ends [2]end
}

// must is for what makes the scene, and is not the behaviour.
func (a *scene) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatalf("%s: %v", a.half, err)
	}
}

func result(n int, err error) string {
	if err != nil {
		return errorName(err)
	}
	return strconv.Itoa(n)
}

func errorName(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing"
	}
	return err.Error()
}

// swap has one end say something and the other hear it.
func (a *scene) swap(who int, p []byte) {
	a.t.Helper()
	for left := p; len(left) > 0; {
		n, err := unix.SendmsgN(a.ends[who].fd, left[:min(len(left), 64<<10+1)], nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		a.must(err)
		a.must(a.ends[1-who].read(make([]byte, n)))
		left = left[n:]
	}
}

// send says something, and has it arrive.
func (a *scene) send(text string) {
	a.t.Helper()
	a.must1(unix.SendmsgN(a.ends[0].fd, []byte(text), nil, nil, unix.MSG_NOSIGNAL))
	a.must(a.ends[0].settle())
}

func (a *scene) must1(_ int, err error) { a.t.Helper(); a.must(err) }

// recv reads what there is, in words.
func (a *scene) recv(who, n, flags int) string {
	p := make([]byte, n)
	got, _, err := unix.Recvfrom(a.ends[who].fd, p, flags|unix.MSG_DONTWAIT)
	return result(got, err)
}

// hear reads when there is something, in words.
func (a *scene) hear(n int) string {
	if err := a.ends[1].wait(unix.POLLIN, tortureWait); err != nil {
		return "nothing"
	}
	return a.recv(1, n, 0)
}

// ready says which of some events there are now.
func (a *scene) ready(who int, events int16) string {
	fds := []unix.PollFd{{Fd: int32(a.ends[who].fd), Events: events}}
	if _, err := unix.Poll(fds, 0); err != nil {
		return errorName(err)
	}
	var names []string
	for _, e := range []struct {
		bit  int16
		name string
	}{{unix.POLLIN, "IN"}, {unix.POLLOUT, "OUT"}, {unix.POLLPRI, "PRI"}, {unix.POLLRDHUP, "RDHUP"}, {unix.POLLERR, "ERR"}, {unix.POLLHUP, "HUP"}} {
		if fds[0].Revents&e.bit != 0 {
			names = append(names, e.name)
		}
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, "+")
}

// undisturbed has no signal come to the thread, but for one that nobody sends unless it is
// meant: blocking calls that a signal ends, of Go's scheduler (SIGURG) or of a child's end,
// return EINTR, or less than they were asked for. The thread is the caller's until it is
// undone.
func undisturbed(t *testing.T) (undo func()) {
	t.Helper()
	all, before := unix.Sigset_t{}, unix.Sigset_t{}
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	all.Val[0] &^= 1 << (harmless - 1)
	runtime.LockOSThread()
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); err != nil {
			t.Error(err)
			return
		}
		runtime.UnlockOSThread()
	}
}

// harmless is a signal for which Go has a handler that does nothing, of those after which
// calls are restarted (SA_RESTART).
const harmless = unix.SIGWINCH

// A waiter is a thread in a system call.
type waiter struct {
	a      *scene
	thread int
	call   int // number of the system call
	result chan string
}

// silence is how long something must not happen to count as not happening.
const silence = 200 * time.Millisecond

// wait runs a call that waits, and returns when it does, or is over. Until then it does
// what the call may need for it.
func (a *scene) wait(call int, run func() string, meanwhile ...func()) waiter {
	a.t.Helper()
	w := waiter{a, 0, call, make(chan string, 1)}
	thread := make(chan int)
	go func() {
		undisturbed(a.t) // for good: a signal is for this thread only, which ends with it
		thread <- unix.Gettid()
		w.result <- run()
	}()
	w.thread = <-thread
	for late := deadline(tortureWait); !late(); runtime.Gosched() {
		if len(w.result) > 0 {
			return w
		}
		for _, f := range meanwhile {
			f()
		}
		if w.sleeps() {
			return w
		}
	}
	a.t.Fatal("the call is not made")
	return w
}

// sleeps says whether the thread waits in its call: one that was woken up, and has not had
// its turn on a busy machine, does not (proc_pid_syscall(5)).
func (w waiter) sleeps() bool {
	now, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", w.thread))
	return err == nil && strings.HasPrefix(string(now), strconv.Itoa(w.call)+" ")
}

// recvWaits is a blocking recv.
func (a *scene) recvWaits(n, flags int) waiter {
	a.t.Helper()
	return a.wait(unix.SYS_RECVFROM, func() string {
		got, _, err := unix.Recvfrom(a.ends[1].fd, make([]byte, n), flags)
		return result(got, err)
	})
}

// soon is what the call has returned, or that it waits still.
func (w waiter) soon() string {
	for late := deadline(tortureWait); ; {
		select {
		case r := <-w.result:
			return r
		case <-time.After(silence):
			if w.sleeps() || late() {
				return "waits"
			}
		}
	}
}

// then is what the call returns in the end.
func (w waiter) then() string {
	select {
	case r := <-w.result:
		return r
	case <-time.After(tortureWait):
		return "waits for ever"
	}
}
