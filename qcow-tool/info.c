/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/manage.h"

struct info_opts {
	enum vc_disk_format format;
	bool json;
};

static const struct vc_option info_options[] = {
	{ "format", 'f', "FORMAT", "of IMAGE; found out if not given" },
	{ "output", 0, "STYLE", "human (the default) or json" },
	{ "force-share", 'U', NULL, "accepted; reading headers needs no lock" },
};

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct info_opts *o = ctx;

	if (opt->letter == 'f')
		return parse_format(value, &o->format, err);
	if (opt->letter == 'U')
		return 0;
	return parse_output(value, &o->json, err);
}

static const struct vc_command command = {
	.name = "qcow-tool info",
	.synopsis = "[OPTION]... IMAGE",
	.summary =
		"Tell what an image is. Only its header, and what that points "
		"to, is read; files that it\nnames are not opened.",
	.options = info_options,
	.nr_options = VC_ARRAY_SIZE(info_options),
	.on_option = on_option,
};

/* What the header points to. */
struct lists {
	struct vc_qcow2_snapshots snapshots;
	struct vc_qcow2_bitmaps bitmaps;
};

static int load_lists(int fd, const struct vc_disk_info *info, struct lists *l,
		      struct vc_error *err)
{
	if (info->format != VC_DISK_FORMAT_QCOW2)
		return 0;
	if (vc_qcow2_snapshot_list(fd, &l->snapshots, err) < 0)
		return -1;
	return vc_qcow2_bitmap_list(fd, &l->bitmaps, err);
}

static void lists_fini(struct lists *l)
{
	vc_qcow2_snapshots_fini(&l->snapshots);
	vc_qcow2_bitmaps_fini(&l->bitmaps);
}

static const char *yes_no(bool b)
{
	return b ? "true" : "false";
}

static void print_bitmaps(const struct vc_qcow2_bitmaps *b)
{
	char shown[VC_QCOW2_MAX_BITMAP_NAME + 1];
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

static void print_qcow2(const struct vc_disk_info *info, const struct lists *l)
{
	printf("Format specific information:\n"
	       "    compat: %s\n"
	       "    compression type: %s\n",
	       info->version == 2 ? "0.10" : "1.1", info->compression);
	if (info->version > 2)
		printf("    lazy refcounts: %s\n",
		       yes_no(info->has_lazy_refcounts));
	print_bitmaps(&l->bitmaps);
	printf("    refcount bits: %u\n", info->refcount_bits);
	if (info->version > 2)
		printf("    corrupt: %s\n    extended l2: %s\n",
		       yes_no(info->is_corrupt), yes_no(info->has_extended_l2));
	if (info->has_data_file)
		puts("    data file: external");
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

static int print_human(const char *path, const struct vc_disk_info *info,
		       const struct lists *l)
{
	vc_auto_free char *full = NULL;
	char size[32], disk[32], shown[4 * sizeof(info->backing_file)];

	printf("image: %s\nfile format: %s\n"
	       "virtual size: %s (%llu bytes)\ndisk size: %s\n",
	       vc_printable(path, shown, sizeof(shown)),
	       format_name(info->format),
	       human_size(info->virtual_bytes, size, sizeof(size)),
	       (unsigned long long)info->virtual_bytes,
	       human_size(info->allocated_bytes, disk, sizeof(disk)));
	if (info->is_encrypted)
		puts("encrypted: yes");
	if (info->cluster_bytes)
		printf("cluster_size: %u\n", info->cluster_bytes);
	if (info->is_dirty)
		puts("cleanly shut down: no");
	if (info->backing_file[0]) {
		full = beside(path, info->backing_file);
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
	if (l->snapshots.nr) {
		puts("Snapshot list:");
		print_snapshots(&l->snapshots);
	}
	if (info->format == VC_DISK_FORMAT_QCOW2)
		print_qcow2(info, l);
	else if (parts_name(info->format))
		print_parts(info);
	return 0;
}

static json_t *qcow2_data(const struct vc_disk_info *info,
			  const struct lists *l)
{
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
	if (l->bitmaps.nr)
		json_object_set_new(d, "bitmaps", bitmaps_as_json(&l->bitmaps));
	return json_pack("{s:s, s:o}", "type", "qcow2", "data", d);
}

/* The file under the format, as newer versions of qemu-img show it. */
static json_t *file_child(const char *path, const struct vc_disk_info *info)
{
	return json_pack(
		"{s:s, s:{s:[], s:I, s:o, s:s, s:I, s:{s:s, s:{}}, s:b}}",
		"name", "file", "info", "children", "virtual-size",
		(json_int_t)info->file_bytes, "filename", json_text(path),
		"format", "file", "actual-size",
		(json_int_t)info->allocated_bytes, "format-specific", "type",
		"file", "data", "dirty-flag", 0);
}

static int print_as_json(const char *path, const struct vc_disk_info *info,
			 const struct lists *l)
{
	vc_auto_free char *full = NULL;
	json_t *j =
		json_pack("{s:[o], s:I, s:o, s:s, s:I, s:b}", "children",
			  file_child(path, info), "virtual-size",
			  (json_int_t)info->virtual_bytes, "filename",
			  json_text(path), "format", format_name(info->format),
			  "actual-size", (json_int_t)info->allocated_bytes,
			  "dirty-flag", (int)info->is_dirty);

	if (info->cluster_bytes)
		json_object_set_new(j, "cluster-size",
				    json_integer(info->cluster_bytes));
	if (info->is_encrypted)
		json_object_set_new(j, "encrypted", json_true());
	if (info->backing_file[0]) {
		full = beside(path, info->backing_file);
		json_object_set_new(j, "backing-filename",
				    json_text(info->backing_file));
		if (full)
			json_object_set_new(j, "full-backing-filename",
					    json_text(full));
	}
	if (info->backing_format[0])
		json_object_set_new(j, "backing-filename-format",
				    json_text(info->backing_format));
	if (l->snapshots.nr)
		json_object_set_new(j, "snapshots",
				    snapshots_as_json(&l->snapshots));
	if (info->format == VC_DISK_FORMAT_QCOW2)
		json_object_set_new(j, "format-specific", qcow2_data(info, l));
	else if (parts_name(info->format))
		json_object_set_new(j, "format-specific", parts_data(info));
	return print_json(j);
}

int cmd_info(int argc, char **argv)
{
	struct info_opts o = { VC_DISK_FORMAT_PROBE, false };
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	struct vc_error err;
	vc_auto_fd int fd = -1;
	struct lists lists = { { NULL, 0 }, { NULL, 0 } };
	int status, first, nr;
	char shown[256];

	status = parse_command(&command, argc, argv, &o, 1, 1, &first, &nr);
	if (status >= 0 || !info)
		return status >= 0 ? status : 1;
	if (open_for_reading(argv[first], &fd, &err) < 0)
		return report(&err);
	if (vc_disk_info_fd(fd, o.format, info, &err) < 0 ||
	    load_lists(fd, info, &lists, &err) < 0) {
		lists_fini(&lists);
		vc_prefix(&err, "'%s'",
			  vc_printable(argv[first], shown, sizeof(shown)));
		return report(&err);
	}
	status = o.json ? print_as_json(argv[first], info, &lists)
			: print_human(argv[first], info, &lists);
	lists_fini(&lists);
	return status;
}
