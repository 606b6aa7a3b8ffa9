/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include <vmmcore/util.h>
#include "mkimage/cli/options.h"

static int add_exclude(struct settings *s, const char *value,
		       struct vc_error *err)
{
	return patterns_add(&s->exclude, value, err);
}

/* "A:B:C" to numbers, at most `max` of them; *ret_nr tells how many. */
static int parse_ids(const char *text, uint32_t *ids, size_t max,
		     size_t *ret_nr, struct vc_error *err)
{
	char part[32];
	uint64_t v;
	size_t len;

	for (*ret_nr = 0; *ret_nr < max; text += len + 1) {
		len = strcspn(text, ":");
		if (len >= sizeof(part))
			return vc_fail(err, VC_E_ARG, 0, "not a number");
		memcpy(part, text, len);
		part[len] = '\0';
		if (vc_parse_u64(part, SOURCE_MAX_ID, &v, err))
			return -1;
		ids[(*ret_nr)++] = (uint32_t)v;
		if (!text[len])
			return 0;
	}
	return vc_fail(err, VC_E_ARG, 0, "more than %zu numbers", max);
}

static int set_owner(struct settings *s, const char *value,
		     struct vc_error *err)
{
	s->source.has_owner = true;
	return op_parse_owner(value, &s->source.uid, &s->source.gid, err);
}

/* Which of two ranges an id of the host is in must be plain. */
static bool overlaps(const struct id_map *map, const struct id_range *r)
{
	const struct id_range *o;

	for (o = map->ranges; o < map->ranges + map->nr; o++)
		if (r->host <= o->host ? o->host - r->host < r->count
				       : r->host - o->host < o->count)
			return true;
	return false;
}

static int add_range(struct id_map *map, const char *value,
		     struct vc_error *err)
{
	struct id_range *r = &map->ranges[map->nr];
	uint32_t ids[3];
	size_t nr;

	if (map->nr == SOURCE_MAX_ID_RANGES)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d ranges",
			       SOURCE_MAX_ID_RANGES);
	if (parse_ids(value, ids, 3, &nr, err))
		return -1;
	if (nr != 3 || !ids[2])
		return vc_fail(err, VC_E_ARG, 0,
			       "not of the form HOST:GUEST:COUNT");
	*r = (struct id_range){ ids[0], ids[1], ids[2] };
	if (r->count - 1 > SOURCE_MAX_ID - r->host ||
	    r->count - 1 > SOURCE_MAX_ID - r->guest)
		return vc_fail(err, VC_E_ARG, 0, "past the last id");
	if (overlaps(map, r))
		return vc_fail(err, VC_E_ARG, 0,
			       "ids that an earlier range has");
	map->nr++;
	return 0;
}

static int add_uids(struct settings *s, const char *value, struct vc_error *err)
{
	return add_range(&s->source.uids, value, err);
}

static int add_gids(struct settings *s, const char *value, struct vc_error *err)
{
	return add_range(&s->source.gids, value, err);
}

static int set_platform(struct settings *s, const char *value,
			struct vc_error *err)
{
	const char *slash = strchr(value, '/');

	if (!slash || slash == value || !slash[1] || strlen(value) > 80)
		return vc_fail(err, VC_E_ARG, 0,
			       "not of the form OS/ARCHITECTURE[/VARIANT]");
	s->source.platform = value;
	return 0;
}

static int set_type(struct settings *s, const char *value, struct vc_error *err)
{
	static const char *const types[] = {
		[SOURCE_AUTO] = "auto",
		[SOURCE_TAR] = "tar",
		[SOURCE_DIR] = "dir",
		[SOURCE_OCI] = "oci",
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(types); i++) {
		if (strcmp(value, types[i]) != 0)
			continue;
		s->source.kind = (enum source_kind)i;
		return 0;
	}
	return vc_fail(err, VC_E_ARG, 0, "neither auto, tar, dir nor oci");
}

#define DEFINE_STEP(name, verb)                                   \
	static int name(struct settings *s, const char *value,    \
			struct vc_error *err)                     \
	{                                                         \
		return ops_add_option(&s->ops, verb, value, err); \
	}

DEFINE_STEP(step_add, OP_ADD)
DEFINE_STEP(step_mkdir, OP_MKDIR)
DEFINE_STEP(step_symlink, OP_SYMLINK)
DEFINE_STEP(step_chmod, OP_CHMOD)
DEFINE_STEP(step_chmod_all, OP_CHMOD_ALL)
DEFINE_STEP(step_chown, OP_CHOWN)
DEFINE_STEP(step_chown_all, OP_CHOWN_ALL)
DEFINE_STEP(step_remove, OP_REMOVE)

static int read_manifest(struct settings *s, const char *value,
			 struct vc_error *err)
{
	return manifest_read(value, &s->ops, &s->exclude, err);
}

static const struct option_def table[] = {
	OPTION_CALL("exclude", 0, "PATTERN", add_exclude,
		    "leave out what matches, and all that is in it"),
	OPTION_CALL("owner", 0, "UID:GID", set_owner,
		    "of all that is in a folder, or of what no map names"),
	OPTION_CALL("map-uid", 0, "HOST:GUEST:COUNT", add_uids,
		    "owners in a folder from HOST on are GUEST on in the\n"
		    "image; may be given several times"),
	OPTION_CALL("map-gid", 0, "HOST:GUEST:COUNT", add_gids,
		    "the same for groups"),
	OPTION_FLAG("one-file-system", 'x', source.one_file_system,
		    "leave out what is mounted in a folder"),
	OPTION_CALL("platform", 0, "OS/ARCH", set_platform,
		    "of a container image for several (linux/amd64)"),
	OPTION_TEXT("image", 0, "NAME", source.image,
		    "of several container images in one source"),
	OPTION_CALL("source-type", 0, "TYPE", set_type,
		    "tar, dir or oci (default: by the content)"),
	OPTION_CALL("add", 0, "HOST:GUEST", step_add,
		    "put a file or folder of the host in"),
	OPTION_CALL("mkdir", 0, "GUEST", step_mkdir, "make a directory"),
	OPTION_CALL("symlink", 0, "TARGET:GUEST", step_symlink,
		    "make a symbolic link"),
	OPTION_CALL("chmod", 0, "MODE:GUEST", step_chmod,
		    "change a mode: 755, or u=rwX,go-w"),
	OPTION_CALL("chmod-all", 0, "MODE:GUEST", step_chmod_all,
		    "that of a directory and of all that is in it"),
	OPTION_CALL("chown", 0, "UID:GID:GUEST", step_chown,
		    "change an owner and group"),
	OPTION_CALL("chown-all", 0, "UID:GID:GUEST", step_chown_all,
		    "those of a directory and of all that is in it"),
	OPTION_CALL("remove", 0, "GUEST", step_remove,
		    "take a file or folder out"),
	OPTION_CALL("manifest", 0, "FILE", read_manifest,
		    "all of these from a file; see mkimage-manifest(5)"),
};

OPTION_GROUP(options_source, table);
