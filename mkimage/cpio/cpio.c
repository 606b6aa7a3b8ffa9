/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpio as the kernel unpacks it ("newc", Documentation/driver-api/early-
 * userspace/buffer-format.rst): a header of text, a name and contents for each
 * entry, directories before what is in them.
 *
 * A header comes before its contents and says how many names the file has,
 * which only the end of the input tells. So contents wait in a nameless file
 * in the folder of the output, and the archive is written from there. Of a file
 * with several names the last one has the contents, as other programs do it.
 *
 * In a node, until the writer goes: ext.first.physical is where the contents
 * begin in that file, ext.first.logical how many names have been written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "mkimage/cpio/cpio.h"
#include "mkimage/cpio/pack.h"
#include "mkimage/time32.h"

#define MAGIC "070701"
#define MAX_FILE UINT32_MAX
#define COPY_BYTES ((size_t)256 * 1024)
#define BLOCK_BYTES 512	     /* archives are whole blocks */
#define KERNEL_MAX_PATH 4095 /* Linux passes over what has a longer one */

/* What follows the magic number, each in 8 hexadecimal digits. */
enum field {
	FIELD_INO,
	FIELD_MODE,
	FIELD_UID,
	FIELD_GID,
	FIELD_LINKS,
	FIELD_MTIME,
	FIELD_SIZE,
	FIELD_DEV_MAJOR,
	FIELD_DEV_MINOR,
	FIELD_RDEV_MAJOR,
	FIELD_RDEV_MINOR,
	FIELD_NAME_SIZE, /* with the NUL */
	FIELD_CHECKSUM,	 /* of another dialect; 0 */
	NR_FIELDS
};
#define HEADER_BYTES (sizeof(MAGIC) - 1 + 8 * NR_FIELDS)

struct cpio {
	struct writer base;
	struct out *out;       /* borrowed */
	struct warnings *warn; /* borrowed */
	struct vc_outfile *spool;
	uint64_t spool_end;
	struct pack *pack;
	uint64_t pos;		 /* in the archive */
	struct node *file;	 /* whose contents come now */
	const struct tree *tree; /* during finish(); borrowed */
	uint8_t *buf;
	char path[TREE_MAX_PATH];
	uint32_t nr_inodes;
	uint64_t nr_data;
	/* what the format cannot say */
	uint64_t nr_xattrs;
	struct time32_losses times;
	uint64_t nr_deep; /* what the kernel will not unpack */
	struct tree_shown first_xattr;
};

static struct cpio *to_cpio(struct writer *w)
{
	return vc_container_of(w, struct cpio, base);
}

/* --- contents ------------------------------------------------------------- */

static int file_begin(struct writer *w, struct node *n, struct vc_error *err)
{
	struct cpio *c = to_cpio(w);

	if (n->size_bytes > MAX_FILE)
		return vc_fail(
			err, VC_E_LIMIT, 0,
			"its size, %llu bytes, is over the 4 GiB of cpio",
			(unsigned long long)n->size_bytes);
	n->ext.first.physical = c->spool_end;
	c->spool_end += n->size_bytes;
	c->file = n;
	return 0;
}

static int file_data(struct writer *w, uint64_t offset, const void *data,
		     size_t len, struct vc_error *err)
{
	struct cpio *c = to_cpio(w);

	c->nr_data += len;
	if (vc_pwrite_full(vc_outfile_get_fd(c->spool), data, len,
			   c->file->ext.first.physical + offset))
		return vc_fail(err, VC_E_SYS, errno, "temporary file: write");
	return 0;
}

static int file_end(struct writer *w, struct vc_error *err)
{
	(void)err;
	to_cpio(w)->file = NULL;
	return 0;
}

static void file_drop(struct writer *w, struct node *n)
{
	(void)w;
	(void)n; /* is not written */
}

static int file_read(struct writer *w, const struct node *n, uint64_t offset,
		     void *data, size_t len, struct vc_error *err)
{
	struct cpio *c = to_cpio(w);

	if (vc_pread_full(vc_outfile_get_fd(c->spool), data, len,
			  n->ext.first.physical + offset))
		return vc_fail(err, VC_E_SYS, errno, "temporary file: read");
	return 0;
}

/* --- the archive ---------------------------------------------------------- */

static int put(struct cpio *c, const void *data, size_t len,
	       struct vc_error *err)
{
	c->pos += len;
	return pack_write(c->pack, data, len, err);
}

static int pad(struct cpio *c, size_t to, struct vc_error *err)
{
	static const uint8_t zeroes[BLOCK_BYTES];

	return put(c, zeroes, (size_t)(vc_align_up(c->pos, to) - c->pos), err);
}

static int put_header(struct cpio *c, const uint32_t field[NR_FIELDS],
		      const char *name, struct vc_error *err)
{
	char text[HEADER_BYTES + 1];
	int i, at = snprintf(text, sizeof(text), MAGIC);

	for (i = 0; i < NR_FIELDS; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%08X",
			       field[i]);
	if (put(c, text, HEADER_BYTES, err) ||
	    put(c, name, strlen(name) + 1, err))
		return -1;
	return pad(c, 4, err);
}

static int put_contents(struct cpio *c, const struct node *n,
			struct vc_error *err)
{
	uint64_t pos, len;

	for (pos = 0; pos < n->size_bytes; pos += len) {
		len = vc_min_u64(n->size_bytes - pos, COPY_BYTES);
		if (file_read(&c->base, n, pos, c->buf, (size_t)len, err) ||
		    put(c, c->buf, (size_t)len, err))
			return -1;
	}
	return pad(c, 4, err);
}

static int put_entry(struct cpio *c, struct node *n, struct vc_error *err)
{
	const bool is_dev = n->type == NODE_CHAR || n->type == NODE_BLOCK;
	bool has_contents = n->type == NODE_SYMLINK;
	uint32_t field[NR_FIELDS] = { 0 };
	uint32_t size;

	if (!n->ext.first.logical++) {
		n->ino = ++c->nr_inodes;
		if (n->xset && !c->nr_xattrs++)
			c->first_xattr = tree_show(c->path);
	}
	if (n->type == NODE_FILE)
		has_contents = n->ext.first.logical == n->nr_links;
	size = has_contents ? (uint32_t)n->size_bytes : 0;
	field[FIELD_INO] = n->ino;
	field[FIELD_MODE] = node_format(n) | n->mode;
	field[FIELD_UID] = n->uid;
	field[FIELD_GID] = n->gid;
	field[FIELD_LINKS] =
		node_is_dir(n) ? 2 + n->dir->nr_subdirs : n->nr_links;
	field[FIELD_MTIME] = time32_get(&c->times, n->mtime);
	field[FIELD_SIZE] = size;
	field[FIELD_RDEV_MAJOR] = is_dev ? n->dev.major : 0;
	field[FIELD_RDEV_MINOR] = is_dev ? n->dev.minor : 0;
	field[FIELD_NAME_SIZE] = (uint32_t)strlen(c->path) + 1;
	if (put_header(c, field, c->path, err))
		return -1;
	if (n->type == NODE_SYMLINK)
		return put(c, n->target, size, err) ? -1 : pad(c, 4, err);
	return has_contents ? put_contents(c, n, err) : 0;
}

/* At most TREE_MAX_DEPTH deep; c->path, `len` long, leads to `dir`. */
static int put_dir(struct cpio *c, struct node *dir, size_t len,
		   struct vc_error *err)
{
	struct dent *d;
	size_t n;

	for (d = dir->dir->first; d; d = d->next) {
		if (!d->node)
			continue;
		n = len + (len > 0) + d->len;
		if (n >= sizeof(c->path))
			return vc_fail(err, VC_E_LIMIT, 0,
				       "entry '%s': its path is longer than %d "
				       "bytes",
				       tree_show_path(c->tree, d).s,
				       TREE_MAX_PATH - 1);
		c->nr_deep += n > KERNEL_MAX_PATH;
		if (len)
			c->path[len] = '/';
		memcpy(c->path + n - d->len, d->name, d->len);
		c->path[n] = '\0';
		if (put_entry(c, d->node, err) ||
		    (node_is_dir(d->node) && put_dir(c, d->node, n, err)))
			return -1;
	}
	return 0;
}

static int put_all(struct cpio *c, struct tree *t, struct vc_error *err)
{
	static const char trailer[] = "TRAILER!!!";
	static const uint32_t field[NR_FIELDS] = {
		[FIELD_LINKS] = 1,
		[FIELD_NAME_SIZE] = sizeof(trailer),
	};

	strcpy(c->path, ".");
	if (put_entry(c, t->root, err) || put_dir(c, t->root, 0, err))
		return -1;
	if (put_header(c, field, trailer, err))
		return -1;
	return pad(c, BLOCK_BYTES, err);
}

static int tell(struct cpio *c, struct vc_error *err)
{
	if (c->nr_xattrs &&
	    warn_add(c->warn, err,
		     "entry '%s' and %llu more: attributes left out: cpio has "
		     "none",
		     c->first_xattr.s, (unsigned long long)c->nr_xattrs - 1))
		return -1;
	if (time32_warn(&c->times, "cpio", c->warn, err))
		return -1;
	if (c->nr_deep &&
	    warn_add(c->warn, err,
		     "%llu paths of more than %d bytes: as an initramfs, the "
		     "kernel passes over them",
		     (unsigned long long)c->nr_deep, KERNEL_MAX_PATH))
		return -1;
	return 0;
}

static int finish(struct writer *w, struct tree *t, int64_t time,
		  struct writer_report *ret, struct vc_error *err)
{
	struct cpio *c = to_cpio(w);
	uint64_t size;

	(void)time;
	c->tree = t;
	/* there may be a hole at its end */
	if (ftruncate(vc_outfile_get_fd(c->spool), (off_t)c->spool_end) < 0)
		return vc_fail(err, VC_E_SYS, errno, "temporary file");
	if (put_all(c, t, err) || pack_finish(c->pack, &size, err) ||
	    tell(c, err))
		return -1;
	*ret = (struct writer_report){
		.size = size,
		.used = size,
		.data = c->nr_data,
		.nr_inodes = c->nr_inodes,
	};
	return 0;
}

static void cpio_free(struct writer *w)
{
	struct cpio *c = to_cpio(w);

	pack_free(c->pack);
	vc_outfile_abort(c->spool);
	free(c->buf);
	free(c);
}

static const struct writer_ops ops = {
	.name = "cpio",
	.file_begin = file_begin,
	.file_data = file_data,
	.file_end = file_end,
	.file_drop = file_drop,
	.finish = finish,
	.file_read = file_read,
	.free = cpio_free,
};

int cpio_new(struct out *out, const struct cpio_opts *opts,
	     struct warnings *warn, struct writer **ret, struct vc_error *err)
{
	struct cpio *c = calloc(1, sizeof(*c));

	if (!c)
		return vc_fail(err, VC_E_SYS, ENOMEM, "cpio");
	c->base.ops = &ops;
	c->out = out;
	c->warn = warn;
	c->buf = malloc(COPY_BYTES);
	if (!c->buf ||
	    pack_new(out_get_fd(out), opts->compress, opts->level, &c->pack,
		     err) ||
	    out_temp(out, &c->spool, err)) {
		if (!c->buf)
			vc_fail(err, VC_E_SYS, ENOMEM, "cpio");
		cpio_free(&c->base);
		return -1;
	}
	*ret = &c->base;
	return 0;
}
