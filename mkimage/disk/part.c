/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything begins at a multiple of 1 MiB:
 *
 *	| MBR, GPT | ESP | further ones ... | root | GPT |
 *
 * The GUIDs are made from the identity of the root file system and the place in
 * the table, so the same input gives the same disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/kv.h>
#include "mkimage/bytes.h"
#include "mkimage/disk/part.h"
#include "mkimage/hash.h"

#define COPY_BYTES ((size_t)1024 * 1024)

/* --- types ---------------------------------------------------------------- */

/* The Discoverable Partitions Specification, and three more. A machine that finds
 * one of those with is_mounted mounts it, and does not start if it cannot. */
static const struct {
	const char *name, *guid;
	bool is_mounted;
} types[] = {
	{ "root-x86-64", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", false },
	{ "root-arm64", "b921b045-1df0-41c3-af44-4c6f280d3fae", false },
	{ "root-riscv64", "72ec70a6-cf74-40e6-bd49-4bda08e8f224", false },
	{ "root-x86", "44479540-f297-41b2-9af7-d131d5f0458a", false },
	{ "root-arm", "69dad710-2ce4-4e3c-b16c-21a1d49abed3", false },
	{ "root-loongarch64", "77055800-792c-4f94-b39a-98c91b762bb6", false },
	{ "root-ppc64-le", "c31c45e6-3f39-412e-80fb-4809c4980599", false },
	{ "root-s390x", "5eead9a9-fe09-4a1e-a1d7-520d00531306", false },
	{ "usr-x86-64", "8484680c-9521-48c6-9c11-b0720656f69e", false },
	{ "usr-arm64", "b0e01050-ee5f-4390-949a-9101b17104e9", false },
	{ "usr-riscv64", "beaec34b-8442-439b-a40b-984381ed097d", false },
	{ "home", "933ac7e1-2eb4-4f13-b844-0e14e2aef915", true },
	{ "srv", "3b8f8425-20e0-4f3b-907f-1a25a76f98e8", true },
	{ "var", "4d21b016-b534-45c2-a9fb-5c16e091fd2d", true },
	{ "tmp", "7ec6f557-3bc5-4aca-b293-16ef5df639d1", true },
	{ "swap", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", true },
	{ "esp", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", false },
	{ "xbootldr", "bc13c2ff-59e6-4262-a352-b275fd6f7172", false },
	{ "linux", "0fc63daf-8483-4772-8e79-3d69d8477de4", false },
	{ "bios-boot", "21686148-6449-6e6f-744e-656564454649", false },
};

/* Of the types that have one, bit 63: not to be mounted without being told to. */
#define ATTRIBUTE_NO_AUTO (UINT64_C(1) << 63)

static bool is_mounted_when_found(const struct vc_guid *type)
{
	char text[VC_GUID_TEXT];
	size_t i;

	vc_guid_format(type, text);
	for (i = 0; i < VC_ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].guid, text))
			return types[i].is_mounted;
	return false;
}

static int parse_type(const char *text, struct vc_guid *ret,
		      struct vc_error *err)
{
	char shown[100];
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, text))
			return vc_guid_parse(types[i].guid, ret, err);
	if (!vc_guid_parse(text, ret, err))
		return 0;
	vc_printable(text, shown, sizeof(shown));
	return vc_fail(err, VC_E_ARG, 0,
		       "type '%s': neither a GUID nor root-x86-64, esp, home, "
		       "swap, linux or another of mkimage(1)",
		       shown);
}

/* --- options -------------------------------------------------------------- */

void part_opts_init(struct part_opts *o)
{
	*o = (struct part_opts){ 0 };
	fat_init(&o->files);
}

static void spec_fini(struct part_spec *p)
{
	free(p->name);
	free(p->file);
}

void part_opts_fini(struct part_opts *o)
{
	unsigned i;

	for (i = 0; i < o->nr_more; i++)
		spec_fini(&o->more[i]);
	free(o->more);
	spec_fini(&o->root);
	spec_fini(&o->esp);
	fat_fini(&o->files);
	part_opts_init(o);
}

struct spec_text {
	char *name, *type, *file, *guid;
	uint64_t size;
};

static int fill_spec(struct part_spec *p, struct spec_text *t,
		     struct vc_error *err)
{
	if (t->size > PART_MAX_BYTES)
		return vc_fail(err, VC_E_ARG, 0, "size: more than 16T");
	if (t->type && parse_type(t->type, &p->type, err))
		return -1;
	if (t->guid && vc_guid_parse(t->guid, &p->guid, err))
		return vc_prefix(err, "guid");
	if (t->guid && vc_guid_is_nil(&p->guid))
		return vc_fail(err, VC_E_ARG, 0, "guid: the nil GUID is none");
	p->size_bytes = vc_align_up(t->size, PART_ALIGN);
	p->name = vc_steal_ptr(&t->name);
	p->file = vc_steal_ptr(&t->file);
	return 0;
}

static int add_more(struct part_opts *o, struct spec_text *t,
		    struct vc_error *err)
{
	struct part_spec *more, p = { .type = VC_GPT_TYPE_LINUX };

	if (!t->size && !t->file)
		return vc_fail(err, VC_E_ARG, 0,
			       "neither a size nor a file for it");
	if (o->nr_more == PART_MAX)
		return vc_fail(err, VC_E_ARG, 0, "more than %d partitions",
			       PART_MAX);
	more = realloc(o->more, (o->nr_more + 1) * sizeof(*more));
	if (!more)
		return vc_fail(err, VC_E_SYS, ENOMEM, "partitions");
	o->more = more;
	if (fill_spec(&p, t, err))
		return -1;
	o->more[o->nr_more++] = p;
	return 0;
}

static int add_known(struct part_opts *o, struct part_spec *p,
		     struct spec_text *t, struct vc_error *err)
{
	if (p->name)
		return vc_fail(err, VC_E_ARG, 0, "'%s' twice", t->name);
	if (t->file)
		return vc_fail(err, VC_E_ARG, 0, "file: not for '%s'", t->name);
	if (p == &o->root && t->size)
		return vc_fail(err, VC_E_ARG, 0,
			       "size: that of the root is by --size");
	o->has_esp |= p == &o->esp;
	return fill_spec(p, t, err);
}

static int add_text(struct part_opts *o, struct spec_text *t,
		    struct vc_error *err)
{
	if (!t->name || !*t->name)
		return vc_fail(err, VC_E_ARG, 0, "no name");
	if (!strcmp(t->name, "root"))
		return add_known(o, &o->root, t, err);
	if (!strcmp(t->name, "esp"))
		return add_known(o, &o->esp, t, err);
	return add_more(o, t, err);
}

int part_add(struct part_opts *o, const char *text, struct vc_error *err)
{
	static const struct vc_kv_key keys[] = {
		{ .name = "name",
		  .type = VC_KV_STRING,
		  .offset = offsetof(struct spec_text, name) },
		{ .name = "type",
		  .type = VC_KV_STRING,
		  .offset = offsetof(struct spec_text, type) },
		{ .name = "size",
		  .type = VC_KV_SIZE,
		  .offset = offsetof(struct spec_text, size) },
		{ .name = "file",
		  .type = VC_KV_STRING,
		  .offset = offsetof(struct spec_text, file) },
		{ .name = "guid",
		  .type = VC_KV_STRING,
		  .offset = offsetof(struct spec_text, guid) },
	};
	struct spec_text t = { 0 };
	int rc;

	o->is_wanted = true;
	if (vc_kv_parse(text, keys, VC_ARRAY_SIZE(keys), &t, NULL, err))
		return -1;
	rc = add_text(o, &t, err);
	free(t.name);
	free(t.type);
	free(t.file);
	free(t.guid);
	return rc;
}

int part_add_esp(struct part_opts *o, const char *text, struct vc_error *err)
{
	const char *colon = strrchr(text, ':');
	vc_auto_free char *host = NULL;

	o->is_wanted = o->has_esp = true;
	if (!colon)
		return fat_add(&o->files, text, "", err);
	host = strndup(text, (size_t)(colon - text));
	if (!host)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ESP");
	return fat_add(&o->files, host, colon + 1, err);
}

/* --- places --------------------------------------------------------------- */

static int look_at_file(struct part_spec *p, struct vc_error *err)
{
	struct stat st;

	if (stat(p->file, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': read", p->file);
	if (!S_ISREG(st.st_mode))
		return vc_fail(err, VC_E_ARG, 0, "'%s': not a file", p->file);
	p->file_bytes = (uint64_t)st.st_size;
	if (!p->file_bytes || p->file_bytes > PART_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0, "'%s': empty, or over 16T",
			       p->file);
	if (!p->size_bytes)
		p->size_bytes = vc_align_up(p->file_bytes, PART_ALIGN);
	if (p->size_bytes < p->file_bytes)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "'%s': larger than its partition", p->file);
	return 0;
}

static int place(struct part_spec *p, uint64_t *at, struct vc_error *err)
{
	p->start_bytes = *at;
	*at += p->size_bytes;
	if (*at > PART_MAX_BYTES)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "partitions: more than 16T of them");
	return 0;
}

static int set_default(struct part_spec *p, const char *name, const char *type,
		       struct vc_error *err)
{
	if (!p->name)
		p->name = strdup(name);
	if (!p->name)
		return vc_fail(err, VC_E_SYS, ENOMEM, "partitions");
	return type && vc_guid_is_nil(&p->type)
		       ? parse_type(type, &p->type, err)
		       : 0;
}

int part_set_machine(struct part_opts *o, enum machine machine,
		     struct vc_error *err)
{
	char type[32];

	if (machine == MACHINE_UNKNOWN)
		machine = MACHINE_X86_64;
	snprintf(type, sizeof(type), "root-%s", machine_names[machine]);
	return set_default(&o->root, "root", type, err);
}

int part_place(struct part_opts *o, uint64_t *ret_root_bytes,
	       struct vc_error *err)
{
	uint64_t at = PART_ALIGN;
	unsigned i;

	*ret_root_bytes = 0;
	if (!o->is_wanted)
		return 0;
	if (set_default(&o->root, "root", NULL, err) ||
	    set_default(&o->esp, "esp", "esp", err))
		return -1;
	if (o->has_esp) {
		if (!o->esp.size_bytes)
			o->esp.size_bytes = fat_auto_bytes(&o->files);
		if (place(&o->esp, &at, err))
			return -1;
	}
	for (i = 0; i < o->nr_more; i++)
		if ((o->more[i].file && look_at_file(&o->more[i], err)) ||
		    place(&o->more[i], &at, err))
			return -1;
	o->root.start_bytes = at;
	*ret_root_bytes = at;
	return 0;
}

uint64_t part_root_size(uint64_t disk_bytes, uint64_t root_bytes)
{
	uint64_t end = disk_bytes / PART_ALIGN * PART_ALIGN;

	if (disk_bytes - end < VC_GPT_TAIL_BYTES)
		end = end < PART_ALIGN ? 0 : end - PART_ALIGN;
	return end > root_bytes ? end - root_bytes : 0;
}

uint64_t part_disk_size(uint64_t root_bytes, uint64_t fs_bytes)
{
	return vc_align_up(root_bytes + fs_bytes, PART_ALIGN) + PART_ALIGN;
}

/* --- contents ------------------------------------------------------------- */

struct esp_out {
	struct out *out;
	uint64_t start;
};

static int write_esp(void *opaque, uint64_t offset, const void *data,
		     size_t len, struct vc_error *err)
{
	struct esp_out *e = opaque;

	return out_disk_pwrite(e->out, e->start + offset, data, len, err);
}

static int copy_file(const struct part_spec *p, struct out *out,
		     struct vc_error *err)
{
	vc_auto_fd int fd = open(p->file, O_RDONLY | O_CLOEXEC);
	vc_auto_free uint8_t *buf = malloc(COPY_BYTES);
	uint64_t pos, len;
	off_t data;

	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': read", p->file);
	if (!buf)
		return vc_fail(err, VC_E_SYS, ENOMEM, "partitions");
	for (pos = 0; pos < p->file_bytes; pos += len) {
		data = lseek(fd, (off_t)pos, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		if (data > 0)
			pos = (uint64_t)data / COPY_BYTES * COPY_BYTES;
		len = vc_min_u64(p->file_bytes - pos, COPY_BYTES);
		if (vc_pread_full(fd, buf, (size_t)len, pos))
			return vc_fail(err, VC_E_SYS, errno, "'%s': read",
				       p->file);
		if (!is_all_zero(buf, (size_t)len) &&
		    out_disk_pwrite(out, p->start_bytes + pos, buf, (size_t)len,
				    err))
			return -1;
	}
	return 0;
}

/* --- the table ------------------------------------------------------------ */

static void derive(uint64_t identity, unsigned nr, struct vc_guid *ret)
{
	const struct {
		le64_t identity, nr;
	} of = { le64_put(identity), le64_put(nr) };

	vc_guid_derive(&of, sizeof(of), ret);
}

static void add_part(struct vc_gpt_part *to, const struct part_spec *p,
		     uint64_t identity, unsigned nr, uint64_t end_bytes)
{
	*to = (struct vc_gpt_part){
		.type = p->type,
		.guid = p->guid,
		.first_lba = p->start_bytes / VC_GPT_SECTOR,
		.last_lba = end_bytes / VC_GPT_SECTOR - 1,
		.label = p->name,
	};
	if (vc_guid_is_nil(&to->guid))
		derive(identity, nr, &to->guid);
	/* there is nothing in it that could be mounted */
	if (p->size_bytes && !p->file && is_mounted_when_found(&p->type))
		to->attributes = ATTRIBUTE_NO_AUTO;
}

static int write_table(const struct part_opts *o, struct out *out,
		       uint64_t disk_bytes, uint64_t identity,
		       struct vc_error *err)
{
	struct vc_gpt_part parts[PART_MAX + 2];
	struct vc_gpt gpt = {
		.nr_sectors = disk_bytes / VC_GPT_SECTOR,
		.parts = parts,
	};
	const uint64_t root_end =
		o->root.start_bytes +
		part_root_size(disk_bytes, o->root.start_bytes);
	uint8_t head[VC_GPT_HEAD_BYTES], tail[VC_GPT_TAIL_BYTES];
	const struct part_spec *p;
	unsigned i, nr = 0;

	derive(identity, 0, &gpt.disk_guid);
	for (i = 0; i < o->nr_more + 2; i++) {
		p = i ? i <= o->nr_more ? &o->more[i - 1] : &o->root : &o->esp;
		if (p == &o->esp && !o->has_esp)
			continue;
		add_part(&parts[nr], p, identity, nr + 1,
			 p == &o->root ? root_end
				       : p->start_bytes + p->size_bytes);
		nr++;
	}
	gpt.nr_parts = nr;
	if (vc_gpt_render(&gpt, head, tail, err) ||
	    out_disk_pwrite(out, disk_bytes - sizeof(tail), tail, sizeof(tail),
			    err))
		return -1;
	return out_disk_pwrite(out, 0, head, sizeof(head), err);
}

int part_write(struct part_opts *o, struct out *out, uint64_t disk_bytes,
	       uint64_t identity, int64_t time, struct vc_error *err)
{
	struct esp_out esp = { out, o->esp.start_bytes };
	const struct fat_out to = { write_esp, &esp };
	unsigned i;

	if (o->has_esp && fat_write(&o->files, o->esp.size_bytes,
				    (uint32_t)identity, time, &to, err))
		return vc_prefix(err, "ESP");
	for (i = 0; i < o->nr_more; i++)
		if (o->more[i].file && copy_file(&o->more[i], out, err))
			return -1;
	return write_table(o, out, disk_bytes, identity, err);
}
