/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In a folder, a name is opened beneath it, whatever links are on the way.
 *
 * An archive is read once. Its names go into a search tree with the places of
 * their contents: in the archive itself if that is a plain file, else in a
 * spool file. Links (an old `docker save` has them for layers that are the
 * same) are followed by name, within the archive.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include "mkimage/bytes.h"
#include "mkimage/source/image.h"
#include "mkimage/source/store.h"
#include "mkimage/tree.h"

#define MAX_LINKS 8 /* one after the other */
/* Names of other kinds that an image may have beside it: a licence, a folder for
 * what is being written. With more of them it is none, unless one was asked for. */
#define MAX_OTHERS 64
#define NR_NAMES_LOOKED_AT 8

struct place {
	char *name, *target; /* owned; a target makes it a link */
	int fd;		     /* borrowed */
	uint64_t offset, size;
};

struct store {
	int dir; /* of a folder, else -1 */
	int spool;
	uint64_t spooled;
	void *places; /* of tsearch() */
	size_t nr;
	size_t nr_others; /* names in an archive that no image has */
};

/* --- names ---------------------------------------------------------------- */

static bool is_hex(const char *p, size_t len)
{
	return strspn(p, "0123456789abcdef") == len;
}

/* Names of an image layout and of Docker's archives, old and new. */
static bool is_image_name(const char *name)
{
	static const char *const names[] = { "oci-layout", "index.json",
					     "manifest.json", "repositories",
					     "blobs" };
	size_t len = strcspn(name, "/"), i;

	if (!strncmp(name, "blobs/", 6))
		return true;
	for (i = 0; i < VC_ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	/* a configuration of crane's, kaniko's or ko's */
	if (starts_with(name, "sha256:"))
		return is_hex(name + 7, 64) && !name[7 + 64];
	/* a folder of Docker's, a configuration, a layer of skopeo's or jib's */
	return is_hex(name, 64) &&
	       (len == 64 || !strcmp(name + 64, ".json") ||
		!strcmp(name + 64, ".tar") || !strcmp(name + 64, ".tar.gz"));
}

/* Of a layout, wherever in its archive. */
static bool is_layout_name(const char *name)
{
	return !strcmp(name, "oci-layout") ||
	       starts_with(name, "blobs/sha256/");
}

/* Without "./" in front and "/" at the end; NULL if nothing is left. */
static char *clean_name(const char *path)
{
	char *ret;
	size_t len;

	while (*path == '/' || (path[0] == '.' && (path[1] == '/' || !path[1])))
		path++;
	len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	if (!len || len > STORE_MAX_NAME)
		return NULL;
	ret = strndup(path, len);
	return ret;
}

bool store_is_likely(const void *head, size_t len)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	bool ret = false;
	const char *path;
	int rc, nr = 0;
	char *name;

	if (!a)
		return false;
	archive_read_support_format_tar(a);
	rc = archive_read_open_memory(a, head, len);
	while (rc == ARCHIVE_OK && !ret && nr < NR_NAMES_LOOKED_AT) {
		rc = archive_read_next_header(a, &e);
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			break;
		path = archive_entry_pathname(e);
		name = path ? clean_name(path) : NULL;
		if (!name)
			continue;
		ret = nr++ ? is_layout_name(name) : is_image_name(name);
		free(name);
	}
	archive_read_free(a);
	return ret;
}

static int compare_places(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->name,
		      ((const struct place *)b)->name);
}

static void free_place(void *p)
{
	struct place *place = p;

	free(place->name);
	free(place->target);
	free(place);
}

/* Takes `name` over. A later file of a name is the one that counts. */
static int add_place(struct store *s, char *name, struct place **ret,
		     struct vc_error *err)
{
	struct place *p = calloc(1, sizeof(*p)), **found;

	if (!p) {
		free(name);
		return vc_fail(err, VC_E_SYS, ENOMEM, "archive");
	}
	p->name = name;
	p->fd = -1;
	found = tsearch(p, &s->places, compare_places);
	if (!found) {
		free_place(p);
		return vc_fail(err, VC_E_SYS, ENOMEM, "archive");
	}
	if (*found != p) {
		free_place(p);
		free((*found)->target);
		(*found)->target = NULL;
		(*found)->fd = -1;
	} else if (++s->nr > STORE_MAX_FILES) {
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d files",
			       STORE_MAX_FILES);
	}
	*ret = *found;
	return 0;
}

/* The target of a symbolic link at `name`, as a name in the archive. */
static char *join_target(const char *name, const char *target)
{
	const char *slash = strrchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : 0, n;
	char *ret = malloc(strlen(name) + strlen(target) + 2);

	if (!ret)
		return NULL;
	memcpy(ret, name, len);
	for (; *target; target += n + (target[n] == '/')) {
		n = strcspn(target, "/");
		if (!n || (n == 1 && *target == '.'))
			continue;
		if (n == 2 && !memcmp(target, "..", 2)) {
			while (len && ret[--len] != '/')
				;
			continue;
		}
		if (len)
			ret[len++] = '/';
		memcpy(ret + len, target, n);
		len += n;
	}
	ret[len] = '\0';
	return ret;
}

/* --- reading an archive --------------------------------------------------- */

static int open_spool(struct store *s, struct vc_error *err)
{
	const char *dirs[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(dirs) && s->spool < 0; i++)
		if (dirs[i] && *dirs[i])
			s->spool = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC,
					0600);
	if (s->spool < 0)
		return vc_fail(err, VC_E_SYS, errno, "temporary file: create");
	vc_log(VC_LOG_INFO, "archive",
	       "its files are copied to a temporary file: it is compressed or "
	       "a pipe");
	return 0;
}

static int spool(struct store *s, struct archive *a, struct place *p,
		 struct vc_error *err)
{
	const void *data;
	la_int64_t offset;
	size_t len;
	int rc;

	if (s->spool < 0 && open_spool(s, err))
		return -1;
	p->fd = s->spool;
	p->offset = s->spooled;
	for (;;) {
		rc = archive_read_data_block(a, &data, &len, &offset);
		if (rc == ARCHIVE_EOF)
			break;
		if (rc != ARCHIVE_OK)
			return source_fail_archive(a, "read", err);
		if (offset < 0 || (uint64_t)offset > p->size ||
		    len > p->size - (uint64_t)offset)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "more contents than its size");
		if (vc_pwrite_full(s->spool, data, len,
				   p->offset + (uint64_t)offset))
			return vc_fail(err, VC_E_SYS, errno,
				       "temporary file: write");
	}
	s->spooled += p->size;
	if (ftruncate(s->spool, (off_t)s->spooled))
		return vc_fail(err, VC_E_SYS, errno, "temporary file: write");
	return 0;
}

struct indexer {
	struct store *s;
	bool is_sure, is_other;
};

static int add_content(struct store *s, struct tar *t, struct archive *a,
		       struct archive_entry *e, struct place *p,
		       struct vc_error *err)
{
	uint64_t start = 0;
	int fd;

	if (archive_entry_size(e) < 0)
		return vc_fail(err, VC_E_CORRUPT, 0, "negative size");
	p->size = (uint64_t)archive_entry_size(e);
	fd = archive_entry_sparse_count(e) ? -1
					   : stream_get_plain(t->s, &start);
	if (fd < 0)
		return spool(s, a, p, err);
	p->fd = fd;
	p->offset = start + tar_get_pos(t, a);
	return 0;
}

static int index_entry(struct indexer *x, struct tar *t, struct archive *a,
		       struct archive_entry *e, struct vc_error *err)
{
	const char *path = archive_entry_pathname(e), *target;
	char *name = path ? clean_name(path) : NULL;
	struct place *p = NULL;

	if (!name)
		return 0;
	if (!is_image_name(name) && ++x->s->nr_others > MAX_OTHERS &&
	    !x->is_sure) {
		x->is_other = true;
		free(name);
		return 0;
	}
	if (archive_entry_filetype(e) == S_IFDIR) {
		free(name);
		return 0;
	}
	if (add_place(x->s, name, &p, err))
		return -1;
	target = archive_entry_hardlink(e);
	if (target) {
		p->target = clean_name(target);
		return p->target ? 0
				 : vc_fail(err, VC_E_CORRUPT, 0,
					   "hard link to nothing");
	}
	target = archive_entry_symlink(e);
	if (target) {
		p->target = join_target(p->name, target);
		return p->target ? 0
				 : vc_fail(err, VC_E_SYS, ENOMEM, "archive");
	}
	return add_content(x->s, t, a, e, p, err);
}

static int index_archive(void *opaque, struct tar *t, struct archive *a,
			 struct vc_error *err)
{
	struct indexer *x = opaque;
	struct archive_entry *e;
	int rc;

	while (!x->is_other) {
		rc = archive_read_next_header(a, &e);
		if (rc == ARCHIVE_EOF)
			return 0;
		/* ARCHIVE_RETRY too, which is a damaged header */
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			return source_fail_archive(a, "read", err);
		tar_pass_headers(t, a);
		if (index_entry(x, t, a, e, err))
			return vc_prefix(
				err, "entry '%s'",
				tree_show(archive_entry_pathname(e)).s);
	}
	return vc_fail(err, VC_E_CORRUPT, 0, "not a container image");
}

static struct store *store_new(struct vc_error *err)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s) {
		vc_fail(err, VC_E_SYS, ENOMEM, "image");
		return NULL;
	}
	s->dir = s->spool = -1;
	return s;
}

int store_open_tar(struct tar *t, bool is_sure, struct store **ret,
		   struct vc_error *err)
{
	vc_auto(store) struct store *s = store_new(err);
	struct indexer x = { .s = s, .is_sure = is_sure };

	*ret = NULL;
	if (!s)
		return -1;
	if (tar_each(t, index_archive, &x, err))
		return x.is_other ? 0 : -1;
	*ret = vc_steal_ptr(&s);
	return 0;
}

int store_open_dir(const char *path, struct store **ret, struct vc_error *err)
{
	vc_auto(store) struct store *s = store_new(err);

	if (!s)
		return -1;
	s->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return vc_fail(err, VC_E_SYS, errno, "open");
	*ret = vc_steal_ptr(&s);
	return 0;
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	vc_close(&s->dir);
	vc_close(&s->spool);
	tdestroy(s->places, free_place);
	free(s);
	return NULL;
}

/* --- files ---------------------------------------------------------------- */

static const struct place *find_place(const struct store *s, const char *name)
{
	struct place key = { 0 }, **found;
	int i;

	for (i = 0; name && i < MAX_LINKS; i++) {
		/* a key is only compared */
		key.name = (char *)(uintptr_t)name;
		found = tfind(&key, &s->places, compare_places);
		if (!found)
			return NULL;
		if (!(*found)->target)
			return *found;
		name = (*found)->target;
	}
	return NULL;
}

static int open_beneath(const struct store *s, const char *name)
{
	struct open_how how = {
		/* no waiting for the writer of a fifo */
		.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, s->dir, name, &how, sizeof(how));
}

bool store_has(struct store *s, const char *name)
{
	vc_auto_fd int fd = -1;

	if (s->dir < 0)
		return find_place(s, name) != NULL;
	fd = open_beneath(s, name);
	return fd >= 0;
}

bool store_has_others(const struct store *s)
{
	return s->nr_others > 0;
}

int store_get(struct store *s, const char *name, struct store_file *ret,
	      struct vc_error *err)
{
	const struct place *p;
	struct stat st;
	int fd;

	if (s->dir < 0) {
		p = find_place(s, name);
		if (!p || p->fd < 0)
			return vc_fail(err, VC_E_CORRUPT, 0,
				       "'%s': not in the image",
				       tree_show(name).s);
		*ret = (struct store_file){ { p->fd, p->offset, p->size }, -1 };
		return 0;
	}
	fd = open_beneath(s, name);
	if (fd < 0 || fstat(fd, &st)) {
		vc_fail(err, VC_E_SYS, errno, "'%s': open", tree_show(name).s);
		vc_close(&fd);
		return -1;
	}
	*ret = (struct store_file){ { fd, 0, (uint64_t)st.st_size }, fd };
	if (!S_ISREG(st.st_mode)) {
		store_file_close(ret);
		return vc_fail(err, VC_E_CORRUPT, 0, "'%s': not a file",
			       tree_show(name).s);
	}
	return 0;
}

void store_file_close(struct store_file *f)
{
	vc_close(&f->fd);
	f->range.fd = -1;
}

static int check_digest(const char *text, size_t len,
			const struct digest_id *want, struct vc_error *err)
{
	struct digest_id id;
	struct digest d;

	digest_init(&d, want->alg);
	digest_update(&d, text, len);
	digest_final(&d, &id);
	if (digest_id_equal(&id, want))
		return 0;
	return vc_fail(err, VC_E_CORRUPT, 0,
		       "its digest is %s:%s, not what it is said to be",
		       digest_alg_name(id.alg), id.hex);
}

static int read_whole(const struct store_file *f, const struct digest_id *want,
		      uint64_t size, char **ret, struct vc_error *err)
{
	const struct stream_range *r = &f->range;
	vc_auto_free char *text = NULL;

	if (r->size > IMAGE_MAX_JSON)
		return vc_fail(err, VC_E_LIMIT, 0, "larger than %d bytes",
			       IMAGE_MAX_JSON);
	if (want && r->size != size)
		return vc_fail(err, VC_E_CORRUPT, 0,
			       "%llu bytes, not the %llu it is said to have",
			       (unsigned long long)r->size,
			       (unsigned long long)size);
	text = malloc((size_t)r->size + 1);
	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read");
	if (vc_pread_full(r->fd, text, (size_t)r->size, r->offset))
		return vc_fail(err, VC_E_SYS, errno, "read");
	text[r->size] = '\0';
	if (want && check_digest(text, (size_t)r->size, want, err))
		return -1;
	*ret = vc_steal_ptr(&text);
	return 0;
}

int store_read(struct store *s, const char *name, const struct digest_id *want,
	       uint64_t size, char **ret, size_t *ret_len, struct vc_error *err)
{
	struct store_file f;
	int rc;

	if (store_get(s, name, &f, err))
		return -1;
	*ret_len = (size_t)f.range.size;
	rc = read_whole(&f, want, size, ret, err);
	store_file_close(&f);
	return rc ? vc_prefix(err, "'%s'", tree_show(name).s) : 0;
}
