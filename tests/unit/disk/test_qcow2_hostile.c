/* SPDX-License-Identifier: BSD-3-Clause */
/* Images made to do harm: each field out of its bounds, tables that point at
 * each other. None is believed, none is fatal. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/util.h>
#include "tests/lib/test.h"
#include "tests/unit/disk/image.h"

#define MIB (1024 * 1024)
/* Where image_create() puts things with 64 KiB clusters and 8 MiB. */
#define REFTABLE 0x10000u
#define REFBLOCK 0x20000u
#define L1 0x30000u
#define L2 0x40000u /* once something was written at 0 */
#define DATA 0x50000u

static struct vc_error err;
static struct image im;

static void set_up(void)
{
	image_create(&im, 8 * MIB, 65536, 16, 3, 1);
	image_open(&im, NULL);
	memset(im.model, 'x', 65536);
	ck_ok(vc_disk_write(im.disk, 0, im.model, 65536, &err), &err);
	image_close(&im);
}

static void tear_down(void)
{
	image_fini(&im);
}

static void put32(uint64_t offset, uint32_t v)
{
	be32_t be = be32_put(v);

	ck_assert_int_eq(vc_pwrite_full(im.fd, &be, 4, offset), 0);
}

static void put64(uint64_t offset, uint64_t v)
{
	be64_t be = be64_put(v);

	ck_assert_int_eq(vc_pwrite_full(im.fd, &be, 8, offset), 0);
}

static uint64_t get64(uint64_t offset)
{
	be64_t be;

	ck_assert_int_eq(vc_pread_full(im.fd, &be, 8, offset), 0);
	return be64_get(be);
}

static const struct {
	unsigned offset, bits;
	uint64_t value;
	enum vc_errc code;
	const char *text; /* part of the message */
} fields[] = {
	{ 0, 32, 0x514649fa, VC_E_CORRUPT, "not a qcow2 image" },
	{ 4, 32, 1, VC_E_UNSUPPORTED, "version 1" },
	{ 4, 32, 4, VC_E_UNSUPPORTED, "version 4" },
	{ 8, 64, UINT64_MAX, VC_E_CORRUPT, "backing_file" },
	{ 20, 32, 8, VC_E_CORRUPT, "cluster_bits" },
	{ 20, 32, 22, VC_E_CORRUPT, "cluster_bits" },
	{ 20, 32, 64, VC_E_CORRUPT, "cluster_bits" },
	{ 20, 32, UINT32_MAX, VC_E_CORRUPT, "cluster_bits" },
	{ 24, 64, UINT64_C(1) << 63, VC_E_LIMIT, "size" },
	{ 24, 64, UINT64_C(1) << 62, VC_E_CORRUPT, "l1_size" },
	{ 24, 64, UINT64_C(1) << 40, VC_E_CORRUPT, "l1_size" },
	{ 32, 32, 1, VC_E_UNSUPPORTED, "encrypted with AES" },
	{ 32, 32, 2, VC_E_UNSUPPORTED, "encrypted with LUKS" },
	{ 32, 32, 3, VC_E_CORRUPT, "crypt_method" },
	{ 36, 32, UINT32_MAX, VC_E_LIMIT, "l1_size" },
	{ 36, 32, 0, VC_E_CORRUPT, "l1_size" },
	{ 40, 64, 0, VC_E_CORRUPT, "l1_table_offset" },
	{ 40, 64, 0x30200, VC_E_CORRUPT, "l1_table_offset" },
	{ 40, 64, REFTABLE, VC_E_CORRUPT, "inside the refcount table" },
	{ 40, 64, UINT64_MAX & ~UINT64_C(65535), VC_E_CORRUPT, "l1_table" },
	{ 40, 64, UINT64_C(1) << 40, VC_E_CORRUPT, "beyond the end" },
	{ 48, 64, 0, VC_E_CORRUPT, "refcount_table_offset" },
	{ 48, 64, UINT64_C(1) << 55, VC_E_CORRUPT, "beyond the end" },
	{ 56, 32, 0, VC_E_CORRUPT, "refcount_table_clusters" },
	{ 56, 32, UINT32_MAX, VC_E_LIMIT, "refcount_table_clusters" },
	{ 60, 32, UINT32_MAX, VC_E_LIMIT, "nb_snapshots" },
	{ 60, 32, 65536, VC_E_CORRUPT, "snapshots_offset" },
	{ 72, 64, 4, VC_E_UNSUPPORTED, "external data file" },
	{ 72, 64, 8, VC_E_CORRUPT, "compression_type" },
	{ 72, 64, 32, VC_E_UNSUPPORTED, "unknown incompatible" },
	{ 72, 64, UINT64_C(1) << 63, VC_E_UNSUPPORTED, "bit 63" },
	{ 72, 64, 2, VC_E_CORRUPT, "marked as corrupt" },
	{ 96, 32, 7, VC_E_CORRUPT, "refcount_order" },
	{ 96, 32, UINT32_MAX, VC_E_CORRUPT, "refcount_order" },
	{ 100, 32, 96, VC_E_CORRUPT, "header_length" },
	{ 100, 32, 107, VC_E_CORRUPT, "header_length" },
	{ 100, 32, UINT32_MAX & ~7u, VC_E_CORRUPT, "header_length" },
	{ 104, 32, 0x01000000, VC_E_CORRUPT, "compression_type" },
	{ 104, 32, 0x05000000, VC_E_CORRUPT, "compression_type" },
	{ 112, 64, UINT64_C(0xe2792acaffffffff), VC_E_CORRUPT, "extension" },
	{ 112, 64, UINT64_C(0xe2792aca00000010), VC_E_CORRUPT, "backing form" },
	{ 112, 64, UINT64_C(0x2385287500000001), VC_E_CORRUPT, "bitmaps" },
	{ 112, 64, UINT64_C(0x0537be7700000001), VC_E_CORRUPT, "encryption" },
	{ 112, 64, UINT64_C(0x4441544100000000), VC_E_CORRUPT, "data file" },
};

START_TEST(refuses_field)
{
	int fd = fcntl(im.fd, F_DUPFD_CLOEXEC, 0);

	if (fields[_i].bits == 32)
		put32(fields[_i].offset, (uint32_t)fields[_i].value);
	else
		put64(fields[_i].offset, fields[_i].value);
	ck_fails(vc_disk_open_fd(fd, &im.open, NULL, &im.disk, &err), &err,
		 fields[_i].code);
	ck_assert_msg(strstr(err.msg, fields[_i].text) != NULL, "%s", err.msg);
	im.disk = NULL;
	close(fd);
}
END_TEST

/* Cut after each structure, and inside each. */
START_TEST(refuses_truncated)
{
	static const unsigned lengths[] = { 0,	    3,	     71,      72, 103,
					    0x8000, 0x10000, 0x18000, L1 };
	struct vc_disk_check chk = { 0 };

	ck_assert_int_eq(ftruncate(im.fd, lengths[_i]), 0);
	ck_fails(vc_disk_open_fd(im.fd, &im.open, NULL, &im.disk, &err), &err,
		 VC_E_CORRUPT);
	im.disk = NULL;
	ck_fails(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
		 &err, VC_E_CORRUPT);
}
END_TEST

/* A name of an extension or file, put where the header keeps it. */
static void put_name(uint32_t extension, const char *name)
{
	uint32_t len = (uint32_t)strlen(name);

	put32(112, extension);
	put32(116, len);
	ck_assert_int_eq(vc_pwrite_full(im.fd, name, len, 120), 0);
	put64(vc_align_up(120 + len, 8), 0);
}

/* An external data file is whatever the image's maker says: not opened, and
 * not even when that is allowed if it is not a file. */
START_TEST(data_file_needs_permission)
{
	static const char *const names[] = {
		"/etc/shadow", "/proc/kcore", "/dev/zero", "json:{}",
		"nbd://x/y",   "nothere",     "fd:0",	   "/sys/kernel/uevent"
	};
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_QCOW2 };
	char path[] = "/tmp/data-file-XXXXXX", all[0x60000];
	struct vc_disk_info *info = malloc(sizeof(*info));
	struct vc_disk *d;
	int fd = mkstemp(path);

	put64(72, 4);
	put_name(0x44415441, names[_i]);
	ck_assert(fd >= 0 && info);
	ck_assert_int_eq(vc_pread_full(im.fd, all, 0x50000, 0), 0);
	ck_assert_int_eq(vc_pwrite_full(fd, all, 0x50000, 0), 0);
	ck_ok(vc_disk_info_fd(fd, VC_DISK_FORMAT_QCOW2, info, &err), &err);
	ck_assert_str_eq(info->data_file, names[_i]);
	ck_fails(vc_disk_open(path, &oo, &d, &err), &err, VC_E_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.msg, "external data file"));
	ck_assert_ptr_nonnull(strstr(err.msg, names[_i]));
	if (_i) {
		oo.allow_backing = true;
		ck_assert_int_eq(vc_disk_open(path, &oo, &d, &err), -1);
		ck_assert_ptr_nonnull(strstr(err.msg, "external data file"));
	}
	free(info);
	unlink(path);
	close(fd);
}
END_TEST

/* A stream that would make far more than a cluster, one that makes too little,
 * and one that ends with the file: no more than a cluster is ever made. */
START_TEST(bomb_makes_one_cluster)
{
	struct vc_disk_compressor *c = NULL;
	size_t len = (size_t)(_i ? 4096 : 16 * MIB), n;
	uint8_t *big = calloc(1, len), packed[60000], buf[512];

	ck_assert_ptr_nonnull(big);
	ck_ok(vc_disk_compressor_new(VC_DISK_ZLIB, 9, &c, &err), &err);
	n = vc_disk_compress(c, big, len, packed, sizeof(packed));
	ck_assert_uint_gt(n, 0);
	vc_disk_compressor_free(c);
	free(big);
	ck_assert_int_eq(vc_pwrite_full(im.fd, packed, n, DATA), 0);
	put64(L2 + 8,
	      UINT64_C(0x4000000000000000) | UINT64_C(127) << 54 | DATA);
	image_open(&im, NULL);
	memset(buf, 1, sizeof(buf));
	if (_i) {
		ck_fails(vc_disk_read(im.disk, 65536, buf, 512, &err), &err,
			 VC_E_SYS);
		ck_assert_int_eq(err.sys, EIO);
	} else {
		ck_ok(vc_disk_read(im.disk, 65536, buf, 512, &err), &err);
		ck_assert_uint_eq(buf[511], 0);
	}
	im.disk = vc_disk_drop(im.disk);
}
END_TEST

/* Entries that must make a read or a write fail, and check complain. */
static const struct {
	unsigned where;
	uint64_t value;
	bool fails_reads;
} entries[] = {
	{ L1, UINT64_C(0x8000000000000000) | L1, true }, /* itself */
	{ L1, UINT64_C(0x8000000000000000) | REFTABLE, true },
	{ L1, UINT64_C(0x8000000000000001) | L2, true },
	{ L1, UINT64_C(0x8000000000000200) | L2, true },
	{ L1, UINT64_C(0xc000000000000000) | L2, true },
	{ L1, UINT64_C(0x8000400000000000), true }, /* far away */
	{ L2, UINT64_C(0x8000000000000000) | L1, true },
	{ L2, UINT64_C(0x8000000000000000) | REFTABLE, true },
	{ L2, UINT64_C(0x8000000000000200) | DATA, true },
	{ L2, UINT64_C(0xa000000000000000) | DATA, true },
	{ L2, UINT64_C(0x8000000000000002) | DATA, true },
	{ L2, UINT64_C(0x80fffffffff00000), true },
	{ L2, UINT64_C(0x7fffffffffffffff), true }, /* compressed, far away */
	{ L2, UINT64_C(0xc000000000050000), true }, /* compressed, copied */
	{ REFTABLE, REFTABLE | 1u, false },
	{ REFTABLE, UINT64_C(1) << 50, false },
	{ REFTABLE, REFTABLE, false }, /* itself */
	{ REFTABLE, 0, false },
};

/* Where a table of many entries that are all the same is put. */
#define MANY UINT64_C(0x100000)
#define NR_MANY (1u << 20)

static void put_many(uint64_t v)
{
	be64_t *all = malloc(NR_MANY * sizeof(*all));
	size_t i;

	ck_assert_ptr_nonnull(all);
	for (i = 0; i < NR_MANY; i++)
		all[i] = be64_put(v);
	ck_assert_int_eq(vc_pwrite_full(im.fd, all, NR_MANY * 8, MANY), 0);
	free(all);
}

static unsigned nr_repeated;

static void count_repeated(struct vc_disk_check *chk, bool is_leak,
			   const char *text)
{
	(void)chk;
	(void)is_leak;
	nr_repeated += strstr(text, "has it, too") != NULL;
}

/* A million L1 entries name one L2 table, which has data in every other cluster:
 * 2^33 extents, in a file of 10 MiB. */
START_TEST(repeated_l2_table_ends)
{
	struct vc_disk_check chk = { .report = count_repeated };
	uint64_t pos = 0, size = (uint64_t)NR_MANY << 29;
	struct vc_disk_extent e;
	unsigned i;

	for (i = 0; i < 8192; i += 2)
		put64(L2 + i * 8, UINT64_C(0x8000000000000000) | DATA);
	put_many(UINT64_C(0x8000000000000000) | L2);
	put64(24, size);
	put32(36, NR_MANY);
	put64(40, MANY);
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(nr_repeated, 1);
	im.open.writable = _i;
	im.opts.size_bytes = size;
	image_open(&im, NULL);
	while (pos < size) {
		if (vc_disk_map(im.disk, pos, UINT64_MAX, &e, &err) < 0)
			break;
		pos += e.length_bytes;
	}
	ck_assert_uint_le(pos, UINT64_C(1) << 29); /* not the second */
	ck_assert_int_eq(err.code, VC_E_CORRUPT);
	im.disk = vc_disk_drop(im.disk);
}
END_TEST

/* A million entries of the refcount table name one block. */
START_TEST(repeated_refcount_block_ends)
{
	struct vc_disk_check chk = { .report = count_repeated };

	put_many(REFBLOCK);
	put64(48, MANY);
	put32(56, NR_MANY * 8 / 65536);
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(nr_repeated, 1);
	chk = (struct vc_disk_check){ .repair = VC_DISK_REPAIR_LEAKS };
	ck_fails(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
		 &err, VC_E_CORRUPT);
	chk = (struct vc_disk_check){ .repair = VC_DISK_REPAIR_ALL };
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	image_check(&im);
}
END_TEST

START_TEST(survives_entry)
{
	struct vc_disk_check chk = { 0 };
	char buf[512];

	put64(entries[_i].where, entries[_i].value);
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_gt(chk.nr_corruptions, 0);
	image_open(&im, NULL);
	if (entries[_i].fails_reads)
		ck_fails(vc_disk_read(im.disk, 0, buf, sizeof(buf), &err), &err,
			 VC_E_SYS);
	else
		ck_fails(vc_disk_write(im.disk, 4 * MIB, buf, sizeof(buf),
				       &err),
			 &err, VC_E_SYS);
	/* no more harm once that was seen, and it is said in the header */
	ck_fails(vc_disk_write(im.disk, 0, buf, sizeof(buf), &err), &err,
		 VC_E_SYS);
	ck_fails(vc_disk_close(im.disk, &err), &err, VC_E_SYS);
	im.disk = NULL;
	ck_assert_uint_eq(get64(72) & 2, 2);
}
END_TEST

/* Refcounts that call metadata free must not get it overwritten. */
START_TEST(does_not_allocate_metadata)
{
	static const unsigned victims[] = { 0, 1, 2, 3, 4 };
	char buf[512] = "y";
	uint8_t before[65536], after[65536];
	struct vc_disk_check chk = { 0 };
	uint64_t at = victims[_i] * UINT64_C(65536);

	ck_assert_int_eq(pwrite(im.fd, "\0", 2, REFBLOCK + victims[_i] * 2), 2);
	ck_assert_int_eq(vc_pread_full(im.fd, before, sizeof(before), at), 0);
	image_open(&im, NULL);
	ck_fails(vc_disk_write(im.disk, 4 * MIB, buf, sizeof(buf), &err), &err,
		 VC_E_SYS);
	im.disk = vc_disk_drop(im.disk);
	ck_assert_int_eq(vc_pread_full(im.fd, after, sizeof(after), at), 0);
	if (at == 0) /* the corrupt bit */
		after[79] = before[79];
	if (victims[_i] != 2)
		ck_assert_mem_eq(before, after, sizeof(before));
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_gt(chk.nr_corruptions, 0);
}
END_TEST

/* What is no stream fails its own reads only. */
START_TEST(bad_stream_fails_alone)
{
	char buf[512];

	put64(L2 + 8, UINT64_C(0x4000000000000000) | DATA);
	image_open(&im, NULL);
	ck_fails(vc_disk_read(im.disk, 65536, buf, sizeof(buf), &err), &err,
		 VC_E_SYS);
	ck_assert_int_eq(err.sys, EIO);
	/* the rest of the disk is fine */
	ck_ok(vc_disk_read(im.disk, 0, buf, sizeof(buf), &err), &err);
	ck_assert_int_eq(buf[0], 'x');
	im.disk = vc_disk_drop(im.disk);
}
END_TEST

START_TEST(check_sees_wrong_counts)
{
	struct vc_disk_check chk = { 0 };

	/* cluster 5 is the data cluster, 6 is not in use */
	ck_assert_int_eq(pwrite(im.fd, "\0\0\0\1", 4, REFBLOCK + 10), 4);
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_leaks, 1);
	ck_assert_uint_eq(chk.nr_corruptions, 2); /* also 'copied' */
}
END_TEST

/* What check says of each: where it is and who refers to it. */
static const struct {
	unsigned where, bits;
	uint64_t value;
	const char *text;
} findings[] = {
	{ REFBLOCK, 16, 0,
	  "ERROR cluster 0 refcount=0 reference=1: refcount block 0x20000 "
	  "entry 0 (refcount table 0x10000 entry 0); referred to by the header "
	  "itself\n" },
	{ REFBLOCK + 2, 16, 2,
	  "Leaked cluster 1 refcount=2 reference=1: refcount block 0x20000 "
	  "entry 1 (refcount table 0x10000 entry 0); referred to by the header "
	  "(refcount table)\n" },
	{ REFBLOCK + 4, 16, 0,
	  " entry 0); referred to by refcount table 0x10000 entry 0\n" },
	{ REFBLOCK + 6, 16, 0,
	  " entry 0); referred to by the header (L1 table)\n" },
	{ REFBLOCK + 8, 16, 2,
	  "ERROR cluster 4 (an L2 table at offset 0x40000) 'copied' but "
	  "refcount=2: refcount block 0x20000 entry 4 (refcount table 0x10000 "
	  "entry 0); referred to by L1 table 0x30000 entry 0\n" },
	{ REFBLOCK + 10, 16, 0,
	  "ERROR cluster 5 refcount=0 reference=1: refcount block 0x20000 "
	  "entry 5 (refcount table 0x10000 entry 0); referred to by L2 table "
	  "0x40000 entry 0 (guest offset 0)\n" },
	{ REFBLOCK + 12, 16, 1,
	  "Leaked cluster 6 refcount=1 reference=0: refcount block 0x20000 "
	  "entry 6 (refcount table 0x10000 entry 0)\n" },
	{ L2, 64, DATA,
	  "ERROR cluster 5 (data at offset 0x50000) not 'copied' but "
	  "refcount=1: refcount block 0x20000 entry 5 (refcount table 0x10000 "
	  "entry 0); referred to by L2 table 0x40000 entry 0 (guest offset 0)"
	  "\n" },
	{ L2 + 8, 64, UINT64_C(0x8000000000000000) | L2,
	  "ERROR cluster 4 (offset 0x40000) is an L2 table and something else; "
	  "referred to by L1 table 0x30000 entry 0, L2 table 0x40000 entry 1 "
	  "(guest offset 0x10000)\n" },
	{ L2 + 16, 64, UINT64_C(0x8000000000000000) | L1,
	  "ERROR cluster 3 (offset 0x30000) is metadata and something else; "
	  "referred to by the header (L1 table), L2 table 0x40000 entry 2 "
	  "(guest offset 0x20000)\n" },
	{ L2 + 8, 64, UINT64_C(0x8000000000000200) | DATA,
	  "ERROR L2 table 0x40000 entry 1 (guest offset 0x10000): offset not "
	  "aligned: 0x8000000000050200\n" },
	{ L1, 64, UINT64_C(0x8000400000000000),
	  "ERROR L1 table 0x30000 entry 0: beyond the end of the file: "
	  "0x8000400000000000\n" },
	{ REFTABLE, 64, 0,
	  "ERROR cluster 5 refcount=0 reference=1: no refcount block (refcount "
	  "table 0x10000 entry 0); referred to by L2 table 0x40000 entry 0 "
	  "(guest offset 0)\n" },
	{ REFTABLE, 64, 0x12345,
	  "ERROR refcount table 0x10000 entry 0: bad offset: 0x12345\n" },
};

static char all_findings[8192];

static void note_finding(struct vc_disk_check *chk, bool is_leak,
			 const char *text)
{
	size_t n = strlen(all_findings);

	(void)chk;
	(void)is_leak;
	snprintf(all_findings + n, sizeof(all_findings) - n, "%s\n", text);
}

START_TEST(check_names_places)
{
	struct vc_disk_check chk = { .report = note_finding };
	be64_t be = be64_put(findings[_i].value << (64 - findings[_i].bits));

	ck_assert_int_eq(vc_pwrite_full(im.fd, &be, findings[_i].bits / 8,
					findings[_i].where),
			 0);
	all_findings[0] = '\0';
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_msg(strstr(all_findings, findings[_i].text) != NULL,
		      "not '%s' in '%s'", findings[_i].text, all_findings);
}
END_TEST

/* Of many that refer to one cluster, some are named. */
START_TEST(check_counts_places)
{
	struct vc_disk_check chk = { .report = note_finding };
	unsigned i;

	for (i = 1; i < 6; i++)
		put64(L2 + i * 8, UINT64_C(0x8000000000000000) | DATA);
	all_findings[0] = '\0';
	ck_ok(vc_disk_check_fd(im.fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_msg(strstr(all_findings,
			     "L2 table 0x40000 entry 2 (guest offset 0x20000) "
			     "and 3 more\n") != NULL,
		      "%s", all_findings);
	ck_assert_uint_eq(chk.nr_corruptions, 1);
}
END_TEST

static unsigned nr_places, nr_explained;

static void count_finding(struct vc_disk_check *chk, bool is_leak,
			  const char *text)
{
	(void)chk;
	ck_assert(!is_leak);
	/* some are explained, and come before the others */
	if (strstr(text, "referred to by")) {
		ck_assert_uint_eq(nr_explained, nr_places);
		nr_explained++;
	}
	nr_places++;
}

/* More than anybody wants to read: none is lost, nor counted twice. */
START_TEST(check_survives_many_findings)
{
	struct vc_disk_check quiet = { 0 };
	struct vc_disk_check chk = { .report = count_finding };
	struct image many;
	static const uint8_t none[512];
	be64_t table;

	image_create(&many, 8 * MIB, 512, 16, 3, 1);
	image_open(&many, NULL);
	memset(many.model, 'x', MIB);
	ck_ok(vc_disk_write(many.disk, 0, many.model, MIB, &err), &err);
	image_close(&many);
	ck_assert_int_eq(vc_pread_full(many.fd, &table, 8, 48), 0);
	ck_assert_int_eq(vc_pwrite_full(many.fd, none, sizeof(none),
					be64_get(table)),
			 0);
	ck_ok(vc_disk_check_fd(many.fd, VC_DISK_FORMAT_QCOW2, &quiet, &err),
	      &err);
	/* each is counted wrongly, and most are 'copied' */
	ck_assert_uint_gt(quiet.nr_corruptions, 4096);
	nr_places = nr_explained = 0;
	ck_ok(vc_disk_check_fd(many.fd, VC_DISK_FORMAT_QCOW2, &chk, &err),
	      &err);
	ck_assert_uint_eq(chk.nr_corruptions, quiet.nr_corruptions);
	ck_assert_uint_eq(nr_places, quiet.nr_corruptions);
	ck_assert_uint_ge(nr_explained, 1000);
	ck_assert_uint_lt(nr_explained, nr_places);
	image_fini(&many);
}
END_TEST

/* The corrupt bit is lifted by a check that finds nothing wrong, if asked. */
START_TEST(repair_verifies)
{
	put64(72, 2);
	im.open.repair = true;
	image_open(&im, NULL);
	image_close(&im);
	ck_assert_uint_eq(get64(72), 0);
	put64(72, 2);
	put64(REFTABLE, 0);
	ck_fails(vc_disk_open_fd(im.fd, &im.open, NULL, &im.disk, &err), &err,
		 VC_E_CORRUPT);
	im.disk = NULL;
	ck_assert_uint_eq(get64(72), 2);
}
END_TEST

/* With the dirty bit, refcounts are made anew: here there are none left. */
START_TEST(dirty_image_is_rebuilt)
{
	put64(72, 1);
	put64(REFTABLE, 0);
	image_open(&im, NULL);
	ck_assert_uint_eq(get64(72), 0);
	image_compare(&im);
	ck_ok(vc_disk_write(im.disk, 4 * MIB, im.model, 65536, &err), &err);
	memcpy(im.model + 4 * MIB, im.model, 65536);
	image_compare(&im);
	image_close(&im);
}
END_TEST

START_TEST(backing_needs_permission)
{
	struct vc_disk_open_opts oo = { .allow_backing = true };
	char dir[] = "/tmp/backing-XXXXXX", a[64], b[64];
	struct vc_disk_create_opts co = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = MIB,
					  .backing_format = "qcow2" };
	static const char *const names[] = { "b",	  "json:{}",
					     "nbd://x",	  "/proc/kcore",
					     "/dev/null", "nothere" };
	struct vc_disk *d;
	size_t i;
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	for (i = 0; i < VC_ARRAY_SIZE(names); i++) {
		unlink(a);
		fd = open(a, O_RDWR | O_CREAT | O_EXCL, 0600);
		ck_assert_int_ge(fd, 0);
		co.backing_file = names[i];
		ck_ok(vc_disk_create(fd, &co, &err), &err);
		close(fd);
		oo.allow_backing = false;
		ck_fails(vc_disk_open(a, &oo, &d, &err), &err,
			 VC_E_UNSUPPORTED);
		ck_assert_ptr_nonnull(strstr(err.msg, names[i]));
		oo.allow_backing = true;
		ck_assert_int_eq(vc_disk_open(a, &oo, &d, &err), -1);
	}
	/* and one that is all right */
	unlink(a);
	fd = open(a, O_RDWR | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	co.backing_file = "b";
	ck_ok(vc_disk_create(fd, &co, &err), &err);
	close(fd);
	fd = open(b, O_RDWR | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	co.backing_file = co.backing_format = NULL;
	ck_ok(vc_disk_create(fd, &co, &err), &err);
	close(fd);
	ck_ok(vc_disk_open(a, &oo, &d, &err), &err);
	vc_disk_drop(d);
	unlink(a);
	unlink(b);
	rmdir(dir);
}
END_TEST

/* --- chains -------------------------------------------------------------------- */

#define LONG_CHAIN 1000u

static char chain_dir[32];

static void link_name(char *buf, size_t size, unsigned i)
{
	snprintf(buf, size, "%s/%u", chain_dir, i);
}

/* Image `i`, over `backing`, or over nothing. */
static void make_link(unsigned i, int backing)
{
	char path[64], name[16];
	struct vc_disk_create_opts co = { .format = VC_DISK_FORMAT_QCOW2,
					  .size_bytes = MIB,
					  .cluster_bytes = 512 };
	int fd;

	link_name(path, sizeof(path), i);
	snprintf(name, sizeof(name), "%d", backing);
	if (backing >= 0) {
		co.backing_file = name;
		co.backing_format = "qcow2";
	}
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	ck_ok(vc_disk_create(fd, &co, &err), &err);
	close(fd);
}

static void begin_chain(void)
{
	strcpy(chain_dir, "/tmp/chain-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(chain_dir));
}

static void end_chain(unsigned nr)
{
	char path[64];

	while (nr--) {
		link_name(path, sizeof(path), nr);
		unlink(path);
	}
	rmdir(chain_dir);
}

static void refuse_chain(unsigned top)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_QCOW2,
					.allow_backing = true };
	struct vc_disk_check chk = { 0 };
	struct vc_disk_info *info = malloc(sizeof(*info));
	struct vc_disk *d;
	char path[64];
	int fd;

	link_name(path, sizeof(path), top);
	ck_fails(vc_disk_open(path, &oo, &d, &err), &err, VC_E_LIMIT);
	ck_assert_msg(strstr(err.msg, path) != NULL &&
			      strstr(err.msg, "backing chain: deeper than 64, "
					      "or a loop") != NULL,
		      "%s", err.msg);
	/* what opens nothing else has nothing to refuse */
	fd = open(path, O_RDONLY);
	ck_assert(fd >= 0 && info);
	ck_ok(vc_disk_info_fd(fd, VC_DISK_FORMAT_QCOW2, info, &err), &err);
	ck_ok(vc_disk_check_fd(fd, VC_DISK_FORMAT_QCOW2, &chk, &err), &err);
	ck_assert_uint_eq(chk.nr_corruptions, 0);
	close(fd);
	free(info);
}

/* A -> A */
START_TEST(refuses_own_backing)
{
	begin_chain();
	make_link(0, 0);
	refuse_chain(0);
	end_chain(1);
}
END_TEST

/* A -> B -> A */
START_TEST(refuses_loop)
{
	begin_chain();
	make_link(0, 1);
	make_link(1, 0);
	refuse_chain(0);
	refuse_chain(1);
	end_chain(2);
}
END_TEST

/* 64 are opened and read through, one more is too many, as are 1000. */
START_TEST(limits_depth)
{
	struct vc_disk_open_opts oo = { .format = VC_DISK_FORMAT_QCOW2,
					.allow_backing = true };
	struct vc_disk *d;
	char path[64], buf[512];
	unsigned i;

	begin_chain();
	for (i = 0; i < LONG_CHAIN; i++)
		make_link(i, (int)i - 1);
	link_name(path, sizeof(path), VC_DISK_MAX_DEPTH - 1);
	ck_ok(vc_disk_open(path, &oo, &d, &err), &err);
	ck_ok(vc_disk_read(d, 0, buf, sizeof(buf), &err), &err);
	vc_disk_drop(d);
	refuse_chain(VC_DISK_MAX_DEPTH);
	refuse_chain(LONG_CHAIN - 1);
	end_chain(LONG_CHAIN);
}
END_TEST

TEST_SUITE(suite_qcow2_hostile)
{
	Suite *s = suite_create("disk/qcow2 hostile");
	TCase *tc = test_case(s, "hostile");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, refuses_field, 0, VC_ARRAY_SIZE(fields));
	tcase_add_loop_test(tc, refuses_truncated, 0, 9);
	tcase_add_loop_test(tc, repeated_l2_table_ends, 0, 2);
	tcase_add_test(tc, repeated_refcount_block_ends);
	tcase_add_loop_test(tc, survives_entry, 0, VC_ARRAY_SIZE(entries));
	tcase_add_loop_test(tc, does_not_allocate_metadata, 0, 5);
	tcase_add_test(tc, bad_stream_fails_alone);
	tcase_add_loop_test(tc, data_file_needs_permission, 0, 8);
	tcase_add_loop_test(tc, bomb_makes_one_cluster, 0, 2);
	tcase_add_test(tc, check_sees_wrong_counts);
	tcase_add_test(tc, repair_verifies);
	tcase_add_test(tc, dirty_image_is_rebuilt);
	tcase_add_loop_test(tc, check_names_places, 0, VC_ARRAY_SIZE(findings));
	tcase_add_test(tc, check_counts_places);
	tcase_add_test(tc, check_survives_many_findings);
	tcase_add_test(tc, backing_needs_permission);
	tcase_add_test(tc, refuses_own_backing);
	tcase_add_test(tc, refuses_loop);
	tcase_add_test(tc, limits_depth);
	return s;
}
