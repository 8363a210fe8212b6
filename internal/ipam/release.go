// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// Del implements Manager. It only unlinks, and so works on a full disk.
func (m *hostLocal) Del(ctx context.Context, known *Claim) error {
	err := m.locked(ctx, known, func(d *directory) error {
		var errs []error
		if known == nil {
			held, err := d.heldBy(m.key)
			known, errs = &Claim{Addrs: held}, append(errs, err)
		}
		for _, a := range known.Addrs {
			errs = append(errs, d.release(a, m.key))
		}
		return errors.Join(errs...)
	})
	return cniproto.Wrap(cniproto.CodeIPAM, fmt.Sprintf("release addresses of network %q", m.key.Network), err)
}

// Check implements Manager.
func (m *hostLocal) Check(ctx context.Context, known *Claim) error {
	found := false
	err := m.locked(ctx, known, func(d *directory) error {
		if known == nil {
			held, err := d.heldBy(m.key)
			found = len(held) > 0
			return err
		}
		for _, a := range known.Addrs {
			r, err := d.read(a)
			if err != nil {
				return err
			}
			if !r.heldBy(m.key) && !r.heldByID(m.key) {
				return fmt.Errorf("%q does not hold container %q, interface %q: add the container again",
					filepath.Join(d.path, a.String()), m.key.ContainerID, m.key.IfName)
			}
		}
		found = true
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("no reservation in %q for container %q, interface %q: add the container again",
			m.claimDir(known), m.key.ContainerID, m.key.IfName)
	}
	return cniproto.Wrap(cniproto.CodeIPAM, fmt.Sprintf("check addresses of network %q", m.key.Network), err)
}

// GC implements Manager. Torn files go too; what host-local did not write
// stays.
func (m *hostLocal) GC(ctx context.Context, valid []cniproto.Attachment) error {
	attached := make(map[cniproto.Attachment]bool, len(valid))
	containers := make(map[string]bool, len(valid))
	for _, a := range valid {
		attached[a] = true
		containers[a.ContainerID] = true
	}
	err := m.locked(ctx, nil, func(d *directory) error {
		addrs, err := d.addrs()
		errs := []error{err}
		for _, a := range addrs {
			r, err := d.read(a)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			keep := r.kind == foreign ||
				r.kind == holder && r.ifname == "" && containers[r.id] ||
				r.kind == holder && attached[cniproto.Attachment{ContainerID: r.id, IfName: r.ifname}]
			if !keep {
				errs = append(errs, d.remove(a.String()))
			}
		}
		return errors.Join(errs...)
	})
	return cniproto.Wrap(cniproto.CodeIPAM, fmt.Sprintf("collect addresses of network %q", m.key.Network), err)
}

// claimDir is the directory of the claim, because the configuration may have
// changed since.
func (m *hostLocal) claimDir(known *Claim) string {
	if known != nil && known.Dir != "" {
		return known.Dir
	}
	return m.dir
}

// locked runs f on the directory of the claim, if there is one: without it
// nothing is reserved.
func (m *hostLocal) locked(ctx context.Context, known *Claim, f func(*directory) error) error {
	d, err := openLocked(ctx, m.claimDir(known), false, m.timeout)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.close()
	return f(d)
}
