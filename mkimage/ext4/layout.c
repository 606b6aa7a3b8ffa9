/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large the file system is, and where bitmaps and inode tables lie.
 *
 * All of it is computed from where the cursor stands when everything but these
 * is laid out. A size is tried by placing the tables without writing anything,
 * and says how much room descriptors have to have: if that is more than there
 * is, all is laid out once more. A file system of automatic size grows by a
 * group until the tables fit and the wanted room is left, one of a given size
 * makes do with fewer spare inodes and a smaller journal before it gives up.
 */
#include <errno.h>
#include <string.h>
#include "mkimage/ext4/fs.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MAX_BLOCKS (EXT4_MAX_BYTES / E4_BLOCK)
#define MAX_RESERVED 1024u /* of a resize inode */
#define GROWTH 100u	   /* it is to be grown so many times */
/* and one of automatic size has descriptors for as much in any case */
#define AUTO_BYTES (UINT64_C(2) << 40)
#define LAST_GROUP_MIN 50u /* blocks it must have beyond its tables */

static uint8_t full[E4_BLOCK]; /* all ones: shared by all groups in full use */

static uint32_t groups_of(uint64_t blocks)
{
	return (uint32_t)vc_div_round_up(blocks, E4_GROUP_BLOCKS);
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint32_t desc_blocks_of(uint64_t blocks)
{
	return (uint32_t)vc_div_round_up(groups_of(blocks), E4_BLOCK_DESCS);
}

/* Descriptor blocks and the room for more of them, without the superblock. The
 * same whether the size is given or found: so an exact size, given the next
 * time, makes the same image. */
static uint32_t head_of(uint64_t blocks)
{
	const uint32_t now = desc_blocks_of(blocks);
	const uint64_t grown = vc_min_u64(blocks * GROWTH, MAX_BLOCKS);
	const uint64_t most =
		vc_min_u64(desc_blocks_of(grown), now + MAX_RESERVED);

	return (uint32_t)max_u64(most, now + 1);
}

static bool is_auto(const struct ext4_opts *o)
{
	return !o->size_bytes && !o->is_exact;
}

static uint32_t auto_head_of(uint64_t blocks)
{
	return (uint32_t)max_u64(head_of(blocks),
				 desc_blocks_of(AUTO_BYTES / E4_BLOCK));
}

/* The free space of an automatic size, in blocks. */
static uint64_t room_of(const struct ext4_opts *o, uint64_t used)
{
	return o->room_bytes == UINT64_MAX
		       ? max_u64(GIB / E4_BLOCK, used / 2)
		       : vc_div_round_up(o->room_bytes, E4_BLOCK);
}

uint32_t e4_first_head(const struct ext4_opts *opts)
{
	return is_auto(opts) ? auto_head_of(room_of(opts, 0)) : head_of(1);
}

uint32_t e4_guess_head(const struct e4 *fs)
{
	const struct ext4_opts *o = &fs->opts;
	const uint64_t least =
		fs->nr_data + fs->nr_inodes / E4_BLOCK_INODES + 1;

	if (o->size_bytes)
		return head_of(o->size_bytes / E4_BLOCK);
	return o->is_exact ? head_of(least)
			   : auto_head_of(least + room_of(o, least));
}

/* --- trying sizes -------------------------------------------------------- */

/* Place bitmaps and tables from `at` on; false when they do not fit. With
 * `groups`, tell where. */
static bool place(const struct e4 *fs, const struct e4_geometry *g, uint64_t at,
		  struct e4_group *groups)
{
	uint32_t first, i, n;
	uint64_t start;

	for (first = 0; first < g->nr_groups; first += n) {
		n = g->nr_groups - first;
		if (n > E4_FLEX_GROUPS)
			n = E4_FLEX_GROUPS;
		start = (uint64_t)first * E4_GROUP_BLOCKS;
		if (at < start)
			at = start;
		at = e4_fit(fs, at, 2 * n);
		for (i = 0; groups && i < n; i++) {
			groups[first + i].block_bitmap = at + i;
			groups[first + i].inode_bitmap = at + n + i;
		}
		at += 2 * n;
		for (i = 0; i < n; i++) {
			at = e4_fit(fs, at, g->table_blocks);
			if (groups)
				groups[first + i].inode_table = at;
			at += g->table_blocks;
		}
		if (at > g->nr_blocks)
			return false;
	}
	return true;
}

/* The resize inode's block and, where the journal that ends at `end` is in more
 * pieces than its inode can say, the map of these. */
static uint64_t extra_blocks(const struct e4 *fs, const struct e4_geometry *g,
			     uint64_t end)
{
	uint64_t over = end - fs->next - g->journal_blocks, pieces;

	pieces = 1 + over / fs->head_blocks +
		 vc_div_round_up(g->journal_blocks, E4_MAX_EXTENT_LEN);
	return pieces <= E4_ROOT_EXTENTS ? 1 : 8;
}

/* How many there are when all is placed, never more than that. */
static uint64_t free_blocks(const struct e4 *fs, const struct e4_geometry *g)
{
	const uint64_t end = e4_advance(fs, fs->next, g->journal_blocks);
	uint64_t used = fs->nr_alloced + g->journal_blocks;
	uint64_t heads = e4_count_supers(fs, g->nr_groups);

	used += extra_blocks(fs, g, end);
	used += heads * fs->head_blocks;
	used += (uint64_t)g->nr_groups * (2 + g->table_blocks);
	return used < g->nr_blocks ? g->nr_blocks - used : 0;
}

/* Set what follows from the number of blocks and inodes; false if so many
 * inodes do not fit in so many groups. */
static bool set_geometry(struct e4_geometry *g, uint64_t nr_blocks,
			 uint64_t nr_inodes)
{
	uint64_t per_group;

	g->nr_blocks = nr_blocks;
	g->nr_groups = groups_of(nr_blocks);
	if (!g->nr_groups)
		return false;
	per_group = vc_div_round_up(nr_inodes, g->nr_groups);
	per_group = vc_align_up(per_group, E4_BLOCK_INODES);
	if (per_group > E4_MAX_GROUP_INODES ||
	    per_group * g->nr_groups > UINT32_MAX)
		return false;
	g->inodes_per_group = (uint32_t)per_group;
	g->table_blocks = g->inodes_per_group / E4_BLOCK_INODES;
	g->desc_blocks =
		(uint32_t)vc_div_round_up(g->nr_groups, E4_BLOCK_DESCS);
	return true;
}

/* A last group without room for more than its own tables is left out. */
static uint64_t drop_short_group(const struct e4 *fs,
				 const struct e4_geometry *g)
{
	uint64_t rest = g->nr_blocks % E4_GROUP_BLOCKS, need;

	if (g->nr_groups == 1)
		return g->nr_blocks;
	need = 2 + g->table_blocks + LAST_GROUP_MIN;
	if (e4_has_super(fs, g->nr_groups - 1))
		need += fs->head_blocks;
	return rest && rest < need ? g->nr_blocks - rest : g->nr_blocks;
}

static bool try_size(const struct e4 *fs, struct e4_geometry *g,
		     uint64_t nr_blocks, uint64_t nr_inodes)
{
	uint64_t blocks, at;

	if (!set_geometry(g, nr_blocks, nr_inodes))
		return false;
	blocks = drop_short_group(fs, g);
	if (blocks != nr_blocks && !set_geometry(g, blocks, nr_inodes))
		return false;
	at = e4_advance(fs, fs->next, g->journal_blocks);
	at = e4_advance(fs, at, extra_blocks(fs, g, at));
	return place(fs, g, at, NULL);
}

/* Enough inodes to live with: by the ratio, and unless that was asked for half
 * as many again as there are files. Their numbers have 32 bits. */
static uint64_t wanted_inodes(const struct e4 *fs, uint64_t nr_blocks)
{
	const uint64_t used = fs->nr_inodes, nr_groups = groups_of(nr_blocks);
	const uint64_t most = UINT32_MAX / nr_groups / E4_BLOCK_INODES *
			      E4_BLOCK_INODES * nr_groups;
	uint64_t nr;

	if (fs->opts.inode_ratio) {
		nr = nr_blocks * E4_BLOCK / fs->opts.inode_ratio;
		return max_u64(vc_min_u64(nr, most), used);
	}
	return max_u64(nr_blocks * E4_BLOCK / EXT4_INODE_RATIO,
		       used + used / 2);
}

uint64_t e4_reserved_blocks(const struct e4 *fs, uint64_t nr_blocks)
{
	const struct ext4_opts *o = &fs->opts;

	return max_u64(nr_blocks * o->reserved_percent / 100,
		       vc_div_round_up(o->reserved_bytes, E4_BLOCK));
}

/* In order of preference: as many inodes as wanted, then fewer and fewer. */
static bool try_inodes(const struct e4 *fs, struct e4_geometry *g,
		       uint64_t nr_blocks)
{
	uint64_t used = fs->nr_inodes;

	return try_size(fs, g, nr_blocks, wanted_inodes(fs, nr_blocks)) ||
	       try_size(fs, g, nr_blocks, used + used / 8 + 16) ||
	       try_size(fs, g, nr_blocks, used);
}

static bool is_journal_fixed(const struct e4 *fs)
{
	return fs->opts.journal_bytes != EXT4_JOURNAL_AUTO;
}

static void set_journal(const struct e4 *fs, struct e4_geometry *g,
			uint64_t nr_blocks)
{
	uint64_t nr = e4_journal_blocks(nr_blocks);

	if (is_journal_fixed(fs))
		nr = fs->opts.journal_bytes / E4_BLOCK;
	g->journal_blocks = (uint32_t)nr;
}

static bool try_given(const struct e4 *fs, struct e4_geometry *g,
		      uint64_t nr_blocks)
{
	set_journal(fs, g, nr_blocks);
	if (try_inodes(fs, g, nr_blocks))
		return true;
	if (is_journal_fixed(fs) || g->journal_blocks <= E4_MIN_JOURNAL_BLOCKS)
		return false;
	g->journal_blocks = E4_MIN_JOURNAL_BLOCKS;
	return try_inodes(fs, g, nr_blocks);
}

/* The least number of blocks that what is laid out fits in: with one less it is
 * refused, here as when that size is given. 0: there is none. */
static uint64_t least_blocks(const struct e4 *fs)
{
	uint32_t nr = groups_of(fs->next);
	struct e4_geometry g;
	uint64_t lo, hi, mid;

	/* more groups may take more than they bring: the first number of them
	 * that will do, then what of the last one */
	while (!try_given(fs, &g, (uint64_t)nr * E4_GROUP_BLOCKS))
		if ((uint64_t)++nr * E4_GROUP_BLOCKS > MAX_BLOCKS)
			return 0;
	hi = (uint64_t)nr * E4_GROUP_BLOCKS;
	lo = max_u64(fs->next, hi - E4_GROUP_BLOCKS);
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (try_given(fs, &g, mid))
			hi = mid;
		else
			lo = mid + 1;
	}
	return hi;
}

/* The same for contents that are only counted. Changes the layout: only for the
 * message of a failure. */
static uint64_t needed_blocks(struct e4 *fs)
{
	const uint64_t nr = fs->nr_alloced;
	uint32_t head = head_of(nr);
	uint64_t need;

	for (;;) {
		fs->head_blocks = head + 1;
		fs->next = e4_advance(fs, 0, nr);
		need = fs->next > MAX_BLOCKS ? 0 : least_blocks(fs);
		if (!need || head_of(need) <= head)
			return need;
		head = head_of(need);
	}
}

static int fail_max(struct vc_error *err)
{
	return vc_fail(err, VC_E_LIMIT, 0,
		       "the content does not fit in the 16 TiB of ext4");
}

/* More than that no kernel mounts. */
static int check_reserved(const struct e4 *fs, uint64_t nr_blocks,
			  struct vc_error *err)
{
	if (e4_reserved_blocks(fs, nr_blocks) <= nr_blocks / 2)
		return 0;
	return vc_fail(err, VC_E_ARG, 0,
		       "--fs-option: reserved: more than half of the size");
}

static int choose_given(struct e4 *fs, uint32_t *ret_head, struct vc_error *err)
{
	const uint64_t around = fs->opts.around_bytes;
	uint64_t nr_blocks = fs->opts.size_bytes / E4_BLOCK, need;

	if (check_reserved(fs, nr_blocks, err))
		return -1;
	*ret_head = head_of(nr_blocks);
	if (fs->next <= fs->limit && try_given(fs, &fs->geo, nr_blocks))
		return 0;
	need = needed_blocks(fs);
	if (!need)
		return fail_max(err);
	return vc_fail(err, VC_E_LIMIT, 0,
		       "the content does not fit in %llu bytes: it needs a "
		       "size of %lluM",
		       (unsigned long long)(around ? fs->opts.disk_bytes
						   : fs->opts.size_bytes),
		       (unsigned long long)(vc_div_round_up(need, 256) +
					    vc_div_round_up(around, MIB)));
}

static int choose_exact(struct e4 *fs, uint32_t *ret_head, struct vc_error *err)
{
	const uint64_t nr = fs->next > MAX_BLOCKS ? 0 : least_blocks(fs);

	if (!nr)
		return fail_max(err);
	if (check_reserved(fs, nr, err))
		return -1;
	*ret_head = head_of(nr);
	return try_given(fs, &fs->geo, nr)
		       ? 0
		       : vc_fail(err, VC_E_INTERNAL, 0, "layout: exact size");
}

/* Does what is wanted fit in so many blocks, with so many free ones? */
static bool try_room(const struct e4 *fs, struct e4_geometry *g,
		     uint64_t nr_blocks, uint64_t room)
{
	uint64_t reserved;

	set_journal(fs, g, nr_blocks);
	if (!try_size(fs, g, nr_blocks, wanted_inodes(fs, nr_blocks)))
		return false;
	reserved = e4_reserved_blocks(fs, g->nr_blocks);
	return reserved <= g->nr_blocks / 2 &&
	       free_blocks(fs, g) >= room + reserved;
}

/* Whole groups; where the room was given, no more of the last one than is needed
 * for it. */
static int choose_auto(struct e4 *fs, uint32_t *ret_head, struct vc_error *err)
{
	const uint64_t used = fs->next, room = room_of(&fs->opts, used);
	struct e4_geometry *g = &fs->geo;
	uint64_t lo, mid, hi;
	uint32_t nr = groups_of(used + room);

	while (!try_room(fs, g, (uint64_t)nr * E4_GROUP_BLOCKS, room))
		if ((uint64_t)++nr * E4_GROUP_BLOCKS > MAX_BLOCKS)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "the content and the room for it do not "
				       "fit in the 16 TiB of ext4");
	hi = (uint64_t)nr * E4_GROUP_BLOCKS;
	lo = fs->opts.room_bytes == UINT64_MAX
		     ? hi
		     : max_u64(used, hi - E4_GROUP_BLOCKS);
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (try_room(fs, g, mid, room))
			hi = mid;
		else
			lo = mid + 1;
	}
	*ret_head = auto_head_of(hi);
	return try_room(fs, g, hi, room)
		       ? 0
		       : vc_fail(err, VC_E_INTERNAL, 0, "layout: size");
}

int e4_choose_geometry(struct e4 *fs, uint32_t *ret_head, struct vc_error *err)
{
	if (fs->is_lost)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "contents that later ones replace are so many "
			       "that there is no space to keep what stays: "
			       "give a larger --size");
	if (fs->opts.size_bytes)
		return choose_given(fs, ret_head, err);
	return fs->opts.is_exact ? choose_exact(fs, ret_head, err)
				 : choose_auto(fs, ret_head, err);
}

/* --- bitmaps ------------------------------------------------------------- */

static void set_bits(uint8_t *map, uint32_t from, uint32_t to)
{
	for (; from < to && from % 8; from++)
		map[from / 8] = (uint8_t)(map[from / 8] | 1u << from % 8);
	if (to - from >= 8) {
		memset(map + from / 8, 0xff, (to - from) / 8);
		from += (to - from) & ~7u;
	}
	for (; from < to; from++)
		map[from / 8] = (uint8_t)(map[from / 8] | 1u << from % 8);
}

/* Mark part of one group. What is marked was free. */
static int mark_in_group(struct e4_group *g, uint32_t from, uint32_t to,
			 struct vc_error *err)
{
	if (to - from == E4_GROUP_BLOCKS) {
		g->used = full;
		g->nr_used = E4_GROUP_BLOCKS;
		return 0;
	}
	if (!g->used) {
		uint8_t *map = calloc(1, E4_BLOCK);

		if (!map)
			return vc_fail(err, VC_E_SYS, ENOMEM, "bitmap");
		g->used = map;
	}
	set_bits(g->used, from, to);
	g->nr_used += to - from;
	return 0;
}

static int mark(struct e4 *fs, uint64_t start, uint64_t len,
		struct vc_error *err)
{
	uint32_t group, from, n;

	for (; len; start += n, len -= n) {
		group = (uint32_t)(start / E4_GROUP_BLOCKS);
		from = (uint32_t)(start % E4_GROUP_BLOCKS);
		n = E4_GROUP_BLOCKS - from;
		if (n > len)
			n = (uint32_t)len;
		if (mark_in_group(&fs->groups[group], from, from + n, err))
			return -1;
	}
	return 0;
}

/* All that the cursor has passed, superblock copies included. */
static int mark_passed(struct e4 *fs, struct vc_error *err)
{
	uint64_t start;
	uint32_t i;

	if (mark(fs, 0, fs->next, err))
		return -1;
	for (i = 0; i < fs->nr_backups; i++) {
		start = (uint64_t)fs->backup[i] * E4_GROUP_BLOCKS;
		if (fs->backup[i] < fs->geo.nr_groups && start >= fs->next &&
		    mark(fs, start, fs->head_blocks, err))
			return -1;
	}
	return 0;
}

static int mark_tables(struct e4 *fs, struct vc_error *err)
{
	const struct e4_group *g;
	uint32_t i;

	for (i = 0; i < fs->geo.nr_groups; i++) {
		g = &fs->groups[i];
		if (mark(fs, g->block_bitmap, 1, err) ||
		    mark(fs, g->inode_bitmap, 1, err) ||
		    mark(fs, g->inode_table, fs->geo.table_blocks, err))
			return -1;
	}
	return 0;
}

int e4_place_tables(struct e4 *fs, struct vc_error *err)
{
	const struct e4_geometry *geo = &fs->geo;
	uint32_t i, left = fs->nr_inodes;
	struct e4_group *g;

	fs->groups = calloc(geo->nr_groups, sizeof(*fs->groups));
	if (!fs->groups)
		return vc_fail(err, VC_E_SYS, ENOMEM, "groups");
	if (!place(fs, geo, fs->next, fs->groups))
		return vc_fail(err, VC_E_INTERNAL, 0,
			       "layout: tables do not fit where they did");
	memset(full, 0xff, sizeof(full));
	for (i = 0; i < geo->nr_groups; i++) {
		g = &fs->groups[i];
		g->nr_blocks = (uint32_t)vc_min_u64(
			geo->nr_blocks - (uint64_t)i * E4_GROUP_BLOCKS,
			E4_GROUP_BLOCKS);
		g->nr_inodes = left < geo->inodes_per_group
				       ? left
				       : geo->inodes_per_group;
		left -= g->nr_inodes;
	}
	return mark_passed(fs, err) || mark_tables(fs, err) ? -1 : 0;
}

static int write_block_bitmap(struct e4 *fs, struct e4_group *g,
			      struct vc_error *err)
{
	uint8_t *to = e4_block(fs, g->block_bitmap, err);

	if (!to)
		return -1;
	if (g->used)
		memcpy(to, g->used, E4_BLOCK);
	/* there is nothing behind the end of the file system */
	set_bits(to, g->nr_blocks, E4_GROUP_BLOCKS);
	g->block_csum = e4_crc32c(fs->csum_seed, to, E4_BLOCK);
	return 0;
}

static int write_inode_bitmap(struct e4 *fs, struct e4_group *g,
			      struct vc_error *err)
{
	uint8_t *to = e4_block(fs, g->inode_bitmap, err);

	if (!to)
		return -1;
	set_bits(to, 0, g->nr_inodes);
	set_bits(to, fs->geo.inodes_per_group, E4_BLOCK * 8);
	g->inode_csum =
		e4_crc32c(fs->csum_seed, to, fs->geo.inodes_per_group / 8);
	return 0;
}

/* Those of groups nothing is in are not written: the descriptor says so. */
int e4_write_bitmaps(struct e4 *fs, struct vc_error *err)
{
	const uint32_t nr = fs->geo.nr_groups;
	uint32_t first, i, end;

	for (first = 0; first < nr; first += E4_FLEX_GROUPS) {
		end = nr - first < E4_FLEX_GROUPS ? nr : first + E4_FLEX_GROUPS;
		for (i = first; i < end; i++)
			if ((fs->groups[i].used || i + 1 == nr) &&
			    write_block_bitmap(fs, &fs->groups[i], err))
				return -1;
		for (i = first; i < end; i++)
			if (fs->groups[i].nr_inodes &&
			    write_inode_bitmap(fs, &fs->groups[i], err))
				return -1;
	}
	return 0;
}

uint64_t e4_count_free(const struct e4 *fs)
{
	uint64_t n = fs->geo.nr_blocks;
	uint32_t i;

	for (i = 0; i < fs->geo.nr_groups; i++)
		n -= fs->groups[i].nr_used;
	return n;
}

void e4_free_groups(struct e4 *fs)
{
	uint32_t i;

	for (i = 0; fs->groups && i < fs->geo.nr_groups; i++)
		if (fs->groups[i].used != full)
			free(fs->groups[i].used);
	free(fs->groups);
	fs->groups = NULL;
}
