// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/conntrack"
	"github.com/emerita-cni/emerita/internal/nft"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// ForgetFlowsCommand is the command by which the program runs ForgetFlows in a process of
// its own.
const ForgetFlowsCommand = "forget-flows"

// closer is a descriptor that takes long to be closed.
type closer interface {
	FD() int
	Close() error
}

// forgetFlows has the kernel forget the connections to ports of an attachment that lead
// elsewhere, or if it is gone those that lead to it, so that their next packet goes where
// the port leads now; a client of UDP would else send
// to nobody for as long as it sends. To search the table of connections takes longer than
// an ADD, and so does it to close what rest is: both are left to a process in the
// background, which ends within milliseconds. Where that cannot be started, the caller
// waits.
func (p *Plugin) forgetFlows(ports []state.Port, gone bool, rest closer) {
	tracked := len(ports) > 0 && conntrack.Tracked()
	if rest == nil && !tracked {
		return
	}
	if !tracked {
		ports = nil
	}
	args := flowArgs(ports, gone)
	err := p.background(args, rest)
	if err != nil {
		p.Log.Debug("forget connections in the foreground", "err", err)
		if err := ForgetFlows(args); err != nil {
			p.Log.Warn("connections to published ports may go on to where they led", "err", err)
		}
	}
	if rest != nil {
		_ = rest.Close()
	}
}

// background runs ForgetFlowsCommand with the descriptor of rest, in a session of its own
// and with no other descriptor of ours.
func (p *Plugin) background(args []string, rest closer) error {
	if p.Self == "" {
		return fmt.Errorf("no program to run")
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	defer unix.Close(null)
	files := []uintptr{uintptr(null), uintptr(null), uintptr(null)}
	if rest != nil {
		files = append(files, uintptr(rest.FD()))
	}
	pid, err := syscall.ForkExec(p.Self, append([]string{"emerita", ForgetFlowsCommand}, args...), &syscall.ProcAttr{
		Dir: "/", Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return os.NewSyscallError("start "+p.Self, err)
	}
	go func() { _, _ = unix.Wait4(pid, nil, 0, nil) }() // for a caller that lives on
	return nil
}

// flowArgs are ports as arguments of a process: PROTOCOL,ADDRESS,PORT,TARGET,GONE.
func flowArgs(ports []state.Port, gone bool) []string {
	var args []string
	for _, p := range ports {
		if atLoopback(p) {
			continue // nothing of it is tracked
		}
		args = append(args, fmt.Sprintf("%d,%s,%d,%s,%t", protocolOf(p.Protocol), p.HostIP, p.HostPort,
			netip.AddrPortFrom(p.ContainerIP, p.ContainerPort), gone))
	}
	return args
}

// stillLead leaves out ports that have come and lead elsewhere by now: whoever has them
// since has connections of its own. Of those that are gone only what led to them is meant.
func stillLead(ports []conntrack.Port) []conntrack.Port {
	return slices.DeleteFunc(ports, func(p conntrack.Port) bool {
		if p.Gone {
			return false
		}
		leads, err := nft.HasPorts([]nft.Port{{
			Protocol: p.Protocol, HostAddr: p.Addr, HostPort: p.Port, Addr: p.Target.Addr(), Port: p.Target.Port(),
		}})
		return err != nil || !leads
	})
}

func parseFlow(arg string) (p conntrack.Port, err error) {
	f := strings.Split(arg, ",")
	if len(f) != 5 {
		return p, fmt.Errorf("%d fields", len(f))
	}
	protocol, err1 := strconv.ParseUint(f[0], 10, 8)
	port, err2 := strconv.ParseUint(f[2], 10, 16)
	var errs [3]error
	p.Protocol, p.Port = uint8(protocol), uint16(port)
	p.Addr, errs[0] = netip.ParseAddr(f[1])
	p.Target, errs[1] = netip.ParseAddrPort(f[3])
	p.Gone, errs[2] = strconv.ParseBool(f[4])
	return p, errors.Join(err1, err2, errors.Join(errs[:]...))
}

// ForgetFlows is what ForgetFlowsCommand does.
func ForgetFlows(args []string) error {
	var ports []conntrack.Port
	for _, arg := range args {
		p, err := parseFlow(arg)
		if err != nil {
			return fmt.Errorf("%q: %w: want PROTOCOL,ADDRESS,PORT,TARGET,GONE", arg, err)
		}
		ports = append(ports, p)
	}
	if ports = stillLead(ports); len(ports) == 0 {
		return nil
	}
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer conn.Close()
	own, err := rtnl.Addrs(conn, 0)
	if err != nil {
		return err
	}
	local := map[netip.Addr]bool{}
	for _, a := range own {
		local[a.Addr()] = true
	}
	_, err = conntrack.Forget(ports, func(a netip.Addr) bool { return local[a] || a.IsLoopback() })
	return err
}
