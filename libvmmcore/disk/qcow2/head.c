/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing a header back: what this program knows is rendered from the parsed
 * fields, everything else (unknown extensions, fields behind the known ones) is
 * kept byte by byte. The table of feature names goes when there is no room.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/bytes.h>
#include "disk/qcow2/edit.h"

static int add_ext(struct qc_head *head, uint32_t type, const void *data,
		   size_t len, struct vc_error *err)
{
	struct qc_head_ext *x = &head->exts[head->nr_exts];

	if (head->nr_exts == QC_MAX_EXTENSIONS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2 header: more than %d extensions",
			       QC_MAX_EXTENSIONS);
	x->data = malloc(len + 1);
	if (!x->data)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read header");
	if (len)
		memcpy(x->data, data, len);
	x->type = type;
	x->len = (uint32_t)len;
	head->nr_exts++;
	return 0;
}

static void remove_ext(struct qc_head *head, unsigned i)
{
	free(head->exts[i].data);
	head->nr_exts--;
	memmove(&head->exts[i], &head->exts[i + 1],
		(head->nr_exts - i) * sizeof(head->exts[0]));
}

int qc_head_set_ext(struct qc_head *head, uint32_t type, const void *data,
		    size_t len, struct vc_error *err)
{
	unsigned i = 0;

	while (i < head->nr_exts)
		if (head->exts[i].type == type)
			remove_ext(head, i);
		else
			i++;
	return data ? add_ext(head, type, data, len, err) : 0;
}

/* qc_header_parse() has been here before: nothing is out of bounds. */
static int take_extensions(struct qc_head *head, const uint8_t *buf, size_t len,
			   struct vc_error *err)
{
	struct vc_bytes c = vc_bytes_init(buf, len);
	uint32_t type, n;

	if (!vc_bytes_seek(&c, head->h.header_length))
		return 0;
	while (vc_bytes_get_be32(&c, &type) && type != QC_EXT_END) {
		const uint8_t *data;

		if (!vc_bytes_get_be32(&c, &n) ||
		    !(data = vc_bytes_view(&c, n)))
			break;
		if (add_ext(head, type, data, n, err) < 0)
			return -1;
		vc_bytes_skip(&c, -n & 7u);
	}
	head->old_len = c.pos + 4 + QC_MAX_BACKING_NAME;
	if (head->old_len > len)
		head->old_len = len;
	return 0;
}

int qc_head_load(struct qc_head *head, int fd, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(QC_MAX_HEADER_BYTES);
	uint64_t file_bytes;
	ssize_t n;

	memset(head, 0, sizeof(*head));
	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read header");
	if (disk_file_size(fd, &file_bytes, err) < 0)
		return -1;
	do
		n = pread(fd, buf, QC_MAX_HEADER_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "read header");
	if (qc_header_parse(buf, (size_t)n, file_bytes, &head->h, err) < 0)
		return -1;
	if (n > head->h.cluster_bytes)
		n = head->h.cluster_bytes;
	head->fixed_len = head->h.header_length;
	if (head->fixed_len < sizeof(struct qc_header_v3))
		head->fixed_len = sizeof(struct qc_header_v3);
	head->fixed = calloc(1, head->fixed_len);
	if (!head->fixed)
		return vc_fail(err, VC_E_SYS, ENOMEM, "read header");
	memcpy(head->fixed, buf, head->h.header_length);
	return take_extensions(head, buf, (size_t)n, err);
}

void qc_head_fini(struct qc_head *head)
{
	while (head->nr_exts)
		remove_ext(head, head->nr_exts - 1);
	free(head->fixed);
	head->fixed = NULL;
}

/* --- rendering --------------------------------------------------------------- */

struct out {
	uint8_t *buf;
	size_t size, pos;
	bool is_full;
};

static void put(struct out *o, const void *data, size_t len)
{
	if (o->size - o->pos < len) {
		o->is_full = true;
		return;
	}
	if (len)
		memcpy(o->buf + o->pos, data, len);
	o->pos += len;
}

static void put_ext(struct out *o, uint32_t type, const void *data, size_t len)
{
	static const uint8_t zeroes[8];
	struct qc_extension e = { be32_put(type), be32_put((uint32_t)len) };

	put(o, &e, sizeof(e));
	put(o, data, len);
	put(o, zeroes, -len & 7u);
}

static void put_bitmaps(struct out *o, const struct qc_header *h)
{
	struct qc_bitmaps_ext e = { be32_put(h->nr_bitmaps), be32_put(0),
				    be64_put(h->bitmap_dir_bytes),
				    be64_put(h->bitmap_dir_offset) };

	if (h->nr_bitmaps)
		put_ext(o, QC_EXT_BITMAPS, &e, sizeof(e));
}

static bool has_ext(const struct qc_head *head, uint32_t type)
{
	unsigned i;

	for (i = 0; i < head->nr_exts; i++)
		if (head->exts[i].type == type)
			return true;
	return false;
}

static void put_extensions(struct out *o, const struct qc_head *head,
			   bool with_names)
{
	const struct qc_header *h = &head->h;
	size_t format = strlen(h->backing_format);
	unsigned i;

	if (format)
		put_ext(o, QC_EXT_BACKING_FORMAT, h->backing_format, format);
	if (format && has_ext(head, QC_EXT_CROSVM_BACKING_FORMAT))
		put_ext(o, QC_EXT_CROSVM_BACKING_FORMAT, h->backing_format,
			format);
	for (i = 0; i < head->nr_exts; i++) {
		const struct qc_head_ext *x = &head->exts[i];

		if (x->type == QC_EXT_BACKING_FORMAT ||
		    x->type == QC_EXT_CROSVM_BACKING_FORMAT ||
		    x->type == QC_EXT_BITMAPS ||
		    (x->type == QC_EXT_FEATURE_NAMES && !with_names))
			continue;
		put_ext(o, x->type, x->data, x->len);
	}
	put_bitmaps(o, h);
	put_ext(o, QC_EXT_END, NULL, 0);
}

static void render_fixed(const struct qc_head *head, struct qc_header_v3 *d)
{
	const struct qc_header *h = &head->h;

	memcpy(d, head->fixed, sizeof(*d));
	d->v2.version = be32_put(h->version);
	d->v2.backing_offset = be64_put(0);
	d->v2.backing_size = be32_put(0);
	d->v2.size = be64_put(h->size);
	d->v2.l1_size = be32_put(h->l1_size);
	d->v2.l1_offset = be64_put(h->l1_offset);
	d->v2.reftable_offset = be64_put(h->reftable_offset);
	d->v2.reftable_clusters = be32_put(h->reftable_clusters);
	d->v2.nr_snapshots = be32_put(h->nr_snapshots);
	d->v2.snapshots_offset = be64_put(h->snapshots_offset);
	d->incompatible = be64_put(h->incompatible);
	d->compatible = be64_put(h->compatible);
	d->autoclear = be64_put(h->autoclear);
	d->refcount_order = be32_put(h->refcount_order);
}

static int render(const struct qc_head *head, struct out *o, bool with_names)
{
	const struct qc_header *h = &head->h;
	size_t name = strlen(h->backing_file), length = head->fixed_len;
	struct qc_header_v3 d;

	memset(o->buf, 0, o->size);
	o->pos = 0;
	o->is_full = false;
	render_fixed(head, &d);
	if (h->version == 2)
		length = sizeof(d.v2);
	d.header_length = be32_put((uint32_t)length);
	put(o, head->fixed, length);
	put_extensions(o, head, with_names);
	if (name) {
		d.v2.backing_offset = be64_put(o->pos);
		d.v2.backing_size = be32_put((uint32_t)name);
		put(o, h->backing_file, name);
	}
	if (o->is_full)
		return -1;
	memcpy(o->buf, &d, length < sizeof(d) ? length : sizeof(d));
	return 0;
}

int qc_head_write(const struct qc_head *head, int fd, struct vc_error *err)
{
	size_t size = vc_min_u64(head->h.cluster_bytes, QC_MAX_HEADER_BYTES);
	vc_auto_free uint8_t *buf = malloc(size);
	struct out o = { buf, size, 0, false };

	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "write header");
	if (render(head, &o, true) < 0 && render(head, &o, false) < 0)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "qcow2 header: no room in a cluster of %u bytes",
			       head->h.cluster_bytes);
	/* what was longer before is overwritten with zeroes */
	if (vc_pwrite_full(fd, buf,
			   o.pos > head->old_len ? o.pos : head->old_len,
			   0) < 0)
		return vc_fail(err, VC_E_SYS, errno, "write header");
	return 0;
}
