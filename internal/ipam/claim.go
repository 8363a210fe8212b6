// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"context"
	"time"

	"github.com/emerita-cni/emerita/internal/state"
)

// Release gives back what a claim of host-local holds for a key, for callers
// whose configuration no longer names host-local, or none at all. What the key
// does not hold is left alone, and what is gone is no error.
func Release(ctx context.Context, known Claim, key state.Key, lockTimeout time.Duration) error {
	m := &hostLocal{dir: known.Dir, key: key, timeout: lockTimeout}
	return m.Del(ctx, &known)
}
