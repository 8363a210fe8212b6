/* SPDX-License-Identifier: GPL-2.0-only */
/* Why a packet was dropped. Numbers are for ever: counters are indexed by them
 * and outlive the program. internal/datapath/drop.go has the names.
 */
#pragma once

enum drop_reason {
	DROP_MALFORMED = 0,   /* headers do not fit the packet */
	DROP_SOURCE_MAC = 1,  /* not the interface's Ethernet address */
	DROP_SOURCE_IPV4 = 2, /* not an address of the container */
	DROP_SOURCE_IPV6 = 3, /* likewise */
	DROP_ARP = 4,	      /* sender fields of somebody else */
	DROP_ND = 5,	      /* link-layer address option or target of somebody else */
	DROP_ROUTER = 6,      /* router advertisement or redirect */
	DROP_ETHERTYPE = 7,   /* neither IPv4, IPv6 nor ARP */
	DROP_VLAN = 8,	      /* tagged */
	DROP_ISOLATION = 9,   /* between networks that are not allowed to talk */
	DROP_HOST = 10,	      /* to the host, which the network may not call */
	DROP_REASONS = 16,    /* size of the counters' array */
};
