/* SPDX-License-Identifier: BSD-3-Clause */
/* What mkimage makes of files that an image brings: accounts, /etc/shadow and
 * /etc/hosts that are edited, names of kernels. The input is these texts, with a
 * byte 0xff between two: shadow, hosts, passwd, then names in /boot. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/boot.h"
#include "mkimage/guest.h"

#define HASH "$6$salt$hash"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Keeps the file that is asked for. */
struct keeper {
	struct writer base;
	const struct node *file;
	char *shadow;
	size_t shadow_len;
};

static struct node *shadow;

static int file_begin(struct writer *w, struct node *n, struct vc_error *err)
{
	(void)err;
	vc_container_of(w, struct keeper, base)->file = n;
	return 0;
}

static int file_data(struct writer *w, uint64_t offset, const void *data,
		     size_t len, struct vc_error *err)
{
	struct keeper *k = vc_container_of(w, struct keeper, base);

	(void)err;
	assert(!offset && len == k->file->size_bytes);
	if (k->file != shadow)
		return 0;
	free(k->shadow);
	k->shadow = malloc(len + 1);
	assert(k->shadow);
	memcpy(k->shadow, data, len);
	k->shadow_len = len;
	return 0;
}

static int file_end(struct writer *w, struct vc_error *err)
{
	(void)w;
	(void)err;
	return 0;
}

static void file_drop(struct writer *w, struct node *n)
{
	(void)w;
	assert(n->type == NODE_FILE);
}

static const struct writer_ops ops = {
	.name = "keeper",
	.file_begin = file_begin,
	.file_data = file_data,
	.file_end = file_end,
	.file_drop = file_drop,
};

/* The next text of the input. */
static size_t next(const uint8_t **p, const uint8_t *end, const uint8_t **ret)
{
	const uint8_t *at = memchr(*p, 0xff, (size_t)(end - *p));
	size_t len = (size_t)((at ? at : end) - *p);

	*ret = *p;
	*p = at ? at + 1 : end;
	return len;
}

static struct node *add(struct build *b, const char *path, size_t len)
{
	const struct tree_meta m = { .mode = 0600 };
	struct vc_error err = { 0 };
	struct tree_place p;
	struct node *n;

	if (tree_walk(&b->tree, path, TREE_MAKE_PARENTS, &p, &err) ||
	    tree_add(&b->tree, &p, NODE_FILE, &m, &n, &err))
		return NULL;
	n->size_bytes = len;
	return n;
}

static struct node *add_text(struct build *b, const char *path,
			     struct accounts *acc, const uint8_t *text,
			     size_t len)
{
	struct node *n = add(b, path, len);
	struct vc_error err = { 0 };
	size_t half = len / 2;

	/* as it may come */
	assert(n && !accounts_put(acc, 0, text, half, &err) &&
	       !accounts_put(acc, half, text + half, len - half, &err));
	return n;
}

/* All is as it was, but for the second field of root's line. */
static void check_shadow(const struct keeper *k, const uint8_t *old, size_t len)
{
	const char *at = k->shadow, *end = at + k->shadow_len;
	size_t before, after;

	/* the first line of root */
	while (at && (end - at < 5 || memcmp(at, "root:", 5) != 0)) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	assert(at && (size_t)(end - at) >= strlen("root:" HASH));
	assert(!memcmp(at, "root:" HASH, strlen("root:" HASH)));
	before = (size_t)(at - k->shadow);
	assert(before <= len && !memcmp(old, k->shadow, before));
	at += strlen("root:" HASH);
	after = k->shadow_len - (size_t)(at - k->shadow);
	if (before < len && len - before >= 5 &&
	    !memcmp(old + before, "root:", 5)) {
		assert(before + 5 + after <= len);
		assert(!memcmp(at, old + len - after, after));
		assert(!memchr(old + before + 5, '\n',
			       len - before - 5 - after));
	} else {
		assert(!before && after >= len);
		assert(!memcmp(at + after - len, old, len));
	}
}

static void check_accounts(struct accounts *acc, const uint8_t *text,
			   size_t len)
{
	const uint8_t *colon = len ? memchr(text, ':', len) : NULL;
	struct vc_error err = { 0 };
	bool is_found;
	uint32_t id;
	char *name;

	name = strndup((const char *)text,
		       colon ? (size_t)(colon - text) : len);
	assert(name);
	assert(!accounts_find(acc, name, &id, &is_found, &err));
	assert(is_found || !id);
	free(name);
}

static void add_kernels(struct build *b, const uint8_t *p, const uint8_t *end)
{
	char path[300], before[256] = "";
	const uint8_t *text;
	size_t len;

	while (p < end) {
		len = next(&p, end, &text);
		snprintf(path, sizeof(path), "/boot/vmlinuz-%.*s",
			 (int)(len < 200 ? len : 200), (const char *)text);
		add(b, path, 1);
		assert(boot_compare_versions(path, before) ==
		       -boot_compare_versions(before, path));
		snprintf(before, sizeof(before), "%.255s", path);
		assert(!boot_compare_versions(before, path) ||
		       strlen(path) > 255);
	}
}

static void check_boot(struct build *b)
{
	struct vc_error err = { 0 };
	struct boot_found f;

	if (boot_find(&b->tree, &f, &err))
		return;
	assert(f.kernel && tree_find(&b->tree, f.kernel_path) == f.kernel);
	assert(!f.initrd == !f.initrd_path[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct guest_opts opts = { .hostname = "host",
					 .password_hash = HASH };
	const uint8_t *p = data, *end = data + size, *old, *text;
	struct keeper k = { .base.ops = &ops };
	struct vc_error err = { 0 };
	struct build b;
	size_t old_len, len;

	assert(!build_init(&b, &err));
	b.writer = &k.base;
	b.warn.is_quiet = true;
	old_len = next(&p, end, &old);
	shadow = add_text(&b, "/etc/shadow", &b.shadow, old, old_len);
	len = next(&p, end, &text);
	add_text(&b, "/etc/hosts", &b.hosts, text, len);
	len = next(&p, end, &text);
	add_text(&b, "/etc/passwd", &b.passwd, text, len);
	check_accounts(&b.passwd, text, len);
	add_kernels(&b, p, end);
	if (!guest_apply(&b, &opts, &err))
		check_shadow(&k, old, old_len);
	if (!build_complete(&b, &err))
		check_boot(&b);
	free(k.shadow);
	build_fini(&b);
	return 0;
}
