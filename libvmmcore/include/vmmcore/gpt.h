/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GUID partition tables (UEFI 2.10, chapter 5): the sectors in front of and
 * behind the partitions of a disk, rendered from a list.
 */
#ifndef VMMCORE_GPT_H
#define VMMCORE_GPT_H

#include <vmmcore/error.h>

VC_BEGIN_DECLS

#define VC_GPT_SECTOR 512
#define VC_GPT_ENTRIES 128  /* the table's size; partitions at most */
#define VC_GPT_MAX_LABEL 36 /* UTF-16 code units */

/* Sectors 0 to 33: protective MBR, header, entries. */
#define VC_GPT_HEAD_BYTES (34 * VC_GPT_SECTOR)
/* The last 33 sectors: entries, backup header. */
#define VC_GPT_TAIL_BYTES (33 * VC_GPT_SECTOR)

/* In the order of the text form (RFC 9562). */
struct vc_guid {
	uint8_t b[16];
};

#define VC_GUID_TEXT 37 /* bytes of the text form with its NUL */

#define VC_GPT_TYPE_LINUX                                                    \
	((struct vc_guid){ { 0x0f, 0xc6, 0x3d, 0xaf, 0x84, 0x83, 0x47, 0x72, \
			     0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d,       \
			     0xe4 } })
#define VC_GPT_TYPE_EFI_SYSTEM                                               \
	((struct vc_guid){ { 0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2, \
			     0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9,       \
			     0x3b } })

/* "0fc63daf-8483-4772-8e79-3d69d8477de4", any case. VC_E_ARG. */
int vc_guid_parse(const char *text, struct vc_guid *ret,
		  struct vc_error *err) VC_MUST_CHECK;
const char *vc_guid_format(const struct vc_guid *guid, char buf[VC_GUID_TEXT]);
bool vc_guid_is_nil(const struct vc_guid *guid);
/* Version 4. */
int vc_guid_random(struct vc_guid *ret, struct vc_error *err) VC_MUST_CHECK;
/* Version 8: always the same of the same bytes. For output that must not
 * differ from one run to the next; not unique against an adversary. */
void vc_guid_derive(const void *data, size_t len, struct vc_guid *ret);

struct vc_gpt_part {
	struct vc_guid type;
	struct vc_guid guid;	      /* unique */
	uint64_t first_lba, last_lba; /* both belong to it */
	uint64_t attributes;
	const char *label; /* UTF-8, borrowed; NULL: none */
};

struct vc_gpt {
	struct vc_guid disk_guid;
	uint64_t nr_sectors; /* of the disk */
	/* What partitions may use begins here; 0: right behind the table. */
	uint64_t first_usable_lba;
	const struct vc_gpt_part *parts; /* borrowed */
	unsigned nr_parts;
};

/* Render both copies. VC_E_ARG names the partition that is outside of the
 * usable sectors, overlaps another, or has a nil GUID, a GUID or a label that
 * another one has, or a label that is too long or no UTF-8. */
int vc_gpt_render(const struct vc_gpt *gpt, uint8_t head[VC_GPT_HEAD_BYTES],
		  uint8_t tail[VC_GPT_TAIL_BYTES],
		  struct vc_error *err) VC_MUST_CHECK;

VC_END_DECLS

#endif
