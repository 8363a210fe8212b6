/* SPDX-License-Identifier: GPL-2.0-only */
/* What a packet carries in tc_index through the host stack: whose it is. A host that
 * tracks connections puts fragments together and takes them apart again, and those
 * that IPv6 makes anew then do not have the interface on which they came in, but do
 * have tc_index (ip6_copy_metadata in net/ipv6/ip6_output.c). Only packets that may
 * be fragments are tagged, because queueing disciplines may read the field; and those
 * that one netkit device sends out by another's, which have no such interface either.
 *
 * A container can set the field as well. So what a tag permits counts only where no
 * packet that went through the host stack can have brought one.
 */
#pragma once

#include "interface.h"

enum {
	TAG_SET = 1 << 0,
	TAG_NETWORK = 0x3ffe, /* of the network's identifier, which is a hash */
	TAG_DIRECT = 1 << 14, /* delivered directly */
	TAG_ISOLATED = 1 << 15,
};

static __always_inline __u16 network_tag(const struct interface *ifc)
{
	return TAG_SET | (ifc->network & TAG_NETWORK) |
	       (ifc->flags & INTERFACE_ISOLATED ? TAG_ISOLATED : 0);
}

/* Says whether a tagged packet is of a network that the container must not hear. The
 * tag cannot say which, so that of such packets even those of allowed networks are
 * not heard.
 */
static __always_inline int tag_forbids(__u32 tag, const struct interface *to)
{
	return tag & TAG_SET && (tag ^ network_tag(to)) & TAG_NETWORK &&
	       (tag | network_tag(to)) & TAG_ISOLATED;
}
