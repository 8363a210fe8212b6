// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// shape puts the limits of an attachment in force, before its host end is up: towards
// the container by the queue of the host end; from it by that of an ifb device, to which
// the host end sends what comes in, and which gives it back to the host end, past the
// filters. All of it is on the host, where nobody in the container can lift it.
func shape(conn *nlmsg.Conn, tree *sysctl.Tree, l *layout) error {
	var b nlmsg.Batch
	if l.limits.egress.rate != 0 {
		if err := createIfb(conn, tree, l); err != nil {
			return err
		}
		if !l.programs {
			rtnl.AddClsact(&b, l.hostIndex, l.hostIf)
		}
		addEgress(&b, l)
	}
	if l.limits.ingress.rate != 0 {
		rtnl.AddTBF(&b, l.hostIndex, l.limits.ingress.bucket(l.mtu), l.hostIf)
	}
	return explainShape(l, conn.Do(&b))
}

// addEgress finishes an ifb device, and leads to it.
func addEgress(b *nlmsg.Batch, l *layout) {
	name := l.key.IfbName()
	rtnl.Prepare(b, l.ifbIndex, name, l.alias(), false, false)
	rtnl.AddTBF(b, l.ifbIndex, l.limits.egress.bucket(l.mtu), name)
	rtnl.SetUp(b, l.ifbIndex, name)
	rtnl.AddRedirect(b, l.hostIndex, l.ifbIndex, l.hostIf, name)
}

// createIfb creates the ifb device, down. One that stands under its name is of an
// attachment that is gone, and goes, or somebody else's.
func createIfb(conn *nlmsg.Conn, tree *sysctl.Tree, l *layout) error {
	name := l.key.IfbName()
	var b nlmsg.Batch
	rtnl.AddLink(&b, name, "ifb", l.key.IfbMAC())
	err := conn.Do(&b)
	if errors.Is(err, unix.EEXIST) {
		if err := deleteIfb(conn, l.key, nil); err != nil {
			return cniproto.Wrap(cniproto.CodeNetlink, "limit bandwidth", err)
		}
		err = conn.Do(&b)
	}
	if errors.Is(err, unix.EEXIST) {
		return cniproto.Errorf(cniproto.CodeNetlink, "limit bandwidth",
			"an interface %q that is not Emerita's stands on the host: rename or delete it: %w", name, err)
	}
	if err == nil {
		l.ifbIndex, err = rtnl.Index(conn, name)
	}
	if err == nil {
		err = muteIPv6(tree, name, false) // it carries what has been routed, or will be
	}
	return explainShape(l, err)
}

// explainShape says what a kernel lacks.
func explainShape(l *layout, err error) error {
	what := "limit bandwidth of " + l.key.String()
	var op *nlmsg.OpError
	if !errors.As(err, &op) || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return cniproto.Wrap(cniproto.CodeNetlink, what, err)
	}
	lacks := ""
	for _, m := range [...]struct{ of, reason, lacks string }{
		{"create ifb", "", "ifb devices (CONFIG_IFB)"},
		{"add tbf", "", "tbf (CONFIG_NET_SCH_TBF)"},
		{"add clsact", "", "clsact (CONFIG_NET_SCH_INGRESS)"},
		{"redirect", "action", "mirred (CONFIG_NET_ACT_MIRRED)"},
		{"redirect", "classifier", "u32 (CONFIG_NET_CLS_U32)"},
		{"redirect", "", "u32 or mirred (CONFIG_NET_CLS_U32, CONFIG_NET_ACT_MIRRED)"},
	} {
		if strings.HasPrefix(op.What, m.of) && strings.Contains(op.Reason, m.reason) {
			lacks = m.lacks
			break
		}
	}
	if lacks == "" {
		return cniproto.Wrap(cniproto.CodeNetlink, what, err)
	}
	return cniproto.Errorf(cniproto.CodeNotAvailable, what, "%w: the kernel has no %s: load or build it, or ask for no bandwidth limits", err, lacks)
}

// hasIfb says whether there may be an ifb device of an attachment that is to go. Its
// record said so before it was made; of one without, nobody knows.
func hasIfb(record *state.Record) bool {
	return record == nil || limitsOf(record).egress.rate != 0
}

// deleteIfb deletes the ifb device of an attachment: by its derived name, or its index
// if somebody renamed it, with the derived address as proof. None is success.
func deleteIfb(conn *nlmsg.Conn, k state.Key, record *state.Record) error {
	name := k.IfbName()
	mac, err := rtnl.HardwareAddr(conn, name)
	if err == nil && slices.Equal(mac, k.IfbMAC()) {
		index, err := rtnl.Index(conn, name)
		if err == nil {
			return rtnl.DeleteAndWait(conn, index, name)
		}
	}
	if err != nil && !errors.Is(err, rtnl.ErrNoLink) {
		return err
	}
	if record == nil || record.Bandwidth == nil || record.Bandwidth.IfbIndex == 0 {
		return nil
	}
	link, err := rtnl.LinkAt(conn, record.Bandwidth.IfbIndex)
	if errors.Is(err, rtnl.ErrNoLink) || err == nil && !slices.Equal(link.MAC, k.IfbMAC()) {
		return nil
	}
	if err == nil {
		err = rtnl.DeleteAndWait(conn, link.Index, link.Name)
	}
	return err
}
