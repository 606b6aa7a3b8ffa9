/* SPDX-License-Identifier: BSD-3-Clause */
/* The groups become one table, in which the index of an option tells its
 * definition. */
#include <stdlib.h>
#include <string.h>
#include "mkimage/cli/options.h"

static const struct option_group *const groups[] = {
	&options_source, &options_output,  &options_fs,
	&options_guest,	 &options_general,
};

struct parse {
	struct settings *s;
	struct vc_option table[VC_MAX_OPTIONS];
	const struct option_def *defs[VC_MAX_OPTIONS];
	size_t nr;
};

static int collect(struct parse *p, struct vc_error *err)
{
	size_t g, i;

	for (g = 0; g < VC_ARRAY_SIZE(groups); g++)
		for (i = 0; i < groups[g]->nr; i++) {
			if (p->nr == VC_MAX_OPTIONS)
				return vc_fail(err, VC_E_INTERNAL, 0,
					       "too many options");
			p->defs[p->nr] = &groups[g]->defs[i];
			p->table[p->nr++] = groups[g]->defs[i].opt;
		}
	return 0;
}

static int on_option(void *ctx, const struct vc_option *opt, const char *value,
		     struct vc_error *err)
{
	struct parse *p = ctx;
	const struct option_def *def = p->defs[opt - p->table];
	char *field = (char *)p->s + def->offset;

	if (def->set)
		return def->set(p->s, value, err);
	if (def->opt.arg)
		memcpy(field, &value, sizeof(value));
	else
		*(bool *)field = true;
	return 0;
}

static int parse(struct parse *p, int argc, char **argv, bool *ret_is_done,
		 struct vc_error *err)
{
	const struct vc_command command = {
		.name = "mkimage",
		.synopsis = "[OPTION]... -o FILE SOURCE...",
		.summary = "Make a disk image from a root file system: tar "
			   "archives, compressed or not (- is\nstandard "
			   "input), folders, container images; later ones go "
			   "over earlier ones.\nNeeds no root, no mount and, "
			   "but for "
			   "some sources and outputs, no temporary copy.",
		.options = p->table,
		.nr_options = p->nr,
		.on_option = on_option,
		.epilogue = "The same input makes the same image, bit for bit. "
			    "See mkimage(1).",
	};
	int first;

	if (vc_options_parse(&command, argc, argv, false, p, &first,
			     ret_is_done, err))
		return -1;
	if (*ret_is_done) {
		vc_command_help(&command, stdout);
		return 0;
	}
	if (p->s->has_version) {
		puts("mkimage " VC_VERSION);
		*ret_is_done = true;
		return 0;
	}
	p->s->sources = argv + first;
	p->s->nr_sources = argc - first;
	return 0;
}

static int check(struct settings *s, struct vc_error *err)
{
	if (!s->nr_sources)
		return vc_fail(err, VC_E_ARG, 0, "no input given");
	return options_check_output(s, err) || options_check_fs(s, err) ||
			       options_check_guest(s, err)
		       ? -1
		       : 0;
}

void settings_init(struct settings *s)
{
	*s = (struct settings){
		.fs.room_bytes = UINT64_MAX,
		.fs.journal_bytes = EXT4_JOURNAL_AUTO,
	};
	part_opts_init(&s->parts);
}

void settings_fini(struct settings *s)
{
	patterns_fini(&s->exclude);
	ops_fini(&s->ops);
	free(s->method);
	part_opts_fini(&s->parts);
}

int settings_parse(struct settings *s, int argc, char **argv, bool *ret_is_done,
		   struct vc_error *err)
{
	struct parse p = { .s = s };

	if (collect(&p, err) || parse(&p, argc, argv, ret_is_done, err))
		return -1;
	return *ret_is_done ? 0 : check(s, err);
}
