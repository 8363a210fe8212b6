// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// maxTransaction is how many ports are changed at once: what one datagram to the kernel
// may hold without being allowed more.
const maxTransaction = 1024

// AddPorts adds ports to the table, which stands (Present); one that it has already, to
// whichever container, is given to the new one. Elements alone are committed without
// waiting for a grace period (measured: 0.2 ms), and at the same cost however many there
// are. The caller holds the lock of Add.
func AddPorts(ports []Port) error {
	return inChunks(ports, func(c *nlmsg.Conn, chunk []Port) error {
		err := c.Do(elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, chunk))
		if !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EBUSY) {
			return err
		}
		if err := deletePorts(c, chunk); err != nil {
			return err
		}
		return c.Do(elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, chunk))
	})
}

// DeletePorts takes ports out of the table. That there are none, or no table, is
// success. The packets no longer see them when it returns; the connection is given
// back, because to close it waits for the grace period after which they are freed
// (nft_rcv_nl_event of net/netfilter/nf_tables_api.c): whoever can, leaves that to
// another process. The caller holds the lock of Add.
func DeletePorts(ports []Port) (*nlmsg.Conn, error) {
	c, err := nlmsg.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	for len(ports) > 0 && err == nil {
		n := min(len(ports), maxTransaction)
		err = deletePorts(c, ports[:n])
		ports = ports[n:]
	}
	return c, err
}

// deletePorts tries all at once, and one by one if some are not there.
func deletePorts(c *nlmsg.Conn, ports []Port) error {
	err := c.Do(elements(unix.NFT_MSG_DELSETELEM, 0, ports))
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	for _, p := range ports {
		if err := c.Do(elements(unix.NFT_MSG_DELSETELEM, 0, []Port{p})); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// HasPorts says whether the table leads all the ports to where they shall lead.
func HasPorts(ports []Port) (bool, error) {
	c, err := nlmsg.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer c.Close()
	for _, p := range ports {
		right := false
		b := new(nlmsg.Batch)
		begin(b, unix.NFT_MSG_GETSETELEM, 0, "get port from table inet "+tableName)
		addElements(b, p.mapName(), []Port{p}, false)
		err := c.Get(b, func(_ uint16, payload []byte) error {
			right = right || elementValue(payload) == string(p.value())
			return nil
		})
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, err
		}
		if !right {
			return false, nil
		}
	}
	return true, nil
}

// CountPorts is how many ports the table has.
func CountPorts() (int, error) {
	c, err := nlmsg.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer c.Close()
	n := 0
	for _, name := range []string{"hostports4", "hostports6", "ports4", "ports6"} {
		b := new(nlmsg.Batch)
		begin(b, unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, "list map "+name+" of table inet "+tableName)
		b.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
		b.String(unix.NFTA_SET_ELEM_LIST_SET, name)
		err := c.Get(b, func(_ uint16, payload []byte) error {
			for range elementsOf(payload) {
				n++
			}
			return nil
		})
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return 0, err
		}
	}
	return n, nil
}

func inChunks(ports []Port, do func(*nlmsg.Conn, []Port) error) error {
	c, err := nlmsg.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer c.Close()
	for len(ports) > 0 {
		n := min(len(ports), maxTransaction)
		if err := do(c, ports[:n]); err != nil {
			return err
		}
		ports = ports[n:]
	}
	return nil
}

// elements is a transaction over elements of the maps, at most maxElements in a message.
func elements(typ, flags uint16, ports []Port) *nlmsg.Batch {
	byMap := map[string][]Port{}
	for _, p := range ports {
		byMap[p.mapName()] = append(byMap[p.mapName()], p)
	}
	return nlmsg.Transaction(unix.NFNL_SUBSYS_NFTABLES, func(b *nlmsg.Batch) {
		for name, all := range byMap {
			for len(all) > 0 {
				n := min(len(all), maxElements)
				begin(b, typ, flags, fmt.Sprintf("change map %s of table inet %s", name, tableName))
				addElements(b, name, all[:n], typ == unix.NFT_MSG_NEWSETELEM)
				all = all[n:]
			}
		}
	})
}

// addElements appends NFTA_SET_ELEM_LIST_* with the keys, and if wanted the values.
func addElements(b *nlmsg.Batch, name string, ports []Port, values bool) {
	b.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
	b.String(unix.NFTA_SET_ELEM_LIST_SET, name)
	b.Nest(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
		for _, p := range ports {
			b.Nest(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, func() {
				b.Nest(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_KEY, func() { b.Bytes(unix.NFTA_DATA_VALUE, p.key()) })
				if !values {
					return
				}
				b.Nest(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_DATA, func() { b.Bytes(unix.NFTA_DATA_VALUE, p.value()) })
				comment := p.element().Comment
				// As nft writes it: a type (0, a comment), a length, a C string.
				b.Bytes(unix.NFTA_SET_ELEM_USERDATA, append([]byte{0, byte(len(comment) + 1)}, comment+"\x00"...))
			})
		}
	})
}

// elementValue is the data of the first element of an answer.
func elementValue(payload []byte) string {
	for e := range elementsOf(payload) {
		for typ, v := range nlmsg.Attrs(e) {
			if typ != unix.NFTA_SET_ELEM_DATA {
				continue
			}
			for t, data := range nlmsg.Attrs(v) {
				if t == unix.NFTA_DATA_VALUE {
					return string(data)
				}
			}
		}
	}
	return ""
}

// enlarge lets a socket send what the administrator may.
func enlarge(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 64<<20) }

// elementsOf are the elements of an answer: struct nfgenmsg, then attributes.
func elementsOf(payload []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		if len(payload) < 4 {
			return
		}
		for typ, list := range nlmsg.Attrs(payload[4:]) {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			for _, e := range nlmsg.Attrs(list) {
				if !yield(e) {
					return
				}
			}
		}
	}
}
