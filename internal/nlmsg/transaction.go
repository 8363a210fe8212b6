// SPDX-License-Identifier: MIT OR Apache-2.0

package nlmsg

import "golang.org/x/sys/unix"

// Transaction fills a batch with messages to a subsystem of nfnetlink that are done all
// or not at all (nfnetlink_rcv_batch of net/netfilter/nfnetlink.c).
func Transaction(subsystem uint16, fill func(b *Batch)) *Batch {
	b := &Batch{transaction: true}
	head := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, byte(subsystem >> 8), byte(subsystem)} // struct nfgenmsg
	b.Begin(unix.NFNL_MSG_BATCH_BEGIN, 0, "begin transaction")
	b.Raw(head)
	fill(b)
	b.Begin(unix.NFNL_MSG_BATCH_END, 0, "end transaction")
	b.Raw(head)
	return b
}
