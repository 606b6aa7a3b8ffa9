/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A command's table of options is handed to the library's parser; what comes
 * back goes to common_opts if it is one of the common options (they have one
 * meaning in all commands), else to the command's own function.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "qcow-tool/options.h"

/* --- values -------------------------------------------------------------------- */

int parse_format(const char *value, enum vc_disk_format *ret,
		 struct vc_error *err)
{
	char shown[40];
	int i;

	for (i = 0; vc_disk_format_names[i]; i++)
		if (!strcmp(value, vc_disk_format_names[i])) {
			*ret = (enum vc_disk_format)(i + 1);
			return 0;
		}
	return vc_fail(err, VC_E_ARG, 0, "'%s': unknown format",
		       vc_printable(value, shown, sizeof(shown)));
}

int parse_cache(const char *value, struct cache_mode *ret, struct vc_error *err)
{
	static const struct {
		const char *name;
		struct cache_mode mode;
	} modes[] = {
		{ "unsafe", { false, false } },
		{ "writeback", { false, true } },
		{ "writethrough", { false, true } },
		{ "none", { true, true } },
		{ "off", { true, true } },
		{ "directsync", { true, true } },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(modes); i++)
		if (!strcmp(value, modes[i].name)) {
			*ret = modes[i].mode;
			return 0;
		}
	return vc_fail(err, VC_E_ARG, 0, "unknown mode");
}

static int parse_output(const char *value, bool *ret_json, struct vc_error *err)
{
	*ret_json = !strcmp(value, "json");
	if (*ret_json || !strcmp(value, "human"))
		return 0;
	return vc_fail(err, VC_E_ARG, 0, "neither human nor json");
}

/* Of qemu's objects a secret is the one that images may need. Those that do are
 * encrypted and refused when they are opened, so it is only looked at. */
static int parse_object(const char *value, struct vc_error *err)
{
	vc_auto_free char *text = strdup(value);
	const char *key, *v, *type = NULL;
	bool has_id = false;
	char *rest = text, shown[80];

	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "object");
	while (next_pair(&rest, &key, &v)) {
		if (!type)
			type = !v ? key : !strcmp(key, "qom-type") ? v : "";
		has_id |= v && *v && !strcmp(key, "id");
	}
	if (!type || strcmp(type, "secret") != 0)
		return vc_fail(
			err, VC_E_UNSUPPORTED, 0, "'%s': only secret is known",
			vc_printable(type ? type : "", shown, sizeof(shown)));
	return has_id ? 0 : vc_fail(err, VC_E_ARG, 0, "secret: no id=");
}

/* --- options ------------------------------------------------------------------- */

struct dispatch {
	const struct vc_command *cmd;
	struct common_opts *common;
	void *ctx;
};

enum { NOT_COMMON = 1 };

static int set_common_flag(struct common_opts *c, const char *name)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "quiet", &c->quiet },
		{ "force-share", &c->share },
		{ "progress", &c->progress.is_shown },
		{ "allow-backing", &c->allow_backing },
		{ "image-opts", &c->image_opts },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(flags); i++)
		if (!strcmp(name, flags[i].name)) {
			*flags[i].flag = true;
			return 0;
		}
	return NOT_COMMON;
}

static int set_common(struct common_opts *c, const char *name,
		      const char *value, struct vc_error *err)
{
	if (!value)
		return set_common_flag(c, name);
	if (!strcmp(name, "format"))
		return parse_format(value, &c->format, err);
	if (!strcmp(name, "output"))
		return parse_output(value, &c->json, err);
	if (!strcmp(name, "cache"))
		return parse_cache(value, &c->cache, err);
	if (!strcmp(name, "source-cache"))
		return parse_cache(value, &c->src_cache, err);
	if (!strcmp(name, "object"))
		return parse_object(value, err);
	return NOT_COMMON;
}

static int on_any_option(void *ctx, const struct vc_option *opt,
			 const char *value, struct vc_error *err)
{
	struct dispatch *d = ctx;
	int ret = NOT_COMMON;

	if (d->common)
		ret = set_common(d->common, opt->name, value, err);
	if (ret == NOT_COMMON)
		ret = d->cmd->on_option(d->ctx, opt, value, err);
	return ret;
}

int parse_command(const struct vc_command *cmd, int argc, char **argv,
		  struct common_opts *common, void *ctx, int min, int max,
		  int *ret_first, int *ret_nr)
{
	struct dispatch d = { cmd, common, ctx };
	struct vc_command all = *cmd;
	struct vc_error err;
	bool help;

	all.on_option = on_any_option;
	if (vc_options_parse(&all, argc, argv, false, &d, ret_first, &help,
			     &err) < 0) {
		vc_report(stderr, cmd->name, &err);
		return 1;
	}
	if (help) {
		vc_command_help(cmd, stdout);
		return 0;
	}
	*ret_nr = argc - *ret_first;
	if (common && common->show_options)
		return -1;
	if (*ret_nr < min || *ret_nr > max) {
		vc_fail(&err, VC_E_ARG, 0, "%s operands: expected %s",
			*ret_nr < min ? "too few" : "too many", cmd->synopsis);
		vc_report(stderr, cmd->name, &err);
		return 1;
	}
	return -1;
}

/* --- key=value,... --------------------------------------------------------------- */

bool next_pair(char **rest, const char **ret_key, const char **ret_value)
{
	char *from = *rest, *to = from;

	if (!from || !*from)
		return false;
	*ret_key = from;
	*ret_value = NULL;
	for (; *from; from++) {
		if (*from == '=' && !*ret_value) {
			*to++ = '\0';
			*ret_value = to;
			continue;
		}
		if (*from == ',' && *++from != ',') {
			*to = '\0';
			*rest = from;
			return true;
		}
		*to++ = *from;
	}
	*to = '\0';
	*rest = NULL;
	return true;
}

/* --- operands -------------------------------------------------------------------- */

static int parse_on_off(const char *value, bool *ret, struct vc_error *err)
{
	*ret = value && (!strcmp(value, "on") || !strcmp(value, "true"));
	if (*ret ||
	    (value && (!strcmp(value, "off") || !strcmp(value, "false"))))
		return 0;
	return vc_fail(err, VC_E_ARG, 0, "neither on nor off");
}

/* What an image's options are put together from. */
struct image_parts {
	const char *driver, *file_driver;
	const char *filename, *file_filename;
	const char *locking;
};

static bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static int set_image_key(struct image_parts *p, struct image_name *im,
			 const char *key, const char *value,
			 struct vc_error *err)
{
	const struct {
		const char *name;
		const char **text;
		bool *flag;
	} keys[] = {
		{ "driver", &p->driver, NULL },
		{ "filename", &p->filename, NULL },
		{ "file.driver", &p->file_driver, NULL },
		{ "file.filename", &p->file_filename, NULL },
		{ "locking", &p->locking, NULL },
		{ "file.locking", &p->locking, NULL },
		{ "read-only", NULL, &im->is_read_only },
		{ "force-share", NULL, &im->share },
		{ "cache.direct", NULL, &im->direct },
		{ "file.cache.direct", NULL, &im->direct },
	};
	/* how the other program is to do it; the contents stay the same */
	static const char *const ignored[] = { "cache.no-flush", "file.aio",
					       "aio", "auto-read-only",
					       "node-name" };
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(keys); i++) {
		if (strcmp(key, keys[i].name) != 0)
			continue;
		if (keys[i].flag)
			return parse_on_off(value, keys[i].flag, err);
		if (!value || !*value)
			return vc_fail(err, VC_E_ARG, 0, "needs a value");
		*keys[i].text = value;
		return 0;
	}
	for (i = 0; i < VC_ARRAY_SIZE(ignored); i++)
		if (!strcmp(key, ignored[i]))
			return 0;
	if (has_prefix(key, "backing") || has_prefix(key, "data-file"))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "the files that an image names cannot be "
			       "replaced by others");
	if (has_prefix(key, "encrypt"))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "encrypted images are not supported");
	return vc_fail(err, VC_E_ARG, 0, "unknown image option");
}

static bool is_file_driver(const char *name)
{
	return !strcmp(name, "file") || !strcmp(name, "host_device");
}

static int set_drivers(const struct image_parts *p, struct image_name *im,
		       struct vc_error *err)
{
	bool is_plain = p->driver && is_file_driver(p->driver);
	char shown[80];

	im->path = is_plain ? p->filename : p->file_filename;
	if (p->file_driver && !is_file_driver(p->file_driver))
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "file.driver: '%s': only file and host_device",
			       vc_printable(p->file_driver, shown,
					    sizeof(shown)));
	if (!im->path)
		return vc_fail(err, VC_E_ARG, 0, "needs %s=FILE",
			       is_plain ? "filename" : "file.filename");
	if (is_plain ? p->file_filename != NULL : p->filename != NULL)
		return vc_fail(err, VC_E_ARG, 0,
			       "filename and file.filename do not go together");
	if (is_plain)
		im->format = VC_DISK_FORMAT_RAW;
	else if (p->driver && parse_format(p->driver, &im->format, err) < 0)
		return vc_prefix(err, "driver");
	if (p->locking && !strcmp(p->locking, "off"))
		im->share = true;
	else if (p->locking && strcmp(p->locking, "on") != 0 &&
		 strcmp(p->locking, "auto") != 0)
		return vc_fail(err, VC_E_ARG, 0,
			       "locking: not on, off or auto");
	return 0;
}

static int parse_image_opts(char *text, struct image_name *im,
			    struct vc_error *err)
{
	struct image_parts p = { 0 };
	const char *key, *value;
	char shown[80];

	while (next_pair(&text, &key, &value))
		if (set_image_key(&p, im, key, value, err) < 0)
			return vc_prefix(err, "%s",
					 vc_printable(key, shown,
						      sizeof(shown)));
	return set_drivers(&p, im, err);
}

int parse_image(const struct common_opts *c, char *text,
		enum vc_disk_format format, struct image_name *ret,
		struct vc_error *err)
{
	*ret = (struct image_name){ .path = text, .format = format };
	if (!c->image_opts)
		return 0;
	if (format != VC_DISK_FORMAT_PROBE)
		return vc_fail(err, VC_E_ARG, 0,
			       "--image-opts and --format are mutually "
			       "exclusive");
	if (parse_image_opts(text, ret, err) < 0)
		return vc_prefix(err, "image options");
	return 0;
}

int take_image(struct common_opts *c, char *text, bool is_changed,
	       const char **ret_path, struct vc_error *err)
{
	struct image_name im;

	if (parse_image(c, text, c->format, &im, err) < 0)
		return -1;
	if (is_changed && im.is_read_only)
		return vc_fail(err, VC_E_ARG, 0,
			       "image options: read-only: the image is to be "
			       "changed");
	c->format = im.format;
	c->share |= im.share;
	c->src_cache.direct |= im.direct;
	*ret_path = im.path;
	return 0;
}
