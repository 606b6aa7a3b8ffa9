/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/composite.h>
#include <vmmcore/kv.h>
#include <vmmcore/outfile.h>
#include "qcow-tool/options.h"

/* --- create ---------------------------------------------------------------*/

static const struct vc_option create_options[] = {
	{ "guid", 0, "GUID", "of the disk; made up if not given" },
	{ "deterministic", 0, NULL,
	  "derive the GUIDs that are not given from the rest, so\n"
	  "that the same partitions always give the same files" },
	{ "force", 0, NULL, "replace files that exist" },
	{ "quiet", 'q', NULL, "print nothing but errors" },
};

/* A SPEC, with what its strings are kept in. */
struct spec {
	char *label, *path, *guid, *type;
	bool is_writable;
};

static int on_create_option(void *ctx, const struct vc_option *opt,
			    const char *value, struct vc_error *err)
{
	struct vc_composite_create_opts *o = ctx;

	if (!strcmp(opt->name, "guid"))
		return vc_guid_parse(value, &o->disk_guid, err);
	if (!strcmp(opt->name, "deterministic"))
		o->is_deterministic = true;
	else if (!strcmp(opt->name, "force"))
		o->force = true;
	return 0;
}

static const struct vc_command create_command = {
	.name = "qcow-tool composite create",
	.synopsis = "[OPTION]... FILE SPEC...",
	.summary = "Make a disk of partitions, each of which is an image: FILE "
		   "lists them, and\nFILE.header and FILE.footer have the "
		   "partition table. FILE.filler comes behind\na partition "
		   "that is no multiple of 4096 bytes.",
	.options = create_options,
	.nr_options = VC_ARRAY_SIZE(create_options),
	.on_option = on_create_option,
	.epilogue = "A SPEC is LABEL:PATH[:[writable][:GUID]], or, for paths "
		    "with a colon,\n"
		    "label=LABEL,path=PATH[,writable][,guid=GUID]"
		    "[,type=linux|esp|GUID].",
};

static void free_spec(struct spec *s)
{
	free(s->label);
	free(s->path);
	free(s->guid);
	free(s->type);
}

static int parse_kv(const char *text, struct spec *s, struct vc_error *err)
{
#define MEMBER(m) offsetof(struct spec, m)
	static const struct vc_kv_key keys[] = {
		{ "label", VC_KV_STRING, MEMBER(label), 0, NULL, NULL },
		{ "path", VC_KV_STRING, MEMBER(path), 0, NULL, NULL },
		{ "writable", VC_KV_BOOL, MEMBER(is_writable), 0, NULL, NULL },
		{ "guid", VC_KV_STRING, MEMBER(guid), 0, NULL, NULL },
		{ "type", VC_KV_STRING, MEMBER(type), 0, NULL, NULL },
	};

	return vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), s, NULL, err);
}

/* LABEL:PATH[:[writable][:GUID]] */
static int parse_colons(const char *text, struct spec *s, struct vc_error *err)
{
	char *fields[4] = { NULL };
	vc_auto_free char *copy = strdup(text);
	char *rest = copy;
	size_t nr = 0;

	if (!copy)
		return vc_fail(err, VC_E_SYS, ENOMEM, "SPEC");
	while (rest && nr < 4)
		fields[nr++] = strsep(&rest, ":");
	if (nr < 2 || rest)
		return vc_fail(err, VC_E_ARG, 0,
			       "not LABEL:PATH[:[writable][:GUID]]");
	s->is_writable = fields[2] && !strcmp(fields[2], "writable");
	if (fields[2] && fields[2][0] && !s->is_writable)
		return vc_fail(err, VC_E_ARG, 0,
			       "neither \"writable\" nor nothing after the "
			       "path");
	s->label = strdup(fields[0]);
	s->path = strdup(fields[1]);
	s->guid = fields[3] ? strdup(fields[3]) : NULL;
	if (!s->label || !s->path || (fields[3] && !s->guid))
		return vc_fail(err, VC_E_SYS, ENOMEM, "SPEC");
	return 0;
}

static int parse_type(const char *text, struct vc_guid *ret,
		      struct vc_error *err)
{
	if (!strcmp(text, "linux"))
		*ret = VC_GPT_TYPE_LINUX;
	else if (!strcmp(text, "esp"))
		*ret = VC_GPT_TYPE_EFI_SYSTEM;
	else
		return vc_guid_parse(text, ret, err);
	return 0;
}

static int parse_spec(const char *text, struct spec *s,
		      struct vc_composite_partition *ret, struct vc_error *err)
{
	char shown[200];

	vc_printable(text, shown, sizeof(shown));
	if ((!strncmp(text, "label=", 6) || !strncmp(text, "path=", 5)
		     ? parse_kv(text, s, err)
		     : parse_colons(text, s, err)) < 0)
		return vc_prefix(err, "'%s'", shown);
	if (!s->label || !s->label[0] || !s->path || !s->path[0])
		return vc_fail(err, VC_E_ARG, 0, "'%s': no %s", shown,
			       s->path && s->path[0] ? "label" : "path");
	*ret = (struct vc_composite_partition){ .label = s->label,
						.path = s->path,
						.is_writable = s->is_writable };
	if ((s->guid && vc_guid_parse(s->guid, &ret->guid, err) < 0) ||
	    (s->type && parse_type(s->type, &ret->type, err) < 0))
		return vc_prefix(err, "'%s'", shown);
	return 0;
}

static int create(const char *path, char **texts, int nr,
		  struct vc_composite_create_opts *o, struct vc_error *err)
{
	struct vc_composite_partition parts[VC_GPT_ENTRIES];
	struct spec specs[VC_GPT_ENTRIES];
	int i, ret = 0;

	memset(specs, 0, sizeof(specs));
	for (i = 0; i < nr && ret == 0; i++)
		ret = parse_spec(texts[i], &specs[i], &parts[i], err);
	o->partitions = parts;
	o->nr_partitions = (unsigned)nr;
	if (ret == 0)
		ret = vc_outfile_catch_signals("qcow-tool", err);
	if (ret == 0)
		ret = vc_composite_create(path, o, err);
	for (i = 0; i < nr; i++)
		free_spec(&specs[i]);
	return ret;
}

static int cmd_composite_create(int argc, char **argv)
{
	struct vc_composite_create_opts o = { .no_sync = false };
	struct vc_error err;
	int status, first, nr;

	status = parse_command(&create_command, argc, argv, NULL, &o, 2,
			       VC_GPT_ENTRIES + 1, &first, &nr);
	if (status >= 0)
		return status;
	return create(argv[first], argv + first + 1, nr - 1, &o, &err) < 0
		       ? report(&err)
		       : 0;
}

/* --- info ----------------------------------------------------------------*/

struct info_opts {
	struct common_opts c;
	bool open;
};

static const struct vc_option info_options[] = {
	OPT_OUTPUT,
	{ "open", 0, NULL, "open the components to say what they are" },
};

/* --open: the only one of its own */
static int on_info_option(void *ctx, const struct vc_option *opt,
			  const char *value, struct vc_error *err)
{
	struct info_opts *o = ctx;

	(void)opt;
	(void)value;
	(void)err;
	o->open = true;
	return 0;
}

static const struct vc_command info_command = {
	.name = "qcow-tool composite info",
	.synopsis = "[OPTION]... FILE",
	.summary = "Tell which images a composite disk is made of.",
	.options = info_options,
	.nr_options = VC_ARRAY_SIZE(info_options),
	.on_option = on_info_option,
};

/* What a component is, if it is to be opened. */
static int look(const char *path, const struct vc_composite_component *c,
		struct vc_disk_info *ret, struct vc_error *err)
{
	vc_auto_free char *file = NULL;
	vc_auto_fd int fd = -1;

	if (vc_disk_resolve_name("component", path, c->path, &file, err) < 0)
		return -1;
	fd = vc_disk_open_named("component", file, false, err);
	if (fd < 0)
		return -1;
	if (vc_disk_info_fd(fd, VC_DISK_FORMAT_PROBE, ret, err) < 0)
		return vc_prefix(err, "component '%s'", file);
	if (ret->virtual_bytes < c->file_offset_bytes + c->length_bytes)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "component '%s': %llu bytes, %llu are needed",
			       file, (unsigned long long)ret->virtual_bytes,
			       (unsigned long long)(c->file_offset_bytes +
						    c->length_bytes));
	return 0;
}

static void print_human(const struct vc_composite_component *c,
			const struct vc_disk_info *info)
{
	char shown[4 * 256];

	printf("%-14llu %-14llu %-10s %s", (unsigned long long)c->offset_bytes,
	       (unsigned long long)c->length_bytes,
	       c->is_writable ? "writable" : "read-only",
	       vc_printable(c->path, shown, sizeof(shown)));
	if (c->file_offset_bytes)
		printf(" from %llu", (unsigned long long)c->file_offset_bytes);
	if (info)
		printf(" (%s)", format_name(info->format));
	putchar('\n');
}

static json_t *as_json(const struct vc_composite_component *c,
		       const struct vc_disk_info *info)
{
	json_t *j = json_pack("{s:o, s:I, s:I, s:I, s:b}", "filename",
			      json_text(c->path), "offset",
			      (json_int_t)c->offset_bytes, "length",
			      (json_int_t)c->length_bytes, "file-offset",
			      (json_int_t)c->file_offset_bytes, "writable",
			      (int)c->is_writable);

	if (info) {
		json_object_set_new(j, "format",
				    json_string(format_name(info->format)));
		json_object_set_new(
			j, "virtual-size",
			json_integer((json_int_t)info->virtual_bytes));
	}
	return j;
}

static int show_components(const char *path, const struct vc_composite *c,
			   const struct info_opts *o, json_t *to,
			   struct vc_error *err)
{
	vc_auto_free struct vc_disk_info *info = malloc(sizeof(*info));
	unsigned i;

	if (!info)
		return vc_fail(err, VC_E_SYS, ENOMEM, "info");
	for (i = 0; i < c->nr_components; i++) {
		const struct vc_composite_component *p = &c->components[i];

		if (o->open && look(path, p, info, err) < 0)
			return -1;
		if (o->c.json)
			json_array_append_new(to, as_json(p, o->open ? info
								     : NULL));
		else
			print_human(p, o->open ? info : NULL);
	}
	return 0;
}

static int show(const char *path, const struct vc_composite *c,
		const struct info_opts *o)
{
	char shown[4 * 256], size[32];
	json_t *list = json_array();
	struct vc_error err;

	if (!o->c.json)
		printf("image: %s\nfile format: composite\nversion: %u\n"
		       "virtual size: %s (%llu bytes)\n"
		       "%-14s %-14s %-10s %s\n",
		       vc_printable(path, shown, sizeof(shown)), c->version,
		       vc_human_size(c->length_bytes, size, sizeof(size)),
		       (unsigned long long)c->length_bytes, "Offset", "Length",
		       "Access", "Component");
	if (show_components(path, c, o, list, &err) < 0) {
		json_decref(list);
		vc_prefix(&err, "'%s'",
			  vc_printable(path, shown, sizeof(shown)));
		return report(&err);
	}
	if (!o->c.json) {
		json_decref(list);
		return 0;
	}
	return print_json(json_pack("{s:o, s:s, s:i, s:I, s:o}", "filename",
				    json_text(path), "format", "composite",
				    "version", (int)c->version, "virtual-size",
				    (json_int_t)c->length_bytes, "components",
				    list));
}

static int cmd_composite_info(int argc, char **argv)
{
	vc_auto(vc_composite) struct vc_composite *c = NULL;
	struct info_opts o = { .open = false };
	struct vc_error err;
	vc_auto_fd int fd = -1;
	int status, first, nr;
	char shown[256];

	status = parse_command(&info_command, argc, argv, &o.c, &o, 1, 1,
			       &first, &nr);
	if (status >= 0)
		return status;
	if (open_for_reading(argv[first], &fd, &err) < 0)
		return report(&err);
	if (vc_composite_list(fd, &c, &err) < 0) {
		vc_prefix(&err, "'%s'",
			  vc_printable(argv[first], shown, sizeof(shown)));
		return report(&err);
	}
	return show(argv[first], c, &o);
}

int cmd_composite(int argc, char **argv)
{
	static const struct vc_subcommand commands[] = {
		{ "create", "make one of partitions", cmd_composite_create },
		{ "info", "tell what one is made of", cmd_composite_info },
	};
	static const struct vc_program program = {
		.name = "qcow-tool composite",
		.summary = "Disks that are made of other images.",
		.commands = commands,
		.nr_commands = VC_ARRAY_SIZE(commands),
	};

	return vc_program_main(&program, argc, argv) ? 1 : 0;
}
