// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// Acceleration is what lets TCP sockets of a container hand their bytes to those of
// another of its network (bpf/accel.bpf.c), if both have it.
type Acceleration struct {
	NetnsCookie uint64 // of the container's namespace (SO_NETNS_COOKIE)
	Cgroup      string // below the root of cgroup v2, whose processes' sockets are enrolled; empty: those of all
}

// Names of the pins of the programs, and of those of their links beside the maps.
const (
	pinAccelEnrol   = "accel_enrol"  // on the root of cgroup v2
	pinAccelCgroup  = "accel_cgroup" // the same on cgroups of containers, which have no link
	pinAccelVerdict = "accel_verdict"
	pinAccelRead    = "accel_read"
)

// Names of the pins of this build's program once more, of which one is made when all is
// at work: with the program that counts what is read, or without, where there can be none.
const (
	pinAccelWhole = "accel_whole"
	pinAccelBlind = "accel_blind"
)

// minAccelRelease is the first kernel whose sockets in a map refuse kernel TLS: on older
// ones a sender with TLS in the kernel would hand over what it means to be encrypted.
var minAccelRelease = [2]int{6, 12}

func (h *Handle) accelLink(program string) string { return filepath.Join(h.dir, program+"_link") }

// HasAcceleration says whether this build's programs have been put to work, and those
// that decide on messages and count what is read are linked; with everywhere also the one that enrols on the root
// of cgroup v2, and not only on the cgroups of containers.
func (h *Handle) HasAcceleration(everywhere bool) bool {
	programs := programDir(h.dir)
	whole := there(filepath.Join(programs, pinAccelWhole)) && there(h.accelLink(pinAccelRead))
	return (whole || there(filepath.Join(programs, pinAccelBlind))) && there(h.accelLink(pinAccelVerdict)) &&
		there(filepath.Join(h.dir, pinAccelSockets)) && (!everywhere || there(h.accelLink(pinAccelEnrol)))
}

// LoadAcceleration puts this build's programs to work, in place of another build's. The
// programs for devices are loaded, and the caller holds a lock that excludes others who
// load. renews is why a connection that has used up its budget does not get another one,
// nil if it does. The error wraps ErrUnavailable if acceleration is not possible here.
func (h *Handle) LoadAcceleration(everywhere bool) (renews, err error) {
	if err := AccelerationAvailable(); err != nil {
		return nil, err
	}
	root, err := cgroupRoot()
	if err != nil {
		return nil, err
	}
	spec, err := loadAccel()
	if err != nil {
		return nil, fmt.Errorf("read eBPF object: %w", err)
	}
	reader := spec.Programs[pinAccelRead].Copy()
	delete(spec.Programs, pinAccelRead)
	programs := programDir(h.dir)
	counts := there(filepath.Join(programs, pinAccelWhole)) && there(h.accelLink(pinAccelRead))
	if err := remove(filepath.Join(programs, pinAccelWhole), filepath.Join(programs, pinAccelBlind)); err != nil {
		return nil, err
	}
	if err := pinPrograms(h.dir, spec, pinAccelVerdict, pinAccelCgroup, pinAccelEnrol); err != nil {
		return nil, err
	}
	if !counts { // to replace it would cost the connections of the moment their budget
		renews = h.loadAccelRead(reader)
	}
	if err := h.linkVerdict(); err != nil {
		return nil, errors.Join(ErrUnavailable, err)
	}
	if everywhere {
		if err := h.linkPinned(pinAccelEnrol, h.accelLink(pinAccelEnrol), root, bpfsys.SockOps); err != nil {
			return nil, errors.Join(ErrUnavailable, err)
		}
	}
	return renews, markAccelerated(programs, renews == nil)
}

// markAccelerated says that all is at work.
func markAccelerated(programs string, counts bool) error {
	program, err := bpfsys.Open(filepath.Join(programs, pinAccelEnrol))
	if err != nil {
		return err
	}
	defer program.Close()
	if !counts {
		return program.Pin(filepath.Join(programs, pinAccelBlind))
	}
	return program.Pin(filepath.Join(programs, pinAccelWhole))
}

// remove removes files that may be there.
func remove(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove pin: %w", err)
		}
	}
	return nil
}

// AccelerationAvailable says why LoadAcceleration would refuse, as far as is known
// without a trace on the host.
func AccelerationAvailable() error {
	if err := releaseAtLeast(minAccelRelease); err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	if _, err := cgroupRoot(); err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	return nil
}

// linkVerdict makes the program decide on the messages of the sockets that are put into
// the map from now on.
func (h *Handle) linkVerdict() error {
	program, err := bpfsys.Open(filepath.Join(programDir(h.dir), pinAccelVerdict))
	if err != nil {
		return err
	}
	defer program.Close()
	sockets, err := bpfsys.Open(filepath.Join(h.dir, pinAccelSockhash))
	if err != nil {
		return err
	}
	defer sockets.Close()
	return linkTo(program, h.accelLink(pinAccelVerdict), int(sockets), bpfsys.SKMsgVerdict)
}
