// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrUnavailable is wrapped when this host cannot have the programs: no bpf(2),
// no permission, no bpffs, or a helper that the kernel lacks.
var ErrUnavailable = errors.New("eBPF data path unavailable")

// The places of the pins. The host's bpffs is taken where there is one, else
// one of our own, because mounting on /sys/fs/bpf is the operator's business. Ours stays
// the one in use while it has pins, although the host's is mounted meanwhile: containers
// whose programs and maps are in two places would not know of each other. It goes with
// the last attachment, and with a reboot.
const (
	systemFS = "/sys/fs/bpf"
	ownFS    = "/run/emerita/bpf"
)

// layoutDir holds the maps. Its number changes with the layout of a map, and
// then both generations stand side by side until the containers of the older
// one are gone.
const layoutDir = "emerita-v2"

// The names of the pinned maps, as in the object.
const (
	pinInterfaces = "interfaces"
	pinEndpoints  = "endpoints"
	pinAllowed    = "allowed"
	pinCounts     = "counts"
	pinSockets    = "sockets"
	pinPublished  = "published"
	pinLoopback   = "loopback"

	pinConversations = "conversations"
	pinLedSockets    = "led_sockets"
	pinDatagrams     = "datagrams"

	pinAccelSockets  = "accel_sockets"
	pinAccelPeers    = "accel_peers"
	pinAccelFlows    = "accel_flows"
	pinAccelSockhash = "accel_sockhash"
	pinAccelTurns    = "accel_turns"
	pinAccelReader   = "accel_reader"
	pinAccelStop     = "accel_stop"
	pinAccelServices = "accel_services"
)

// isBPFFS says whether a bpffs is mounted at a path.
func isBPFFS(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.BPF_FS_MAGIC
}

// pinDir is the directory of the pins, whether it exists or not; empty if no
// bpffs is mounted.
func pinDir() string {
	// Looked for first, and in vain on most hosts, at the cost of one call.
	if own := filepath.Join(ownFS, layoutDir); there(own) && isBPFFS(ownFS) {
		return own
	}
	for _, root := range []string{systemFS, ownFS} {
		if isBPFFS(root) {
			return filepath.Join(root, layoutDir)
		}
	}
	return ""
}

// makePinDir mounts a bpffs if there is none, and makes the directory.
func makePinDir() (string, error) {
	dir := pinDir()
	if dir == "" {
		if err := os.MkdirAll(ownFS, 0o700); err != nil {
			return "", errors.Join(ownPlace(), fmt.Errorf("make mount point of bpffs: %w", err))
		}
		if err := ownPlace(); err != nil {
			return "", err
		}
		if err := unix.Mount("bpf", ownFS, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
			removeOwnFS()
			return "", fmt.Errorf("mount bpffs at %s: %w: mount one at %s", ownFS, err, systemFS)
		}
		dir = filepath.Join(ownFS, layoutDir)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make pin directory: %w", err)
	}
	return dir, trusted(dir)
}

// ownPlace says why no bpffs of our own could be mounted: a file stands there, or somebody
// else could have a link there that leads the mount to a place of theirs.
func ownPlace() error {
	for _, dir := range []string{filepath.Dir(ownFS), ownFS} {
		if err := ours(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// ours refuses what is no directory, and one that is not root's alone.
func ours(dir string) error {
	var st unix.Stat_t
	err := unix.Lstat(dir, &st)
	switch {
	case err != nil:
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%q is no directory: remove it", dir)
	case int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0:
		return fmt.Errorf("%q: owner %d, mode %#o: it must be ours and writable by nobody else: chown and chmod 0700 it", dir, st.Uid, st.Mode&0o7777)
	}
	return nil
}

// removeOwnFS removes the mount point of our own bpffs. What else is there is not
// ours, and keeps it.
func removeOwnFS() {
	_ = os.Remove(ownFS)
	_ = os.Remove(filepath.Dir(ownFS))
}

// trusted refuses a directory in which somebody else could put pins of theirs:
// a bpffs is world-writable unless mounted otherwise, and ours is in a directory. Who is
// not root has no pins, and is not told to remove root's.
func trusted(dir string) error {
	var st unix.Stat_t
	err := unix.Lstat(dir, &st)
	if os.Geteuid() != 0 && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pin directory %q is root's: run as root: %w", dir, fs.ErrPermission)
	}
	if err != nil {
		return fmt.Errorf("look at pin directory: %w", &os.PathError{Op: "lstat", Path: dir, Err: err})
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("pin directory %q is not a directory of ours alone (owner %d, mode %#o): remove it", dir, st.Uid, st.Mode)
	}
	if filepath.Dir(dir) == ownFS {
		return ours(filepath.Dir(ownFS))
	}
	return nil
}
