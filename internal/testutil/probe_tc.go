// SPDX-License-Identifier: MIT OR Apache-2.0

package testutil

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// probeTBF asks for a token bucket without parameters: a kernel that has it says that
// they are missing (tbf_init), one that has not that it knows none.
func probeTBF() error {
	if err := probeQdisc("tbf", 0, tcHRoot); !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// probeRedirect sends what comes in by the loopback interface out by itself.
func probeRedirect() error {
	if err := probeClsact(); err != nil {
		return err
	}
	out, err := exec.Command("tc", strings.Fields("filter add dev lo ingress u32 match u32 0 0 action mirred egress redirect dev lo")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("tc: %w: %s", err, out)
	}
	return nil
}
