/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include <vmmcore/kv.h>
#include "mkimage/ext4/ext4.h"

#define MIN_JOURNAL (UINT64_C(4) << 20)
#define MAX_JOURNAL (UINT64_C(1) << 30)
#define MIN_RATIO OUT_BLOCK /* a block can hold no more than one file */
#define MAX_RATIO (UINT64_C(64) << 20)
#define MAX_RESERVED_PERCENT 50

int ext4_set_label(struct ext4_opts *opts, const char *text,
		   struct vc_error *err)
{
	if (strlen(text) > EXT4_MAX_LABEL)
		return vc_fail(err, VC_E_ARG, 0, "longer than %d bytes",
			       EXT4_MAX_LABEL);
	memset(opts->label, 0, sizeof(opts->label));
	memcpy(opts->label, text, strlen(text));
	return 0;
}

int ext4_set_uuid(struct ext4_opts *opts, const char *text,
		  struct vc_error *err)
{
	struct vc_guid uuid;

	if (vc_guid_parse(text, &uuid, NULL))
		return vc_fail(err, VC_E_ARG, 0,
			       "not of the form "
			       "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
	if (vc_guid_is_nil(&uuid))
		return vc_fail(err, VC_E_ARG, 0, "the nil UUID is none");
	opts->uuid = uuid;
	opts->has_uuid = true;
	return 0;
}

int ext4_set_journal(struct ext4_opts *opts, uint64_t bytes,
		     struct vc_error *err)
{
	if (bytes && (bytes < MIN_JOURNAL || bytes > MAX_JOURNAL))
		return vc_fail(err, VC_E_ARG, 0, "neither 0 nor 4M to 1G");
	opts->journal_bytes = vc_align_up(bytes, OUT_BLOCK);
	return 0;
}

static int set_reserved(struct ext4_opts *opts, const char *text,
			struct vc_error *err)
{
	size_t len = strlen(text);
	char number[24];
	uint64_t v;

	if (!len || text[len - 1] != '%')
		return vc_parse_size(text, &opts->reserved_bytes, err);
	if (len > sizeof(number))
		return vc_fail(err, VC_E_ARG, 0, "not a number");
	memcpy(number, text, len - 1);
	number[len - 1] = '\0';
	if (vc_parse_u64(number, MAX_RESERVED_PERCENT, &v, err))
		return -1;
	opts->reserved_percent = (uint32_t)v;
	return 0;
}

static int set_ratio(struct ext4_opts *opts, uint64_t ratio,
		     struct vc_error *err)
{
	if (ratio < MIN_RATIO || ratio > MAX_RATIO)
		return vc_fail(err, VC_E_ARG, 0, "not 4k to 64M");
	opts->inode_ratio = (uint32_t)ratio;
	return 0;
}

/* --- by name -------------------------------------------------------------- */

struct given {
	bool casefold, verity, project, quota, ea_inode;
	uint64_t project_id, inode_ratio, journal_size, journal_block_size;
	char *label, *reserved, *uuid;
};

enum { /* in the order of the table */
       KEY_CASEFOLD,
       KEY_VERITY,
       KEY_PROJECT,
       KEY_QUOTA,
       KEY_EA_INODE,
       KEY_PROJECT_ID,
       KEY_INODE_RATIO,
       KEY_JOURNAL_SIZE,
       KEY_JOURNAL_BLOCK_SIZE,
       KEY_LABEL,
       KEY_RESERVED,
       KEY_UUID,
};

#define KEY(index, text, kind, field) \
	[index] = { .name = (text),   \
		    .type = (kind),   \
		    .offset = offsetof(struct given, field) }

static const struct vc_kv_key keys[] = {
	KEY(KEY_CASEFOLD, "casefold", VC_KV_BOOL, casefold),
	KEY(KEY_VERITY, "verity", VC_KV_BOOL, verity),
	KEY(KEY_PROJECT, "project", VC_KV_BOOL, project),
	KEY(KEY_QUOTA, "quota", VC_KV_BOOL, quota),
	KEY(KEY_EA_INODE, "ea-inode", VC_KV_BOOL, ea_inode),
	KEY(KEY_PROJECT_ID, "project-id", VC_KV_U64, project_id),
	KEY(KEY_INODE_RATIO, "inode-ratio", VC_KV_SIZE, inode_ratio),
	KEY(KEY_JOURNAL_SIZE, "journal-size", VC_KV_SIZE, journal_size),
	KEY(KEY_JOURNAL_BLOCK_SIZE, "journal-block-size", VC_KV_SIZE,
	    journal_block_size),
	KEY(KEY_LABEL, "label", VC_KV_STRING, label),
	KEY(KEY_RESERVED, "reserved", VC_KV_STRING, reserved),
	KEY(KEY_UUID, "uuid", VC_KV_STRING, uuid),
};

static void set_features(struct ext4_features *f, const struct given *g,
			 uint64_t seen)
{
	const struct {
		int key;
		bool *to, value;
	} all[] = {
		{ KEY_CASEFOLD, &f->casefold, g->casefold },
		{ KEY_VERITY, &f->verity, g->verity },
		{ KEY_PROJECT, &f->project, g->project },
		{ KEY_QUOTA, &f->quota, g->quota },
		{ KEY_EA_INODE, &f->ea_inode, g->ea_inode },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(all); i++)
		if (seen >> all[i].key & 1)
			*all[i].to = all[i].value;
}

static int set_numbers(struct ext4_opts *opts, const struct given *g,
		       uint64_t seen, struct vc_error *err)
{
	if (seen >> KEY_PROJECT_ID & 1) {
		if (g->project_id >= UINT32_MAX)
			return vc_fail(err, VC_E_ARG, 0,
				       "project-id: out of range");
		opts->features.project = true;
		opts->project_id = (uint32_t)g->project_id;
	}
	if (seen >> KEY_INODE_RATIO & 1 && set_ratio(opts, g->inode_ratio, err))
		return vc_prefix(err, "inode-ratio");
	if (seen >> KEY_JOURNAL_SIZE & 1 &&
	    ext4_set_journal(opts, g->journal_size, err))
		return vc_prefix(err, "journal-size");
	if (seen >> KEY_JOURNAL_BLOCK_SIZE & 1 &&
	    g->journal_block_size != OUT_BLOCK)
		return vc_fail(err, VC_E_ARG, 0,
			       "journal-block-size: a journal inside a file "
			       "system has its block size, %d",
			       OUT_BLOCK);
	return 0;
}

static int set_texts(struct ext4_opts *opts, const struct given *g,
		     struct vc_error *err)
{
	if (g->label && ext4_set_label(opts, g->label, err))
		return vc_prefix(err, "label");
	if (g->uuid && ext4_set_uuid(opts, g->uuid, err))
		return vc_prefix(err, "uuid");
	if (g->reserved && set_reserved(opts, g->reserved, err))
		return vc_prefix(err, "reserved");
	return 0;
}

int ext4_set_option(struct ext4_opts *opts, const char *text,
		    struct vc_error *err)
{
	struct given g = { 0 };
	uint64_t seen = 0;
	int rc;

	if (vc_kv_parse_named(text, keys, VC_ARRAY_SIZE(keys), &g, &seen, err))
		return -1;
	set_features(&opts->features, &g, seen);
	rc = set_numbers(opts, &g, seen, err) || set_texts(opts, &g, err) ? -1
									  : 0;
	free(g.label);
	free(g.uuid);
	free(g.reserved);
	return rc;
}
