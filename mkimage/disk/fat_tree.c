/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names. Each directory is kept in the order of its long names, so that nothing
 * depends on the order in which the host lists them; names that differ in the
 * case of ASCII letters only are the same. A name that is not 8.3 in upper case
 * gets an alias of at most six letters, '~' and a number.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include "mkimage/disk/fat.h"

static int fail_name(const char *name, const char *why, struct vc_error *err)
{
	char shown[200];

	vc_printable(name, shown, sizeof(shown));
	return vc_fail(err, VC_E_UNSUPPORTED, 0, "'%s': %s", shown, why);
}

/* --- long names ----------------------------------------------------------- */

/* One character of UTF-8; -1 when it is none. */
static int32_t decode(const uint8_t **p)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	const uint8_t *s = *p;
	uint32_t v;
	int i, n;

	if (*s < 0x80) {
		*p = s + 1;
		return *s;
	}
	n = *s >= 0xf0 ? 3 : *s >= 0xe0 ? 2 : 1;
	if (*s < 0xc0 || *s > 0xf4)
		return -1;
	v = *s & (0x3fu >> n);
	for (i = 1; i <= n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -1;
		v = v << 6 | (s[i] & 0x3f);
	}
	*p = s + n + 1;
	return v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)
		       ? -1
		       : (int32_t)v;
}

static int set_long_name(struct fat_node *n, struct vc_error *err)
{
	const uint8_t *p = (const uint8_t *)n->name;
	size_t len = strlen(n->name);
	unsigned at = 0;
	int32_t c;

	if (!len || n->name[len - 1] == '.' || n->name[len - 1] == ' ')
		return fail_name(n->name, "a name that FAT cannot have", err);
	while (*p) {
		c = decode(&p);
		if (c < 0)
			return fail_name(n->name, "a name that is not UTF-8",
					 err);
		if (c < 0x20 || c == 0x7f ||
		    (c < 0x80 && strchr("\"*/:<>?\\|", c)))
			return fail_name(n->name, "a name that FAT cannot have",
					 err);
		if (at + (c > 0xffff) >= FAT_MAX_NAME)
			return fail_name(n->name, "longer than 255 characters",
					 err);
		if (c > 0xffff) {
			c -= 0x10000;
			n->utf16[at++] = (uint16_t)(0xd800 | c >> 10);
			c = 0xdc00 | (c & 0x3ff);
		}
		n->utf16[at++] = (uint16_t)c;
	}
	n->nr_utf16 = at;
	return 0;
}

/* --- short names ---------------------------------------------------------- */

static bool is_short_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'()-@^_`{}~", c));
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* The characters of one part that may stay. Returns how many; *is_exact is
 * cleared if they are not the part itself. */
static size_t take(const char *from, size_t len, size_t max, char *to,
		   bool *is_exact)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		char c = upper(from[i]);

		if (c != from[i] || !is_short_char(c) || n == max)
			*is_exact = false;
		if (n < max && is_short_char(c))
			to[n++] = c;
	}
	return n;
}

static bool is_taken(const struct fat_node *dir, const char name[11])
{
	const struct fat_node *n;

	for (n = dir->first; n; n = n->next)
		if (!memcmp(n->short_name, name, 11))
			return true;
	return false;
}

static int set_short_name(struct fat_node *dir, struct fat_node *n,
			  struct vc_error *err)
{
	const char *dot = strrchr(n->name, '.');
	size_t len = strlen(n->name), stem, tail;
	bool is_exact = dot != n->name;
	char base[11], number[12];
	unsigned i;

	if (dot == n->name || !dot)
		dot = n->name + len;
	memset(base, ' ', sizeof(base));
	stem = take(n->name, (size_t)(dot - n->name), 8, base, &is_exact);
	if (*dot)
		take(dot + 1, strlen(dot + 1), 3, base + 8, &is_exact);
	if (is_exact && !is_taken(dir, base)) {
		memcpy(n->short_name, base, 11);
		n->nr_utf16 = 0;
		return 0;
	}
	for (i = 1; i < FAT_MAX_NODES; i++) {
		tail = (size_t)snprintf(number, sizeof(number), "~%u", i);
		memcpy(n->short_name, base, 11);
		if (stem + tail > 8)
			memcpy(n->short_name + 8 - tail, number, tail);
		else
			memcpy(n->short_name + stem, number, tail);
		if (!is_taken(dir, n->short_name))
			return 0;
	}
	return fail_name(n->name, "too many names of its kind", err);
}

/* --- the tree ------------------------------------------------------------- */

void fat_init(struct fat *f)
{
	*f = (struct fat){ .root.is_dir = true };
}

static void free_below(struct fat_node *dir)
{
	struct fat_node *n;

	while ((n = dir->first)) {
		dir->first = n->next;
		free_below(n); /* at most FAT_MAX_DEPTH deep */
		free(n->host);
		free(n->name);
		free(n);
	}
}

void fat_fini(struct fat *f)
{
	free_below(&f->root);
	fat_init(f);
}

/* `name` in `dir`, made if it is not there. */
static int get_child(struct fat *f, struct fat_node *dir, const char *name,
		     bool is_dir, struct fat_node **ret, struct vc_error *err)
{
	struct fat_node **at, *n;
	int order;

	for (at = &dir->first; *at; at = &(*at)->next) {
		order = strcasecmp((*at)->name, name);
		if (!order && is_dir && (*at)->is_dir) {
			*ret = *at;
			return 0;
		}
		if (!order)
			return fail_name(name, "there twice", err);
		if (order > 0)
			break;
	}
	if (f->nr_nodes == FAT_MAX_NODES)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %u files",
			       FAT_MAX_NODES);
	n = calloc(1, sizeof(*n));
	if (n)
		n->name = strdup(name);
	if (!n || !n->name) {
		free(n);
		return vc_fail(err, VC_E_SYS, ENOMEM, "files");
	}
	n->parent = dir;
	n->is_dir = is_dir;
	if (set_long_name(n, err) || set_short_name(dir, n, err)) {
		free(n->name);
		free(n);
		return -1;
	}
	n->next = *at;
	*at = n;
	f->nr_nodes++;
	*ret = n;
	return 0;
}

static int add_file(struct fat *f, struct fat_node *dir, const char *host,
		    const char *name, const struct stat *st,
		    struct vc_error *err)
{
	struct fat_node *n;

	if (!S_ISREG(st->st_mode))
		return fail_name(host, "neither a file nor a folder", err);
	if ((uint64_t)st->st_size > FAT_MAX_FILE)
		return fail_name(host, "over the 4 GiB of FAT", err);
	if (get_child(f, dir, name, false, &n, err))
		return -1;
	n->size_bytes = (uint64_t)st->st_size;
	n->host = strdup(host);
	return n->host ? 0 : vc_fail(err, VC_E_SYS, ENOMEM, "files");
}

static int add_any(struct fat *f, struct fat_node *dir, const char *host,
		   const char *name, unsigned depth, struct vc_error *err);

static int add_folder(struct fat *f, struct fat_node *dir, const char *host,
		      unsigned depth, struct vc_error *err)
{
	char path[FAT_MAX_PATH];
	struct dirent **list;
	int i, nr, rc = 0;

	if (depth > FAT_MAX_DEPTH)
		return fail_name(host, "more than 32 folders deep", err);
	nr = scandir(host, &list, NULL, alphasort);
	if (nr < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': read", host);
	for (i = 0; i < nr; i++) {
		const char *name = list[i]->d_name;

		if (!rc && strcmp(name, ".") && strcmp(name, "..")) {
			if (snprintf(path, sizeof(path), "%s/%s", host, name) >=
			    (int)sizeof(path))
				rc = fail_name(host, "path too long", err);
			else
				rc = add_any(f, dir, path, name, depth, err);
		}
		free(list[i]);
	}
	free(list);
	return rc;
}

/* As `name` in `dir`; NULL: what is in it. */
static int add_any(struct fat *f, struct fat_node *dir, const char *host,
		   const char *name, unsigned depth, struct vc_error *err)
{
	struct stat st;

	if (stat(host, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': read", host);
	if (!name && !S_ISDIR(st.st_mode))
		return fail_name(host, "not a folder", err);
	if (!S_ISDIR(st.st_mode))
		return add_file(f, dir, host, name, &st, err);
	if (name && get_child(f, dir, name, true, &dir, err))
		return -1;
	return add_folder(f, dir, host, depth + 1, err);
}

int fat_add(struct fat *f, const char *host, const char *guest,
	    struct vc_error *err)
{
	vc_auto_free char *path = strdup(guest), *last = NULL;
	struct fat_node *dir = &f->root;
	char *at, *part, *name = NULL;
	const char *host_name;
	unsigned depth = 0;
	size_t len;

	if (!path)
		return vc_fail(err, VC_E_SYS, ENOMEM, "files");
	for (part = strtok_r(path, "/", &at); part;
	     part = strtok_r(NULL, "/", &at)) {
		if (!strcmp(part, ".") || !strcmp(part, ".."))
			return fail_name(guest, "'.' or '..' in it", err);
		if (++depth > FAT_MAX_DEPTH)
			return fail_name(guest, "more than 32 folders deep",
					 err);
		if (name && get_child(f, dir, name, true, &dir, err))
			return -1;
		name = part;
	}
	if (*guest && guest[strlen(guest) - 1] == '/') {
		if (name && get_child(f, dir, name, true, &dir, err))
			return -1;
		host_name = vc_last_name(host, &len);
		name = last = strndup(host_name, len);
		if (!name)
			return vc_fail(err, VC_E_SYS, ENOMEM, "files");
	}
	return add_any(f, dir, host, name, depth, err);
}
