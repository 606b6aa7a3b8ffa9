/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtio-pci transport between a fake hypervisor and a fake device, driven
 * as a guest drives it: through configuration space and the BAR. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/lib/test.h"
#include "tests/unit/vmm/fake_hv.h"
#include "vmm/bus/virtio_pci.h"

#define ECAM UINT64_C(0xe0000000)
#define BAR UINT64_C(0xc0000000)
#define RAM_BYTES 0x100000
#define NR_QUEUES 3
#define F_BLK_FLUSH (UINT64_C(1) << 9)
#define F_VERSION_1 (UINT64_C(1) << 32)
#define F_PACKED (UINT64_C(1) << 34)
#define F_LOG_ALL (UINT64_C(1) << 26)

struct fake_dev {
	struct vpci_backend base;
	uint64_t offered, features;
	uint8_t status;
	uint8_t config[16];
	bool is_running[NR_QUEUES];
	struct vc_vhu_queue queue[NR_QUEUES];
	unsigned nr_resets, nr_set_features;
	bool fails;
};

static struct fake_hv hv;
static struct fake_dev fake;
static struct bus pio, mmio;
static struct pci_host host;
static struct vc_mem *mem;
static uint8_t *ram;
static struct vpci *vpci;
static unsigned nr_failures;
static struct vc_error err;

/* --- the fake device ------------------------------------------------------ */

static struct fake_dev *to_fake(struct vpci_backend *be)
{
	return vc_container_of(be, struct fake_dev, base);
}

static int answer(struct fake_dev *f, struct vc_error *e)
{
	return f->fails ? vc_fail(e, VC_E_PEER, 0, "it failed") : 0;
}

static uint64_t fake_features(struct vpci_backend *be)
{
	return to_fake(be)->offered;
}

static unsigned fake_max_queues(struct vpci_backend *be)
{
	(void)be;
	return NR_QUEUES;
}

static int fake_get_config(struct vpci_backend *be, uint32_t off, uint8_t *buf,
			   uint32_t len, struct vc_error *e)
{
	if (off + len > sizeof(to_fake(be)->config))
		return vc_fail(e, VC_E_PEER, 0, "refused");
	memcpy(buf, to_fake(be)->config + off, len);
	return 0;
}

static int fake_set_config(struct vpci_backend *be, uint32_t off,
			   const uint8_t *buf, uint32_t len, struct vc_error *e)
{
	if (off + len > sizeof(to_fake(be)->config))
		return vc_fail(e, VC_E_PEER, 0, "refused");
	memcpy(to_fake(be)->config + off, buf, len);
	return 0;
}

static int fake_set_features(struct vpci_backend *be, uint64_t features,
			     struct vc_error *e)
{
	to_fake(be)->features = features;
	to_fake(be)->nr_set_features++;
	return answer(to_fake(be), e);
}

static int fake_set_status(struct vpci_backend *be, uint8_t status,
			   struct vc_error *e)
{
	to_fake(be)->status = status;
	return answer(to_fake(be), e);
}

static int fake_start_queue(struct vpci_backend *be, unsigned qi,
			    const struct vc_vhu_queue *q, struct vc_error *e)
{
	ck_assert_uint_lt(qi, NR_QUEUES);
	ck_assert(!to_fake(be)->is_running[qi]);
	to_fake(be)->is_running[qi] = true;
	to_fake(be)->queue[qi] = *q;
	return answer(to_fake(be), e);
}

static int fake_stop_queue(struct vpci_backend *be, unsigned qi,
			   uint16_t *ret_base, struct vc_error *e)
{
	ck_assert(to_fake(be)->is_running[qi]);
	to_fake(be)->is_running[qi] = false;
	*ret_base = 0;
	return answer(to_fake(be), e);
}

static int fake_reset(struct vpci_backend *be, struct vc_error *e)
{
	unsigned i;

	for (i = 0; i < NR_QUEUES; i++)
		ck_assert(!to_fake(be)->is_running[i]);
	to_fake(be)->nr_resets++;
	return answer(to_fake(be), e);
}

static const struct vpci_backend_ops fake_ops = {
	.features = fake_features,
	.max_queues = fake_max_queues,
	.get_config = fake_get_config,
	.set_config = fake_set_config,
	.set_features = fake_set_features,
	.set_status = fake_set_status,
	.start_queue = fake_start_queue,
	.stop_queue = fake_stop_queue,
	.reset = fake_reset,
};

static void on_failure(void *opaque, const struct vc_error *e)
{
	ck_assert_ptr_eq(opaque, &fake);
	ck_assert_int_eq(e->code, VC_E_PEER);
	nr_failures++;
}

/* --- the guest's view ----------------------------------------------------- */

static uint64_t rd(uint64_t addr, unsigned len)
{
	uint8_t data[8] = { 0 };

	bus_read(&mmio, addr, data, len);
	return bus_get_le(data, len);
}

/* A write goes to KVM's ioeventfds first, as in a real machine. */
static void wr(uint64_t addr, unsigned len, uint64_t v)
{
	int fd = fake_hv_fd_at(&hv, addr);
	uint64_t one = 1;
	uint8_t data[8];

	if (fd >= 0) {
		ck_assert_int_eq(write(fd, &one, 8), 8);
		return;
	}
	bus_put_le(data, len, v);
	bus_write(&mmio, addr, data, len);
}

static uint64_t cfg(unsigned off)
{
	return ECAM + (1 << 15) + off;
}

static unsigned find_cap(uint8_t id, uint8_t type)
{
	unsigned at = (unsigned)rd(cfg(0x34), 1), steps = 0;

	while (at && steps++ < 48) {
		if (rd(cfg(at), 1) == id &&
		    (!type || rd(cfg(at + 3), 1) == type))
			return at;
		at = (unsigned)rd(cfg(at + 1), 1);
	}
	ck_abort_msg("capability %u/%u is missing", id, type);
	return 0;
}

static uint64_t area(uint8_t type)
{
	unsigned cap = find_cap(9, type);

	ck_assert_uint_eq(rd(cfg(cap + 4), 1), 0);
	return BAR + rd(cfg(cap + 8), 4);
}

#define COMMON (area(1))
#define NOTIFY (area(2))
#define ISR (area(3))
#define CONFIG (area(4))

static uint64_t msix_table(void)
{
	return BAR + rd(cfg(find_cap(0x11, 0) + 4), 4);
}

static uint64_t msix_pba(void)
{
	return BAR + rd(cfg(find_cap(0x11, 0) + 8), 4);
}

static bool is_pending(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(fd, &one, 8), 8);
}

static void status(uint8_t v)
{
	wr(COMMON + 20, 1, v);
}

static void negotiate(uint64_t features)
{
	status(0);
	status(1);
	status(3);
	wr(COMMON + 8, 4, 0);
	wr(COMMON + 12, 4, features & 0xffffffff);
	wr(COMMON + 8, 4, 1);
	wr(COMMON + 12, 4, features >> 32);
	status(0xb);
}

static void setup_queue(unsigned qi, uint64_t at)
{
	wr(COMMON + 22, 2, qi);
	wr(COMMON + 24, 2, 64);
	wr(COMMON + 32, 4, at);
	wr(COMMON + 36, 4, 0);
	wr(COMMON + 40, 8, at + 0x1000);
	wr(COMMON + 48, 8, at + 0x2000);
	wr(COMMON + 28, 2, 1);
}

static void setup_vector(unsigned vector, uint32_t data)
{
	wr(msix_table() + 16 * vector, 4, 0xfee00000);
	wr(msix_table() + 16 * vector + 4, 4, 0);
	wr(msix_table() + 16 * vector + 8, 4, data);
	wr(msix_table() + 16 * vector + 12, 4, 0);
}

static void enable_msix(void)
{
	wr(cfg(find_cap(0x11, 0) + 2), 2, 0x8000);
}

/* A driver that works. */
static void bring_up(void)
{
	negotiate(F_VERSION_1 | F_BLK_FLUSH);
	ck_assert_uint_eq(rd(COMMON + 20, 1), 0xb);
	enable_msix();
	setup_vector(0, 0x40);
	setup_vector(1, 0x41);
	wr(COMMON + 16, 2, 0);
	wr(COMMON + 22, 2, 0);
	wr(COMMON + 26, 2, 1);
	ck_assert_uint_eq(rd(COMMON + 26, 2), 1);
	setup_queue(0, 0x10000);
	status(0xf);
}

static void setup(void)
{
	struct pci_host_config c = {
		.pio = &pio,
		.mmio = &mmio,
		.address_port = 0xcf8,
		.data_port = 0xcfc,
		.ecam_base = ECAM,
		.ecam_size = UINT64_C(256) << 20,
		.mem32_base = BAR,
		.mem32_size = UINT64_C(0x20000000),
		.mem64_base = UINT64_C(1) << 40,
		.mem64_size = UINT64_C(1) << 36,
	};
	struct vpci_opts o = {
		.name = "virtio-blk0",
		.virtio_id = 2,
		.hv = &hv.base,
		.backend = &fake.base,
		.on_failure = on_failure,
		.opaque = &fake,
	};

	fake_hv_init(&hv);
	memset(&fake, 0, sizeof(fake));
	fake.base.ops = &fake_ops;
	fake.offered = F_VERSION_1 | F_BLK_FLUSH | F_PACKED | F_LOG_ALL |
		       UINT64_C(1) << 28 | UINT64_C(1) << 29;
	memcpy(fake.config, "0123456789abcdef", 16);
	nr_failures = 0;
	pio.nr_ranges = mmio.nr_ranges = 0;
	ram = calloc(1, RAM_BYTES);
	ck_ok(vc_mem_new(&mem, &err), &err);
	ck_ok(vc_mem_add_plain(mem, ram, 0, RAM_BYTES, &err), &err);
	ck_ok(pci_host_init(&host, &c, &err), &err);
	o.mem = mem;
	ck_ok(vpci_new(&o, &vpci, &err), &err);
	ck_ok(pci_host_attach(&host, &vpci->pci, 1, &err), &err);
	wr(cfg(4), 2, 6);
}

static void teardown(void)
{
	vpci_free(vpci);
	pci_host_fini(&host);
	vc_mem_free(mem);
	free(ram);
	ck_assert_uint_eq(hv.nr_irqfds, 0);
	ck_assert_uint_eq(hv.nr_ioeventfds, 0);
	ck_assert_uint_eq(mmio.nr_ranges, 0);
}

/* --- tests ---------------------------------------------------------------- */

START_TEST(shows_itself)
{
	ck_assert_uint_eq(rd(cfg(0), 4), 0x10421af4);
	ck_assert_uint_eq(rd(cfg(8), 4), 0x01800001);
	ck_assert_uint_ge(rd(cfg(0x2e), 2), 0x40);
	ck_assert_uint_eq(rd(cfg(0x3d), 1), 0); /* no INTx */
	find_cap(9, 5);
	ck_assert_uint_eq(rd(cfg(find_cap(9, 2) + 16), 4), 4);
	ck_assert_uint_eq(rd(cfg(find_cap(0x11, 0) + 2), 2), NR_QUEUES);
	ck_assert_uint_eq(rd(COMMON + 18, 2), NR_QUEUES);
	ck_assert_uint_eq(rd(COMMON + 16, 2), 0xffff);
	ck_assert_uint_eq(rd(COMMON + 24, 2), VPCI_QUEUE_SIZE);
}
END_TEST

START_TEST(offers_only_what_the_transport_can)
{
	uint64_t f;

	wr(COMMON, 4, 0);
	f = rd(COMMON + 4, 4);
	wr(COMMON, 4, 1);
	f |= rd(COMMON + 4, 4) << 32;
	ck_assert_uint_eq(f, F_VERSION_1 | F_BLK_FLUSH | UINT64_C(3) << 28);
	wr(COMMON, 4, 2);
	ck_assert_uint_eq(rd(COMMON + 4, 4), 0);
}
END_TEST

START_TEST(refuses_features_not_offered)
{
	negotiate(F_VERSION_1 | F_PACKED);
	ck_assert_uint_eq(rd(COMMON + 20, 1), 3);
	negotiate(F_BLK_FLUSH); /* no VERSION_1 */
	ck_assert_uint_eq(rd(COMMON + 20, 1), 3);
	ck_assert_uint_eq(fake.nr_set_features, 0);
	/* and without FEATURES_OK no DRIVER_OK */
	setup_queue(0, 0x10000);
	status(0xf);
	ck_assert_uint_eq(rd(COMMON + 20, 1), 3);
	ck_assert(!fake.is_running[0]);
}
END_TEST

START_TEST(starts_enabled_queues)
{
	bring_up();
	ck_assert_uint_eq(rd(COMMON + 20, 1), 0xf);
	ck_assert_uint_eq(fake.features, F_VERSION_1 | F_BLK_FLUSH);
	ck_assert_uint_eq(fake.status, 0xf);
	ck_assert(fake.is_running[0]);
	ck_assert(!fake.is_running[1]);
	ck_assert_uint_eq(fake.queue[0].size, 64);
	ck_assert_uint_eq(fake.queue[0].desc, 0x10000);
	ck_assert_uint_eq(fake.queue[0].avail, 0x11000);
	ck_assert_uint_eq(fake.queue[0].used, 0x12000);
	ck_assert_uint_eq(fake.queue[0].base, 0);
	ck_assert_int_eq(fake_hv_fd_at(&hv, NOTIFY), fake.queue[0].kick_fd);
}
END_TEST

START_TEST(late_queue_starts_too)
{
	bring_up();
	setup_queue(2, 0x20000);
	ck_assert(fake.is_running[2]);
	ck_assert_int_eq(fake_hv_fd_at(&hv, NOTIFY + 8), fake.queue[2].kick_fd);
}
END_TEST

START_TEST(interrupts_reach_the_guest)
{
	int call, gsi;

	bring_up();
	call = fake.queue[0].call_fd;
	gsi = fake_hv_gsi_of(&hv, call);
	ck_assert_int_ge(gsi, 0);
	ck_assert_uint_eq(hv.msi[gsi].address, 0xfee00000);
	ck_assert_uint_eq(hv.msi[gsi].data, 0x41);
	/* a new message for an open vector is routed at once */
	wr(msix_table() + 16 + 8, 4, 0x99);
	ck_assert_uint_eq(hv.msi[gsi].data, 0x99);
}
END_TEST

START_TEST(masked_interrupts_stay_pending)
{
	int call;

	bring_up();
	call = fake.queue[0].call_fd;
	wr(msix_table() + 16 + 12, 4, 1); /* the vector */
	ck_assert_int_eq(fake_hv_gsi_of(&hv, call), -1);
	ck_assert_uint_eq(rd(msix_pba(), 8), 0);
	signal_fd(call);
	ck_assert_uint_eq(rd(msix_pba(), 8), 2);
	ck_assert_uint_eq(rd(msix_pba(), 1), 2);
	wr(msix_table() + 16 + 12, 4, 0);
	ck_assert_int_ge(fake_hv_gsi_of(&hv, call), 0);
	ck_assert_uint_eq(rd(msix_pba(), 8), 0);
	ck_assert(is_pending(call)); /* KVM finds it when it starts to listen */
	wr(cfg(find_cap(0x11, 0) + 2), 2, 0xc000); /* the function */
	ck_assert_uint_eq(hv.nr_irqfds, 0);
	wr(cfg(find_cap(0x11, 0) + 2), 2, 0x8000);
	ck_assert_uint_eq(hv.nr_irqfds, 2);
}
END_TEST

START_TEST(unmasking_does_not_route_again)
{
	unsigned before;

	bring_up();
	before = hv.nr_set_msi;
	wr(msix_table() + 16 + 12, 4, 1);
	wr(msix_table() + 16 + 12, 4, 0);
	ck_assert_uint_eq(hv.nr_set_msi, before);
}
END_TEST

START_TEST(queues_may_share_a_vector)
{
	bring_up();
	wr(COMMON + 22, 2, 1);
	wr(COMMON + 26, 2, 1);
	setup_queue(1, 0x20000);
	ck_assert_int_eq(fake_hv_gsi_of(&hv, fake.queue[0].call_fd),
			 fake_hv_gsi_of(&hv, fake.queue[1].call_fd));
	ck_assert_int_ne(fake.queue[0].call_fd, fake.queue[1].call_fd);
}
END_TEST

START_TEST(vector_out_of_range_is_none)
{
	bring_up();
	wr(COMMON + 22, 2, 0);
	wr(COMMON + 26, 2, NR_QUEUES + 1);
	ck_assert_uint_eq(rd(COMMON + 26, 2), 0xffff);
	ck_assert_int_eq(fake_hv_gsi_of(&hv, fake.queue[0].call_fd), -1);
	wr(COMMON + 16, 2, 0x1234);
	ck_assert_uint_eq(rd(COMMON + 16, 2), 0xffff);
}
END_TEST

START_TEST(isr_tells_without_msix)
{
	negotiate(F_VERSION_1);
	setup_queue(0, 0x10000);
	status(0xf);
	ck_assert_uint_eq(rd(ISR, 1), 0);
	signal_fd(fake.queue[0].call_fd);
	ck_assert_uint_eq(rd(ISR, 1), 1);
	ck_assert_uint_eq(rd(ISR, 1), 0);
	vpci_config_changed(vpci);
	ck_assert_uint_eq(rd(ISR, 1), 2);
}
END_TEST

START_TEST(notifications_work_with_the_bar_anywhere)
{
	bring_up();
	/* moved: the ioeventfd follows */
	wr(cfg(0x10), 4, BAR + 0x100000);
	ck_assert_int_eq(fake_hv_fd_at(&hv, BAR + 0x100000 + 0x3000),
			 fake.queue[0].kick_fd);
	ck_assert_uint_eq(hv.nr_ioeventfds, 1);
	/* decoding off: none */
	wr(cfg(4), 2, 4);
	ck_assert_uint_eq(hv.nr_ioeventfds, 0);
	wr(cfg(0x10), 4, BAR);
	wr(cfg(4), 2, 6);
	ck_assert_uint_eq(hv.nr_ioeventfds, 1);
	wr(NOTIFY, 2, 0);
	ck_assert(is_pending(fake.queue[0].kick_fd));
	/* one that is not running, one that is not there */
	wr(NOTIFY + 4, 2, 1);
	wr(NOTIFY + 0x800, 2, 1);
}
END_TEST

START_TEST(window_reaches_the_bar)
{
	unsigned cap = find_cap(9, 5);

	wr(cfg(4), 2, 0); /* the BAR is off, the window is not */
	wr(cfg(cap + 4), 1, 0);
	wr(cfg(cap + 8), 4, 18);
	wr(cfg(cap + 12), 4, 2);
	ck_assert_uint_eq(rd(cfg(cap + 16), 2), NR_QUEUES);
	wr(cfg(cap + 8), 4, 20);
	wr(cfg(cap + 12), 4, 1);
	wr(cfg(cap + 16), 1, 1);
	ck_assert_uint_eq(vpci->status, 1);
	/* outside the BAR, another BAR, bad length: nothing */
	wr(cfg(cap + 8), 4, 0x7fff);
	wr(cfg(cap + 12), 4, 4);
	wr(cfg(cap + 16), 4, 0);
	wr(cfg(cap + 8), 4, 20);
	wr(cfg(cap + 12), 4, 3);
	wr(cfg(cap + 16), 4, 0);
	wr(cfg(cap + 12), 4, 1);
	wr(cfg(cap + 4), 1, 1);
	wr(cfg(cap + 16), 4, 0);
	ck_assert_uint_eq(vpci->status, 1);
}
END_TEST

START_TEST(reads_and_writes_the_configuration)
{
	uint8_t generation = (uint8_t)rd(COMMON + 21, 1);

	ck_assert_uint_eq(rd(CONFIG + 2, 2), '2' | '3' << 8);
	ck_assert_uint_eq(rd(CONFIG + 5, 1), '5');
	wr(CONFIG, 1, 'X');
	ck_assert_uint_eq(rd(CONFIG, 1), 'X');
	/* what the device refuses hurts nobody */
	ck_assert_uint_eq(rd(CONFIG + 15, 4), 0);
	wr(CONFIG + 15, 4, 1);
	ck_assert_uint_eq(rd(CONFIG + 0xff, 8), 0);
	ck_assert_uint_eq(nr_failures, 0);
	bring_up();
	vpci_config_changed(vpci);
	ck_assert_uint_ne(rd(COMMON + 21, 1), generation);
	ck_assert(is_pending(msix_get_fd(&vpci->msix, 0)));
}
END_TEST

START_TEST(reset_stops_everything)
{
	bring_up();
	status(0);
	ck_assert_uint_eq(rd(COMMON + 20, 1), 0);
	ck_assert_uint_eq(fake.nr_resets, 1);
	ck_assert(!fake.is_running[0]);
	ck_assert_uint_eq(hv.nr_ioeventfds, 0);
	ck_assert_uint_eq(hv.nr_irqfds, 0);
	wr(COMMON + 22, 2, 0);
	ck_assert_uint_eq(rd(COMMON + 28, 2), 0);
	ck_assert_uint_eq(rd(COMMON + 32, 8), 0);
	ck_assert_uint_eq(rd(COMMON + 24, 2), VPCI_QUEUE_SIZE);
	bring_up();
	ck_assert(fake.is_running[0]);
}
END_TEST

START_TEST(bad_queue_needs_reset)
{
	static const struct {
		uint64_t size, desc, driver, device;
	} bad[] = {
		{ 64, 0x10008, 0x11000, 0x12000 }, /* alignment */
		{ 64, 0x10000, 0x11001, 0x12000 },
		{ 64, 0x10000, 0x11000, 0x12002 },
		{ 48, 0x10000, 0x11000, 0x12000 }, /* no power of two */
		{ 0, 0x10000, 0x11000, 0x12000 },
		{ 512, 0x10000, 0x11000, 0x12000 },
		{ 64, RAM_BYTES - 64, 0x11000, 0x12000 }, /* not RAM */
		{ 64, UINT64_MAX - 15, 0x11000, 0x12000 },
		{ 64, 0x10000, RAM_BYTES, 0x12000 },
		{ 64, 0x10000, 0x11000, UINT64_C(0xfffffffffffffffc) },
	};
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(bad); i++) {
		negotiate(F_VERSION_1);
		wr(COMMON + 22, 2, 0);
		wr(COMMON + 24, 2, bad[i].size);
		wr(COMMON + 32, 8, bad[i].desc);
		wr(COMMON + 40, 8, bad[i].driver);
		wr(COMMON + 48, 8, bad[i].device);
		wr(COMMON + 28, 2, 1);
		status(0xf);
		ck_assert(!fake.is_running[0]);
		ck_assert_uint_eq(rd(COMMON + 20, 1), 0x4f);
		ck_assert_uint_eq(nr_failures, 0);
	}
	bring_up();
	ck_assert_uint_eq(rd(COMMON + 20, 1), 0xf);
}
END_TEST

START_TEST(broken_queue_needs_reset)
{
	bring_up();
	vpci_needs_reset(vpci);
	ck_assert_uint_eq(rd(COMMON + 20, 1), 0x4f);
	ck_assert(is_pending(msix_get_fd(&vpci->msix, 0)));
	status(0);
	ck_assert_uint_eq(rd(COMMON + 20, 1), 0);
}
END_TEST

START_TEST(enabled_queue_cannot_change)
{
	bring_up();
	wr(COMMON + 22, 2, 0);
	wr(COMMON + 24, 2, 128);
	wr(COMMON + 32, 8, 0x30000);
	wr(COMMON + 28, 2, 0);
	ck_assert_uint_eq(rd(COMMON + 24, 2), 64);
	ck_assert_uint_eq(rd(COMMON + 32, 8), 0x10000);
	ck_assert_uint_eq(rd(COMMON + 28, 2), 1);
}
END_TEST

START_TEST(absent_queue_has_size_zero)
{
	wr(COMMON + 22, 2, NR_QUEUES);
	ck_assert_uint_eq(rd(COMMON + 24, 2), 0);
	ck_assert_uint_eq(rd(COMMON + 26, 2), 0xffff);
	wr(COMMON + 24, 2, 64);
	wr(COMMON + 28, 2, 1);
	ck_assert_uint_eq(rd(COMMON + 28, 2), 0);
}
END_TEST

START_TEST(failed_device_is_reported_once)
{
	bring_up();
	fake.fails = true;
	status(0);
	ck_assert_uint_eq(nr_failures, 1);
	ck_assert_uint_eq(rd(COMMON + 20, 1), 0);
	negotiate(F_VERSION_1);
	ck_assert_uint_eq(rd(COMMON + 20, 1) & 8, 0);
	status(0);
	ck_assert_uint_eq(nr_failures, 1);
}
END_TEST

START_TEST(any_access_is_harmless)
{
	static const uint64_t values[] = { 0,
					   1,
					   0x0f,
					   0xff,
					   0x8000,
					   UINT64_MAX,
					   UINT64_C(0x0b0b0b0b0b0b0b0b) };
	unsigned off, len, i;

	bring_up();
	for (i = 0; i < VC_ARRAY_SIZE(values); i++)
		for (len = 1; len <= 8; len++)
			for (off = 0; off < 0x8000;
			     off += off % 0x1000 < 80 ? 1 : 61) {
				uint64_t addr = BAR + off;

				rd(addr, len);
				if (fake_hv_fd_at(&hv, addr) < 0)
					wr(addr, len, values[i]);
			}
	for (i = 0; i < VC_ARRAY_SIZE(values); i++)
		for (len = 1; len <= 8; len++)
			for (off = 0x40; off < 256; off++) {
				wr(cfg(off), len, values[i]);
				rd(cfg(off), len);
			}
	/* and it still works */
	wr(cfg(4), 2, 6);
	wr(cfg(0x10), 4, BAR);
	bring_up();
	ck_assert_uint_eq(rd(COMMON + 20, 1), 0xf);
	ck_assert(fake.is_running[0]);
}
END_TEST

START_TEST(unaligned_writes_are_by_bytes)
{
	wr(COMMON + 22, 2, 1);
	/* the last byte of queue_notify_off and the first three of desc */
	wr(COMMON + 31, 4, 0xaabbcc00);
	ck_assert_uint_eq(rd(COMMON + 32, 8), 0xaabbcc);
	wr(COMMON + 38, 4, 0x44332211);
	ck_assert_uint_eq(rd(COMMON + 32, 8), UINT64_C(0x2211000000aabbcc));
	ck_assert_uint_eq(rd(COMMON + 40, 8), 0x4433);
}
END_TEST

START_TEST(refuses_what_is_no_device)
{
	struct vpci_opts o = {
		.name = "old",
		.virtio_id = 2,
		.hv = &hv.base,
		.mem = mem,
		.backend = &fake.base,
		.on_failure = on_failure,
	};
	struct vpci *v;

	fake.offered = 0;
	ck_fails(vpci_new(&o, &v, &err), &err, VC_E_UNSUPPORTED);
	fake.offered = F_VERSION_1;
	hv.nr_gsis = FAKE_MAX - 1;
	ck_fails(vpci_new(&o, &v, &err), &err, VC_E_LIMIT);
}
END_TEST

TEST_SUITE(suite_virtio_pci)
{
	Suite *s = suite_create("virtio-pci");
	TCase *tc = test_case(s, "transport");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, shows_itself);
	tcase_add_test(tc, offers_only_what_the_transport_can);
	tcase_add_test(tc, refuses_features_not_offered);
	tcase_add_test(tc, starts_enabled_queues);
	tcase_add_test(tc, late_queue_starts_too);
	tcase_add_test(tc, interrupts_reach_the_guest);
	tcase_add_test(tc, masked_interrupts_stay_pending);
	tcase_add_test(tc, unmasking_does_not_route_again);
	tcase_add_test(tc, queues_may_share_a_vector);
	tcase_add_test(tc, vector_out_of_range_is_none);
	tcase_add_test(tc, isr_tells_without_msix);
	tcase_add_test(tc, notifications_work_with_the_bar_anywhere);
	tcase_add_test(tc, window_reaches_the_bar);
	tcase_add_test(tc, reads_and_writes_the_configuration);
	tcase_add_test(tc, reset_stops_everything);
	tcase_add_test(tc, bad_queue_needs_reset);
	tcase_add_test(tc, broken_queue_needs_reset);
	tcase_add_test(tc, enabled_queue_cannot_change);
	tcase_add_test(tc, absent_queue_has_size_zero);
	tcase_add_test(tc, failed_device_is_reported_once);
	tcase_add_test(tc, any_access_is_harmless);
	tcase_add_test(tc, unaligned_writes_are_by_bytes);
	tcase_add_test(tc, refuses_what_is_no_device);
	return s;
}
