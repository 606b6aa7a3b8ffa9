/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split virtqueues, device side.
 *
 * A queue is three tables in guest memory: descriptors, the avail ring (driver
 * to device: "take the chain that starts at descriptor N") and the used ring
 * (device to driver: "chain N is done"). vc_vq_start() resolves the three to
 * host memory once, whole and within one region each, so that the data path
 * is plain loads and stores at offsets that the queue size bounds.
 *
 * Everything in them may change while we look. So each index and each
 * descriptor is copied exactly once (`copy_desc`), and only the copy is checked
 * and used. What must hold of a chain, all of it checked in this file:
 *
 *	- the driver's index is at most `size` ahead of ours, and no more than
 *	  `size` chains are in flight: neither can happen to a driver that
 *	  follows the rules, and it bounds every pool a device has;
 *	- head and next are inside their table;
 *	- a chain visits no more descriptors than its table has: no loops;
 *	- an indirect table ends its chain, is not nested, was negotiated, has at
 *	  least one and at most VC_VQ_MAX_CHAIN entries;
 *	- what the device reads comes before what it writes;
 *	- every buffer is in RAM, VC_VQ_MAX_BYTES bound each direction.
 *
 * The specification does not forbid a buffer of no bytes, so it is let through
 * and adds nothing: there is no address to check in it.
 *
 * A driver that breaks a rule breaks its queue, for good: the position in the
 * ring is no longer something both sides agree on.
 *
 * Ordering. The driver writes descriptors and ring entries, then the index; we
 * load the index with acquire, then the rest. We fill the used entry, then store
 * the index with release. Suppression of kicks and of interrupts is a store by
 * one side followed by a load of what the other stores (store buffering): only a
 * full barrier between the two makes it sure that at least one of the sides sees
 * the other's store. It is in enable_kicks() and vc_vq_notify().
 */
#include <assert.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/virtqueue.h>

/* virtio 1.2, 2.7.5 */
struct vq_desc {
	le64_t addr;
	le32_t len;
	le16_t flags;
	le16_t next;
};
_Static_assert(sizeof(struct vq_desc) == 16, "virtio 1.2, 2.7.5");

#define DESC_F_NEXT 1u
#define DESC_F_WRITE 2u
#define DESC_F_INDIRECT 4u

#define AVAIL_F_NO_INTERRUPT 1u
#define USED_F_NO_NOTIFY 1u

/* Offsets in the avail ring: flags, idx, ring[size], used_event. */
#define AVAIL_FLAGS 0u
#define AVAIL_IDX 2u
#define AVAIL_RING 4u
#define AVAIL_ENTRY 2u
/* Offsets in the used ring: flags, idx, ring[size], avail_event. */
#define USED_FLAGS 0u
#define USED_IDX 2u
#define USED_RING 4u
#define USED_ENTRY 8u
#define EVENT_BYTES 2u

/* --- 16-bit words of the rings: start checked their alignment ------------- */

static uint16_t *word_at(uint8_t *base, size_t off)
{
	return (uint16_t *)(void *)(base + off);
}

static uint16_t load16(uint8_t *base, size_t off)
{
	return VC_LE(16, __atomic_load_n(word_at(base, off), __ATOMIC_RELAXED));
}

static uint16_t load16_acquire(uint8_t *base, size_t off)
{
	return VC_LE(16, __atomic_load_n(word_at(base, off), __ATOMIC_ACQUIRE));
}

static void store16(uint8_t *base, size_t off, uint16_t v)
{
	__atomic_store_n(word_at(base, off), VC_LE(16, v), __ATOMIC_RELAXED);
}

static void store16_release(uint8_t *base, size_t off, uint16_t v)
{
	__atomic_store_n(word_at(base, off), VC_LE(16, v), __ATOMIC_RELEASE);
}

static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* --- start and stop -------------------------------------------------------- */

void vc_vq_init(struct vc_vq *vq)
{
	*vq = (struct vc_vq){ .call_fd = -1 };
}

static int resolve(const struct vc_mem *mem, gpa_t gpa, uint64_t len,
		   unsigned align, const char *what, uint8_t **ret,
		   struct vc_error *err)
{
	struct iovec iov;

	if (gpa % align)
		return vc_fail(err, VC_E_GUEST, 0,
			       "virtqueue: %s at 0x%llx: not aligned to %u",
			       what, (unsigned long long)gpa, align);
	if (vc_mem_iov(mem, gpa, len, &iov, 1) != 1)
		return vc_fail(err, VC_E_GUEST, 0,
			       "virtqueue: %s at 0x%llx: not in one region of "
			       "RAM",
			       what, (unsigned long long)gpa);
	if ((uintptr_t)iov.iov_base % align)
		return vc_fail(err, VC_E_ARG, 0,
			       "virtqueue: %s: host memory is not aligned",
			       what);
	*ret = iov.iov_base;
	return 0;
}

int vc_vq_start(struct vc_vq *vq, struct vc_mem *mem, uint16_t size, gpa_t desc,
		gpa_t avail, gpa_t used, uint64_t features, uint16_t base,
		struct vc_error *err)
{
	uint8_t *desc_host, *avail_host, *used_host;

	assert(!vq->is_running);
	if (!vc_is_pow2(size) || size > VC_VQ_MAX_SIZE)
		return vc_fail(err, VC_E_GUEST, 0,
			       "virtqueue: size %u: not a power of two up to "
			       "%u",
			       (unsigned)size, VC_VQ_MAX_SIZE);
	if (resolve(mem, desc, sizeof(struct vq_desc) * size, 16,
		    "descriptor table", &desc_host, err) < 0 ||
	    resolve(mem, avail, AVAIL_RING + AVAIL_ENTRY * size + EVENT_BYTES,
		    2, "avail ring", &avail_host, err) < 0 ||
	    resolve(mem, used, USED_RING + USED_ENTRY * size + EVENT_BYTES, 4,
		    "used ring", &used_host, err) < 0)
		return -1;

	*vq = (struct vc_vq){
		.mem = mem,
		.size = size,
		.desc = desc,
		.avail = avail,
		.used = used,
		.desc_host = desc_host,
		.avail_host = avail_host,
		.used_host = used_host,
		.has_event_idx = features >> VC_VIRTIO_F_EVENT_IDX & 1,
		.has_indirect = features >> VC_VIRTIO_F_INDIRECT_DESC & 1,
		.is_running = true,
		.next_avail = base,
		.avail_seen = base,
		.next_used = load16(used_host, USED_IDX),
		.call_fd = vq->call_fd,
		.call = vq->call,
	};
	vq->signalled_used = vq->next_used;
	/* whoever had the queue before may have left kicks suppressed */
	store16(used_host, USED_FLAGS, 0);
	if (vq->has_event_idx)
		store16(used_host, USED_RING + USED_ENTRY * size, base);
	full_barrier();
	return 0;
}

uint16_t vc_vq_stop(struct vc_vq *vq)
{
	assert(!vq->is_running || !vq->nr_inflight);
	vq->is_running = false;
	vq->desc_host = vq->avail_host = vq->used_host = NULL;
	return vq->next_avail;
}

void vc_vq_mark_broken(struct vc_vq *vq, const char *why)
{
	if (vq->is_broken)
		return;
	vq->is_broken = true;
	vq->broken_why = why;
}

static enum vc_vq_status broken(struct vc_vq *vq, const char *why)
{
	vc_vq_mark_broken(vq, why);
	return VC_VQ_BROKEN;
}

/* --- kicks ----------------------------------------------------------------- */

void vc_vq_disable_kicks(struct vc_vq *vq)
{
	/* with the event index a driver kicks once when it passes the index we
	 * last asked for and not again until we ask anew */
	if (!vq->is_running || vq->has_event_idx || vq->kicks_off)
		return;
	store16(vq->used_host, USED_FLAGS, USED_F_NO_NOTIFY);
	vq->kicks_off = true;
}

static void enable_kicks(struct vc_vq *vq)
{
	if (vq->has_event_idx)
		store16(vq->used_host,
			USED_RING + USED_ENTRY * (size_t)vq->size,
			vq->next_avail);
	else if (vq->kicks_off)
		store16(vq->used_host, USED_FLAGS, 0);
	vq->kicks_off = false;
	/* what we ask for must be visible before we look for the last time */
	full_barrier();
}

/* --- taking chains --------------------------------------------------------- */

/* A descriptor table: the ring's, or an indirect one. */
struct vq_table {
	const uint8_t *host; /* NULL: not contiguous, read through `gpa` */
	gpa_t gpa;
	uint32_t nr;
};

struct vq_buf {
	uint64_t addr;
	uint32_t len;
	unsigned flags;
	uint32_t next;
};

/* The one read of descriptor `i`, which is inside the table. */
static bool copy_desc(const struct vc_vq *vq, const struct vq_table *t,
		      uint32_t i, struct vq_buf *ret)
{
	struct vq_desc d;

	if (t->host)
		memcpy(&d, t->host + sizeof(d) * i, sizeof(d));
	else if (!vc_mem_read(vq->mem, t->gpa + sizeof(d) * i, &d, sizeof(d)))
		return false;
	/* the compiler must not read the guest's memory again for `d` */
	__asm__ __volatile__("" ::: "memory");
	*ret = (struct vq_buf){ le64_get(d.addr), le32_get(d.len),
				le16_get(d.flags), le16_get(d.next) };
	return true;
}

/* Go from the ring's table to the indirect one that `b` names. */
static const char *enter_indirect(const struct vc_vq *vq, struct vq_table *t,
				  const struct vq_buf *b)
{
	struct iovec iov[2];
	int nr;

	if (!vq->has_indirect)
		return "an indirect descriptor that was not negotiated";
	if (b->flags & DESC_F_NEXT)
		return "an indirect descriptor with a next one";
	if (!b->len || b->len % sizeof(struct vq_desc) ||
	    b->len / sizeof(struct vq_desc) > VC_VQ_MAX_CHAIN)
		return "an indirect table of a wrong length";
	nr = vc_mem_iov(vq->mem, b->addr, b->len, iov, VC_ARRAY_SIZE(iov));
	if (nr < 0)
		return "an indirect table outside RAM";
	*t = (struct vq_table){ nr == 1 ? iov[0].iov_base : NULL, b->addr,
				b->len / (uint32_t)sizeof(struct vq_desc) };
	return NULL;
}

static const char *add_buf(const struct vc_vq *vq, struct vc_vq_chain *c,
			   const struct vq_buf *b)
{
	bool is_in = b->flags & DESC_F_WRITE;
	uint64_t *bytes = is_in ? &c->in_bytes : &c->out_bytes;
	int at = c->nr_out + c->nr_in;
	int nr;

	if (b->len > VC_VQ_MAX_BYTES - *bytes)
		return "a chain of too many bytes";
	nr = vc_mem_iov(vq->mem, b->addr, b->len, &c->iov[at],
			VC_VQ_MAX_IOV - at);
	if (nr < 0)
		return "a buffer outside RAM";
	*bytes += b->len;
	if (is_in)
		c->nr_in += nr;
	else
		c->nr_out += nr;
	return NULL;
}

/* Copy and check the chain at `head`; a text says what is wrong with it. */
static const char *walk(const struct vc_vq *vq, struct vc_vq_chain *c,
			uint32_t head)
{
	struct vq_table t = { vq->desc_host, vq->desc, vq->size };
	bool is_indirect = false, has_in = false;
	uint32_t i = head, nr_in_table = 0, nr = 0;
	struct vq_buf b;
	const char *why;

	for (;;) {
		if (i >= t.nr)
			return "a descriptor index out of range";
		if (++nr_in_table > t.nr)
			return "a chain that loops";
		if (!copy_desc(vq, &t, i, &b))
			return "an indirect table outside RAM";
		if (b.flags & DESC_F_INDIRECT) {
			if (is_indirect)
				return "an indirect table inside another";
			why = enter_indirect(vq, &t, &b);
			if (why)
				return why;
			is_indirect = true;
			nr_in_table = 0;
			i = 0;
			continue;
		}
		if (++nr > VC_VQ_MAX_CHAIN)
			return "a chain of too many descriptors";
		if (has_in && !(b.flags & DESC_F_WRITE))
			return "a readable descriptor after a writable one";
		has_in |= b.flags & DESC_F_WRITE;
		why = add_buf(vq, c, &b);
		if (why)
			return why;
		if (!(b.flags & DESC_F_NEXT))
			return NULL;
		i = b.next;
	}
}

/* Is there an entry to take? Reads the driver's index only when what it said
 * last time is used up: the line it is on belongs to another processor. */
static enum vc_vq_status look(struct vc_vq *vq)
{
	if (vq->next_avail != vq->avail_seen)
		return VC_VQ_OK;
	vq->avail_seen = load16_acquire(vq->avail_host, AVAIL_IDX);
	if ((uint16_t)(vq->avail_seen - vq->next_avail) > vq->size)
		return broken(vq, "an avail index too far ahead");
	return vq->next_avail == vq->avail_seen ? VC_VQ_EMPTY : VC_VQ_OK;
}

enum vc_vq_status vc_vq_pop(struct vc_vq *vq, struct vc_vq_chain *chain)
{
	enum vc_vq_status st;
	const char *why;
	size_t slot;

	if (!vq->is_running)
		return VC_VQ_EMPTY;
	if (vq->is_broken)
		return VC_VQ_BROKEN;
	st = look(vq);
	if (st == VC_VQ_EMPTY) {
		enable_kicks(vq);
		st = look(vq);
	}
	if (st != VC_VQ_OK)
		return st;
	if (vq->nr_inflight >= vq->size)
		return broken(vq, "more chains in flight than descriptors");

	slot = vq->next_avail & (vq->size - 1u);
	chain->head = load16(vq->avail_host, AVAIL_RING + AVAIL_ENTRY * slot);
	chain->nr_out = chain->nr_in = 0;
	chain->out_bytes = chain->in_bytes = 0;
	why = walk(vq, chain, chain->head);
	if (why)
		return broken(vq, why);
	chain->out = chain->iov;
	chain->in = chain->iov + chain->nr_out;
	vq->next_avail++;
	vq->nr_inflight++;
	return VC_VQ_OK;
}

void vc_vq_unpop(struct vc_vq *vq)
{
	assert(vq->nr_inflight);
	vq->next_avail--;
	vq->nr_inflight--;
}

/* --- giving chains back ---------------------------------------------------- */

void vc_vq_push(struct vc_vq *vq, uint16_t head, uint32_t len)
{
	struct {
		le32_t id, len;
	} elem = { le32_put(head), le32_put(len) };
	size_t slot = vq->next_used & (vq->size - 1u);

	assert(vq->is_running && vq->nr_inflight && head < vq->size);
	memcpy(vq->used_host + USED_RING + USED_ENTRY * slot, &elem,
	       sizeof(elem));
	store16_release(vq->used_host, USED_IDX, ++vq->next_used);
	vq->nr_inflight--;
	vq->nr_unsignalled++;
}

/* Does the driver want an interrupt for what was pushed since the last one?
 * virtio 1.2, 2.7.7.2. */
static bool wants_interrupt(struct vc_vq *vq)
{
	uint16_t old = vq->signalled_used, now = vq->next_used, event;
	/* after a start, and when the index went all the way round since, `old`
	 * says nothing */
	bool old_valid =
		vq->signalled_valid && vq->nr_unsignalled <= UINT16_MAX;

	vq->signalled_used = now;
	vq->signalled_valid = true;
	vq->nr_unsignalled = 0;
	if (!vq->has_event_idx)
		return !(load16(vq->avail_host, AVAIL_FLAGS) &
			 AVAIL_F_NO_INTERRUPT);
	event = load16(vq->avail_host,
		       AVAIL_RING + AVAIL_ENTRY * (size_t)vq->size);
	return !old_valid ||
	       (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void vc_vq_notify(struct vc_vq *vq)
{
	const uint64_t one = 1;

	if (!vq->is_running || !vq->nr_unsignalled)
		return;
	/* the used index must be visible before we look at what the driver
	 * wants, or both sides could wait for the other */
	full_barrier();
	if (!wants_interrupt(vq))
		return;
	if (vq->call) {
		vq->call(vq);
		return;
	}
	/* an eventfd whose counter is full has an interrupt pending already */
	if (vq->call_fd >= 0 && write(vq->call_fd, &one, sizeof(one)) < 0)
		return;
}

/* --- bytes of a chain ------------------------------------------------------ */

/* Walk `len` bytes from `skip` on; copies between them and `buf`. */
static size_t iov_copy(const struct iovec *iov, int nr, size_t skip, char *to,
		       const char *from, size_t len)
{
	size_t done = 0;
	int i;

	for (i = 0; i < nr && done < len; i++) {
		size_t n = iov[i].iov_len;
		char *p = iov[i].iov_base;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		p += skip;
		n -= skip;
		skip = 0;
		if (n > len - done)
			n = len - done;
		if (to)
			memcpy(to + done, p, n);
		else
			memcpy(p, from + done, n);
		done += n;
	}
	return done;
}

size_t vc_iov_read(const struct iovec *iov, int nr, size_t skip, void *buf,
		   size_t len)
{
	return iov_copy(iov, nr, skip, buf, NULL, len);
}

size_t vc_iov_write(const struct iovec *iov, int nr, size_t skip,
		    const void *buf, size_t len)
{
	return iov_copy(iov, nr, skip, NULL, buf, len);
}

bool vc_iov_skip(struct iovec **iov, int *nr, uint64_t n)
{
	while (n) {
		struct iovec *v = *iov;

		if (!*nr)
			return false;
		if (n < v->iov_len) {
			v->iov_base = (char *)v->iov_base + n;
			v->iov_len -= n;
			return true;
		}
		n -= v->iov_len;
		(*iov)++;
		(*nr)--;
	}
	return true;
}
