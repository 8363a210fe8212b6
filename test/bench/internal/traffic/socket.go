// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is how long a call may block before the sample is given up.
const patience = 3 // seconds

// read and write are system calls that the Go scheduler does not see. They block
// their thread and a P; nothing else has to run meanwhile.
func read(fd int, b []byte) (int, error)  { return transfer(unix.SYS_READ, fd, b) }
func write(fd int, b []byte) (int, error) { return transfer(unix.SYS_WRITE, fd, b) }

// readFull fills b.
func readFull(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := read(fd, b)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		b = b[n:]
	}
	return nil
}

// writeFull sends all of b.
func writeFull(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := write(fd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func transfer(call uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// pin binds the goroutine to a thread, and the thread to a CPU unless that is
// negative. It is for the goroutines that send and receive.
func pin(cpu int) error {
	runtime.LockOSThread()
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return nil
}

// listen opens the server's socket and returns the port.
func listen(s Spec) (fd int, port uint16, err error) {
	domain, addr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(s.Port)})
	if s.DualStack {
		domain, addr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(s.Port)}
	}
	proto := 0
	if s.MPTCP {
		proto = unix.IPPROTO_MPTCP
	}
	if fd, err = open(s, domain, proto); err != nil {
		return -1, 0, err
	}
	if s.DualStack {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return -1, 0, fmt.Errorf("listen on both families: %w", err)
		}
	}
	if s.Port != 0 {
		// What the server of the last sample left behind must not hold the port.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return -1, 0, fmt.Errorf("share the port: %w", err)
		}
	}
	if err := unix.Bind(fd, addr); err != nil {
		return -1, 0, fmt.Errorf("bind: %w", err)
	}
	if s.stream() {
		if err := unix.Listen(fd, 128); err != nil {
			return -1, 0, fmt.Errorf("listen: %w", err)
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return -1, 0, fmt.Errorf("ask for the port: %w", err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		port = uint16(name.Port)
	case *unix.SockaddrInet6:
		port = uint16(name.Port)
	}
	return fd, port, nil
}

// connect opens and connects a socket of the client.
func connect(s Spec) (int, error) {
	fd, err := socket(s)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, sockaddr(s.Server)); err != nil {
		return -1, fmt.Errorf("connect to %s: %w", s.Server, err)
	}
	return fd, nil
}

// socket opens a socket of the client.
func socket(s Spec) (int, error) {
	fd, err := open(s, unix.AF_INET, 0)
	if err != nil {
		return -1, err
	}
	if s.Congestion != "" {
		if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, s.Congestion); err != nil {
			return -1, fmt.Errorf("set congestion control %q: %w", s.Congestion, err)
		}
	}
	if s.Source.IsValid() {
		// The port is left to connect, which has all of them for each server.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return -1, fmt.Errorf("leave the port to connect: %w", err)
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(s.Source, 0))); err != nil {
			return -1, fmt.Errorf("bind to %s: %w", s.Source, err)
		}
	}
	return fd, nil
}

// accept takes the next connection, or waits for it as long as it takes: who
// started the server ends it.
func accept(listener int) (int, error) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			return fd, prepare(fd, true)
		case unix.EINTR, unix.EAGAIN:
		default:
			return -1, fmt.Errorf("accept: %w", err)
		}
	}
}

func (s Spec) stream() bool {
	return s.Kind != Datagrams && s.Kind != Batches && s.Kind != UDPTurns && s.Kind != Paced
}

func open(s Spec, domain, proto int) (int, error) {
	kind := unix.SOCK_DGRAM
	if s.stream() {
		kind = unix.SOCK_STREAM
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	return fd, prepare(fd, s.stream())
}

func prepare(fd int, stream bool) error {
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &unix.Timeval{Sec: patience}); err != nil {
			return fmt.Errorf("set timeout: %w", os.NewSyscallError("setsockopt", err))
		}
	}
	if !stream {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("send without delay: %w", err)
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// DefaultCongestion returns the congestion control that a new TCP socket of the
// calling thread's network namespace gets.
func DefaultCongestion() (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if err != nil {
		return "", fmt.Errorf("ask for the congestion control: %w", err)
	}
	return unix.ByteSliceToString([]byte(name)), nil
}

// HasMPTCP tells whether the kernel has it.
func HasMPTCP() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}
