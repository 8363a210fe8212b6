// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"fmt"
	"io/fs"
)

// StopAcceleration ends acceleration until it is started again or the pins go: nothing
// is enrolled any more, and what is sends by TCP from the next message on. The error wraps
// fs.ErrNotExist where nothing is loaded that could be stopped.
func StopAcceleration(stop bool) error {
	m, err := openAccelMap(pinAccelStop)
	if err == nil && m == nil {
		err = fmt.Errorf("no network is accelerated: %w", fs.ErrNotExist)
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
