/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading a bit field of a kernel's structure, wherever the kernel that runs has it
 * (CO-RE).
 */
#pragma once

/* Kinds of __builtin_preserve_field_info, as clang and the loader number them. */
enum field_info {
	FIELD_BYTE_OFFSET = 0,
	FIELD_BYTE_SIZE = 1,
	FIELD_LSHIFT_U64 = 4,
	FIELD_RSHIFT_U64 = 5,
};

#define READ_BITS(p, field)                                                                        \
	read_bits((const void *)(p) +                                                              \
			  __builtin_preserve_field_info((p)->field, FIELD_BYTE_OFFSET),            \
		  __builtin_preserve_field_info((p)->field, FIELD_BYTE_SIZE),                      \
		  __builtin_preserve_field_info((p)->field, FIELD_LSHIFT_U64),                     \
		  __builtin_preserve_field_info((p)->field, FIELD_RSHIFT_U64))

static __always_inline __u64 read_bits(const void *at, __u32 size, __u32 left, __u32 right)
{
	__u64 bits = 0;

	switch (size) {
	case 1:
		bits = *(const __u8 *)at;
		break;
	case 2:
		bits = *(const __u16 *)at;
		break;
	case 4:
		bits = *(const __u32 *)at;
		break;
	case 8:
		bits = *(const __u64 *)at;
		break;
	}
	return bits << left >> right;
}
