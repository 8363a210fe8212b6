// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// EnrolCgroup lets the sockets of the processes of a cgroup be enrolled, by its path
// below the root of cgroup v2. It ends with the cgroup.
func (h *Handle) EnrolCgroup(path string) error {
	program, err := bpfsys.Open(filepath.Join(programDir(h.dir), pinAccelCgroup))
	if err != nil {
		return err
	}
	defer program.Close()
	cgroup, err := openBelowRoot(path)
	if err != nil {
		return err
	}
	defer unix.Close(cgroup)
	return bpfsys.AttachCgroup(program, cgroup, bpfsys.SockOps)
}

// Enrolled says whether the sockets of a cgroup are enrolled by a program of its own. The
// error wraps fs.ErrNotExist if the cgroup is gone.
func Enrolled(path string) (bool, error) {
	cgroup, err := openBelowRoot(path)
	if err != nil {
		return false, err
	}
	defer unix.Close(cgroup)
	id, err := bpfsys.AttachedTo(cgroup, bpfsys.SockOps, pinAccelCgroup)
	return id != 0, err
}

// DismissCgroup undoes EnrolCgroup. A cgroup that is gone is success.
func DismissCgroup(path string) error {
	cgroup, err := openBelowRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(cgroup)
	return bpfsys.DetachCgroup(cgroup, bpfsys.SockOps, pinAccelCgroup)
}
