/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A large qcow2 image with little in it, made without writing what is in it.
 *
 *	disk-sparse PATH SIZE_BYTES EVERY [CLUSTER_BYTES]
 *
 * Of EVERY clusters one is allocated. The tables are written; of the data the
 * file has the blocks, but nothing was ever written there: an image made with
 * preallocation=falloc, as far as its data goes. To read it costs what it costs
 * to read data that the page cache has, and none of it must come from a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/endian.h>

#define COPIED (UINT64_C(1) << 63)
#define HEADER_BYTES 104

static uint64_t cluster = 65536;
static int fd;

static void die(const char *what)
{
	fprintf(stderr, "disk-sparse: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

static void put(const void *buf, size_t len, uint64_t offset)
{
	if (pwrite(fd, buf, len, (off_t)offset) != (ssize_t)len)
		die("write");
}

/* Entries from `first` on, `step` apart. */
static void put_words(uint64_t at, uint64_t nr, uint64_t first, uint64_t step)
{
	be64_t *words = malloc(nr * sizeof(*words));
	uint64_t i;

	if (!words)
		die("table");
	for (i = 0; i < nr; i++)
		words[i] = be64_put(first + i * step);
	put(words, nr * sizeof(*words), at);
	free(words);
}

static void put_header(uint64_t size, uint64_t l1_entries, uint64_t l1,
		       uint64_t reftable, uint64_t reftable_clusters)
{
	struct {
		be32_t magic, version;
		be64_t backing;
		be32_t backing_len, cluster_bits;
		be64_t size;
		be32_t crypt, l1_size;
		be64_t l1, reftable;
		be32_t reftable_clusters, nr_snapshots;
		be64_t snapshots, incompatible, compatible, autoclear;
		be32_t refcount_order, header_bytes;
	} h = {
		.magic = be32_put(0x514649fb),
		.version = be32_put(3),
		.cluster_bits = be32_put((uint32_t)__builtin_ctzll(cluster)),
		.size = be64_put(size),
		.l1_size = be32_put((uint32_t)l1_entries),
		.l1 = be64_put(l1),
		.reftable = be64_put(reftable),
		.reftable_clusters = be32_put((uint32_t)reftable_clusters),
		.refcount_order = be32_put(4),
		.header_bytes = be32_put(HEADER_BYTES),
	};

	_Static_assert(sizeof(h) == HEADER_BYTES, "as on disk");
	put(&h, sizeof(h), 0);
}

/* One of `every` guest clusters in each L2 table, the data in their order. */
static void put_l2(uint64_t l2, uint64_t nr_clusters, uint64_t every,
		   uint64_t data)
{
	uint64_t per = cluster / 8, i, k;
	be64_t *table = malloc(cluster);

	if (!table)
		die("table");
	for (i = 0; i * per < nr_clusters; i++) {
		memset(table, 0, cluster);
		for (k = i * per; k < (i + 1) * per && k < nr_clusters; k++) {
			if (k % every)
				continue;
			table[k % per] = be64_put(data | COPIED);
			data += cluster;
		}
		put(table, cluster, l2 + i * cluster);
	}
	free(table);
}

static void put_refcounts(uint64_t at, uint64_t nr)
{
	be16_t *counts = malloc(cluster);
	uint64_t per = cluster / 2, i, k;

	if (!counts)
		die("refcounts");
	for (i = 0; i * per < nr; i++) {
		for (k = 0; k < per; k++)
			counts[k] = be16_put(i * per + k < nr);
		put(counts, cluster, at + i * cluster);
	}
	free(counts);
}

int main(int argc, char **argv)
{
	uint64_t size, every, nr, nr_data, nr_l2, nr_l1,
		nr_blocks = 0, nr_reftable = 1, all, blocks, l1, l2, data;
	int i;

	if (argc < 4)
		return 2;
	size = strtoull(argv[2], NULL, 0);
	every = strtoull(argv[3], NULL, 0);
	if (argc > 4)
		cluster = strtoull(argv[4], NULL, 0);
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		die(argv[1]);
	nr = div_up(size, cluster);
	nr_data = div_up(nr, every);
	nr_l2 = div_up(nr, cluster / 8);
	nr_l1 = div_up(nr_l2, cluster / 8);
	/* the blocks count themselves, too: it settles */
	for (i = 0; i < 10; i++) {
		all = 1 + nr_reftable + nr_blocks + nr_l1 + nr_l2 + nr_data;
		nr_blocks = div_up(all, cluster / 2);
		nr_reftable = div_up(nr_blocks, cluster / 8);
	}
	blocks = (1 + nr_reftable) * cluster;
	l1 = blocks + nr_blocks * cluster;
	l2 = l1 + nr_l1 * cluster;
	data = l2 + nr_l2 * cluster;
	put_header(size, nr_l2, l1, cluster, nr_reftable);
	put_words(cluster, nr_blocks, blocks, cluster);
	put_words(l1, nr_l2, l2 | COPIED, cluster);
	put_l2(l2, nr, every, data);
	put_refcounts(blocks, data / cluster + nr_data);
	if (fallocate(fd, 0, (off_t)data, (off_t)(nr_data * cluster)) < 0)
		die("allocate");
	return close(fd) < 0 ? 1 : 0;
}
