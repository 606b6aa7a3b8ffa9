/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The split ring against a driver that is written out here by hand, over plain
 * memory: two regions that touch in guest-physical addresses and not in host
 * memory, so that buffers can span them and rings must not.
 */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/endian.h>
#include <vmmcore/virtqueue.h>
#include "tests/lib/test.h"

#define REGION UINT64_C(0x10000)
#define RAM_GPA UINT64_C(0x100000)
#define RAM_END (RAM_GPA + 2 * REGION)
#define DESC RAM_GPA
#define AVAIL (RAM_GPA + 0x4000)
#define USED (RAM_GPA + 0x5000)
#define TABLE (RAM_GPA + 0x8000) /* indirect tables */
#define DATA (RAM_GPA + 0x9000)
#define SIZE 8

#define NEXT 1
#define WRITE 2
#define INDIRECT 4

#define F_INDIRECT (UINT64_C(1) << VC_VIRTIO_F_INDIRECT_DESC)
#define F_EVENT (UINT64_C(1) << VC_VIRTIO_F_EVENT_IDX)

static struct vc_error err;
static struct vc_mem *mem;
static void *host[2];
static struct vc_vq vq;
static struct vc_vq_chain *chain;
static unsigned nr_calls;

static void on_call(struct vc_vq *q)
{
	ck_assert_ptr_eq(q, &vq);
	nr_calls++;
}

static void setup(void)
{
	int i;

	ck_ok(vc_mem_new(&mem, &err), &err);
	for (i = 0; i < 2; i++) {
		host[i] = aligned_alloc(4096, REGION);
		ck_assert_ptr_nonnull(host[i]);
		memset(host[i], 0, REGION);
		ck_ok(vc_mem_add_plain(mem, host[i],
				       RAM_GPA + (uint64_t)i * REGION, REGION,
				       &err),
		      &err);
	}
	chain = malloc(sizeof(*chain));
	ck_assert_ptr_nonnull(chain);
	vc_vq_init(&vq);
	vq.call = on_call;
	nr_calls = 0;
}

static void teardown(void)
{
	mem = vc_mem_free(mem);
	free(host[0]);
	free(host[1]);
	free(chain);
}

static void start(uint64_t features, uint16_t base)
{
	ck_ok(vc_vq_start(&vq, mem, SIZE, DESC, AVAIL, USED, features, base,
			  &err),
	      &err);
}

static void put16(gpa_t gpa, uint16_t v)
{
	le16_t x = le16_put(v);

	ck_assert(vc_mem_write(mem, gpa, &x, sizeof(x)));
}

static uint16_t get16(gpa_t gpa)
{
	le16_t x;

	ck_assert(vc_mem_read(mem, gpa, &x, sizeof(x)));
	return le16_get(x);
}

static uint32_t get32(gpa_t gpa)
{
	le32_t x;

	ck_assert(vc_mem_read(mem, gpa, &x, sizeof(x)));
	return le32_get(x);
}

static void desc_at(gpa_t table, unsigned i, uint64_t addr, uint32_t len,
		    unsigned flags, unsigned next)
{
	struct {
		le64_t addr;
		le32_t len;
		le16_t flags, next;
	} d = { le64_put(addr), le32_put(len), le16_put((uint16_t)flags),
		le16_put((uint16_t)next) };

	ck_assert(vc_mem_write(mem, table + 16 * i, &d, sizeof(d)));
}

static void desc(unsigned i, uint64_t addr, uint32_t len, unsigned flags,
		 unsigned next)
{
	desc_at(DESC, i, addr, len, flags, next);
}

/* Make `head` available as entry number `idx`. */
static void avail(uint16_t idx, uint16_t head)
{
	put16(AVAIL + 4 + 2u * (idx % SIZE), head);
	put16(AVAIL + 2, (uint16_t)(idx + 1));
}

static void pop_breaks(const char *why)
{
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_BROKEN);
	ck_assert_str_eq(vq.broken_why, why);
	/* for good */
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_BROKEN);
	ck_assert_uint_eq(vq.nr_inflight, 0);
	vc_vq_stop(&vq);
	start(0, 0);
	ck_assert(!vq.is_broken);
}

/* --- a driver that follows the rules --------------------------------------- */

START_TEST(takes_a_chain_and_gives_it_back)
{
	start(0, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_EMPTY);
	desc(3, DATA, 16, NEXT, 5);
	desc(5, DATA + 0x100, 512, NEXT | WRITE, 1);
	desc(1, DATA + 0x400, 1, WRITE, 0);
	avail(0, 3);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_uint_eq(chain->head, 3);
	ck_assert_int_eq(chain->nr_out, 1);
	ck_assert_int_eq(chain->nr_in, 2);
	ck_assert_uint_eq(chain->out_bytes, 16);
	ck_assert_uint_eq(chain->in_bytes, 513);
	ck_assert_ptr_eq(chain->out[0].iov_base, (char *)host[0] + 0x9000);
	ck_assert_ptr_eq(chain->in[1].iov_base, (char *)host[0] + 0x9400);
	ck_assert_uint_eq(chain->in[0].iov_len, 512);
	ck_assert_uint_eq(vq.nr_inflight, 1);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_EMPTY);

	vc_vq_push(&vq, 3, 77);
	ck_assert_uint_eq(get16(USED + 2), 1);
	ck_assert_uint_eq(get32(USED + 4), 3);
	ck_assert_uint_eq(get32(USED + 8), 77);
	vc_vq_notify(&vq);
	ck_assert_uint_eq(nr_calls, 1);
	vc_vq_notify(&vq);
	ck_assert_uint_eq(nr_calls, 1);
	ck_assert_uint_eq(vc_vq_stop(&vq), 1);
}
END_TEST

START_TEST(wraps_indices)
{
	uint16_t i = 0xfffa;
	unsigned n;

	put16(AVAIL + 2, i);
	put16(USED + 2, i);
	start(0, i);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_EMPTY);
	desc(2, DATA, 4, WRITE, 0);
	for (n = 0; n < 20; n++, i++) {
		avail(i, 2);
		ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
		vc_vq_push(&vq, chain->head, n);
		ck_assert_uint_eq(get16(USED + 2), (uint16_t)(i + 1));
		ck_assert_uint_eq(get32(USED + 8 + 8u * (i % SIZE)), n);
	}
	ck_assert_uint_eq(vc_vq_stop(&vq), (uint16_t)(0xfffa + 20));
}
END_TEST

START_TEST(unpop_takes_it_again)
{
	start(F_EVENT, 0);
	desc(0, DATA, 4, WRITE, 0);
	desc(1, DATA, 8, WRITE, 0);
	avail(0, 0);
	avail(1, 1);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	vc_vq_unpop(&vq);
	ck_assert_uint_eq(vq.nr_inflight, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_uint_eq(chain->head, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_uint_eq(chain->head, 1);
}
END_TEST

START_TEST(takes_indirect_after_direct)
{
	start(F_INDIRECT, 0);
	desc(0, DATA, 16, NEXT, 1);
	/* WRITE says nothing on an indirect descriptor */
	desc(1, TABLE, 3 * 16, INDIRECT | WRITE, 0);
	desc_at(TABLE, 0, DATA + 16, 8, NEXT, 2);
	desc_at(TABLE, 2, DATA + 64, 32, WRITE, 0);
	avail(0, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_int_eq(chain->nr_out, 2);
	ck_assert_int_eq(chain->nr_in, 1);
	ck_assert_uint_eq(chain->out_bytes, 24);
	ck_assert_uint_eq(chain->in_bytes, 32);
}
END_TEST

/* An indirect table may be longer than the ring, lie at any address and span
 * two regions. */
START_TEST(takes_long_indirect_across_regions)
{
	gpa_t table = RAM_GPA + REGION - 16 * 20 - 7;
	unsigned i, nr = VC_VQ_MAX_CHAIN;

	start(F_INDIRECT, 0);
	desc(7, table, nr * 16, INDIRECT, 0);
	for (i = 0; i < nr; i++)
		desc_at(table, i, DATA + i, 1, WRITE | (i + 1 < nr ? NEXT : 0),
			i + 1);
	avail(0, 7);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_int_eq(chain->nr_in, (int)nr);
	ck_assert_uint_eq(chain->in_bytes, nr);
}
END_TEST

START_TEST(splits_buffer_across_regions)
{
	start(0, 0);
	desc(0, RAM_GPA + REGION - 10, 30, WRITE, 0);
	avail(0, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_int_eq(chain->nr_in, 2);
	ck_assert_uint_eq(chain->in[0].iov_len, 10);
	ck_assert_ptr_eq(chain->in[1].iov_base, host[1]);
}
END_TEST

START_TEST(lets_empty_buffers_through)
{
	start(0, 0);
	/* no bytes: the address does not matter */
	desc(0, UINT64_MAX, 0, NEXT, 1);
	desc(1, DATA, 4, NEXT, 2);
	desc(2, 0, 0, WRITE, 0);
	avail(0, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_int_eq(chain->nr_out, 1);
	ck_assert_int_eq(chain->nr_in, 0);
	ck_assert_uint_eq(chain->out_bytes, 4);
}
END_TEST

START_TEST(resumes_where_it_stopped)
{
	put16(USED + 2, 40);
	put16(AVAIL + 2, 41);
	put16(AVAIL + 4 + 2 * (41 % SIZE), 6);
	put16(USED + 0, 1); /* a dead device left kicks off */
	start(0, 41);
	ck_assert_uint_eq(get16(USED + 0), 0);
	desc(6, DATA, 4, WRITE, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_EMPTY);
	put16(AVAIL + 2, 42);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_uint_eq(chain->head, 6);
	vc_vq_push(&vq, 6, 1);
	ck_assert_uint_eq(get16(USED + 2), 41);
}
END_TEST

START_TEST(is_empty_when_stopped)
{
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_EMPTY);
	vc_vq_notify(&vq);
	vc_vq_disable_kicks(&vq);
	start(0, 9);
	ck_assert_uint_eq(vc_vq_stop(&vq), 9);
	ck_assert_uint_eq(vc_vq_stop(&vq), 9);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_EMPTY);
	ck_assert_uint_eq(nr_calls, 0);
}
END_TEST

/* --- suppression ----------------------------------------------------------- */

START_TEST(suppresses_kicks_by_flag)
{
	start(0, 0);
	vc_vq_disable_kicks(&vq);
	ck_assert_uint_eq(get16(USED + 0), 1);
	desc(0, DATA, 4, WRITE, 0);
	avail(0, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	ck_assert_uint_eq(get16(USED + 0), 1);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_EMPTY);
	ck_assert_uint_eq(get16(USED + 0), 0);
}
END_TEST

START_TEST(suppresses_kicks_by_event_index)
{
	gpa_t avail_event = USED + 4 + 8 * SIZE;
	uint16_t i;

	start(F_EVENT, 0);
	ck_assert_uint_eq(get16(avail_event), 0);
	desc(0, DATA, 4, WRITE, 0);
	for (i = 0; i < 3; i++)
		avail(i, 0);
	vc_vq_disable_kicks(&vq);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	/* only when it runs dry does it ask for the next kick */
	ck_assert_uint_eq(get16(avail_event), 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_EMPTY);
	ck_assert_uint_eq(get16(avail_event), 3);
	ck_assert_uint_eq(get16(USED + 0), 0);
}
END_TEST

static void serve(uint16_t idx)
{
	avail(idx, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	vc_vq_push(&vq, 0, 4);
	vc_vq_notify(&vq);
}

START_TEST(suppresses_interrupts_by_flag)
{
	start(0, 0);
	desc(0, DATA, 4, WRITE, 0);
	put16(AVAIL + 0, 1);
	serve(0);
	ck_assert_uint_eq(nr_calls, 0);
	put16(AVAIL + 0, 0);
	serve(1);
	ck_assert_uint_eq(nr_calls, 1);
}
END_TEST

START_TEST(suppresses_interrupts_by_event_index)
{
	gpa_t used_event = AVAIL + 4 + 2 * SIZE;

	start(F_EVENT, 0);
	desc(0, DATA, 4, WRITE, 0);
	put16(AVAIL + 0, 1);  /* means nothing with the event index */
	put16(used_event, 3); /* when entry 3 is used */
	serve(0);	      /* but the first one always */
	ck_assert_uint_eq(nr_calls, 1);
	serve(1);
	serve(2);
	ck_assert_uint_eq(nr_calls, 1);
	serve(3);
	ck_assert_uint_eq(nr_calls, 2);
	serve(4);
	ck_assert_uint_eq(nr_calls, 2);
}
END_TEST

/* One notify for a batch that passes the event in its middle. */
START_TEST(interrupts_for_a_batch)
{
	uint16_t i;

	start(F_EVENT, 0);
	desc(0, DATA, 4, WRITE, 0);
	serve(0);
	put16(AVAIL + 4 + 2 * SIZE, 3);
	for (i = 1; i < 6; i++)
		avail(i, 0);
	for (i = 1; i < 6; i++) {
		ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
		vc_vq_push(&vq, 0, 4);
	}
	vc_vq_notify(&vq);
	ck_assert_uint_eq(nr_calls, 2);
}
END_TEST

/* --- hostile --------------------------------------------------------------- */

START_TEST(refuses_to_start)
{
	static const struct {
		unsigned size;
		gpa_t desc, avail, used;
	} bad[] = {
		{ 0, DESC, AVAIL, USED },
		{ 7, DESC, AVAIL, USED },
		{ 2048, DESC, AVAIL, USED },
		{ SIZE, DESC + 8, AVAIL, USED },
		{ SIZE, DESC, AVAIL + 1, USED },
		{ SIZE, DESC, AVAIL, USED + 2 },
		{ SIZE, 0, AVAIL, USED },
		{ SIZE, DESC, RAM_END, USED },
		{ SIZE, DESC, AVAIL, RAM_END - 8 },
		{ SIZE, UINT64_MAX - 15, AVAIL, USED },
		{ SIZE, DESC, UINT64_MAX - 1, USED },
		{ SIZE, DESC, AVAIL, UINT64_MAX - 3 },
		/* each part whole in one region */
		{ SIZE, RAM_GPA + REGION - 16, AVAIL, USED },
		{ SIZE, DESC, RAM_GPA + REGION - 2, USED },
		{ SIZE, DESC, AVAIL, RAM_GPA + REGION - 4 },
		/* with the event word */
		{ SIZE, DESC, RAM_END - 4 - 2 * SIZE, USED },
		{ SIZE, DESC, AVAIL, RAM_END - 4 - 8 * SIZE },
	};

	ck_assert_uint_eq(VC_ARRAY_SIZE(bad), 17);
	ck_fails(vc_vq_start(&vq, mem, (uint16_t)bad[_i].size, bad[_i].desc,
			     bad[_i].avail, bad[_i].used, 0, 0, &err),
		 &err, VC_E_GUEST);
	ck_assert(!vq.is_running);
}
END_TEST

START_TEST(head_out_of_range)
{
	start(0, 0);
	avail(0, SIZE);
	pop_breaks("a descriptor index out of range");
	avail(0, 0xffff);
	pop_breaks("a descriptor index out of range");
}
END_TEST

START_TEST(next_out_of_range)
{
	start(0, 0);
	desc(0, DATA, 4, NEXT, SIZE);
	avail(0, 0);
	pop_breaks("a descriptor index out of range");
}
END_TEST

START_TEST(chain_that_loops)
{
	start(0, 0);
	desc(0, DATA, 4, NEXT, 1);
	desc(1, DATA, 4, NEXT, 0);
	avail(0, 0);
	pop_breaks("a chain that loops");
	desc(0, DATA, 0, NEXT, 0); /* of no bytes */
	pop_breaks("a chain that loops");
}
END_TEST

START_TEST(indirect_that_loops)
{
	start(F_INDIRECT, 0);
	desc(0, TABLE, 32, INDIRECT, 0);
	desc_at(TABLE, 0, DATA, 4, NEXT, 1);
	desc_at(TABLE, 1, DATA, 4, NEXT, 0);
	avail(0, 0);
	pop_breaks("a chain that loops");
}
END_TEST

START_TEST(indirect_next_out_of_range)
{
	start(F_INDIRECT, 0);
	desc(0, TABLE, 32, INDIRECT, 0);
	desc_at(TABLE, 0, DATA, 4, NEXT, 2);
	avail(0, 0);
	pop_breaks("a descriptor index out of range");
}
END_TEST

START_TEST(indirect_inside_indirect)
{
	start(F_INDIRECT, 0);
	desc(0, TABLE, 16, INDIRECT, 0);
	desc_at(TABLE, 0, TABLE, 16, INDIRECT, 0);
	avail(0, 0);
	pop_breaks("an indirect table inside another");
}
END_TEST

START_TEST(indirect_with_next)
{
	start(F_INDIRECT, 0);
	desc(0, TABLE, 16, INDIRECT | NEXT, 1);
	avail(0, 0);
	pop_breaks("an indirect descriptor with a next one");
}
END_TEST

START_TEST(indirect_not_negotiated)
{
	start(0, 0);
	desc(0, TABLE, 16, INDIRECT, 0);
	avail(0, 0);
	pop_breaks("an indirect descriptor that was not negotiated");
}
END_TEST

START_TEST(indirect_of_wrong_length)
{
	static const uint32_t len[] = { 0, 15, 17, 16 * (VC_VQ_MAX_CHAIN + 1),
					UINT32_MAX & ~15u };

	start(F_INDIRECT, 0);
	desc(0, TABLE, len[_i], INDIRECT, 0);
	avail(0, 0);
	pop_breaks("an indirect table of a wrong length");
}
END_TEST

START_TEST(indirect_outside_ram)
{
	static const uint64_t at[] = { 0,
				       RAM_END,
				       RAM_END - 16,
				       RAM_GPA - 16,
				       UINT64_MAX - 15,
				       UINT64_MAX - 31 };

	start(F_INDIRECT, 0);
	desc(0, at[_i], 32, INDIRECT, 0);
	avail(0, 0);
	pop_breaks("an indirect table outside RAM");
}
END_TEST

START_TEST(too_many_descriptors)
{
	unsigned i;

	start(F_INDIRECT, 0);
	desc(0, DATA, 1, NEXT, 1);
	desc(1, TABLE, 16 * VC_VQ_MAX_CHAIN, INDIRECT, 0);
	for (i = 0; i < VC_VQ_MAX_CHAIN; i++)
		desc_at(TABLE, i, DATA, 0, i + 1 < VC_VQ_MAX_CHAIN ? NEXT : 0,
			i + 1);
	avail(0, 0);
	pop_breaks("a chain of too many descriptors");
}
END_TEST

START_TEST(buffer_outside_ram)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {
		{ 0, 1 },
		{ RAM_GPA - 1, 1 },
		{ RAM_GPA - 1, 2 },
		{ RAM_END - 1, 2 },
		{ RAM_END, 1 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, 2 },		  /* wraps */
		{ UINT64_MAX - 0xfff, 0x101000 }, /* wraps into RAM */
		{ DATA, 0x7fffffff },
	};

	ck_assert_uint_eq(VC_ARRAY_SIZE(bad), 9);
	start(0, 0);
	desc(0, bad[_i].addr, bad[_i].len, _i & 1 ? WRITE : 0, 0);
	avail(0, 0);
	pop_breaks("a buffer outside RAM");
}
END_TEST

START_TEST(too_many_bytes)
{
	start(0, 0);
	desc(0, DATA, UINT32_MAX, 0, 0);
	avail(0, 0);
	pop_breaks("a chain of too many bytes");
	desc(0, DATA, 1, NEXT, 1);
	desc(1, DATA, (uint32_t)VC_VQ_MAX_BYTES, 0, 0);
	pop_breaks("a chain of too many bytes");
}
END_TEST

START_TEST(readable_after_writable)
{
	start(0, 0);
	desc(0, DATA, 4, NEXT | WRITE, 1);
	desc(1, DATA, 4, 0, 0);
	avail(0, 0);
	pop_breaks("a readable descriptor after a writable one");
	desc(0, DATA, 0, NEXT | WRITE, 1); /* of no bytes: still */
	pop_breaks("a readable descriptor after a writable one");
}
END_TEST

START_TEST(index_too_far_ahead)
{
	start(0, 0);
	put16(AVAIL + 2, SIZE + 1);
	pop_breaks("an avail index too far ahead");
	put16(AVAIL + 2, 0xffff); /* backwards */
	pop_breaks("an avail index too far ahead");
}
END_TEST

/* The same head again and again, without ever waiting for it. */
START_TEST(more_in_flight_than_the_ring_has)
{
	uint16_t i;

	start(0, 0);
	desc(0, DATA, 4, 0, 0);
	for (i = 0; i < SIZE; i++) {
		avail(i, 0);
		ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_OK);
	}
	avail(i, 0);
	ck_assert_int_eq(vc_vq_pop(&vq, chain), VC_VQ_BROKEN);
	/* what is in flight may still finish */
	for (i = 0; i < SIZE; i++)
		vc_vq_push(&vq, 0, 0);
	vc_vq_notify(&vq);
	vc_vq_stop(&vq);
}
END_TEST

/* --- bytes ----------------------------------------------------------------- */

START_TEST(copies_bytes_of_a_chain)
{
	char a[4] = "abcd", b[3] = "efg", buf[8] = "";
	struct iovec iov[3] = { { a, 4 }, { NULL, 0 }, { b, 3 } };

	ck_assert_uint_eq(vc_iov_read(iov, 3, 2, buf, 4), 4);
	ck_assert_mem_eq(buf, "cdef", 4);
	ck_assert_uint_eq(vc_iov_read(iov, 3, 4, buf, 8), 3);
	ck_assert_uint_eq(vc_iov_read(iov, 3, 7, buf, 8), 0);
	ck_assert_uint_eq(vc_iov_read(iov, 3, SIZE_MAX, buf, 8), 0);
	ck_assert_uint_eq(vc_iov_write(iov, 3, 3, "1234567", 7), 4);
	ck_assert_mem_eq(a, "abc1", 4);
	ck_assert_mem_eq(b, "234", 3);
}
END_TEST

START_TEST(skips_bytes_of_a_chain)
{
	char a[4], b[3];
	struct iovec v[2] = { { a, 4 }, { b, 3 } }, *iov = v;
	int nr = 2;

	ck_assert(vc_iov_skip(&iov, &nr, 1));
	ck_assert_ptr_eq(iov[0].iov_base, a + 1);
	ck_assert_uint_eq(iov[0].iov_len, 3);
	ck_assert(vc_iov_skip(&iov, &nr, 3));
	ck_assert_int_eq(nr, 1);
	ck_assert_ptr_eq(iov[0].iov_base, b);
	ck_assert(vc_iov_skip(&iov, &nr, 3));
	ck_assert_int_eq(nr, 0);
	ck_assert(vc_iov_skip(&iov, &nr, 0));
	ck_assert(!vc_iov_skip(&iov, &nr, 1));
}
END_TEST

static TCase *ring_case(Suite *s, const char *name)
{
	TCase *tc = test_case(s, name);

	tcase_add_checked_fixture(tc, setup, teardown);
	return tc;
}

TEST_SUITE(suite_queue)
{
	Suite *s = suite_create("virtio/queue");
	TCase *tc = ring_case(s, "ring");

	tcase_add_test(tc, takes_a_chain_and_gives_it_back);
	tcase_add_test(tc, wraps_indices);
	tcase_add_test(tc, unpop_takes_it_again);
	tcase_add_test(tc, takes_indirect_after_direct);
	tcase_add_test(tc, takes_long_indirect_across_regions);
	tcase_add_test(tc, splits_buffer_across_regions);
	tcase_add_test(tc, lets_empty_buffers_through);
	tcase_add_test(tc, resumes_where_it_stopped);
	tcase_add_test(tc, is_empty_when_stopped);
	tcase_add_test(tc, suppresses_kicks_by_flag);
	tcase_add_test(tc, suppresses_kicks_by_event_index);
	tcase_add_test(tc, suppresses_interrupts_by_flag);
	tcase_add_test(tc, suppresses_interrupts_by_event_index);
	tcase_add_test(tc, interrupts_for_a_batch);
	tcase_add_test(tc, copies_bytes_of_a_chain);
	tcase_add_test(tc, skips_bytes_of_a_chain);

	tc = ring_case(s, "hostile");
	tcase_add_loop_test(tc, refuses_to_start, 0, 17);
	tcase_add_test(tc, head_out_of_range);
	tcase_add_test(tc, next_out_of_range);
	tcase_add_test(tc, chain_that_loops);
	tcase_add_test(tc, indirect_that_loops);
	tcase_add_test(tc, indirect_next_out_of_range);
	tcase_add_test(tc, indirect_inside_indirect);
	tcase_add_test(tc, indirect_with_next);
	tcase_add_test(tc, indirect_not_negotiated);
	tcase_add_loop_test(tc, indirect_of_wrong_length, 0, 5);
	tcase_add_loop_test(tc, indirect_outside_ram, 0, 6);
	tcase_add_test(tc, too_many_descriptors);
	tcase_add_loop_test(tc, buffer_outside_ram, 0, 9);
	tcase_add_test(tc, too_many_bytes);
	tcase_add_test(tc, readable_after_writable);
	tcase_add_test(tc, index_too_far_ahead);
	tcase_add_test(tc, more_in_flight_than_the_ring_has);
	return s;
}
