// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// Sweep removes the entries of host ends that are gone, which a DEL killed at
// the wrong moment leaves: gone answers for an index. It walks the maps, and is
// for GC.
func Sweep(gone func(ifindex int) bool) error {
	dir := pinDir()
	if dir == "" {
		return nil
	}
	err := trusted(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	inKey := func(key, _ []byte) int { return int(binary.NativeEndian.Uint32(key)) }
	inValue := func(_, value []byte) int { return int(binary.NativeEndian.Uint32(value)) }
	ofSocket := func(_, value []byte) int { return int(binary.NativeEndian.Uint32(value[socketIndexAt:])) }
	ofLoopback := func(_, value []byte) int { return int(binary.NativeEndian.Uint32(value[loopbackIndexAt:])) }
	ofAccelerated := func(_, value []byte) int { return int(binary.NativeEndian.Uint32(value[accelIndexAt:])) }
	return errors.Join(
		sweep(filepath.Join(dir, pinInterfaces), inKey, gone),
		sweep(filepath.Join(dir, pinCounts), inKey, gone),
		sweep(filepath.Join(dir, pinAllowed), inKey, gone),
		sweep(filepath.Join(dir, pinEndpoints), inValue, gone),
		sweep(filepath.Join(dir, pinSockets), ofSocket, gone),
		sweep(filepath.Join(dir, pinPublished), inKey, gone),
		sweep(filepath.Join(dir, pinLoopback), ofLoopback, gone),
		sweep(filepath.Join(dir, pinAccelSockets), ofAccelerated, gone),
		sweep(filepath.Join(dir, pinAccelPeers), ofAccelerated, gone),
		sweep(filepath.Join(dir, pinAccelFlows), indexOfFlow, gone),
	)
}

// sweep walks one map; ifindex says where in an entry the index is, 0 if the
// entry has none (a remote endpoint).
func sweep(pin string, ifindex func(key, value []byte) int, gone func(int) bool) error {
	// Asked first: where bpf(2) is refused, that is the answer for any path.
	if _, err := os.Lstat(pin); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	m, err := ebpf.LoadPinnedMap(pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open pin %q: %w", pin, err)
	}
	defer m.Close()
	var stale [][]byte
	var previous any // nil: from the beginning
	for {
		var key []byte
		if key, err = m.NextKeyBytes(previous); err != nil || key == nil {
			break
		}
		previous = key
		value, err := m.LookupBytes(key)
		if err == nil && value != nil {
			if i := ifindex(key, value); i != 0 && gone(i) {
				stale = append(stale, key)
			}
		}
	}
	for _, k := range stale {
		if derr := m.Delete(k); derr != nil && !errors.Is(derr, ebpf.ErrKeyNotExist) {
			err = errors.Join(err, derr)
		}
	}
	if err != nil {
		return fmt.Errorf("sweep map %q: %w", pin, err)
	}
	return nil
}
