/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A split ring made of the input. The first four bytes choose the size, the
 * features, where the ring starts and how often the driver changes its mind;
 * the rest is the memory, over and over again to its end: descriptors, avail
 * ring, used ring, then room for buffers and indirect tables. Everything is
 * popped and pushed, every byte of every chain touched.
 */
#include <stdlib.h>
#include <string.h>
#include <vmmcore/virtqueue.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define GPA UINT64_C(0x10000)
#define REGION 0x4000u /* two of them, which touch */
#define PAGE 4096u

static void fill(uint8_t *ram, const uint8_t *data, size_t size)
{
	size_t off, n;

	for (off = 0; off < REGION; off += n) {
		n = size < REGION - off ? size : REGION - off;
		memcpy(ram + off, data, n);
	}
}

/* What a device would do with a chain; ASan watches. */
static void use(const struct vc_vq_chain *c)
{
	uint64_t out = 0, in = 0;
	volatile uint8_t sum = 0;
	int i;

	for (i = 0; i < c->nr_out; i++) {
		const uint8_t *p = c->out[i].iov_base;

		sum = (uint8_t)(sum + p[0] + p[c->out[i].iov_len - 1]);
		out += c->out[i].iov_len;
	}
	for (i = 0; i < c->nr_in; i++) {
		uint8_t *p = c->in[i].iov_base;

		p[0] = p[c->in[i].iov_len - 1] = 0x5a;
		in += c->in[i].iov_len;
	}
	if (out != c->out_bytes || in != c->in_bytes || out > VC_VQ_MAX_BYTES ||
	    in > VC_VQ_MAX_BYTES || c->nr_out + c->nr_in > (int)VC_VQ_MAX_IOV)
		abort();
}

static void drive(struct vc_vq *vq, struct vc_vq_chain *c, unsigned rounds,
		  uint8_t *avail_idx)
{
	uint16_t heads[VC_VQ_MAX_SIZE];
	unsigned n = 0, popped = 0;

	vc_vq_disable_kicks(vq);
	while (rounds--) {
		while (vc_vq_pop(vq, c) == VC_VQ_OK) {
			if (n == VC_VQ_MAX_SIZE || c->head >= vq->size)
				abort();
			use(c);
			heads[n++] = c->head;
			/* a driver that never stops is not looked at for ever */
			if (++popped == 4 * VC_VQ_MAX_SIZE)
				break;
			if (popped % 3 == 0) {
				vc_vq_push(vq, heads[--n], popped);
				vc_vq_notify(vq);
			}
		}
		++*avail_idx;
	}
	while (n)
		vc_vq_push(vq, heads[--n], 0);
	vc_vq_notify(vq);
	vc_vq_stop(vq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vc_vq_chain chain;
	uint64_t features;
	uint8_t *ram[2];
	struct vc_mem *mem;
	struct vc_error err;
	struct vc_vq vq;
	uint16_t qsize;
	int i;

	if (size < 5)
		return 0;
	qsize = (uint16_t)(1u << data[0] % 8); /* up to 128: fits a page */
	features = (uint64_t)(data[1] & 3) << VC_VIRTIO_F_INDIRECT_DESC;
	if (vc_mem_new(&mem, &err) < 0)
		abort();
	for (i = 0; i < 2; i++) {
		ram[i] = aligned_alloc(PAGE, REGION);
		if (!ram[i] ||
		    vc_mem_add_plain(mem, ram[i], GPA + (gpa_t)i * REGION,
				     REGION, &err) < 0)
			abort();
		fill(ram[i], data + 4, size - 4);
	}
	vc_vq_init(&vq);
	if (vc_vq_start(&vq, mem, qsize, GPA, GPA + PAGE, GPA + 2 * PAGE,
			features, data[2], &err) == 0)
		drive(&vq, &chain, data[3] % 8 + 1u, ram[0] + PAGE + 2);
	vc_mem_free(mem);
	free(ram[0]);
	free(ram[1]);
	return 0;
}
