/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file system that becomes larger than the room for descriptors it began with:
 * what happens behind 2 TiB, here with little room and little content.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "mkimage/ext4/fs.h"
#include "tests/lib/test.h"

#define NR_SMALL 400
#define LARGE_BYTES (UINT64_C(140) << 20) /* past the copy in group 1 */
#define SMALL_BYTES 9000

static struct vc_error err;
static char dir[] = "/tmp/mkimage-layout.XXXXXX", path[64];

struct image {
	struct out *out;
	struct writer *w;
	struct tree tree;
	struct writer_report report;
};

static void drop(void *opaque, struct node *n)
{
	struct writer *w = opaque;

	w->ops->file_drop(w, n);
}

/* With `head` blocks of descriptors to begin with, 0: as many as it wants. */
static void open_image(struct image *im, const struct ext4_opts *opts,
		       uint32_t head)
{
	const struct out_opts out = {
		.format = VC_DISK_FORMAT_RAW,
		.max_bytes = ext4_max_bytes(opts),
		.force = true,
	};

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/image", dir);
	ck_ok(tree_init(&im->tree, &err), &err);
	ck_ok(out_create(path, &out, &im->out, &err), &err);
	ck_ok(ext4_new(im->out, opts, &im->w, &err), &err);
	im->tree.drop = drop;
	im->tree.drop_opaque = im->w;
	if (head) {
		to_e4(im->w)->head_blocks = head + 1;
		e4_set_cursor(to_e4(im->w), 0);
	}
}

static void fill(uint8_t *block, unsigned file, uint64_t nr)
{
	uint64_t v = file * UINT64_C(1000003) + nr + 1;
	size_t i;

	for (i = 0; i < E4_BLOCK; i += sizeof(v))
		memcpy(block + i, &v, sizeof(v));
}

static void add_file(struct image *im, const char *name, unsigned file,
		     uint64_t bytes)
{
	const struct tree_meta meta = { .mode = 0644, .uid = file };
	uint8_t block[E4_BLOCK];
	struct tree_place place;
	struct node *n;
	uint64_t at;

	ck_ok(tree_walk(&im->tree, name, TREE_MAKE_PARENTS, &place, &err),
	      &err);
	ck_ok(tree_add(&im->tree, &place, NODE_FILE, &meta, &n, &err), &err);
	n->size_bytes = bytes;
	ck_ok(im->w->ops->file_begin(im->w, n, &err), &err);
	for (at = 0; at < bytes; at += E4_BLOCK) {
		fill(block, file, at / E4_BLOCK);
		ck_ok(im->w->ops->file_data(im->w, at, block,
					    vc_min_u64(bytes - at, E4_BLOCK),
					    &err),
		      &err);
	}
	ck_ok(im->w->ops->file_end(im->w, &err), &err);
}

static void check_file(struct image *im, const char *name, unsigned file,
		       uint64_t bytes)
{
	struct node *n = tree_find(&im->tree, name);
	uint8_t want[E4_BLOCK], have[E4_BLOCK];
	uint64_t at;
	size_t len;

	ck_assert_ptr_nonnull(n);
	ck_assert_uint_eq(n->size_bytes, bytes);
	for (at = 0; at < bytes; at += E4_BLOCK) {
		len = vc_min_u64(bytes - at, E4_BLOCK);
		fill(want, file, at / E4_BLOCK);
		ck_ok(im->w->ops->file_read(im->w, n, at, have, len, &err),
		      &err);
		ck_assert_mem_eq(want, have, len);
	}
}

/* Those of every image, with what they have. */
static void each(struct image *im,
		 void (*fn)(struct image *im, const char *name, unsigned file,
			    uint64_t bytes))
{
	char name[300];
	unsigned i;

	fn(im, "first", 1, SMALL_BYTES);
	for (i = 0; i < NR_SMALL; i++) {
		snprintf(name, sizeof(name), "d/%0200u", i);
		fn(im, name, 10 + i, SMALL_BYTES);
	}
	fn(im, "large", 3, LARGE_BYTES);
	fn(im, "goes", 4, SMALL_BYTES);
	fn(im, "last", 5, 1);
}

static void add_all(struct image *im)
{
	add_file(im, "goes", 2, 3 * SMALL_BYTES);
	each(im, add_file);
}

/* What e2fsck has nothing to say of. */
static void commit(struct image *im)
{
	char command[200];
	struct vc_outfile *file;

	ck_ok(out_finish(im->out, im->report.size, &err), &err);
	file = out_take_file(im->out);
	ck_ok(vc_outfile_commit_all(&file, 1, &err), &err);
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/sbin:/usr/sbin e2fsck -fn %s >&2", path);
	ck_assert_int_eq(system(command), 0);
}

static void finish(struct image *im, uint64_t nr_more)
{
	ck_ok(im->w->ops->finish(im->w, &im->tree, 1, &im->report, &err), &err);
	each(im, check_file);
	if (nr_more)
		check_file(im, "more", 6, nr_more * E4_BLOCK);
	commit(im);
}

static void close_image(struct image *im)
{
	im->w->ops->free(im->w);
	out_abort(im->out);
	tree_fini(&im->tree);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static unsigned nr_reserved(void)
{
	struct e4_super s;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, &s, sizeof(s), E4_SUPER_OFFSET), sizeof(s));
	close(fd);
	return le16_get(s.reserved_gdt_blocks);
}

START_TEST(an_automatic_size_outgrows_its_descriptors)
{
	const struct ext4_opts opts = {
		.room_bytes = 1 << 20,
		.journal_bytes = EXT4_JOURNAL_AUTO,
		.features.quota = true,
	};
	struct image im;

	open_image(&im, &opts, (uint32_t)_i);
	add_all(&im);
	finish(&im, 0);
	ck_assert_uint_ge(im.report.free, 1 << 20);
	/* descriptors for 2 TiB, as though it had begun so */
	ck_assert_uint_eq(nr_reserved(), 255);
	close_image(&im);
}
END_TEST

/* The metadata of so many names take the size over a step in what descriptors
 * it has to have: all of it is laid out twice. */
START_TEST(an_exact_size_is_laid_out_until_it_is_right)
{
	const struct ext4_opts opts = {
		.room_bytes = UINT64_MAX,
		.is_exact = true,
		.journal_bytes = EXT4_JOURNAL_AUTO,
		.features.quota = true,
	};
	struct image im;
	uint64_t nr_more;

	open_image(&im, &opts, 0);
	/* to 41,943 blocks two blocks of descriptors do */
	add_all(&im);
	nr_more = 41500 - to_e4(im.w)->nr_data;
	add_file(&im, "more", 6, nr_more * E4_BLOCK);
	finish(&im, nr_more);
	ck_assert_uint_gt(im.report.size / E4_BLOCK, 41943);
	ck_assert_uint_le(im.report.size / E4_BLOCK, 42900);
	ck_assert_uint_eq(im.report.free, 0);
	ck_assert_uint_eq(nr_reserved(), 2);
	close_image(&im);
}
END_TEST

/* One more block, and the length would say that there is nothing in it yet. */
START_TEST(long_extents_are_cut)
{
	static const uint32_t lens[] = { 32767, 32768, 32769, 65536, 65537 };
	static const uint32_t want[] = { 1, 1, 2, 2, 3 };
	uint8_t root[E4_IBLOCK];
	size_t i;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		const struct e4_extent *e = (void *)(root + 12);
		struct extents ext = { 0 };
		uint64_t sum = 0;
		uint32_t n;

		ck_assert_int_eq(extents_append(&ext, 7, 1000, lens[i], &err),
				 0);
		ck_assert_uint_eq(e4_count_extents(&ext), want[i]);
		e4_fill_block(root, &ext, NULL);
		for (n = 0; n < want[i]; n++) {
			ck_assert_uint_le(le16_get(e[n].len), 32768);
			ck_assert_uint_eq(le32_get(e[n].block), 7 + sum);
			ck_assert_uint_eq(le32_get(e[n].start_lo), 1000 + sum);
			sum += le16_get(e[n].len);
		}
		ck_assert_uint_eq(sum, lens[i]);
		extents_fini(&ext);
	}
}
END_TEST

/* Where mke2fs takes a larger one. */
START_TEST(journals_are_those_of_mke2fs)
{
	static const struct {
		uint64_t from, blocks;
	} steps[] = {
		{ 2048, 1024 },	      { 32768, 4096 },	    { 262144, 8192 },
		{ 524288, 16384 },    { 4194304, 32768 },   { 8388608, 65536 },
		{ 16777216, 131072 }, { 33554432, 262144 },
	};
	uint64_t before = 0;
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ck_assert_uint_eq(e4_journal_blocks(steps[i].from - 1), before);
		before = steps[i].blocks;
		ck_assert_uint_eq(e4_journal_blocks(steps[i].from), before);
	}
	ck_assert_uint_eq(e4_journal_blocks(UINT64_C(1) << 32), before);
}
END_TEST

/* An inode to a block of 16 TiB would be one more than 32 bits can count. */
START_TEST(inodes_have_32_bits)
{
	const struct ext4_opts opts = {
		.size_bytes = EXT4_MAX_BYTES,
		.inode_ratio = E4_BLOCK,
		.journal_bytes = EXT4_JOURNAL_AUTO,
	};
	const struct e4_geometry *g;
	struct image im;
	uint64_t nr;
	uint32_t head;

	open_image(&im, &opts, 0);
	to_e4(im.w)->nr_inodes = 20;
	ck_ok(e4_choose_geometry(to_e4(im.w), &head, &err), &err);
	g = &to_e4(im.w)->geo;
	ck_assert_uint_eq(g->nr_groups, 1u << 17);
	nr = (uint64_t)g->nr_groups * g->inodes_per_group;
	ck_assert_uint_le(nr, UINT32_MAX);
	ck_assert_uint_eq(nr, UINT64_C(0xfffe0000) - (15u << 17));
	im.w->ops->free(im.w);
	out_abort(im.out);
	tree_fini(&im.tree);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* More than 32 bits of sectors: contents that are there, of zeroes that nobody has
 * written. */
START_TEST(a_file_of_more_than_2_tib)
{
	const struct ext4_opts opts = {
		.size_bytes = UINT64_C(5) << 39,
		.journal_bytes = EXT4_JOURNAL_AUTO,
	};
	const uint32_t nr = (1u << 29) + 5;
	char command[300];
	struct image im;
	struct node *n;

	open_image(&im, &opts, 0);
	add_file(&im, "huge", 1, 0);
	n = tree_find(&im.tree, "huge");
	n->size_bytes = (uint64_t)nr * E4_BLOCK;
	ck_ok(e4_alloc_extents(to_e4(im.w), &n->ext, 0, nr, &err), &err);
	to_e4(im.w)->nr_data += nr;
	ck_ok(im.w->ops->finish(im.w, &im.tree, 1, &im.report, &err), &err);
	commit(&im);
	/* and the blocks of its map: 16,385 extents and those that are cut */
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/sbin:/usr/sbin debugfs -R 'stat /huge' %s |"
		 " grep -Ec ' Size: 2199023276032$|"
		 " Blockcount: 4294967[0-9]{3}$' | grep -qx 2",
		 path);
	ck_assert_int_eq(system(command), 0);
	close_image(&im);
}
END_TEST

TEST_SUITE(suite_layout)
{
	Suite *s = suite_create("layout");
	TCase *tc = test_case(s, "heads");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, an_automatic_size_outgrows_its_descriptors, 2,
			    4);
	tcase_add_test(tc, an_exact_size_is_laid_out_until_it_is_right);
	tcase_add_test(tc, long_extents_are_cut);
	tcase_add_test(tc, a_file_of_more_than_2_tib);
	tcase_add_test(tc, journals_are_those_of_mke2fs);
	tcase_add_test(tc, inodes_have_32_bits);
	return s;
}
