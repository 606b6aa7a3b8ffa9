/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "tests/lib/test.h"
#include "tests/unit/vmm/fake_hv.h"

static struct fake_hv *to_fake(struct bus_hv *hv)
{
	return vc_container_of(hv, struct fake_hv, base);
}

static int set_irq(struct bus_hv *hv, unsigned gsi, bool level,
		   struct vc_error *err)
{
	struct fake_hv *f = to_fake(hv);

	(void)err;
	ck_assert_uint_lt(gsi, FAKE_MAX);
	f->nr_raised[gsi] += level && !f->level[gsi];
	f->level[gsi] = level;
	return 0;
}

static int alloc_gsi(struct bus_hv *hv, unsigned *ret_gsi, struct vc_error *err)
{
	struct fake_hv *f = to_fake(hv);

	if (f->nr_gsis == FAKE_MAX)
		return vc_fail(err, VC_E_LIMIT, 0, "no more GSIs");
	*ret_gsi = f->nr_gsis++;
	return 0;
}

static int set_msi(struct bus_hv *hv, unsigned gsi, uint64_t address,
		   uint32_t data, struct vc_error *err)
{
	struct fake_hv *f = to_fake(hv);

	(void)err;
	ck_assert_uint_lt(gsi, f->nr_gsis);
	f->msi[gsi].is_set = true;
	f->msi[gsi].address = address;
	f->msi[gsi].data = data;
	f->nr_set_msi++;
	return 0;
}

static int add_irqfd(struct bus_hv *hv, int fd, unsigned gsi,
		     struct vc_error *err)
{
	struct fake_hv *f = to_fake(hv);

	/* as KVM: one route per descriptor */
	if (fake_hv_gsi_of(f, fd) >= 0)
		return vc_fail(err, VC_E_SYS, 0, "irqfd is there already");
	f->irqfds[f->nr_irqfds].fd = fd;
	f->irqfds[f->nr_irqfds++].gsi = gsi;
	return 0;
}

static int remove_irqfd(struct bus_hv *hv, int fd, unsigned gsi,
			struct vc_error *err)
{
	struct fake_hv *f = to_fake(hv);
	unsigned i;

	(void)err;
	for (i = 0; i < f->nr_irqfds; i++)
		if (f->irqfds[i].fd == fd && f->irqfds[i].gsi == gsi) {
			f->irqfds[i] = f->irqfds[--f->nr_irqfds];
			return 0;
		}
	ck_abort_msg("no such irqfd");
	return -1;
}

static int add_ioeventfd(struct bus_hv *hv, int fd, gpa_t gpa, uint32_t len,
			 struct vc_error *err)
{
	struct fake_hv *f = to_fake(hv);

	(void)err;
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(fake_hv_fd_at(f, gpa), -1);
	f->ioeventfds[f->nr_ioeventfds].fd = fd;
	f->ioeventfds[f->nr_ioeventfds++].gpa = gpa;
	return 0;
}

static int remove_ioeventfd(struct bus_hv *hv, int fd, gpa_t gpa, uint32_t len,
			    struct vc_error *err)
{
	struct fake_hv *f = to_fake(hv);
	unsigned i;

	(void)err;
	(void)len;
	for (i = 0; i < f->nr_ioeventfds; i++)
		if (f->ioeventfds[i].fd == fd && f->ioeventfds[i].gpa == gpa) {
			f->ioeventfds[i] = f->ioeventfds[--f->nr_ioeventfds];
			return 0;
		}
	ck_abort_msg("no such ioeventfd");
	return -1;
}

static const struct bus_hv_ops fake_ops = {
	.set_irq = set_irq,
	.alloc_gsi = alloc_gsi,
	.set_msi = set_msi,
	.add_irqfd = add_irqfd,
	.remove_irqfd = remove_irqfd,
	.add_ioeventfd = add_ioeventfd,
	.remove_ioeventfd = remove_ioeventfd,
};

void fake_hv_init(struct fake_hv *f)
{
	memset(f, 0, sizeof(*f));
	f->base.ops = &fake_ops;
}

int fake_hv_gsi_of(const struct fake_hv *f, int fd)
{
	unsigned i;

	for (i = 0; i < f->nr_irqfds; i++)
		if (f->irqfds[i].fd == fd)
			return (int)f->irqfds[i].gsi;
	return -1;
}

int fake_hv_fd_at(const struct fake_hv *f, gpa_t gpa)
{
	unsigned i;

	for (i = 0; i < f->nr_ioeventfds; i++)
		if (f->ioeventfds[i].gpa == gpa)
			return f->ioeventfds[i].fd;
	return -1;
}
