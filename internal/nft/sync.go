// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Add makes the table hold the networks besides those that it holds, and mends
// whatever else is wrong with it. Its commit waits for a grace period of some
// 20 ms: ask Present first. The caller holds a lock that excludes other Adds
// and Replaces.
func Add(networks ...Network) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	held, err := list(c)
	if err != nil {
		return err
	}
	return commit(c, append(held, networks...))
}

// Replace makes the table hold exactly the networks; none removes the table.
// The caller holds the lock of Add.
func Replace(networks ...Network) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	held, err := list(c)
	if err != nil {
		return err
	}
	if networks = normalize(networks); slices.Equal(held, networks) {
		if ok, err := Present(networks...); ok || err != nil && len(networks) == 0 {
			return nil
		}
	}
	if len(networks) > 0 {
		return commit(c, networks)
	}
	c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete table inet %s: %w", tableName, err)
	}
	return nil
}

// List returns the networks that the table holds, sorted; none if there is no
// table.
func List() ([]Network, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return list(c)
}

func list(c *nftables.Conn) ([]Network, error) {
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	if ok, err := standing(); !ok {
		return nil, err
	}
	elements, err := c.GetSetElements(&nftables.Set{Table: table, Name: networksSet, KeyType: nftables.TypeIFName})
	if err != nil {
		return nil, fmt.Errorf("list set %s of table inet %s: %w", networksSet, tableName, err)
	}
	var all []Network
	for _, e := range elements {
		if n, ok := parseNetwork(e.Comment); ok {
			all = append(all, n)
		}
	}
	return normalize(all), nil
}

func commit(c *nftables.Conn, networks []Network) error {
	if err := build(c, normalize(networks)); err != nil {
		return fmt.Errorf("build table inet %s: %w", tableName, err)
	}
	err := c.Flush()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return fmt.Errorf("commit table inet %s: %w", tableName, err)
	}
	return nil
}
