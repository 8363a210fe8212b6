// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"slices"

	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// compareShape says which limit of an attachment is not in force.
func compareShape(conn *nlmsg.Conn, l *layout) error {
	if l.limits.ingress.rate != 0 {
		if err := hasBucket(conn, l.hostIndex, l.hostIf, l.limits.ingress, l.mtu); err != nil {
			return err
		}
	}
	if l.limits.egress.rate == 0 {
		return nil
	}
	name := l.key.IfbName()
	ifb, err := rtnl.Link(conn, name)
	if err != nil {
		return fmt.Errorf("bandwidth: interface %q: %w: emerita repair puts it back", name, err)
	}
	if !slices.Equal(ifb.MAC, l.key.IfbMAC()) {
		return fmt.Errorf("bandwidth: interface %q has address %s, not %s", name, ifb.MAC, l.key.IfbMAC())
	}
	if !ifb.Up {
		return fmt.Errorf("bandwidth: interface %q is down: emerita repair brings it up", name)
	}
	if err := hasBucket(conn, ifb.Index, name, l.limits.egress, l.mtu); err != nil {
		return err
	}
	to, err := rtnl.Redirect(conn, l.hostIndex)
	if err == nil && to != ifb.Index {
		err = fmt.Errorf("bandwidth: interface %q has no u32 filter to %q on ingress: emerita repair puts it back", l.hostIf, name)
	}
	return err
}

func hasBucket(conn *nlmsg.Conn, index int, name string, want limit, mtu int) error {
	has, err := rtnl.HasTBF(conn, index, want.bucket(mtu))
	if err == nil && !has {
		err = fmt.Errorf("bandwidth: interface %q has no tbf of rate %d bits/s and burst %d bits: emerita repair puts it back", name, want.rate, want.burst)
	}
	return err
}

// repairShapes puts back the limits that somebody has removed or changed.
func repairShapes(conn *nlmsg.Conn, tree *sysctl.Tree, attached []*layout) error {
	var errs []error
	for _, l := range attached {
		if !l.limits.any() || compareShape(conn, l) == nil {
			continue
		}
		if err := reshape(conn, tree, l); err != nil {
			errs = append(errs, fmt.Errorf("put back the limits of %s: %w", l.key, err))
		}
	}
	return errors.Join(errs...)
}

// reshape makes the limits anew. First a clsact on its own: were there somebody's ingress
// qdisc in its place, no filter of ours must be sent. What is from before goes only then.
func reshape(conn *nlmsg.Conn, tree *sysctl.Tree, l *layout) error {
	var b nlmsg.Batch
	if l.limits.egress.rate != 0 {
		rtnl.AddClsact(&b, l.hostIndex, l.hostIf)
		if err := conn.Do(&b); err != nil {
			return err
		}
		b = nlmsg.Batch{}
		rtnl.DelRedirect(&b, l.hostIndex, l.hostIf)
	}
	if l.limits.ingress.rate != 0 {
		rtnl.DelTBF(&b, l.hostIndex, l.hostIf)
	}
	if err := conn.Do(&b); err != nil {
		return err
	}
	return shape(conn, tree, l)
}
