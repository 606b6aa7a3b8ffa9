/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/hash.h"
#include "mkimage/xset.h"

static int compare(const struct xattr *x, const struct xattr *y)
{
	uint32_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	int c = memcmp(x->name, y->name, n);

	if (c)
		return c;
	return (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* Insertion keeps equal names in order; the sets are small. */
static uint32_t sort_unique(struct xattr *a, uint32_t nr)
{
	uint32_t i, j, out = 0;

	for (i = 1; i < nr; i++) {
		struct xattr x = a[i];

		for (j = i; j && compare(&a[j - 1], &x) > 0; j--)
			a[j] = a[j - 1];
		a[j] = x;
	}
	for (i = 0; i < nr; i++) {
		if (out && !compare(&a[out - 1], &a[i]))
			a[out - 1] = a[i];
		else
			a[out++] = a[i];
	}
	return out;
}

static uint64_t hash_set(const struct xattr *a, uint32_t nr)
{
	struct xxh64 h;
	uint32_t i;

	xxh64_init(&h, 0);
	for (i = 0; i < nr; i++) {
		xxh64_update_u64(&h, a[i].name_len);
		xxh64_update(&h, a[i].name, a[i].name_len);
		xxh64_update_u64(&h, a[i].value_len);
		if (a[i].value_len)
			xxh64_update(&h, a[i].value, a[i].value_len);
	}
	return xxh64_final(&h);
}

static bool same(const struct xset *s, const struct xattr *a, uint32_t nr)
{
	uint32_t i;

	if (s->nr != nr)
		return false;
	for (i = 0; i < nr; i++)
		if (compare(&s->attr[i], &a[i]) ||
		    s->attr[i].value_len != a[i].value_len ||
		    (a[i].value_len &&
		     memcmp(s->attr[i].value, a[i].value, a[i].value_len)))
			return false;
	return true;
}

static int grow(struct xset_table *t, struct vc_error *err)
{
	uint32_t max = t->max ? t->max * 2 : 64, nr_slots = max * 2, i, at;
	struct xset **sets = realloc(t->sets, max * sizeof(struct xset *));
	uint32_t *slots;

	if (!sets)
		return vc_fail(err, VC_E_SYS, ENOMEM, "attribute table");
	t->sets = sets;
	slots = calloc(nr_slots, sizeof(*slots));
	if (!slots)
		return vc_fail(err, VC_E_SYS, ENOMEM, "attribute table");
	for (i = 0; i < t->nr; i++) {
		at = (uint32_t)sets[i]->hash & (nr_slots - 1);
		while (slots[at])
			at = (at + 1) & (nr_slots - 1);
		slots[at] = i + 1;
	}
	free(t->slots);
	t->slots = slots;
	t->nr_slots = nr_slots;
	t->max = max;
	return 0;
}

static struct xset *copy_set(struct xset_table *t, struct arena *arena,
			     const struct xattr *a, uint32_t nr,
			     struct vc_error *err)
{
	size_t bytes = sizeof(struct xset) + nr * sizeof(struct xattr);
	size_t text = 0;
	struct xset *s;
	uint8_t *p;
	uint32_t i;

	for (i = 0; i < nr; i++)
		text += a[i].name_len + a[i].value_len;
	t->bytes += bytes + text;
	if (t->bytes > XSET_MAX_BYTES) {
		vc_fail(err, VC_E_LIMIT, 0,
			"attributes that differ from entry to entry are more "
			"than %llu MiB",
			(unsigned long long)XSET_MAX_BYTES >> 20);
		return NULL;
	}
	s = arena_alloc(arena, bytes + text);
	if (!s) {
		vc_fail(err, VC_E_SYS, ENOMEM, "attribute table");
		return NULL;
	}
	p = (uint8_t *)s + bytes;
	s->nr = nr;
	for (i = 0; i < nr; i++) {
		s->attr[i] = a[i];
		memcpy(p, a[i].name, a[i].name_len);
		s->attr[i].name = (const char *)p;
		p += a[i].name_len;
		if (a[i].value_len)
			memcpy(p, a[i].value, a[i].value_len);
		s->attr[i].value = p;
		p += a[i].value_len;
	}
	return s;
}

/* Values that can have no room are refused before they are kept. (An ACL has
 * less bytes on the disk.) */
static int check_room(const struct xset_table *t, const struct xattr *a,
		      uint32_t nr, struct vc_error *err)
{
	uint64_t total = 0;
	uint32_t i;

	for (i = 0; i < nr; i++)
		if (a[i].name_len < 7 || memcmp(a[i].name, "system.", 7) != 0)
			total += a[i].value_len;
	if (!t->max_values || total <= t->max_values)
		return 0;
	return vc_fail(err, VC_E_LIMIT, 0,
		       "its attributes are larger than ext4 has room for "
		       "without --fs-option ea-inode");
}

int xset_intern(struct xset_table *t, struct arena *arena, struct xattr *attrs,
		uint32_t nr, uint32_t *ret_id, struct vc_error *err)
{
	struct xset *s;
	uint64_t hash;
	uint32_t at;

	if (!nr) {
		*ret_id = 0;
		return 0;
	}
	if (t->nr == t->max && grow(t, err))
		return -1;
	nr = sort_unique(attrs, nr);
	if (check_room(t, attrs, nr, err))
		return -1;
	hash = hash_set(attrs, nr);
	for (at = (uint32_t)hash & (t->nr_slots - 1); t->slots[at];
	     at = (at + 1) & (t->nr_slots - 1)) {
		s = t->sets[t->slots[at] - 1];
		if (s->hash == hash && same(s, attrs, nr)) {
			*ret_id = t->slots[at];
			return 0;
		}
	}
	s = copy_set(t, arena, attrs, nr, err);
	if (!s)
		return -1;
	s->hash = hash;
	t->sets[t->nr++] = s;
	t->slots[at] = t->nr;
	*ret_id = t->nr;
	return 0;
}

void xset_table_fini(struct xset_table *t)
{
	free(t->sets);
	free(t->slots);
	*t = (struct xset_table){ 0 };
}
