// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// RemoveTemps deletes what killed Saves left of a network's records, but for
// those of the keys to keep. The caller knows that no other Save of the network
// is under way, as the runtime guarantees it to GC.
func (s *Store) RemoveTemps(network string, keep []Key) error {
	return s.sweep(tempName(network), func(name string) (bool, error) {
		return !slices.ContainsFunc(keep, func(k Key) bool { return tempName(fileName(k)) == name }), nil
	})
}

// RemoveDamaged removes the records of a network that cannot be read, but for those whose
// key's hash keep says so of. Under one that is torn no call is under way: records are
// written aside, and a second line does not touch the first.
func (s *Store) RemoveDamaged(network string, keep func(hash string) bool) error {
	return s.sweep(network, func(name string) (bool, error) {
		hash, ok := strings.CutSuffix(strings.TrimPrefix(name, network+"@"), suffix)
		if !ok || keep(hash) {
			return false, nil
		}
		r, err := s.read(name)
		return r == nil || fileName(r.Key) != name, err
	})
}

// sweep removes the files of an owner, which is what stands before the '@' of their names,
// that are to go.
func (s *Store) sweep(owner string, goes func(name string) (bool, error)) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list records: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		if before, _, ok := strings.Cut(name, "@"); !ok || before != owner {
			continue
		}
		gone, err := goes(name)
		if gone && err == nil {
			err = os.NewSyscallError("unlink", unix.Unlinkat(s.fd, name, 0))
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove left-over %q: %w", s.dir+"/"+name, err))
		}
	}
	return errors.Join(errs...)
}
