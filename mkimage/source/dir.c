/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A folder of the host. Names are taken in the order of their bytes, so that
 * the order in which the host's file system keeps them does not matter; of its
 * times only mtime is, as the other two are the host's affair.
 *
 * Every name is opened relative to its directory, without following links, and
 * what has been opened must be what has been looked at. A file or a directory
 * that is another after it has been read is an error: half of one state and
 * half of another is in no image.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/log.h>
#include "mkimage/source/dir.h"

#define BUF_BYTES (256 * 1024)
_Static_assert(BUF_BYTES >= XSET_MAX_VALUE, "attributes are read into it too");

/* A file with several names, by the first of them. */
struct linked {
	dev_t dev;
	ino_t ino;
	char *path;
};

struct walker {
	struct build *b;
	const struct source_opts *opts;
	char *path; /* in the image */
	size_t len, max;
	void *linked; /* of tsearch() */
	uint8_t *buf;
	dev_t dev; /* of where the walk began */
	struct level *top;
};

/* One name of the host. */
struct item {
	int dirfd; /* borrowed */
	const char *name;
	int flags; /* O_NOFOLLOW but for where the walk begins */
	struct stat st;
};

static bool same_state(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_mode == b->st_mode && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Open what `it` was when it was looked at. */
static int open_item(const struct item *it, int flags, struct vc_error *err)
{
	struct stat st;
	int fd = openat(it->dirfd, it->name,
			flags | it->flags | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP
			       ? dir_changed(err)
			       : vc_fail(err, VC_E_SYS, errno, "open");
	if (fstat(fd, &st) < 0 || st.st_dev != it->st.st_dev ||
	    st.st_ino != it->st.st_ino || st.st_mode != it->st.st_mode) {
		close(fd);
		return dir_changed(err);
	}
	return fd;
}

static int get_meta(struct walker *w, const struct item *it, int fd,
		    struct tree_meta *ret, struct vc_error *err)
{
	const struct dir_meta d = {
		.b = w->b,
		.opts = w->opts,
		.path = w->path,
		.buf = w->buf,
	};

	return dir_get_meta(&d, &it->st, fd, ret, err);
}

/* --- contents ------------------------------------------------------------- */

/* Bytes [from, to) are data. */
static int copy_data(struct walker *w, int fd, uint64_t from, uint64_t to,
		     struct accounts *acc, struct vc_error *err)
{
	ssize_t n;

	for (; from < to; from += (uint64_t)n) {
		n = pread(fd, w->buf, vc_min_u64(BUF_BYTES, to - from),
			  (off_t)from);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n < 0)
			return vc_fail(err, VC_E_SYS, errno, "read");
		if (!n)
			return dir_changed(err);
		if (build_file_data(w->b, acc, from, w->buf, (size_t)n, err))
			return -1;
	}
	return 0;
}

/* The next run of data at or after `pos`; its start is `size` at the end. */
static int find_data(int fd, uint64_t pos, uint64_t size, uint64_t *ret_from,
		     uint64_t *ret_to, struct vc_error *err)
{
	off_t from = lseek(fd, (off_t)pos, SEEK_DATA), to;

	*ret_from = *ret_to = size;
	if (from < 0 && errno == ENXIO)
		return 0;
	if (from < 0 && errno == EINVAL) { /* no such thing here */
		*ret_from = pos;
		return 0;
	}
	to = from < 0 ? -1 : lseek(fd, from, SEEK_HOLE);
	if (to < 0)
		return vc_fail(err, VC_E_SYS, errno, "find data");
	*ret_from = vc_min_u64((uint64_t)from, size);
	*ret_to = vc_min_u64((uint64_t)to, size);
	return 0;
}

static int copy_contents(struct walker *w, const struct item *it, int fd,
			 struct accounts *acc, struct vc_error *err)
{
	uint64_t size = (uint64_t)it->st.st_size, from = 0, to = size;
	struct stat st;

	if ((uint64_t)it->st.st_blocks * 512 >= size) {
		if (copy_data(w, fd, 0, size, acc, err))
			return -1;
	} else {
		for (to = 0; to < size;) {
			if (find_data(fd, to, size, &from, &to, err) ||
			    copy_data(w, fd, from, to, acc, err))
				return -1;
		}
	}
	if (fstat(fd, &st))
		return vc_fail(err, VC_E_SYS, errno, "stat");
	return same_state(&st, &it->st) ? 0 : dir_changed(err);
}

static int add_file(struct walker *w, const struct item *it,
		    const struct tree_place *place, struct vc_error *err)
{
	vc_auto_fd int fd = open_item(it, O_RDONLY, err);
	struct writer *wr = w->b->writer;
	struct tree_meta m;
	struct node *n;

	if (fd < 0 || get_meta(w, it, fd, &m, err) ||
	    tree_add(&w->b->tree, place, NODE_FILE, &m, &n, err))
		return -1;
	n->size_bytes = (uint64_t)it->st.st_size;
	if (wr->ops->file_begin(wr, n, err) ||
	    copy_contents(w, it, fd, build_capture_for(w->b, place), err))
		return -1;
	return wr->ops->file_end(wr, err);
}

/* --- other kinds ---------------------------------------------------------- */

static int set_link(struct walker *w, int fd, struct node *n,
		    struct vc_error *err)
{
	char target[TREE_MAX_SYMLINK + 2];
	ssize_t len = readlinkat(fd, "", target, sizeof(target));

	if (len < 0)
		return vc_fail(err, VC_E_SYS, errno, "read link");
	if (len > TREE_MAX_SYMLINK)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "symbolic link to a name longer than %d bytes",
			       TREE_MAX_SYMLINK);
	target[len] = '\0';
	n->mode = 0777;
	return tree_set_target(&w->b->tree, n, target, err);
}

/* What is not opened for reading. */
static int add_special(struct walker *w, const struct item *it,
		       const struct tree_place *place, struct vc_error *err)
{
	vc_auto_fd int fd = open_item(it, O_PATH, err);
	enum node_type type = NODE_FIFO;
	struct tree_meta m;
	struct node *n;

	if (S_ISLNK(it->st.st_mode))
		type = NODE_SYMLINK;
	else if (S_ISCHR(it->st.st_mode))
		type = NODE_CHAR;
	else if (S_ISBLK(it->st.st_mode))
		type = NODE_BLOCK;
	if (fd < 0 || get_meta(w, it, fd, &m, err) ||
	    tree_add(&w->b->tree, place, type, &m, &n, err))
		return -1;
	if (type == NODE_SYMLINK)
		return set_link(w, fd, n, err);
	if (type != NODE_FIFO) {
		n->dev.major = major(it->st.st_rdev);
		n->dev.minor = minor(it->st.st_rdev);
	}
	return 0;
}

/* --- hard links ----------------------------------------------------------- */

static int compare_linked(const void *a, const void *b)
{
	const struct linked *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return 0;
}

static void free_linked(void *p)
{
	struct linked *l = p;

	free(l->path);
	free(l);
}

/* *ret_path is where the file is already, or NULL: it is noted then. */
static int find_linked(struct walker *w, const struct stat *st,
		       const char **ret_path, struct vc_error *err)
{
	const struct linked key = { .dev = st->st_dev, .ino = st->st_ino };
	struct linked *l, **found = tfind(&key, &w->linked, compare_linked);

	*ret_path = found ? (*found)->path : NULL;
	if (found)
		return 0;
	l = malloc(sizeof(*l));
	if (l) {
		*l = key;
		l->path = strdup(w->path);
		if (l->path && tsearch(l, &w->linked, compare_linked))
			return 0;
		free_linked(l);
	}
	return vc_fail(err, VC_E_SYS, ENOMEM, "hard links");
}

/* --- the walk ------------------------------------------------------------- */

static int push(struct walker *w, const char *name, struct vc_error *err)
{
	size_t len = strlen(name), need = w->len + len + 2;
	char *path;

	if (need > TREE_MAX_PATH)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "its name is longer than %d bytes",
			       TREE_MAX_PATH);
	if (need > w->max) {
		path = realloc(w->path, 2 * need);
		if (!path)
			return vc_fail(err, VC_E_SYS, ENOMEM, "path");
		w->path = path;
		w->max = 2 * need;
	}
	if (w->len)
		w->path[w->len++] = '/';
	memcpy(w->path + w->len, name, len + 1);
	w->len += len;
	return 0;
}

struct names {
	char **v; /* owned, and what it points at */
	size_t nr, max;
};

static void names_free(struct names *n)
{
	while (n->nr)
		free(n->v[--n->nr]);
	free(n->v);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct names *n, const char *name)
{
	size_t max;
	char **v;

	if (n->nr == n->max) {
		max = n->max ? 2 * n->max : 64;
		v = realloc(n->v, max * sizeof(*v));
		if (!v)
			return -1;
		n->v = v;
		n->max = max;
	}
	n->v[n->nr] = strdup(name);
	return n->v[n->nr++] ? 0 : -1;
}

static int read_names(int fd, struct names *ret, struct vc_error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	int rc = 0;

	if (!d) {
		vc_close(&copy);
		return vc_fail(err, VC_E_SYS, errno, "open");
	}
	while (!rc && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			rc = add_name(ret, e->d_name);
	if (rc || errno)
		vc_fail(err, VC_E_SYS, errno ? errno : ENOMEM, "read");
	rc = rc || errno ? -1 : 0;
	closedir(d);
	if (ret->nr)
		qsort(ret->v, ret->nr, sizeof(*ret->v), compare_names);
	return rc;
}

/* A directory that is being read, and those it is in: a list, not the stack,
 * as the tree may be deep. */
struct level {
	struct level *up;
	int fd;
	struct stat st;
	struct names names;
	size_t next; /* of names */
	struct node *dir;
	size_t len; /* of the path before its name was put there */
};

static void pop_level(struct walker *w)
{
	struct level *l = w->top;

	w->top = l->up;
	w->len = l->len;
	w->path[w->len] = '\0';
	vc_close(&l->fd);
	names_free(&l->names);
	free(l);
}

static int add_dir(struct walker *w, const struct item *it,
		   const struct tree_place *place, size_t len,
		   struct vc_error *err)
{
	vc_auto_fd int fd = open_item(it, O_RDONLY | O_DIRECTORY, err);
	const enum build_before before = build_look(w->b, place);
	struct tree_meta m;
	struct level *l;
	struct node *n;

	if (fd < 0 || get_meta(w, it, fd, &m, err) ||
	    tree_add(&w->b->tree, place, NODE_DIR, &m, &n, err) ||
	    build_warn_replaced(w->b, w->path, before, true, err))
		return -1;
	l = calloc(1, sizeof(*l));
	if (!l)
		return vc_fail(err, VC_E_SYS, ENOMEM, "directory");
	*l = (struct level){
		.up = w->top,
		.fd = vc_steal_fd(&fd),
		.st = it->st,
		.dir = n,
		.len = len,
	};
	w->top = l;
	if (w->opts->one_file_system && it->st.st_dev != w->dev)
		return 0;
	return read_names(l->fd, &l->names, err);
}

static int add_other(struct walker *w, const struct item *it,
		     const struct tree_place *place, struct vc_error *err)
{
	const enum build_before before = build_look(w->b, place);
	const char *first = NULL;
	struct node *n;
	int rc;

	if (S_ISSOCK(it->st.st_mode))
		return warn_add(&w->b->warn, err,
				"entry '%s' left out: a socket",
				tree_show(w->path).s);
	if (w->b->has_old && it->st.st_dev == w->b->old_dev &&
	    it->st.st_ino == w->b->old_ino)
		return warn_add(&w->b->warn, err,
				"entry '%s' left out: it is the output",
				tree_show(w->path).s);
	if (it->st.st_nlink > 1 && find_linked(w, &it->st, &first, err))
		return -1;
	if (first)
		rc = tree_link(&w->b->tree, place, first, &n, err);
	else
		rc = S_ISREG(it->st.st_mode) ? add_file(w, it, place, err)
					     : add_special(w, it, place, err);
	return rc ? -1 : build_warn_replaced(w->b, w->path, before, false, err);
}

/* `len` is that of the path without this name: a directory takes it off when
 * it has been read. */
static int add_item(struct walker *w, struct item *it,
		    const struct tree_place *place, size_t len,
		    struct vc_error *err)
{
	const int follow = it->flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
	int rc;

	if (fstatat(it->dirfd, it->name, &it->st, follow))
		return errno == ENOENT && follow
			       ? dir_changed(err)
			       : vc_fail(err, VC_E_SYS, errno, "stat");
	if (!follow)
		w->dev = it->st.st_dev;
	if (w->b->is_verbose)
		vc_log(VC_LOG_INFO, "entry", "%s", tree_show(w->path).s);
	if (w->b->progress)
		w->b->progress(w->b, 0, 0);
	w->b->nr_entries++;
	if (S_ISDIR(it->st.st_mode))
		return add_dir(w, it, place, len, err);
	rc = add_other(w, it, place, err);
	if (!rc) {
		w->len = len;
		w->path[len] = '\0';
	}
	return rc;
}

/* The next name of the directory at the top, or its end. */
static int step(struct walker *w, struct vc_error *err)
{
	struct level *l = w->top;
	struct item it = { .dirfd = l->fd, .flags = O_NOFOLLOW };
	struct tree_place place = { .dir = l->dir };
	const size_t len = w->len;
	struct stat st;

	if (l->next == l->names.nr) {
		if (fstat(l->fd, &st) || !same_state(&st, &l->st))
			return dir_changed(err);
		pop_level(w);
		return 0;
	}
	it.name = l->names.v[l->next++];
	if (push(w, it.name, err))
		return -1;
	if (patterns_match(w->b->exclude, w->path)) {
		w->len = len;
		w->path[len] = '\0';
		return 0;
	}
	place.len = strlen(it.name);
	memcpy(place.name, it.name, place.len + 1);
	return add_item(w, &it, &place, len, err);
}

static int walk(struct walker *w, struct item *it,
		const struct tree_place *place, struct vc_error *err)
{
	int rc = add_item(w, it, place, w->len, err);

	while (!rc && w->top)
		rc = step(w, err);
	/* the path is still that of what failed */
	if (rc)
		(void)warn_prefix(err, tree_show(w->path).s);
	while (w->top)
		pop_level(w);
	return rc;
}

/* A descriptor for each level of the deepest tree: as many as we may have. */
static void raise_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur == lim.rlim_max)
		return;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim);
}

int source_dir(struct build *b, const char *path, const char *guest,
	       const struct source_opts *opts, struct vc_error *err)
{
	struct walker w = { .b = b, .opts = opts };
	struct item it = { .dirfd = AT_FDCWD, .name = path };
	struct tree_place place;
	int rc;

	raise_limit();
	b->has_folder = true;
	b->tree.link_flags = TREE_CHROOT;
	w.buf = malloc(BUF_BYTES);
	if (!w.buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "buffer");
	rc = tree_walk(&b->tree, guest, TREE_MAKE_PARENTS | TREE_CHROOT, &place,
		       err);
	if (!rc)
		rc = push(&w, guest, err);
	if (!rc)
		rc = walk(&w, &it, &place, err);
	tdestroy(w.linked, free_linked);
	free(w.path);
	free(w.buf);
	return rc;
}
