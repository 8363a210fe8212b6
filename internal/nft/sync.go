// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Add makes the table hold the networks besides those that it holds, and of ports
// exactly those given, and mends whatever else is wrong with it. Its commit waits for
// a grace period of some 20 ms: ask Present first. The caller holds a lock that
// excludes others who change the table.
func Add(networks []Network, ports []Port) error {
	c, err := open()
	if err != nil {
		return err
	}
	held, err := list(c)
	if err != nil {
		return err
	}
	return commit(c, append(held, networks...), ports)
}

// Replace makes the table hold exactly the networks and the ports; no network removes
// the table. The caller holds the lock of Add.
func Replace(networks []Network, ports []Port) error {
	c, err := open()
	if err != nil {
		return err
	}
	held, err := list(c)
	if err != nil {
		return err
	}
	if networks = normalize(networks); slices.Equal(held, networks) {
		if ok, err := standsWith(networks, ports); ok || err != nil && len(networks) == 0 {
			return nil
		}
	}
	if len(networks) > 0 {
		return commit(c, networks, ports)
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
	c, err := open()
	if err != nil {
		return nil, err
	}
	return list(c)
}

// open has room for a transaction of as many ports as there are: the kernel takes one
// that is a single datagram.
func open() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) { enlarge(int(fd)) })
	}))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return c, nil
}

// standsWith says whether the table holds the networks, and the ports and no others.
func standsWith(networks []Network, ports []Port) (bool, error) {
	if ok, err := Present(networks...); !ok {
		return false, err
	}
	if set, err := Lacks(networks...); set != "" || err != nil {
		return false, err
	}
	held, err := CountPorts()
	if err != nil || held != len(ports) {
		return false, err
	}
	return HasPorts(ports)
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

func commit(c *nftables.Conn, networks []Network, ports []Port) error {
	if err := build(c, normalize(networks), ports); err != nil {
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
