/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/image-options.h"
#include "qcow-tool/image.h"

enum { COMPAT_CROSVM = 4 };
static const char *const compat_names[] = { "0.10", "v2",     "1.1",
					    "v3",   "crosvm", NULL };
const char *const on_off_names[] = { "off",  "on", "no", "yes", "false",
				     "true", "n",  "y",	 NULL };

#define MEMBER(m) offsetof(struct image_options, m)
static const struct vc_kv_key keys[] = {
	{ "compat", VC_KV_ENUM, MEMBER(compat), 0, compat_names, NULL },
	{ "cluster-size", VC_KV_SIZE, MEMBER(cluster_bytes), 0, NULL, NULL },
	{ "refcount-bits", VC_KV_U64, MEMBER(refcount_bits), 64, NULL, NULL },
	{ "size", VC_KV_SIZE, MEMBER(size_bytes), 0, NULL, NULL },
	{ "backing-file", VC_KV_STRING, MEMBER(backing_file), 0, NULL, NULL },
	{ "backing-fmt", VC_KV_STRING, MEMBER(backing_format), 0, NULL, NULL },
	{ "preallocation", VC_KV_ENUM, MEMBER(preallocation), 0,
	  vc_disk_preallocation_names, NULL },
	{ "lazy-refcounts", VC_KV_ENUM, MEMBER(lazy_refcounts), 0, on_off_names,
	  NULL },
	{ "extended-l2", VC_KV_ENUM, MEMBER(extended_l2), 0, on_off_names,
	  NULL },
	{ "compression-type", VC_KV_ENUM, MEMBER(compression), 0,
	  vc_disk_compression_names, NULL },
	{ "data-file", VC_KV_STRING, MEMBER(data_file), 0, NULL, NULL },
	{ "data-file-raw", VC_KV_ENUM, MEMBER(data_file_raw), 0, on_off_names,
	  NULL },
	{ "checksums", VC_KV_ENUM, MEMBER(checksums), 0, on_off_names, NULL },
	{ "compression-level", VC_KV_U64, MEMBER(compression_level), 22, NULL,
	  NULL },
	{ "block-size", VC_KV_SIZE, MEMBER(block_bytes), 0, NULL, NULL },
};
enum { KEY_SIZE = 3, KEY_BACKING_FILE, KEY_BACKING_FORMAT };

#define SIZE_TEXT "  size=<size>            - Size of the disk\n"
#define RAW_TEXT                                                     \
	"  preallocation=<str>    - What is reserved: off, falloc, " \
	"full\n" SIZE_TEXT
#define QCOW2_TEXT                                                             \
	"  backing_file=<str>     - What is not written is read from here\n"   \
	"  backing_fmt=<str>      - Format of that image\n"                    \
	"  cluster_size=<size>    - Power of two from 512 to 2M (64k)\n"       \
	"  compat=<str>           - v2 [0.10], v3 [1.1] or crosvm (v3)\n"      \
	"  compression_type=<str> - zlib or zstd (zlib)\n"                     \
	"  data_file=<str>        - Keep the data in this file\n"              \
	"  data_file_raw=<bool (on/off)> - It is a raw image by itself\n"      \
	"  extended_l2=<bool (on/off)> - 32 subclusters in each cluster\n"     \
	"  lazy_refcounts=<bool (on/off)> - Write refcounts when closed\n"     \
	"  preallocation=<str>    - What is reserved: off, metadata, falloc, " \
	"full\n"                                                               \
	"  refcount_bits=<num>    - 1, 2, 4, 8, 16, 32 or 64 (16)\n" SIZE_TEXT
#define ZSTD_TEXT                                            \
	"  checksums=<bool (on/off)> - Of each frame (on)\n" \
	"  compression_level=<num> - 1 to 22 (3)\n" SIZE_TEXT
#define SPARSE_TEXT                                          \
	"  block_size=<size>      - Multiple of 4096 (4k)\n" \
	"  checksums=<bool (on/off)> - Of the image (off)\n" SIZE_TEXT

const char image_options_help[] =
	"Options of a raw image (-o KEY=VALUE,...; \",,\" is a "
	"comma):\n" RAW_TEXT "of qcow2:\n" QCOW2_TEXT "of zstd:\n" ZSTD_TEXT
	"of android-sparse:\n" SPARSE_TEXT
	"-o help prints those of one format.";

int image_options_show(enum vc_disk_format format, struct vc_error *err)
{
	static const char *const texts[] = {
		[VC_DISK_FORMAT_RAW] = RAW_TEXT,
		[VC_DISK_FORMAT_QCOW2] = QCOW2_TEXT,
		[VC_DISK_FORMAT_ZSTD] = ZSTD_TEXT,
		[VC_DISK_FORMAT_ANDROID_SPARSE] = SPARSE_TEXT,
	};

	if (format >= VC_ARRAY_SIZE(texts) || !texts[format])
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s images are not made this way",
			       format_name(format));
	printf("Supported %s options:\n%s", format_name(format), texts[format]);
	return 0;
}

/* --- the grammar ------------------------------------------------------------- */

/* As the option grammar of the library has it, which wants `"` quoted. */
static char *quote(const char *key, const char *value)
{
	char *text = malloc(strlen(key) + 2 * strlen(value) + 4), *p = text;

	if (!text)
		return NULL;
	p = stpcpy(stpcpy(p, key), "=\"");
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			*p++ = '\\';
		*p++ = *value;
	}
	strcpy(p, "\"");
	return text;
}

static const struct vc_kv_key *find_key(const struct vc_kv_key *table,
					size_t nr, const char *name)
{
	size_t i, n;

	for (i = 0; i < nr; i++) {
		const char *t = table[i].name;

		for (n = 0; name[n] && (name[n] == t[n] ||
					(name[n] == '_' && t[n] == '-'));
		     n++)
			;
		if (!name[n] && !t[n])
			return &table[i];
	}
	return NULL;
}

static int refuse_key(const char *key, const char *value, struct vc_error *err)
{
	char shown[80];

	if (!strcmp(key, "encryption") && value && !strcmp(value, "off"))
		return 0;
	if (!strcmp(key, "encryption") || !strncmp(key, "encrypt.", 8))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "%s: encrypted images are not supported",
			       vc_printable(key, shown, sizeof(shown)));
	return vc_fail(err, VC_E_ARG, 0, "unknown key '%s'",
		       vc_printable(key, shown, sizeof(shown)));
}

int parse_keys(const char *text, const struct vc_kv_key *table, size_t nr,
	       void *out, uint64_t *ret_seen, bool *show, struct vc_error *err)
{
	vc_auto_free char *copy = strdup(text);
	const char *name, *value;
	char *rest = copy;
	uint64_t seen;

	*ret_seen = 0;
	if (!copy)
		return vc_fail(err, VC_E_SYS, ENOMEM, "option");
	while (next_pair(&rest, &name, &value)) {
		const struct vc_kv_key *key = find_key(table, nr, name);
		vc_auto_free char *quoted = NULL;

		if (!value && (!strcmp(name, "help") || !strcmp(name, "?"))) {
			*show = true;
			continue;
		}
		if (!key && refuse_key(name, value, err) < 0)
			return -1;
		if (!key)
			continue;
		quoted = quote(name, value ? value : "on");
		if (!quoted)
			return vc_fail(err, VC_E_SYS, ENOMEM, "option");
		if (key->type == VC_KV_STRING) {
			char **s = (char **)(void *)((char *)out + key->offset);

			free(*s);
			*s = NULL;
		}
		if (vc_kv_parse(quoted, table, nr, out, &seen, err) < 0)
			return -1;
		*ret_seen |= seen;
	}
	return 0;
}

void image_options_init(struct image_options *o)
{
	memset(o, 0, sizeof(*o));
	o->compat = o->compression = o->checksums = -1;
}

void image_options_fini(struct image_options *o)
{
	free(o->backing_file);
	free(o->backing_format);
	free(o->data_file);
	o->backing_file = o->backing_format = o->data_file = NULL;
}

int image_options_parse(struct image_options *o, const char *text, bool *show,
			struct vc_error *err)
{
	enum vc_disk_format ignored;
	uint64_t seen;

	if (parse_keys(text, keys, VC_ARRAY_SIZE(keys), o, &seen, show, err) <
	    0)
		return -1;
	if (seen >> KEY_SIZE & 1)
		o->has_size = true;
	if ((seen >> KEY_BACKING_FILE & 1) && !o->backing_file[0])
		return vc_fail(err, VC_E_ARG, 0, "backing_file: empty");
	if (seen >> KEY_BACKING_FORMAT & 1)
		return parse_format(o->backing_format, &ignored, err);
	return 0;
}

static int set_string(char **to, const char *value, struct vc_error *err)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "option");
}

int image_options_set_backing(struct image_options *o, const char *value,
			      struct vc_error *err)
{
	return set_string(&o->backing_file, value, err);
}

int image_options_set_backing_format(struct image_options *o, const char *value,
				     struct vc_error *err)
{
	enum vc_disk_format ignored;

	if (parse_format(value, &ignored, err) < 0)
		return -1;
	return set_string(&o->backing_format, value, err);
}

int image_options_get(const struct image_options *o, enum vc_disk_format format,
		      struct vc_disk_create_opts *ret, struct vc_error *err)
{
	if (o->cluster_bytes > VC_QCOW2_MAX_CLUSTER)
		return vc_fail(err, VC_E_ARG, 0,
			       "cluster_size: more than 2 MiB");
	if (format != VC_DISK_FORMAT_QCOW2 &&
	    (o->compat >= 0 || o->cluster_bytes || o->refcount_bits ||
	     o->lazy_refcounts & 1 || o->extended_l2 & 1 || o->data_file ||
	     o->compression >= 0))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "only a qcow2 image has such options");
	if ((o->block_bytes && format != VC_DISK_FORMAT_ANDROID_SPARSE) ||
	    (o->compression_level && format != VC_DISK_FORMAT_ZSTD) ||
	    (o->checksums >= 0 && !vc_disk_format_is_sequential(format)))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "%s images have no such option",
			       format_name(format));
	if (o->block_bytes > UINT32_MAX)
		return vc_fail(err, VC_E_ARG, 0, "block_size: too large");
	memset(ret, 0, sizeof(*ret));
	ret->format = format;
	ret->cluster_bytes =
		(uint32_t)(o->block_bytes ? o->block_bytes : o->cluster_bytes);
	ret->compression_level = (unsigned)o->compression_level;
	ret->checksums = o->checksums < 0   ? VC_DISK_CHECKSUMS_DEFAULT
			 : o->checksums & 1 ? VC_DISK_CHECKSUMS_ON
					    : VC_DISK_CHECKSUMS_OFF;
	ret->refcount_bits = (unsigned)o->refcount_bits;
	ret->version = o->compat < 0 ? 0 : o->compat < 2 ? 2 : 3;
	ret->backing_file = o->backing_file;
	ret->backing_format = o->backing_format;
	ret->for_crosvm = o->compat == COMPAT_CROSVM;
	ret->preallocation = (enum vc_disk_preallocation)o->preallocation;
	ret->compression = (enum vc_disk_compression)(o->compression + 1);
	ret->extended_l2 = o->extended_l2 & 1;
	ret->lazy_refcounts = o->lazy_refcounts & 1;
	ret->data_file = o->data_file;
	ret->data_file_raw = o->data_file_raw & 1;
	return 0;
}

int image_options_set_compat(struct image_options *o, const char *value,
			     struct vc_error *err)
{
	char shown[40];
	int i;

	for (i = 0; compat_names[i]; i++)
		if (!strcmp(value, compat_names[i])) {
			o->compat = i;
			return 0;
		}
	return vc_fail(err, VC_E_ARG, 0, "'%s': no such level",
		       vc_printable(value, shown, sizeof(shown)));
}

int image_options_open_data(const struct image_options *o, const char *path,
			    bool keep, struct vc_outfile **ret,
			    struct vc_disk_create_opts *co,
			    struct vc_error *err)
{
	vc_auto_free char *full = NULL;

	if (!o->data_file)
		return 0;
	if (vc_disk_resolve_name("data file", path, o->data_file, &full, err) <
		    0 ||
	    refuse_same_file(path, "data file", full, err) < 0)
		return -1;
	if (open_output(full, keep, ret, err) < 0)
		return vc_prefix(err, "data file");
	co->data_fd = vc_outfile_get_fd(*ret);
	return 0;
}
