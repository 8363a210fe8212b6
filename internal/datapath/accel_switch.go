// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// StopAcceleration ends acceleration until it is started again or the pins go: nothing
// is enrolled any more, and what is sends by TCP from the next message on. The error wraps
// fs.ErrNotExist where nothing is loaded that could be stopped.
func StopAcceleration(stop bool) error {
	m, err := openAccelMap(pinAccelStop)
	if err == nil && m == nil {
		err = noSwitch()
	}
	if err != nil {
		return err
	}
	defer m.Close()
	var value uint32
	if stop {
		value = 1
	}
	if err := m.Put(uint32(0), value); err != nil {
		return fmt.Errorf("switch acceleration: %w", err)
	}
	return nil
}

// noSwitch says why there is none. That of what is loaded can be lost.
func noSwitch() error {
	if dir := pinDir(); dir != "" {
		for _, name := range accelPins() {
			if there(filepath.Join(dir, name)) {
				return fmt.Errorf("eBPF pin %q is missing: emerita repair puts it back", filepath.Join(dir, pinAccelStop))
			}
		}
	}
	return fmt.Errorf("no network is accelerated: %w", fs.ErrNotExist)
}

// AccelerationStopped says whether StopAcceleration is in force.
func AccelerationStopped() (bool, error) {
	m, err := openAccelMap(pinAccelStop)
	if m == nil {
		return false, err
	}
	defer m.Close()
	var value uint32
	if err := m.Lookup(uint32(0), &value); err != nil {
		return false, fmt.Errorf("read the switch of acceleration: %w", err)
	}
	return value != 0, nil
}
