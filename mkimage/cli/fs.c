/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "mkimage/cli/options.h"

#define MIN_JOURNAL (UINT64_C(4) << 20)
#define MAX_JOURNAL (UINT64_C(1) << 30)

static int set_uuid(struct settings *s, const char *text, struct vc_error *err)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	const char *digit, *digits = "0123456789abcdef0123456789ABCDEF";
	uint8_t *uuid = s->fs.uuid;
	int i, nr = 0;

	memset(uuid, 0, 16);
	for (i = 0; form[i]; i++) {
		if (form[i] == '-' && text[i] == '-')
			continue;
		digit = text[i] ? strchr(digits, text[i]) : NULL;
		if (!digit || form[i] == '-')
			break;
		uuid[nr / 2] =
			(uint8_t)(uuid[nr / 2] << 4 | ((digit - digits) & 15));
		nr++;
	}
	if (form[i] || text[i])
		return vc_fail(err, VC_E_ARG, 0, "not of the form %s", form);
	s->fs.has_uuid = true;
	return 0;
}

static int set_journal(struct settings *s, const char *text,
		       struct vc_error *err)
{
	struct ext4_opts *fs = &s->fs;

	if (vc_parse_size(text, &fs->journal_bytes, err))
		return -1;
	if (fs->journal_bytes && (fs->journal_bytes < MIN_JOURNAL ||
				  fs->journal_bytes > MAX_JOURNAL))
		return vc_fail(err, VC_E_ARG, 0, "neither 0 nor 4M to 1G");
	return 0;
}

static int set_label(struct settings *s, const char *text, struct vc_error *err)
{
	if (strlen(text) > EXT4_MAX_LABEL)
		return vc_fail(err, VC_E_ARG, 0, "longer than %d bytes",
			       EXT4_MAX_LABEL);
	s->fs.label = text;
	return 0;
}

static const struct option_def table[] = {
	OPTION_CALL("label", 'L', "NAME", set_label,
		    "of the file system, at most 16 bytes"),
	OPTION_CALL("uuid", 'U', "UUID", set_uuid,
		    "of the file system (default: made from the content)"),
	OPTION_CALL("journal-size", 0, "SIZE", set_journal,
		    "4M or more; 0: no journal (default: by the size)"),
};

OPTION_GROUP(options_fs, table);
