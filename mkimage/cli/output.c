/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <vmmcore/checked.h>
#include "mkimage/cli/options.h"

static int set_size(struct settings *s, const char *text, struct vc_error *err)
{
	struct ext4_opts *fs = &s->fs;

	fs->size_bytes = 0;
	fs->room_bytes = UINT64_MAX;
	if (!strcmp(text, "auto"))
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

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

static int choose_format(struct settings *s, struct vc_error *err)
{
	const char *f = s->format;

	if (!f) {
		if (ends_with(s->output, ".qcow2"))
			f = "qcow2";
		else if (ends_with(s->output, ".raw") ||
			 ends_with(s->output, ".img"))
			f = "raw";
		else
			return vc_fail(err, VC_E_ARG, 0,
				       "--format is needed: the output is not "
				       "named .qcow2, .raw or .img");
	}
	if (!strcmp(f, "qcow2"))
		s->out.format = VC_DISK_FORMAT_QCOW2;
	else if (!strcmp(f, "raw"))
		s->out.format = VC_DISK_FORMAT_RAW;
	else
		return vc_fail(err, VC_E_ARG, 0,
			       "--format: neither qcow2 nor raw");
	return 0;
}

int options_check_output(struct settings *s, struct vc_error *err)
{
	if (!s->output)
		return vc_fail(err, VC_E_ARG, 0, "no --output given");
	return choose_format(s, err);
}

static const struct option_def table[] = {
	OPTION_TEXT("output", 'o', "FILE", output, "the disk image to write"),
	OPTION_TEXT("format", 'f', "FORMAT", format,
		    "qcow2 or raw (default: by the end of the name)"),
	OPTION_FLAG("force", 0, out.force, "replace FILE if it is there"),
	OPTION_CALL("size", 's', "SIZE", set_size,
		    "10G: of the disk; +2G: what is needed and that much\n"
		    "free; auto (the default): what is needed and enough to\n"
		    "live in, at least 1G"),
	OPTION_FLAG("sync", 0, out.sync,
		    "wait until the image is on the medium"),
};

OPTION_GROUP(options_output, table);
