/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Archives may name accounts by the hundred thousand, in a text of tens of
 * thousands of lines: so the lines are sorted once, and searched by halves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mkimage/accounts.h"

static int no_memory(struct vc_error *err)
{
	return vc_fail(err, VC_E_SYS, ENOMEM, "accounts");
}

static void forget_sorted(struct accounts *acc)
{
	free(acc->sorted);
	acc->sorted = NULL;
	acc->nr = 0;
	acc->is_sorted = false;
}

void accounts_clear(struct accounts *acc)
{
	acc->len = 0;
	forget_sorted(acc);
}

void accounts_fini(struct accounts *acc)
{
	forget_sorted(acc);
	free(acc->text);
	*acc = (struct accounts){ 0 };
}

int accounts_put(struct accounts *acc, uint64_t offset, const void *data,
		 size_t len, struct vc_error *err)
{
	char *text;

	if (offset + len > ACCOUNTS_MAX_BYTES)
		return 0;
	text = realloc(acc->text, (size_t)offset + len + 1);
	if (!text)
		return no_memory(err);
	acc->text = text;
	if (offset > acc->len)
		memset(text + acc->len, 0, (size_t)offset - acc->len);
	memcpy(text + offset, data, len);
	acc->len = (size_t)offset + len;
	text[acc->len] = '\0';
	forget_sorted(acc);
	return 0;
}

/* --- searching ------------------------------------------------------------ */

static int compare_names(const struct account *a, const struct account *b)
{
	const size_t len = a->len < b->len ? a->len : b->len;
	int rc = memcmp(a->name, b->name, len);

	if (rc)
		return rc;
	return a->len < b->len ? -1 : a->len > b->len;
}

/* Of two lines with one name, the first counts: it stays the first. */
static int compare_lines(const void *a, const void *b)
{
	const struct account *x = a, *y = b;
	int rc = compare_names(x, y);

	if (rc)
		return rc;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* "name:password:id:..." from `p` to `eol`. */
static bool parse_line(const char *p, const char *eol, struct account *ret)
{
	const char *colon = memchr(p, ':', (size_t)(eol - p)), *f;
	unsigned long long id;

	if (!colon)
		return false;
	f = memchr(colon + 1, ':', (size_t)(eol - colon) - 1);
	if (!f || f + 1 >= eol || f[1] < '0' || f[1] > '9')
		return false;
	/* the text ends in a NUL */
	id = strtoull(f + 1, NULL, 10);
	if (id >= UINT32_MAX)
		return false;
	*ret = (struct account){ p, (size_t)(colon - p), (uint32_t)id };
	return true;
}

static int sort(struct accounts *acc, struct vc_error *err)
{
	const char *end = acc->text + acc->len, *p, *eol;
	size_t nr = 0;

	for (p = acc->text; p < end; p++)
		nr += *p == '\n';
	acc->sorted = calloc(nr + 1, sizeof(*acc->sorted));
	if (!acc->sorted)
		return no_memory(err);
	for (p = acc->text; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		acc->nr += parse_line(p, eol, &acc->sorted[acc->nr]);
	}
	qsort(acc->sorted, acc->nr, sizeof(*acc->sorted), compare_lines);
	acc->is_sorted = true;
	return 0;
}

int accounts_find(struct accounts *acc, const char *name, uint32_t *ret,
		  bool *ret_found, struct vc_error *err)
{
	const struct account key = { .name = name, .len = strlen(name) };
	size_t low = 0, high, mid;

	*ret = 0;
	*ret_found = !strcmp(name, "root");
	if (*ret_found || !acc->text)
		return 0;
	if (!acc->is_sorted && sort(acc, err))
		return -1;
	/* the first that is not before it */
	for (high = acc->nr; low < high;) {
		mid = low + (high - low) / 2;
		if (compare_names(&acc->sorted[mid], &key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = low < acc->nr && !compare_names(&acc->sorted[low], &key);
	if (*ret_found)
		*ret = acc->sorted[low].id;
	return 0;
}
