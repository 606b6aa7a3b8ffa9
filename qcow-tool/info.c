/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/manage.h"

struct info_opts {
	struct common_opts c;
	bool chain;
};

static const struct vc_option info_options[] = {
	OPT_FORMAT("of IMAGE; found out if not given"),
	OPT_OUTPUT,
	{ "backing-chain", 0, NULL,
	  "tell of the files it is based on, too: opens what they name" },
	OPT_SHARE("accepted; reading headers needs no lock"),
	OPT_IMAGE_OPTS("IMAGE"),
	OPT_OBJECT,
};

/* --backing-chain: the only one of its own */
static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct info_opts *o = ctx;

	(void)opt;
	(void)value;
	(void)err;
	o->chain = true;
	return 0;
}

static const struct vc_command command = {
	.name = "qcow-tool info",
	.synopsis = "[OPTION]... IMAGE",
	.summary = "Tell what an image is. Files that it names are not opened "
		   "unless asked for.",
	.options = info_options,
	.nr_options = VC_ARRAY_SIZE(info_options),
	.on_option = on_option,
};

static const char *yes_no(bool b)
{
	return b ? "true" : "false";
}

/* One image of the chain. */
struct subject {
	char *path; /* owned */
	int fd;
	struct vc_disk_info info;
	struct vc_qcow2_snapshots snapshots;
	struct vc_qcow2_bitmaps bitmaps;
};

static void subject_free(struct subject *s)
{
	if (!s)
		return;
	vc_qcow2_snapshots_fini(&s->snapshots);
	vc_qcow2_bitmaps_fini(&s->bitmaps);
	vc_close(&s->fd);
	free(s->path);
	free(s);
}
VC_DEFINE_CLEANUP(subject, struct subject *, subject_free)

/* What cannot be opened has no more than its header. */
static int look(struct subject *s, enum vc_disk_format format,
		struct vc_error *err)
{
	const struct vc_disk_info *info = &s->info;
	char shown[256];
	int ret = vc_disk_info_fd(s->fd, format, &s->info, err);

	if (ret == 0 && info->format == VC_DISK_FORMAT_QCOW2 &&
	    !info->encryption && !info->unknown_features) {
		ret = vc_qcow2_snapshot_list(s->fd, &s->snapshots, err);
		if (ret == 0)
			ret = vc_qcow2_bitmap_list(s->fd, &s->bitmaps, err);
	}
	return ret == 0
		       ? 0
		       : vc_prefix(err, "'%s'",
				   vc_printable(s->path, shown, sizeof(shown)));
}

/* --- human ----------------------------------------------------------------- */

static void print_bitmaps(const struct vc_qcow2_bitmaps *b)
{
	char shown[4 * VC_QCOW2_MAX_BITMAP_NAME + 1];
	unsigned i, n;

	if (b->nr)
		puts("    bitmaps:");
	for (i = 0; i < b->nr; i++) {
		const struct vc_qcow2_bitmap *x = &b->items[i];

		printf("        [%u]:\n            flags:\n", i);
		n = 0;
		if (x->is_broken)
			printf("                [%u]: in-use\n", n++);
		if (x->is_enabled)
			printf("                [%u]: auto\n", n++);
		printf("            name: %s\n            granularity: %u\n",
		       vc_printable(x->name, shown, sizeof(shown)),
		       x->granularity_bytes);
	}
}

static void print_qcow2(const struct subject *s)
{
	const struct vc_disk_info *info = &s->info;
	char shown[4 * sizeof(info->data_file)];

	printf("Format specific information:\n"
	       "    compat: %s\n"
	       "    compression type: %s\n",
	       info->version == 2 ? "0.10" : "1.1", info->compression);
	if (info->version > 2)
		printf("    lazy refcounts: %s\n",
		       yes_no(info->has_lazy_refcounts));
	print_bitmaps(&s->bitmaps);
	printf("    refcount bits: %u\n", info->refcount_bits);
	if (info->encryption)
		printf("    encrypt:\n        format: %s\n", info->encryption);
	if (info->version > 2)
		printf("    corrupt: %s\n", yes_no(info->is_corrupt));
	if (info->has_data_file)
		printf("    data file: %s\n    data file raw: %s\n",
		       vc_printable(info->data_file, shown, sizeof(shown)),
		       yes_no(info->is_data_file_raw));
	if (info->version > 2)
		printf("    extended l2: %s\n", yes_no(info->has_extended_l2));
	if (info->is_for_crosvm)
		puts("    for crosvm: true");
}

/* What the parts of a format are called, in human and JSON; NULL: no parts. */
static const char *parts_name(enum vc_disk_format format)
{
	return format == VC_DISK_FORMAT_ZSTD		 ? "frames"
	       : format == VC_DISK_FORMAT_ANDROID_SPARSE ? "chunks"
	       : format == VC_DISK_FORMAT_COMPOSITE	 ? "components"
							 : NULL;
}

static void print_parts(const struct vc_disk_info *info)
{
	printf("Format specific information:\n    %s: %llu\n",
	       parts_name(info->format), (unsigned long long)info->nr_parts);
	if (vc_disk_format_is_sequential(info->format))
		printf("    checksums: %s\n", yes_no(info->has_checksums));
	if (info->version)
		printf("    version: %u\n", info->version);
}

/* Where the backing file is, or its name if that is not one of a file. */
static char *full_backing_name(const struct subject *s)
{
	const char *name = s->info.backing_file;
	struct vc_error ignored;
	char *full;

	return vc_disk_resolve_name("backing file", s->path, name, &full,
				    &ignored) < 0
		       ? strdup(name)
		       : full;
}

static void print_backing(const struct subject *s)
{
	const struct vc_disk_info *info = &s->info;
	char shown[4 * sizeof(info->backing_file)];
	vc_auto_free char *full = full_backing_name(s);

	printf("backing file: %s",
	       vc_printable(info->backing_file, shown, sizeof(shown)));
	if (full && strcmp(full, info->backing_file) != 0)
		printf(" (actual path: %s)",
		       vc_printable(full, shown, sizeof(shown)));
	putchar('\n');
	if (info->backing_format[0])
		printf("backing file format: %s\n",
		       vc_printable(info->backing_format, shown,
				    sizeof(shown)));
}

static void print_human(const struct subject *s)
{
	const struct vc_disk_info *info = &s->info;
	char size[32], disk[32], file[32], shown[4096];

	vc_printable(s->path, shown, sizeof(shown));
	vc_human_size(info->allocated_bytes, disk, sizeof(disk));
	printf("image: %s\nfile format: %s\n"
	       "virtual size: %s (%llu bytes)\ndisk size: %s\n",
	       shown, format_name(info->format),
	       vc_human_size(info->virtual_bytes, size, sizeof(size)),
	       (unsigned long long)info->virtual_bytes, disk);
	if (info->encryption)
		puts("encrypted: yes");
	if (info->cluster_bytes)
		printf("cluster_size: %u\n", info->cluster_bytes);
	if (info->is_dirty)
		puts("cleanly shut down: no");
	if (info->backing_file[0])
		print_backing(s);
	if (s->snapshots.nr) {
		puts("Snapshot list:");
		print_snapshots(&s->snapshots);
	}
	if (info->format == VC_DISK_FORMAT_QCOW2)
		print_qcow2(s);
	else if (parts_name(info->format))
		print_parts(info);
	printf("Child node '/file':\n    filename: %s\n"
	       "    protocol type: file\n    file length: %s (%llu bytes)\n"
	       "    disk size: %s\n",
	       shown, vc_human_size(info->file_bytes, file, sizeof(file)),
	       (unsigned long long)info->file_bytes, disk);
}

/* --- JSON ------------------------------------------------------------------ */

static json_t *qcow2_data(const struct subject *s)
{
	const struct vc_disk_info *info = &s->info;
	json_t *d = json_pack("{s:s, s:s, s:i}", "compat",
			      info->version == 2 ? "0.10" : "1.1",
			      "compression-type", info->compression,
			      "refcount-bits", (int)info->refcount_bits);

	if (info->version > 2) {
		json_object_set_new(d, "lazy-refcounts",
				    json_boolean(info->has_lazy_refcounts));
		json_object_set_new(d, "corrupt",
				    json_boolean(info->is_corrupt));
		json_object_set_new(d, "extended-l2",
				    json_boolean(info->has_extended_l2));
	}
	if (info->has_data_file) {
		json_object_set_new(d, "data-file", json_text(info->data_file));
		json_object_set_new(d, "data-file-raw",
				    json_boolean(info->is_data_file_raw));
	}
	if (info->encryption)
		json_object_set_new(d, "encrypt",
				    json_pack("{s:s}", "format",
					      info->encryption));
	if (s->bitmaps.nr)
		json_object_set_new(d, "bitmaps", bitmaps_as_json(&s->bitmaps));
	if (info->is_for_crosvm)
		json_object_set_new(d, "for-crosvm", json_true());
	return json_pack("{s:s, s:o}", "type", "qcow2", "data", d);
}

static json_t *parts_data(const struct vc_disk_info *info)
{
	json_t *d = json_pack("{s:I}", parts_name(info->format),
			      (json_int_t)info->nr_parts);

	if (vc_disk_format_is_sequential(info->format))
		json_object_set_new(d, "checksums",
				    json_boolean(info->has_checksums));
	if (info->version)
		json_object_set_new(d, "version",
				    json_integer((json_int_t)info->version));
	return json_pack("{s:s, s:o}", "type", format_name(info->format),
			 "data", d);
}

/* The file under the format, as newer versions of qemu-img show it. */
static json_t *file_child(const struct subject *s)
{
	return json_pack(
		"{s:s, s:{s:[], s:I, s:o, s:s, s:I, s:{s:s, s:{}}, s:b}}",
		"name", "file", "info", "children", "virtual-size",
		(json_int_t)s->info.file_bytes, "filename", json_text(s->path),
		"format", "file", "actual-size",
		(json_int_t)s->info.allocated_bytes, "format-specific", "type",
		"file", "data", "dirty-flag", 0);
}

static void add_backing(json_t *j, const struct subject *s)
{
	const struct vc_disk_info *info = &s->info;
	vc_auto_free char *full = NULL;

	if (info->backing_format[0])
		json_object_set_new(j, "backing-filename-format",
				    json_text(info->backing_format));
	if (!info->backing_file[0])
		return;
	full = full_backing_name(s);
	json_object_set_new(j, "backing-filename",
			    json_text(info->backing_file));
	if (full)
		json_object_set_new(j, "full-backing-filename",
				    json_text(full));
}

/* What somebody who takes images from others wants to know. */
static json_t *security(const struct vc_disk_info *info)
{
	return json_pack("{s:b, s:b, s:b}", "has-backing-file",
			 info->backing_file[0] != '\0', "has-data-file",
			 (int)info->has_data_file, "has-unknown-features",
			 info->unknown_features != 0);
}

static json_t *as_json(const struct subject *s)
{
	const struct vc_disk_info *info = &s->info;
	json_t *j = json_pack("{s:[o], s:I, s:o, s:s, s:I, s:b}", "children",
			      file_child(s), "virtual-size",
			      (json_int_t)info->virtual_bytes, "filename",
			      json_text(s->path), "format",
			      format_name(info->format), "actual-size",
			      (json_int_t)info->allocated_bytes, "dirty-flag",
			      (int)info->is_dirty);

	if (info->cluster_bytes)
		json_object_set_new(j, "cluster-size",
				    json_integer(info->cluster_bytes));
	if (info->encryption)
		json_object_set_new(j, "encrypted", json_true());
	add_backing(j, s);
	if (s->snapshots.nr)
		json_object_set_new(j, "snapshots",
				    snapshots_as_json(&s->snapshots));
	if (info->format == VC_DISK_FORMAT_QCOW2)
		json_object_set_new(j, "format-specific", qcow2_data(s));
	else if (parts_name(info->format))
		json_object_set_new(j, "format-specific", parts_data(info));
	json_object_set_new(j, "security", security(info));
	return j;
}

/* --- the chain ------------------------------------------------------------- */

static int first_of_chain(const char *path, struct subject **ret,
			  struct vc_error *err)
{
	vc_auto(subject) struct subject *s = calloc(1, sizeof(*s));

	if (!s)
		return vc_fail(err, VC_E_SYS, ENOMEM, "info");
	s->fd = -1;
	s->path = strdup(path);
	if (!s->path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "info");
	if (open_for_reading(path, &s->fd, err) < 0)
		return -1;
	*ret = vc_steal_ptr(&s);
	return 0;
}

/* The file that `above` is based on, and the format that it says. */
static int next_of_chain(const struct subject *above, struct subject **ret,
			 enum vc_disk_format *ret_format, struct vc_error *err)
{
	vc_auto(subject) struct subject *s = calloc(1, sizeof(*s));

	if (!s)
		return vc_fail(err, VC_E_SYS, ENOMEM, "info");
	s->fd = -1;
	if (!above->info.backing_format[0])
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "backing file: the image does not say its "
			       "format");
	if (parse_format(above->info.backing_format, ret_format, err) < 0)
		return -1;
	if (vc_disk_resolve_name("backing file", above->path,
				 above->info.backing_file, &s->path, err) < 0)
		return -1;
	s->fd = vc_disk_open_named("backing file", s->path, false, err);
	if (s->fd < 0)
		return -1;
	*ret = vc_steal_ptr(&s);
	return 0;
}

static int info_chain(const char *path, const struct info_opts *o,
		      json_t *array, struct vc_error *err)
{
	vc_auto(subject) struct subject *s = NULL;
	enum vc_disk_format format = o->c.format;
	unsigned depth = 0;

	if (first_of_chain(path, &s, err) < 0)
		return -1;
	for (;;) {
		struct subject *next = NULL;

		if (look(s, format, err) < 0)
			return -1;
		if (o->c.json)
			json_array_append_new(array, as_json(s));
		else
			print_human(s);
		if (!o->chain || !s->info.backing_file[0])
			return 0;
		if (++depth == VC_DISK_MAX_DEPTH)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "backing chain: deeper than %d, or a "
				       "loop",
				       VC_DISK_MAX_DEPTH);
		if (next_of_chain(s, &next, &format, err) < 0)
			return -1;
		subject_free(s);
		s = next;
		if (!o->c.json)
			putchar('\n');
	}
}

int cmd_info(int argc, char **argv)
{
	struct info_opts o = { .chain = false };
	json_t *array, *root;
	struct vc_error err;
	int status, first, nr;
	const char *path;

	status = parse_command(&command, argc, argv, &o.c, &o, 1, 1, &first,
			       &nr);
	if (status >= 0)
		return status;
	if (take_image(&o.c, argv[first], false, &path, &err) < 0)
		return report(&err);
	array = json_array();
	if (!array || info_chain(path, &o, array, &err) < 0) {
		json_decref(array);
		return array ? report(&err) : 1;
	}
	root = o.chain ? array : json_incref(json_array_get(array, 0));
	if (!o.chain)
		json_decref(array);
	return o.c.json ? print_json(root) : 0;
}
