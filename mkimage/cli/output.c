/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/checked.h>
#include "mkimage/cli/options.h"

#define MAX_LEVEL 22 /* of any compression */

static int set_size(struct settings *s, const char *text, struct vc_error *err)
{
	struct ext4_opts *fs = &s->fs;

	fs->size_bytes = 0;
	fs->is_exact = !strcmp(text, "exact");
	fs->room_bytes = UINT64_MAX;
	if (!strcmp(text, "auto") || fs->is_exact)
		return 0;
	if (text[0] == '+') {
		if (vc_parse_size(text + 1, &fs->room_bytes, err))
			return -1;
		if (fs->room_bytes > EXT4_MAX_BYTES)
			return vc_fail(err, VC_E_ARG, 0, "more than 16T");
		return 0;
	}
	if (vc_parse_size(text, &fs->size_bytes, err))
		return -1;
	if (fs->size_bytes > EXT4_MAX_BYTES || !fs->size_bytes)
		return vc_fail(err, VC_E_ARG, 0, "0 or more than 16T");
	fs->size_bytes = vc_align_up(fs->size_bytes, OUT_BLOCK);
	return 0;
}

static int set_partition(struct settings *s, const char *text,
			 struct vc_error *err)
{
	s->parts.is_wanted = true;
	/* "-p=SPEC": of a long option the '=' is taken off, of a short one not */
	if (text && *text == '=')
		text++;
	return text ? part_add(&s->parts, text, err) : 0;
}

static int set_esp(struct settings *s, const char *text, struct vc_error *err)
{
	return part_add_esp(&s->parts, text, err);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && !strcmp(text + n - m, end);
}

/* What the end of the output's name says, where no option does. */
struct suffix {
	const char *end, *fs, *format, *compress;
};

static const struct suffix suffixes[] = {
	{ ".qcow2", NULL, "qcow2", NULL },
	{ ".raw", NULL, "raw", NULL },
	{ ".img", NULL, "raw", NULL },
	{ ".ext4", "ext4", "raw", NULL },
	{ ".raw.zst", NULL, "zstd", NULL },
	{ ".img.zst", NULL, "zstd", NULL },
	{ ".simg", NULL, "android-sparse", NULL },
	{ ".squashfs", "squashfs", "raw", NULL },
	{ ".sqfs", "squashfs", "raw", NULL },
	{ ".cpio", "cpio", "raw", NULL },
	{ ".cpio.gz", "cpio", "raw", "gzip" },
	{ ".cpio.zst", "cpio", "raw", "zstd" },
};

static int take_suffix(struct settings *s, struct vc_error *err)
{
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(suffixes); i++) {
		if (!ends_with(s->output, suffixes[i].end))
			continue;
		if (!s->format)
			s->format = suffixes[i].format;
		if (!s->fs_name)
			s->fs_name = suffixes[i].fs;
		if (!s->compress)
			s->compress = suffixes[i].compress;
		return 0;
	}
	if (!s->format && s->fs_name && strcmp(s->fs_name, "ext4"))
		s->format = "raw";
	if (!s->format)
		return vc_fail(err, VC_E_ARG, 0,
			       "--format is needed: the end of the output's "
			       "name does not tell it");
	return 0;
}

/* Index of `text` in a NULL-terminated list, or -1. */
static int find_name(const char *const *names, const char *text)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], text))
			return i;
	return -1;
}

static int choose_fs(struct settings *s, struct vc_error *err)
{
	int i = s->fs_name ? find_name(target_fs_names, s->fs_name) : 0;

	if (i < 0)
		return vc_fail(err, VC_E_ARG, 0,
			       "--fs: none of ext4, squashfs, cpio");
	s->fs_kind = (enum target_fs)i;
	if (s->fs_kind == TARGET_EXT4)
		return 0;
	if (s->parts.is_wanted && s->fs_kind == TARGET_CPIO)
		return vc_fail(err, VC_E_ARG, 0,
			       "--partition: a cpio archive is no disk");
	if (s->fs.room_bytes != UINT64_MAX ||
	    (s->fs.size_bytes && !s->parts.is_wanted))
		return vc_fail(err, VC_E_ARG, 0,
			       "--size: %s has the size of its content",
			       target_fs_names[i]);
	if (s->fs.label[0] || s->fs.has_uuid)
		return vc_fail(err, VC_E_ARG, 0, "--%s: %s has none",
			       s->fs.label[0] ? "label" : "uuid",
			       target_fs_names[i]);
	if (s->fs.journal_bytes != EXT4_JOURNAL_AUTO)
		return vc_fail(err, VC_E_ARG, 0, "--journal-size: %s has none",
			       target_fs_names[i]);
	return 0;
}

static int choose_format(struct settings *s, struct vc_error *err)
{
	static const char *const names[] = { "raw", "qcow2", "zstd",
					     "android-sparse", NULL };
	int i = find_name(names, s->format) < 0
			? -1
			: find_name(vc_disk_format_names, s->format);

	if (i < 0)
		return vc_fail(err, VC_E_ARG, 0,
			       "--format: none of raw, qcow2, zstd, "
			       "android-sparse");
	s->out.format = (enum vc_disk_format)(i + 1);
	if (s->fs_kind == TARGET_CPIO && s->out.format != VC_DISK_FORMAT_RAW)
		return vc_fail(err, VC_E_ARG, 0,
			       "--format: a cpio archive is no disk");
	return 0;
}

static bool is_none(const char *method)
{
	return method && !strcmp(method, "none");
}

static int fail_always(const char *what, struct vc_error *err)
{
	return vc_fail(err, VC_E_ARG, 0,
		       "--compress: %s is compressed in any case", what);
}

/* METHOD[:LEVEL] */
static int split_compression(struct settings *s, unsigned *ret_level,
			     struct vc_error *err)
{
	const char *colon = s->compress ? strchr(s->compress, ':') : NULL;
	uint64_t level = 0;

	if (colon) {
		if (vc_parse_u64(colon + 1, MAX_LEVEL, &level, err))
			return vc_prefix(err, "--compress");
		s->compress = s->method =
			strndup(s->compress, (size_t)(colon - s->compress));
		if (!s->method)
			return vc_fail(err, VC_E_SYS, ENOMEM, "options");
	}
	if (colon && is_none(s->compress))
		return vc_fail(err, VC_E_ARG, 0,
			       "--compress: none has no level");
	*ret_level = (unsigned)level;
	return 0;
}

/* Of a container: it is for ext4, the others are compressed themselves. */
static int compress_disk(struct settings *s, unsigned level,
			 struct vc_error *err)
{
	const char *method = s->compress;
	int i;

	s->out.level = level;
	if (is_none(method) && s->out.format == VC_DISK_FORMAT_ZSTD)
		return fail_always(s->format, err);
	if (!method || is_none(method) ||
	    (s->out.format == VC_DISK_FORMAT_ZSTD && !strcmp(method, "zstd")))
		return 0;
	if (s->out.format != VC_DISK_FORMAT_QCOW2)
		return vc_fail(err, VC_E_ARG, 0,
			       "--compress: an image in %s has none: one in "
			       "qcow2 can",
			       s->format);
	i = find_name(vc_disk_compression_names, method);
	if (i < 0)
		return vc_fail(err, VC_E_ARG, 0,
			       "--compress: a qcow2 image has none, zlib or "
			       "zstd");
	s->out.compression = (enum vc_disk_compression)(i + 1);
	return 0;
}

static int choose_compression(struct settings *s, struct vc_error *err)
{
	unsigned level = 0;

	if (split_compression(s, &level, err))
		return -1;
	if (s->fs_kind == TARGET_EXT4)
		return compress_disk(s, level, err);
	if (is_none(s->compress) && s->fs_kind == TARGET_SQUASHFS)
		return fail_always("squashfs", err);
	s->squashfs.compress = s->compress;
	s->cpio.compress = is_none(s->compress) ? NULL : s->compress;
	s->squashfs.level = s->cpio.level = level;
	return 0;
}

int options_check_output(struct settings *s, struct vc_error *err)
{
	if (!s->output)
		return vc_fail(err, VC_E_ARG, 0, "no --output given");
	if (!strcmp(s->output, "-"))
		return vc_fail(err, VC_E_ARG, 0,
			       "--output -: an image is not written in order: "
			       "it must be a file");
	return take_suffix(s, err) || choose_fs(s, err) ||
			       choose_format(s, err) ||
			       choose_compression(s, err)
		       ? -1
		       : 0;
}

static const struct option_def table[] = {
	OPTION_TEXT("output", 'o', "FILE", output, "the disk image to write"),
	OPTION_TEXT("fs", 't', "TYPE", fs_name,
		    "of the file system: ext4 (the default), squashfs or cpio\n"
		    "(or by the end of the name: .squashfs, .cpio.zst, ...)"),
	OPTION_TEXT("format", 'f', "FORMAT", format,
		    "raw, qcow2, zstd (seekable) or android-sparse (default:\n"
		    "by the end of the name: .img, .qcow2, .img.zst, .simg)"),
	OPTION_TEXT("compress", 'c', "METHOD[:LEVEL]", compress,
		    "of a qcow2 image: none (the default), zlib, zstd; of\n"
		    "squashfs: zstd (the default), gzip, xz, lz4; of cpio:\n"
		    "none (the default), gzip, zstd"),
	OPTION_CALL("partition", 'p', "[=SPEC]", set_partition,
		    "a whole disk with a GPT; SPEC is a further partition,\n"
		    "name=NAME,type=TYPE,size=SIZE,file=FILE, or what is to\n"
		    "be said of 'root' or 'esp'; can be repeated"),
	OPTION_CALL("esp", 0, "PATH", set_esp,
		    "an EFI system partition with what is in the folder PATH,\n"
		    "or, as HOST:GUEST, one file or folder; can be repeated"),
	OPTION_TEXT("extract-boot", 0, "DIR", boot_dir,
		    "copy the newest kernel and its initrd to DIR/vmlinuz and\n"
		    "DIR/initrd"),
	OPTION_FLAG("force", 0, out.force, "replace FILE if it is there"),
	OPTION_CALL("size", 's', "SIZE", set_size,
		    "10G: of the disk; +2G: what is needed and that much\n"
		    "free; auto (the default): what is needed and enough to\n"
		    "live in, at least 1G; exact: not a block more than\n"
		    "needed"),
	OPTION_TEXT("seed", 0, "TEXT", fs.seed,
		    "make UUIDs and the like from TEXT, not from the content"),
	OPTION_FLAG("sync", 0, out.sync,
		    "wait until the image is on the medium"),
};

OPTION_GROUP(options_output, table);
