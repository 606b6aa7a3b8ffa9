/* SPDX-License-Identifier: BSD-3-Clause */
#include "mkimage/cli/options.h"

static int set_uuid(struct settings *s, const char *text, struct vc_error *err)
{
	return ext4_set_uuid(&s->fs, text, err);
}

static int set_journal(struct settings *s, const char *text,
		       struct vc_error *err)
{
	uint64_t bytes;

	if (vc_parse_size(text, &bytes, err))
		return -1;
	return ext4_set_journal(&s->fs, bytes, err);
}

static int set_label(struct settings *s, const char *text, struct vc_error *err)
{
	return ext4_set_label(&s->fs, text, err);
}

/* Kept until the kind of file system is known. */
static int add_fs_option(struct settings *s, const char *text,
			 struct vc_error *err)
{
	if (s->nr_fs_options == SETTINGS_MAX_FS_OPTIONS)
		return vc_fail(err, VC_E_ARG, 0, "given more than %d times",
			       SETTINGS_MAX_FS_OPTIONS);
	s->fs_options[s->nr_fs_options++] = text;
	return 0;
}

int options_check_fs(struct settings *s, struct vc_error *err)
{
	size_t i;

	if (s->nr_fs_options && s->fs_kind == TARGET_CPIO)
		return vc_fail(err, VC_E_ARG, 0, "--fs-option: cpio has none");
	for (i = 0; i < s->nr_fs_options; i++)
		if (s->fs_kind == TARGET_SQUASHFS
			    ? squashfs_set_option(&s->squashfs,
						  s->fs_options[i], err)
			    : ext4_set_option(&s->fs, s->fs_options[i], err))
			return vc_prefix(err, "--fs-option");
	return 0;
}

static const struct option_def table[] = {
	OPTION_CALL("label", 'L', "NAME", set_label,
		    "of the file system, at most 16 bytes"),
	OPTION_CALL("uuid", 'U', "UUID", set_uuid,
		    "of the file system (default: made from the content)"),
	OPTION_CALL("journal-size", 0, "SIZE", set_journal,
		    "4M or more; 0: no journal (default: by the size)"),
	OPTION_CALL("fs-option", 0, "KEY=VALUE,...", add_fs_option,
		    "one of the file system's own options, see mkimage(1)"),
};

OPTION_GROUP(options_fs, table);
