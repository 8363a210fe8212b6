// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// Congestion is the congestion control that TCP sockets of a container get for
// connections with containers of its network on this host. One that an application
// has chosen stays.
type Congestion struct {
	NetnsCookie uint64 // of the container's namespace (SO_NETNS_COOKIE)
	Name        string // at most 15 bytes
	Unpaced     bool   // only in place of an algorithm that paces, such as bbr
}

// Names of the pins of the sockops program: the program, with those of its build,
// and its link to the cgroup, which all builds share. Without the link the program
// does nothing, so that removing the pins ends it.
const (
	pinCongestion     = "local_congestion"
	pinCongestionLink = "local_congestion_link"
)

// HasCongestion says whether a sockops program is at work that knows the maps: this
// build's has been loaded, and the link and the map are there. After a downgrade the
// link may run another build's, with the same effect.
func (h *Handle) HasCongestion() bool {
	for _, path := range []string{filepath.Join(programDir(h.dir), pinCongestion), filepath.Join(h.dir, pinCongestionLink), filepath.Join(h.dir, pinSockets)} {
		if unix.Access(path, unix.F_OK) != nil {
			return false
		}
	}
	return true
}

// LoadCongestion puts this build's sockops program (Linux 5.15) on the root of
// cgroup v2, in place of another build's. The programs for devices are loaded, and
// the caller holds a lock that excludes others who load. The error wraps
// ErrUnavailable if that is not possible here.
func (h *Handle) LoadCongestion() error {
	root, err := cgroupRoot()
	if err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	spec, err := loadSocket()
	if err != nil {
		return fmt.Errorf("read eBPF object: %w", err)
	}
	if err := pinPrograms(h.dir, spec, pinCongestion); err != nil {
		return err
	}
	if err := h.linkPinned(pinCongestion, filepath.Join(h.dir, pinCongestionLink), root, bpfsys.SockOps); err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	return nil
}

// linkPinned links a program of this build, by the name of its pin.
func (h *Handle) linkPinned(name, pin, root string, at bpfsys.AttachType) error {
	program, err := bpfsys.Open(filepath.Join(programDir(h.dir), name))
	if err != nil {
		return err
	}
	defer program.Close()
	cgroup, err := openCgroup(root)
	if err != nil {
		return err
	}
	defer unix.Close(cgroup)
	return linkTo(program, pin, cgroup, at)
}

func openCgroup(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open cgroup: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	return fd, nil
}

// linkTo makes a pinned link of a program to an open target, or gives the program to the
// one that there is, unless somebody has detached that.
func linkTo(program bpfsys.FD, pin string, target int, at bpfsys.AttachType) error {
	l, err := bpfsys.Open(pin)
	if err == nil {
		err = l.UpdateLink(program)
		l.Close()
		if errors.Is(err, unix.ENOLINK) { // of no use any more
			err = errors.Join(remove(pin), fs.ErrNotExist)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if l, err = bpfsys.Link(program, target, at); err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

// cgroupRoot is where the root of cgroup v2 is mounted, beside v1 or alone.
func cgroupRoot() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("look for cgroup v2: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// mount id, parent, device, root, mount point, options, fields, "-", type
		// (proc_pid_mountinfo(5)).
		front, back, ok := strings.Cut(lines.Text(), " - ")
		words := strings.Fields(front)
		if !ok || len(words) < 5 || words[3] != "/" || !strings.HasPrefix(back, "cgroup2 ") {
			continue
		}
		var st unix.Statfs_t
		if unix.Statfs(words[4], &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return words[4], nil // and nothing is mounted over it
		}
	}
	return "", errors.Join(errors.New("no cgroup v2 is mounted"), lines.Err())
}

// RegisterSockets tells the sockops program of a container's sockets, if they are to
// have a congestion control.
func (h *Handle) RegisterSockets(e Endpoint) error {
	if e.Congestion == nil {
		return nil
	}
	if len(e.Congestion.Name) >= congestionName {
		return fmt.Errorf("register sockets: congestion control %q: name is longer than %d bytes", e.Congestion.Name, congestionName-1)
	}
	if err := h.openSockets(); err != nil {
		return fmt.Errorf("register sockets: %w", err)
	}
	for _, a := range e.Addrs {
		if err := h.sockets.Update(socketKey(e.Congestion.NetnsCookie, a), socketPolicy(e)); err != nil {
			return fmt.Errorf("register sockets of %s: %w", a, err)
		}
	}
	return nil
}

// unregisterSockets forgets them, but for those of another attachment by now.
func (h *Handle) unregisterSockets(e Endpoint, forget func(err error, what string)) {
	if e.Congestion == nil || h.openSockets() != nil {
		return
	}
	for _, a := range e.Addrs {
		k, v := socketKey(e.Congestion.NetnsCookie, a), make([]byte, socketSize)
		if h.sockets.Lookup(k, v) != nil || string(v[socketIndexAt:][:4]) != string(indexKey(e.IfIndex)) {
			continue
		}
		forget(h.sockets.Delete(k), "sockets of "+a.String())
	}
}

// openSockets opens the pin of the map, which is there only if some network has
// asked for a congestion control.
func (h *Handle) openSockets() error { return h.open(&h.sockets, pinSockets) }
