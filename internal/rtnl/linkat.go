// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// LinkAt asks for one link by index, which unlike its name nobody changes. The
// error wraps ErrNoLink when there is none.
func LinkAt(c *nlmsg.Conn, index int) (LinkInfo, error) {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETLINK, 0, fmt.Sprintf("get link %d", index))
	ifinfo(&b, index, 0, 0)
	b.U32(unix.IFLA_EXT_MASK, skipStats)
	var found LinkInfo
	err := c.Get(&b, func(_ uint16, p []byte) error {
		found = parseLink(p)
		return nil
	})
	if errors.Is(err, unix.ENODEV) {
		return found, fmt.Errorf("get link %d: %w", index, ErrNoLink)
	}
	return found, err
}
