// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// sysctlFile lists the host's settings that were changed, to be undone when the
// last attachment is gone.
const sysctlFile = "sysctls" + suffix

// SysctlChange is one setting of an interface that is not Emerita's: what it
// was and what it was set to.
type SysctlChange struct {
	Family    string `json:"family"`
	Interface string `json:"interface"`
	Key       string `json:"key"`
	Was       string `json:"was"`
	Set       string `json:"set"`
	BootID    string `json:"bootID"` // settings do not outlive the boot
}

// HasSysctls says, without reading it, whether there is a list of changes, or
// what a killed NoteSysctl left of one.
func (s *Store) HasSysctls() bool {
	return unix.Faccessat(s.fd, sysctlFile, unix.F_OK, 0) == nil ||
		unix.Faccessat(s.fd, tempName(sysctlFile), unix.F_OK, 0) == nil
}

// Sysctls reads the changes made in this boot, oldest first.
func (s *Store) Sysctls() ([]SysctlChange, error) {
	raw, err := s.readFile(sysctlFile)
	if raw == nil {
		return nil, err
	}
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	var all []SysctlChange
	if json.Unmarshal(raw, &all) != nil {
		return nil, nil // torn by a power cut, and with it the boot is over
	}
	return slices.DeleteFunc(all, func(c SysctlChange) bool { return c.BootID != boot }), nil
}

// NoteSysctl adds a change to the list, before it is made. The caller excludes
// other calls. The first note of a setting stands: it has the operator's value.
func (s *Store) NoteSysctl(c SysctlChange) error {
	all, err := s.Sysctls()
	if err != nil {
		return err
	}
	if c.BootID, err = BootID(); err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(o SysctlChange) bool {
		return o.Family == c.Family && o.Interface == c.Interface && o.Key == c.Key
	}) {
		return nil
	}
	raw, err := json.Marshal(append(all, c))
	if err != nil {
		return fmt.Errorf("encode sysctl changes: %w", err)
	}
	return s.writeFile(sysctlFile, raw)
}

// ForgetSysctls removes the list, and what a killed NoteSysctl left of one.
func (s *Store) ForgetSysctls() error {
	_ = unix.Unlinkat(s.fd, tempName(sysctlFile), 0)
	if err := unix.Unlinkat(s.fd, sysctlFile, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove list of sysctl changes: %w", err)
	}
	return nil
}
