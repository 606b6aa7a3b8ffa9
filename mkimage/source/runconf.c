/* SPDX-License-Identifier: BSD-3-Clause */
/* What a container image runs, in the words of vmm-init.conf(5). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "mkimage/source/oci.h"

static const char head[] =
	"# From the container image. See vmm-init.conf(5).\n";

/* The rest of the line is the value: only what would end it, or is not text,
 * needs other words. */
static void put(FILE *f, const char *key, const char *value)
{
	const unsigned char *p = (const unsigned char *)value;

	fprintf(f, "%s ", key);
	for (; *p; p++) {
		if (*p < ' ' || *p == '\\' || *p == 0x7f)
			fprintf(f, "\\x%02x", *p);
		else
			fputc(*p, f);
	}
	fputc('\n', f);
}

static void put_all(FILE *f, const char *key, const struct image_strings *s)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		put(f, key, s->v[i]);
}

static void put_text(FILE *f, const char *key, const char *value)
{
	if (value && *value)
		put(f, key, value);
}

static int add_file(struct build *b, const char *data, size_t len,
		    struct vc_error *err)
{
	const struct tree_meta meta = build_meta(b, 0644);
	struct tree_place place;
	struct node *n;

	if (tree_walk(&b->tree, RUNCONF_PATH, TREE_MAKE_PARENTS | TREE_CHROOT,
		      &place, err) ||
	    tree_add(&b->tree, &place, NODE_FILE, &meta, &n, err) ||
	    build_file(b, n, data, len, err))
		return vc_prefix(err, "'%s'", RUNCONF_PATH);
	return 0;
}

int oci_write_runconf(struct build *b, const struct image_config *c,
		      struct vc_error *err)
{
	vc_auto_free char *data = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&data, &len);

	if (!f)
		return vc_fail(err, VC_E_SYS, errno, "'%s'", RUNCONF_PATH);
	fputs(head, f);
	put_all(f, "entrypoint", &c->entrypoint);
	put_all(f, "cmd", &c->cmd);
	put_all(f, "env", &c->env);
	put_text(f, "user", c->user);
	put_text(f, "directory", c->cwd);
	put_text(f, "stop-signal", c->stop_signal);
	if (fclose(f))
		return vc_fail(err, VC_E_SYS, ENOMEM, "'%s'", RUNCONF_PATH);
	return len == sizeof(head) - 1 ? 0 : add_file(b, data, len, err);
}
