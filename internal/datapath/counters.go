// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Counters are what the programs count for one container since its ADD.
type Counters struct {
	FastPackets, FastBytes uint64 // from it, delivered directly
	OutPackets, OutBytes   uint64 // from it, left to the host stack
	InPackets, InBytes     uint64 // to it, from the host stack
	FastInPackets          uint64 // to it, delivered directly
	FastInBytes            uint64
	Drops                  [dropReasons]uint64
}

// pathCounters is the number of counters before those of the drops.
const pathCounters = 8

// countersSize is the size of struct counters.
const countersSize = 8 * (pathCounters + dropReasons)

// Counters reads the counters of a container by the index of its host end. The
// error wraps unix.ENOENT if it is not known.
func (h *Handle) Counters(ifindex int) (Counters, error) {
	var sum Counters
	cpus, err := possibleCPUs()
	if err != nil {
		return sum, err
	}
	raw := make([]byte, countersSize*cpus)
	if err := h.counts.Lookup(indexKey(ifindex), raw); err != nil {
		return sum, err
	}
	for cpu := raw; len(cpu) >= countersSize; cpu = cpu[countersSize:] {
		field := func(i int) uint64 { return binary.NativeEndian.Uint64(cpu[8*i:]) }
		for i, p := range [pathCounters]*uint64{
			&sum.FastPackets, &sum.FastBytes, &sum.OutPackets, &sum.OutBytes,
			&sum.InPackets, &sum.InBytes, &sum.FastInPackets, &sum.FastInBytes,
		} {
			*p += field(i)
		}
		for i := range sum.Drops {
			sum.Drops[i] += field(pathCounters + i)
		}
	}
	return sum, nil
}

// possibleCPUs is the number of values that a per-CPU map has for a key: the
// kernel's possible CPUs ("0-3"), online or not. A guess will not do: the kernel
// reads and writes that many, whatever the size of the buffer.
func possibleCPUs() (int, error) {
	const path = "/sys/devices/system/cpu/possible"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("count CPUs: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	raw := make([]byte, 4096)
	n, err := unix.Read(fd, raw)
	if err != nil {
		return 0, fmt.Errorf("count CPUs: %w", &os.PathError{Op: "read", Path: path, Err: err})
	}
	text := strings.TrimSpace(string(raw[:n]))
	last, err := strconv.Atoi(text[strings.LastIndexAny(text, "-,")+1:])
	if err != nil {
		return 0, fmt.Errorf("count CPUs: %w", err)
	}
	return last + 1, nil
}
