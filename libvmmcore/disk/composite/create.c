/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making a composite disk of partitions: the layout that crosvm makes.
 *
 *	0		PATH.header: protective MBR, partition table
 *	20480		the partitions, each at a multiple of 4096; behind one
 *			that ends elsewhere, PATH.filler
 *	end - 20480	PATH.footer: the partition table again
 *
 * All files are written without a name and get theirs at the end, the list
 * last: it never names what is not there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/outfile.h>
#include "disk/composite/composite.h"

#define ALIGN 4096
#define HEADER_BYTES (40 * VC_GPT_SECTOR)
#define FOOTER_BYTES HEADER_BYTES

struct builder {
	const char *path;
	const struct vc_composite_create_opts *opts;
	char *folder; /* of `path`, without links */
	struct vc_composite list;
	struct vc_gpt gpt;
	struct vc_gpt_part parts[VC_GPT_ENTRIES];
	bool needs_filler;
	uint8_t header[HEADER_BYTES], footer[FOOTER_BYTES], filler[ALIGN];
};

/* --- names ---------------------------------------------------------------*/

/* The folder of a path without links in it, ending in a slash; malloc'ed. */
static char *folder_of(const char *path, struct vc_error *err)
{
	const char *slash = strrchr(path, '/');
	vc_auto_free char *folder = NULL, *real = NULL;
	char *result = NULL, shown[200];

	folder = slash ? strndup(path, (size_t)(slash + 1 - path))
		       : strdup("./");
	if (folder)
		real = realpath(folder, NULL);
	if (!real) {
		vc_fail(err, VC_E_SYS, errno, "'%s': folder",
			vc_printable(path, shown, sizeof(shown)));
		return NULL;
	}
	if (asprintf(&result, "%s%s", real, strcmp(real, "/") ? "/" : "") < 0) {
		vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
		return NULL;
	}
	return result;
}

/* What to store for the path the user typed: readers look for a relative one
 * in the folder of the list, whereas it was typed in the working folder. */
static char *stored_path(const struct builder *b, const char *typed,
			 struct vc_error *err)
{
	const char *base = strrchr(typed, '/');
	vc_auto_free char *folder = NULL;
	size_t skip = strlen(b->folder);
	char *result = NULL;

	if (typed[0] == '/') {
		result = strdup(typed);
	} else {
		folder = folder_of(typed, err);
		if (!folder)
			return NULL;
		/* inside the list's folder: both can be moved together */
		if (strncmp(folder, b->folder, skip) != 0)
			skip = 0;
		if (asprintf(&result, "%s%s", folder + skip,
			     base ? base + 1 : typed) < 0)
			result = NULL;
	}
	if (!result)
		vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	return result;
}

/* --- layout ---------------------------------------------------------------*/

/* Takes `path` over. */
static int add_component(struct builder *b, char *path, uint64_t offset,
			 bool is_writable, struct vc_error *err)
{
	struct vc_composite_component *c =
		&b->list.components[b->list.nr_components];

	if (!path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	if (strlen(path) >= VC_COMPOSITE_MAX_PATH) {
		free(path);
		return vc_fail(err, VC_E_LIMIT, 0, "path: too long");
	}
	*c = (struct vc_composite_component){ .path = path,
					      .offset_bytes = offset,
					      .is_writable = is_writable };
	b->list.nr_components++;
	return 0;
}

static int add_own(struct builder *b, const char *suffix, uint64_t offset,
		   struct vc_error *err)
{
	const char *slash = strrchr(b->path, '/');
	char *name = NULL;

	if (asprintf(&name, "%s%s", slash ? slash + 1 : b->path, suffix) < 0)
		name = NULL;
	return add_component(b, name, offset, false, err);
}

/* How many bytes of the disk an image makes. */
static int image_size(const char *path, uint64_t *ret, struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	vc_auto_fd int fd = -1;

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "open");
	if (vc_disk_info_fd(fd, VC_DISK_FORMAT_PROBE, info, err) < 0)
		return -1;
	/* readers take a raw one to end where its file does */
	*ret = info->format == VC_DISK_FORMAT_RAW ? info->file_bytes
						  : info->virtual_bytes;
	return *ret ? 0 : vc_fail(err, VC_E_ARG, 0, "is empty");
}

/* Place one partition at *at, which moves on. */
static int add_partition(struct builder *b,
			 const struct vc_composite_partition *p, uint64_t *at,
			 struct vc_error *err)
{
	struct vc_gpt_part *entry = &b->parts[b->gpt.nr_parts];
	uint64_t size = 0, aligned;

	if (image_size(p->path, &size, err) < 0)
		return -1;
	if (size > VC_DISK_MAX_BYTES - 2 * ALIGN - FOOTER_BYTES - *at)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "size: the disk would be "
			       "too large");
	aligned = vc_align_up(size, ALIGN);
	if (p->is_writable && size != aligned)
		return vc_fail(err, VC_E_ARG, 0,
			       "size %llu: no multiple of %d, which a writable "
			       "one must be",
			       (unsigned long long)size, ALIGN);
	*entry = (struct vc_gpt_part){
		.type = vc_guid_is_nil(&p->type) ? VC_GPT_TYPE_LINUX : p->type,
		.guid = p->guid,
		.first_lba = *at / VC_GPT_SECTOR,
		.last_lba = (*at + aligned) / VC_GPT_SECTOR - 1,
		.label = p->label,
	};
	b->gpt.nr_parts++;
	if (add_component(b, stored_path(b, p->path, err), *at, p->is_writable,
			  err) < 0)
		return -1;
	if (size != aligned) {
		b->needs_filler = true;
		if (add_own(b, ".filler", *at + size, err) < 0)
			return -1;
	}
	*at += aligned;
	return 0;
}

/* A GUID that only depends on the table as it is known so far; `what` tells
 * apart what would else be alike. */
static void derive(const struct builder *b, uint8_t what, struct vc_guid *ret)
{
	uint8_t in[HEADER_BYTES + 1];

	memcpy(in, b->header, HEADER_BYTES);
	in[HEADER_BYTES] = what;
	vc_guid_derive(in, sizeof(in), ret);
}

static int set_guid(const struct builder *b, uint8_t what, struct vc_guid *guid,
		    struct vc_error *err)
{
	if (!vc_guid_is_nil(guid))
		return 0;
	if (!b->opts->is_deterministic)
		return vc_guid_random(guid, err);
	derive(b, what, guid);
	return 0;
}

static int render(struct builder *b, struct vc_error *err)
{
	uint8_t tail[VC_GPT_TAIL_BYTES];

	if (vc_gpt_render(&b->gpt, b->header, tail, err) < 0)
		return -1;
	memcpy(b->footer + FOOTER_BYTES - sizeof(tail), tail, sizeof(tail));
	return 0;
}

/* Those that are missing: the ones of a deterministic disk from a table with
 * numbers in their place. */
static int set_guids(struct builder *b, struct vc_error *err)
{
	struct vc_gpt given = b->gpt;
	struct vc_gpt_part parts[VC_GPT_ENTRIES];
	unsigned i;

	memcpy(parts, b->parts, sizeof(parts));
	if (b->opts->is_deterministic) {
		for (i = 0; i < b->gpt.nr_parts; i++)
			if (vc_guid_is_nil(&b->parts[i].guid))
				b->parts[i].guid.b[0] = (uint8_t)(i + 1);
		if (vc_guid_is_nil(&b->gpt.disk_guid))
			b->gpt.disk_guid.b[0] = 1;
		if (render(b, err) < 0)
			return -1;
		memcpy(b->parts, parts, sizeof(parts));
		b->gpt.disk_guid = given.disk_guid;
	}
	if (set_guid(b, 0, &b->gpt.disk_guid, err) < 0)
		return -1;
	for (i = 0; i < b->gpt.nr_parts; i++)
		if (set_guid(b, (uint8_t)(i + 1), &b->parts[i].guid, err) < 0)
			return -1;
	return 0;
}

static int lay_out(struct builder *b, struct vc_error *err)
{
	const struct vc_composite_create_opts *o = b->opts;
	uint64_t at = HEADER_BYTES;
	char shown[200];
	unsigned i;

	if (!o->nr_partitions)
		return vc_fail(err, VC_E_ARG, 0, "no partitions");
	if (o->nr_partitions > VC_GPT_ENTRIES)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d partitions",
			       VC_GPT_ENTRIES);
	b->list.version = CP_VERSION;
	b->list.components = calloc(2 * (size_t)o->nr_partitions + 2,
				    sizeof(*b->list.components));
	if (!b->list.components)
		return vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	if (add_own(b, ".header", 0, err) < 0)
		return -1;
	for (i = 0; i < o->nr_partitions; i++)
		if (add_partition(b, &o->partitions[i], &at, err) < 0)
			return vc_prefix(err, "partition '%s'",
					 vc_printable(o->partitions[i].path,
						      shown, sizeof(shown)));
	if (add_own(b, ".footer", at, err) < 0)
		return -1;
	b->list.length_bytes = at + FOOTER_BYTES;
	b->gpt.disk_guid = o->disk_guid;
	b->gpt.nr_sectors = b->list.length_bytes / VC_GPT_SECTOR;
	b->gpt.first_usable_lba = HEADER_BYTES / VC_GPT_SECTOR;
	b->gpt.parts = b->parts;
	if (set_guids(b, err) < 0)
		return -1;
	return render(b, err);
}

/* --- files ---------------------------------------------------------------*/

/* With `force` it would replace what it is to be made of. */
static int check_is_no_part(const struct builder *b, const char *path,
			    struct vc_error *err)
{
	char shown[200];
	unsigned i;

	for (i = 0; i < b->opts->nr_partitions; i++)
		if (vc_same_file(path, b->opts->partitions[i].path))
			return vc_fail(err, VC_E_CONFIG, 0,
				       "'%s': is a partition of the new disk",
				       vc_printable(path, shown,
						    sizeof(shown)));
	return 0;
}

static int start_file(const struct builder *b, const char *suffix,
		      const void *data, size_t len, struct vc_outfile **ret,
		      struct vc_error *err)
{
	vc_auto_free char *path = NULL;

	if (asprintf(&path, "%s%s", b->path, suffix) < 0) {
		path = NULL;
		return vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	}
	if (check_is_no_part(b, path, err) < 0 ||
	    vc_outfile_open(path, b->opts->force, ret, err) < 0)
		return -1;
	vc_outfile_set_sync(*ret, !b->opts->no_sync);
	if (vc_pwrite_full(vc_outfile_get_fd(*ret), data, len, 0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': write", path);
	return 0;
}

static int write_files(const struct builder *b, struct vc_error *err)
{
	vc_auto(vc_outfile) struct vc_outfile *header = NULL, *footer = NULL;
	vc_auto(vc_outfile) struct vc_outfile *filler = NULL, *list = NULL;
	vc_auto_free uint8_t *text = NULL;
	size_t len;

	if (cp_pack(&b->list, &text, &len, err) < 0 ||
	    start_file(b, ".header", b->header, HEADER_BYTES, &header, err) <
		    0 ||
	    start_file(b, ".footer", b->footer, FOOTER_BYTES, &footer, err) <
		    0 ||
	    (b->needs_filler &&
	     start_file(b, ".filler", b->filler, ALIGN, &filler, err) < 0) ||
	    start_file(b, "", text, len, &list, err) < 0)
		return -1;
	return vc_outfile_commit_all(
		(struct vc_outfile *[]){
			vc_steal_ptr(&header), vc_steal_ptr(&footer),
			vc_steal_ptr(&filler), vc_steal_ptr(&list) },
		4, err);
}

int vc_composite_create(const char *path,
			const struct vc_composite_create_opts *opts,
			struct vc_error *err)
{
	struct builder *b = calloc(1, sizeof(*b));
	int ret = -1;
	char shown[200];
	unsigned i;

	if (!b)
		return vc_fail(err, VC_E_SYS, ENOMEM, "composite disk");
	b->path = path;
	b->opts = opts;
	b->folder = folder_of(path, err);
	if (b->folder) {
		ret = lay_out(b, err);
		if (ret < 0)
			vc_prefix(err, "'%s'",
				  vc_printable(path, shown, sizeof(shown)));
		else
			ret = write_files(b, err);
	}
	for (i = 0; i < b->list.nr_components; i++)
		free(b->list.components[i].path);
	free(b->list.components);
	free(b->folder);
	free(b);
	return ret;
}
