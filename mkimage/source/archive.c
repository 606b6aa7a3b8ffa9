/* SPDX-License-Identifier: BSD-3-Clause */
/* libarchive's entries to nodes of the tree. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vmmcore/log.h>
#include "mkimage/bytes.h"
#include "mkimage/source/meta.h"
#include "mkimage/source/source.h"

#define MAX_MAJOR 0xfffu /* of a device number on ext4 */
#define MAX_MINOR 0xfffffu

struct reader {
	struct build *b;
	const struct archive_opts *opts;
	struct archive *a;
	struct archive_entry *e;
	const char *path;
	char *last; /* owned: the name of the entry before */
	size_t max_last;
	bool has_absolute;	  /* names */
	struct accounts *capture; /* contents wanted here as well */
	char remark[200]; /* what libarchive says of the entry, if it does */
};

int source_fail_archive(struct archive *a, const char *what,
			struct vc_error *err)
{
	const char *text = archive_error_string(a);
	char shown[200];

	/* it says nothing where a cpio ends too early, nor of tar where the map
	 * of a sparse file is none */
	if (!text)
		text = (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) ==
				       ARCHIVE_FORMAT_TAR
			       ? "a header that is not understood"
			       : "it is cut off";
	return vc_fail(err, VC_E_CORRUPT, 0, "%s: %s", what,
		       vc_printable(text, shown, sizeof(shown)));
}

/* --- contents ------------------------------------------------------------ */

static bool wants_sum(const struct reader *r)
{
	return r->opts->sum && r->opts->sum->is_wanted;
}

static uint32_t add_up(uint32_t sum, const uint8_t *p, size_t len)
{
	while (len--)
		sum += *p++;
	return sum;
}

static int check_sum(const struct reader *r, uint64_t size, uint32_t sum,
		     struct vc_error *err)
{
	/* of hard links only the last has contents */
	if (!wants_sum(r) || !size || sum == r->opts->sum->want)
		return 0;
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "its contents have another checksum than its header");
}

/* Of a sparse file as much as its map says is there: libarchive makes zeroes of
 * what is not. A file that is all one hole may have no map. */
static int check_amount(const struct reader *r, uint64_t size, uint64_t amount,
			struct vc_error *err)
{
	la_int64_t offset, len;
	uint64_t want = 0;
	/* which frees a map of one run that is the whole file: reset() would
	 * leave a pointer to it */
	const bool has_map = archive_entry_sparse_count(r->e) > 0;

	if (has_map)
		archive_entry_sparse_reset(r->e);
	while (has_map &&
	       archive_entry_sparse_next(r->e, &offset, &len) == ARCHIVE_OK)
		want += (uint64_t)len;
	if (amount == (has_map ? want : size) || (!has_map && !amount))
		return 0;
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "less contents than the map of a sparse file has");
}

static int copy_data(struct reader *r, uint64_t size, struct vc_error *err)
{
	const void *data;
	la_int64_t offset;
	uint64_t pos = 0, amount = 0;
	uint32_t sum = 0;
	size_t len;
	int rc;

	for (;;) {
		rc = archive_read_data_block(r->a, &data, &len, &offset);
		if (rc == ARCHIVE_EOF)
			return check_amount(r, size, amount, err) ||
					       check_sum(r, size, sum, err)
				       ? -1
				       : 0;
		if (rc != ARCHIVE_OK)
			return source_fail_archive(r->a, "read", err);
		if (!len)
			continue;
		if (offset < 0 || (uint64_t)offset > size ||
		    len > size - (uint64_t)offset)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "more contents than its size");
		/* the map of a sparse file may say anything */
		if ((uint64_t)offset < pos)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "contents out of order");
		pos = (uint64_t)offset + len;
		amount += len;
		if (wants_sum(r))
			sum = add_up(sum, data, len);
		if (build_file_data(r->b, r->capture, (uint64_t)offset, data,
				    len, err))
			return -1;
	}
}

static int read_contents(struct reader *r, struct node *n, struct vc_error *err)
{
	struct writer *w = r->b->writer;
	la_int64_t size = archive_entry_size(r->e);

	if (size < 0)
		return vc_fail(err, VC_E_CORRUPT, 0, "negative size");
	n->size_bytes = (uint64_t)size;
	if (w->ops->file_begin(w, n, err) || copy_data(r, (uint64_t)size, err))
		return -1;
	return w->ops->file_end(w, err);
}

/* --- kinds --------------------------------------------------------------- */

static int add_symlink(struct reader *r, const struct tree_place *place,
		       const struct tree_meta *m, struct node **ret,
		       struct vc_error *err)
{
	const char *target = archive_entry_symlink(r->e);

	if (!target || !*target)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "symbolic link to nothing");
	if (strlen(target) > TREE_MAX_SYMLINK)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "symbolic link to a name longer than %d bytes",
			       TREE_MAX_SYMLINK);
	if (tree_add(&r->b->tree, place, NODE_SYMLINK, m, ret, err))
		return -1;
	(*ret)->mode = 0777;
	return tree_set_target(&r->b->tree, *ret, target, err);
}

static int add_device(struct reader *r, const struct tree_place *place,
		      enum node_type type, const struct tree_meta *m,
		      struct node **ret, struct vc_error *err)
{
	uint64_t major = (uint64_t)archive_entry_rdevmajor(r->e);
	uint64_t minor = (uint64_t)archive_entry_rdevminor(r->e);

	if (major > MAX_MAJOR || minor > MAX_MINOR)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "device number %llu:%llu is too large",
			       (unsigned long long)major,
			       (unsigned long long)minor);
	if (tree_add(&r->b->tree, place, type, m, ret, err))
		return -1;
	(*ret)->dev.major = (uint32_t)major;
	(*ret)->dev.minor = (uint32_t)minor;
	return 0;
}

static int add_file(struct reader *r, const struct tree_place *place,
		    const struct tree_meta *m, struct node **ret,
		    struct vc_error *err)
{
	if (tree_add(&r->b->tree, place, NODE_FILE, m, ret, err))
		return -1;
	r->capture = build_capture_for(r->b, place);
	return read_contents(r, *ret, err);
}

/* A hard link with contents (pax allows them) replaces those of the file. */
static int add_link(struct reader *r, const struct tree_place *place,
		    const char *target, struct vc_error *err)
{
	struct writer *w = r->b->writer;
	struct node *n;

	if (tree_link(&r->b->tree, place, target, &n, err))
		return -1;
	if (archive_entry_size(r->e) <= 0)
		return 0;
	if (!n || n->type != NODE_FILE)
		return warn_add(&r->b->warn, err,
				"entry '%s': contents left out: a hard link to "
				"%s",
				tree_show(r->path).s,
				n ? "what has none" : "what comes later");
	w->ops->file_drop(w, n);
	return read_contents(r, n, err);
}

static int add_plain(struct reader *r, const struct tree_place *place,
		     const struct tree_meta *m, struct node **ret,
		     struct vc_error *err)
{
	struct tree *t = &r->b->tree;

	switch (archive_entry_filetype(r->e)) {
	case S_IFREG:
		return add_file(r, place, m, ret, err);
	case S_IFDIR:
		return tree_add(t, place, NODE_DIR, m, ret, err);
	case S_IFLNK:
		return add_symlink(r, place, m, ret, err);
	case S_IFCHR:
		return add_device(r, place, NODE_CHAR, m, ret, err);
	case S_IFBLK:
		return add_device(r, place, NODE_BLOCK, m, ret, err);
	case S_IFIFO:
		return tree_add(t, place, NODE_FIFO, m, ret, err);
	case S_IFSOCK:
		return tree_add(t, place, NODE_SOCKET, m, ret, err);
	default:
		return warn_add(&r->b->warn, err,
				"entry '%s' left out: unknown kind of file",
				tree_show(r->path).s);
	}
}

/* --- whiteouts ------------------------------------------------------------
 *
 * The image specification: ".wh.NAME" takes NAME of the layers below away,
 * ".wh..wh..opq" all that they have in the directory; neither touches what its
 * own layer brings. Other names that begin with ".wh..wh." are the private
 * matter of a union file system.
 */

#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_PRIVATE ".wh..wh."

/* Is a folder on the way, or the last name, private? */
static bool is_private(const char *path)
{
	const char *p;

	for (p = strstr(path, WHITEOUT_PRIVATE); p;
	     p = strstr(p + 1, WHITEOUT_PRIVATE)) {
		if (p != path && p[-1] != '/')
			continue;
		if (strcmp(p, WHITEOUT_OPAQUE) != 0)
			return true;
	}
	return false;
}

/* Is there a name behind the prefix at all? */
static bool names_something(const char *last)
{
	const char *name = last + strlen(WHITEOUT);
	size_t len = strcspn(name, "/");

	return len > 2 || (len && name[0] != '.') ||
	       (len == 2 && name[1] != '.');
}

static void take_away(struct reader *r, struct tree_place *place)
{
	const size_t skip = strlen(WHITEOUT);

	place->len -= skip;
	memmove(place->name, place->name + skip, place->len + 1);
	tree_whiteout(&r->b->tree, place);
}

/* *ret_done: it was one, and has been obeyed. */
static int do_whiteout(struct reader *r, bool *ret_done, struct vc_error *err)
{
	const char *slash, *last = r->path;
	struct tree_place place;

	*ret_done = true;
	if (is_private(r->path))
		return 0;
	/* a '/' at the end does not end the name before it */
	for (slash = strchr(last, '/'); slash; slash = strchr(last, '/')) {
		if (!slash[strspn(slash, "/")])
			break;
		if (starts_with(last, WHITEOUT))
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "a whiteout is not a directory");
		last = slash + 1;
	}
	if (!starts_with(last, WHITEOUT)) {
		*ret_done = false;
		return 0;
	}
	if (!names_something(last))
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "whiteout of something that is no name");
	/* of nothing: fine; umoci writes one for each name in a directory that
	 * is a file now */
	if (tree_walk(&r->b->tree, r->path, TREE_CHROOT, &place, err))
		return err->sys == ENOENT || err->sys == ENOTDIR ? 0 : -1;
	if (!strcmp(place.name, WHITEOUT_OPAQUE))
		tree_make_opaque(&r->b->tree, place.dir);
	else
		take_away(r, &place);
	return 0;
}

/* --- the loop ------------------------------------------------------------ */

/* A link into what was left out would be a link to nothing, for a reason that
 * nobody would see. */
static int check_target(struct reader *r, const char *target,
			struct vc_error *err)
{
	if (!patterns_match(r->b->exclude, target))
		return 0;
	return vc_fail(err, VC_E_CONFIG, 0,
		       "hard link to '%s', which --exclude leaves out",
		       tree_show(target).s);
}

static int add_named(struct reader *r, struct vc_error *err)
{
	const unsigned flags =
		TREE_MAKE_PARENTS | (r->opts->is_layer ? TREE_CHROOT : 0);
	const char *target = archive_entry_hardlink(r->e);
	enum build_before before;
	struct tree_place place;
	struct node *n = NULL;
	struct entry_meta m;
	int rc;

	if (tree_walk(&r->b->tree, r->path, flags, &place, err))
		return -1;
	before = build_look(r->b, &place);
	if (target) {
		rc = check_target(r, target, err) ||
		     add_link(r, &place, target, err);
	} else {
		if (entry_meta_get(r->b, r->e, &m, err))
			return -1;
		rc = add_plain(r, &place, &m.meta, &n, err);
		if (!rc && n)
			rc = entry_meta_finish(r->b, n, &m, err);
		entry_meta_fini(&m);
	}
	/* the layers of an image mean what they do */
	if (rc || r->opts->is_layer || (!n && !target))
		return rc ? -1 : 0;
	return build_warn_replaced(r->b, r->path, before, n && node_is_dir(n),
				   err);
}

static int add_entry(struct reader *r, struct vc_error *err)
{
	bool is_done = false;

	if (r->opts->check && r->opts->check(r->opts->opaque, r->a, r->e, err))
		return -1;
	/* behind what is known better here */
	if (*r->remark && warn_add(&r->b->warn, err, "entry '%s': %s",
				   tree_show(r->path).s, r->remark))
		return -1;
	/* also of what a pattern matches: it takes away, and brings nothing */
	if (r->opts->is_layer && do_whiteout(r, &is_done, err))
		return -1;
	if (is_done || patterns_match(r->b->exclude, r->path))
		return 0;
	return add_named(r, err);
}

/* What it says of a header, and goes on with contents that are others then, or
 * without a name or size that there was. */
static bool is_damage(const char *text)
{
	static const char *const texts[] = {
		"Malformed sparse map data",
		"Unrecognized GNU sparse file format",
		"Ignoring malformed pax extended attribute",
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(texts); i++)
		if (text && starts_with(text, texts[i]))
			return true;
	return false;
}

static bool is_charset_warning(const char *text)
{
	return text && strstr(text, "can't be converted from");
}

static void keep_name(struct reader *r)
{
	const size_t size = strlen(r->path) + 1;
	char *more;

	if (size > r->max_last) {
		more = realloc(r->last, size);
		if (!more)
			return;
		r->last = more;
		r->max_last = size;
	}
	memcpy(r->last, r->path, size);
}

static int fail_header(struct reader *r, struct vc_error *err)
{
	source_fail_archive(r->a, "read", err);
	if (!r->last)
		return -1;
	return vc_prefix(err, "after entry %llu '%s'",
			 (unsigned long long)r->b->nr_entries,
			 tree_show(r->last).s);
}

/* Which header comes next; *ret_done at the end. */
static int next_entry(struct reader *r, bool *ret_done, struct vc_error *err)
{
	const char *text;
	int rc;

	*r->remark = '\0';
	if (r->path)
		keep_name(r);
	rc = archive_read_next_header(r->a, &r->e);
	*ret_done = rc == ARCHIVE_EOF;
	if (*ret_done)
		return 0;
	text = archive_error_string(r->a);
	/* a damaged header, which it would pass over: of tar ARCHIVE_RETRY, of
	 * cpio a warning about the bytes up to the next one */
	if ((rc != ARCHIVE_OK && rc != ARCHIVE_WARN) ||
	    (rc == ARCHIVE_WARN && text && starts_with(text, "Skipped")))
		return fail_header(r, err);
	r->path = archive_entry_pathname(r->e);
	if (!r->path || !*r->path)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "entry %llu: it has no name",
			       (unsigned long long)r->b->nr_entries + 1);
	if (rc == ARCHIVE_WARN && is_damage(text)) {
		source_fail_archive(r->a, "read", err);
		return warn_prefix(err, tree_show(r->path).s);
	}
	if (rc == ARCHIVE_WARN && !is_charset_warning(text))
		vc_printable(text ? text : "a header that is not understood",
			     r->remark, sizeof(r->remark));
	return 0;
}

static int read_entries(struct reader *r, struct vc_error *err)
{
	struct build *b = r->b;
	bool is_done;

	for (;;) {
		if (next_entry(r, &is_done, err))
			return -1;
		if (is_done)
			return 0;
		r->capture = NULL;
		if (b->is_verbose)
			vc_log(VC_LOG_INFO, "entry", "%s",
			       tree_show(r->path).s);
		if (add_entry(r, err))
			return warn_prefix(err, tree_show(r->path).s);
		r->has_absolute |= r->path[0] == '/';
		b->nr_entries++;
	}
}

int source_archive(struct build *b, struct archive *a,
		   const struct archive_opts *opts, struct vc_error *err)
{
	struct reader r = { .b = b, .a = a, .opts = opts };
	int rc;

	b->tree.link_flags = opts->is_layer ? TREE_CHROOT : 0;
	rc = read_entries(&r, err);
	free(r.last);
	if (rc)
		return -1;
	if (r.has_absolute && !opts->is_layer)
		return warn_add(&b->warn, err,
				"absolute names are taken from the root of the "
				"image");
	return 0;
}
