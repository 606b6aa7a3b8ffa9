/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory as a sorted table of regions. The table changes only while
 * nothing runs on it (set-up, or a backend whose queues are stopped); readers
 * take no lock. A lookup subtracts first, so no address arithmetic can wrap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include <vmmcore/endian.h>
#include <vmmcore/memory.h>
#include <vmmcore/util.h>

#define PAGE_BYTES UINT64_C(4096)

struct vc_mem {
	size_t nr;
	struct vc_mem_region regions[VC_MEM_MAX_REGIONS];
	bool is_plain[VC_MEM_MAX_REGIONS]; /* host memory is the caller's */
};

int vc_mem_new(struct vc_mem **ret, struct vc_error *err)
{
	struct vc_mem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return vc_fail(err, VC_E_SYS, ENOMEM, "guest memory");
	*ret = mem;
	return 0;
}

static void region_fini(struct vc_mem *mem, size_t i)
{
	struct vc_mem_region *r = &mem->regions[i];

	if (!mem->is_plain[i])
		munmap(r->host, r->size_bytes);
	vc_close(&r->fd);
}

struct vc_mem *vc_mem_free(struct vc_mem *mem)
{
	size_t i;

	if (mem)
		for (i = 0; i < mem->nr; i++)
			region_fini(mem, i);
	free(mem);
	return NULL;
}

/* Is there room for [gpa, gpa + size)? *ret_at gets its place in the table. */
static int check_place(const struct vc_mem *mem, gpa_t gpa, uint64_t size,
		       size_t *ret_at, struct vc_error *err)
{
	size_t i;

	if (!size || size > VC_MEM_MAX_BYTES || gpa > VC_MEM_MAX_BYTES - size)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "memory region at 0x%llx, 0x%llx bytes: out of "
			       "range",
			       (unsigned long long)gpa,
			       (unsigned long long)size);
	if (mem->nr == VC_MEM_MAX_REGIONS)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "more than %d memory regions",
			       VC_MEM_MAX_REGIONS);
	for (i = 0; i < mem->nr && mem->regions[i].gpa < gpa; i++)
		;
	if ((i &&
	     mem->regions[i - 1].gpa + mem->regions[i - 1].size_bytes > gpa) ||
	    (i < mem->nr && gpa + size > mem->regions[i].gpa))
		return vc_fail(err, VC_E_CONFIG, 0,
			       "memory region at 0x%llx overlaps another",
			       (unsigned long long)gpa);
	*ret_at = i;
	return 0;
}

static void insert(struct vc_mem *mem, size_t at, struct vc_mem_region r,
		   bool is_plain)
{
	size_t after = mem->nr - at;

	memmove(&mem->regions[at + 1], &mem->regions[at],
		after * sizeof(mem->regions[0]));
	memmove(&mem->is_plain[at + 1], &mem->is_plain[at],
		after * sizeof(mem->is_plain[0]));
	mem->regions[at] = r;
	mem->is_plain[at] = is_plain;
	mem->nr++;
}

int vc_mem_add_fd(struct vc_mem *mem, int fd, uint64_t fd_offset, gpa_t gpa,
		  uint64_t size_bytes, uint64_t user_addr, struct vc_error *err)
{
	uint64_t end, user_end;
	struct stat st;
	size_t at;
	void *host;

	if (check_place(mem, gpa, size_bytes, &at, err) < 0)
		return -1;
	if ((gpa | size_bytes | fd_offset) % PAGE_BYTES ||
	    vc_ckd_add(&end, fd_offset, size_bytes) || end > INT64_MAX ||
	    vc_ckd_add(&user_end, user_addr, size_bytes))
		return vc_fail(err, VC_E_ARG, 0,
			       "memory region at 0x%llx: not page aligned or "
			       "out of range",
			       (unsigned long long)gpa);
	if (fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "memory region: stat");
	if (st.st_size < 0 || (uint64_t)st.st_size < end)
		return vc_fail(err, VC_E_ARG, 0,
			       "memory region at 0x%llx: its file is too short",
			       (unsigned long long)gpa);
	host = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE, fd, (off_t)fd_offset);
	if (host == MAP_FAILED)
		return vc_fail(err, VC_E_SYS, errno,
			       "guest memory: map %llu bytes",
			       (unsigned long long)size_bytes);
	/* a core dump of ours must not hold the guest's memory */
	madvise(host, size_bytes, MADV_DONTDUMP);
	insert(mem, at,
	       (struct vc_mem_region){ gpa, size_bytes, fd_offset, fd, host,
				       user_addr },
	       false);
	return 0;
}

int vc_mem_add_ram(struct vc_mem *mem, const char *name, gpa_t gpa,
		   uint64_t size_bytes, struct vc_error *err)
{
	vc_auto_fd int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "guest memory: memfd");
	if (size_bytes > VC_MEM_MAX_BYTES ||
	    ftruncate(fd, (off_t)size_bytes) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "guest memory: make %llu bytes",
			       (unsigned long long)size_bytes);
	/* a device process that shrank it would kill the others by SIGBUS */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
	    0)
		return vc_fail(err, VC_E_SYS, errno, "guest memory: seal");
	if (vc_mem_add_fd(mem, fd, 0, gpa, size_bytes, 0, err) < 0)
		return -1;
	vc_steal_fd(&fd);
	return 0;
}

int vc_mem_add_plain(struct vc_mem *mem, void *host, gpa_t gpa,
		     uint64_t size_bytes, struct vc_error *err)
{
	size_t at;

	if (check_place(mem, gpa, size_bytes, &at, err) < 0)
		return -1;
	insert(mem, at,
	       (struct vc_mem_region){ gpa, size_bytes, 0, -1, host, 0 }, true);
	return 0;
}

int vc_mem_remove(struct vc_mem *mem, gpa_t gpa, struct vc_error *err)
{
	size_t i, after;

	for (i = 0; i < mem->nr && mem->regions[i].gpa != gpa; i++)
		;
	if (i == mem->nr)
		return vc_fail(err, VC_E_ARG, 0, "no memory region at 0x%llx",
			       (unsigned long long)gpa);
	region_fini(mem, i);
	after = --mem->nr - i;
	memmove(&mem->regions[i], &mem->regions[i + 1],
		after * sizeof(mem->regions[0]));
	memmove(&mem->is_plain[i], &mem->is_plain[i + 1],
		after * sizeof(mem->is_plain[0]));
	return 0;
}

size_t vc_mem_nr_regions(const struct vc_mem *mem)
{
	return mem->nr;
}

const struct vc_mem_region *vc_mem_region(const struct vc_mem *mem, size_t i)
{
	return i < mem->nr ? &mem->regions[i] : NULL;
}

/* Host memory of `gpa` and in *ret_len how much of `len` is contiguous there;
 * NULL if `gpa` is not RAM. The one translation. */
static uint8_t *translate(const struct vc_mem *mem, gpa_t gpa, uint64_t len,
			  uint64_t *ret_len)
{
	size_t lo = 0, hi = mem->nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct vc_mem_region *r = &mem->regions[mid];

		if (gpa < r->gpa) {
			hi = mid;
		} else if (gpa - r->gpa >= r->size_bytes) {
			lo = mid + 1;
		} else {
			uint64_t off = gpa - r->gpa;

			*ret_len = vc_min_u64(len, r->size_bytes - off);
			return r->host + off;
		}
	}
	return NULL;
}

bool vc_mem_contains(const struct vc_mem *mem, gpa_t gpa, uint64_t len)
{
	while (len) {
		uint64_t n;

		if (!translate(mem, gpa, len, &n))
			return false;
		gpa += n;
		len -= n;
	}
	return true;
}

bool vc_mem_read(const struct vc_mem *mem, gpa_t gpa, void *buf, size_t len)
{
	uint8_t *to = buf;

	if (!vc_mem_contains(mem, gpa, len))
		return false;
	while (len) {
		uint64_t n;
		const uint8_t *p = translate(mem, gpa, len, &n);

		if (!p)
			return false;
		memcpy(to, p, n);
		to += n;
		gpa += n;
		len -= n;
	}
	return true;
}

bool vc_mem_write(const struct vc_mem *mem, gpa_t gpa, const void *buf,
		  size_t len)
{
	const uint8_t *from = buf;

	if (!vc_mem_contains(mem, gpa, len))
		return false;
	while (len) {
		uint64_t n;
		uint8_t *p = translate(mem, gpa, len, &n);

		if (!p)
			return false;
		memcpy(p, from, n);
		from += n;
		gpa += n;
		len -= n;
	}
	return true;
}

bool vc_mem_fill(const struct vc_mem *mem, gpa_t gpa, uint8_t byte,
		 uint64_t len)
{
	if (!vc_mem_contains(mem, gpa, len))
		return false;
	while (len) {
		uint64_t n;
		uint8_t *p = translate(mem, gpa, len, &n);

		if (!p)
			return false;
		memset(p, byte, n);
		gpa += n;
		len -= n;
	}
	return true;
}

int vc_mem_iov(const struct vc_mem *mem, gpa_t gpa, uint64_t len,
	       struct iovec *iov, int max)
{
	int nr = 0;

	while (len) {
		uint64_t n;
		uint8_t *p = translate(mem, gpa, len, &n);

		if (!p || nr == max)
			return -1;
		iov[nr++] = (struct iovec){ p, n };
		gpa += n;
		len -= n;
	}
	return nr;
}

/* A naturally aligned 16-bit word never spans two regions of whole pages. */
static uint16_t *word16(const struct vc_mem *mem, gpa_t gpa)
{
	uint64_t n;
	uint8_t *p;

	if (gpa % sizeof(uint16_t))
		return NULL;
	p = translate(mem, gpa, sizeof(uint16_t), &n);
	if (!p || n != sizeof(uint16_t) || (uintptr_t)p % sizeof(uint16_t))
		return NULL;
	return (uint16_t *)(void *)p;
}

bool vc_mem_load16_acquire(const struct vc_mem *mem, gpa_t gpa, uint16_t *ret)
{
	const uint16_t *p = word16(mem, gpa);

	if (!p)
		return false;
	*ret = VC_LE(16, __atomic_load_n(p, __ATOMIC_ACQUIRE));
	return true;
}

bool vc_mem_store16_release(const struct vc_mem *mem, gpa_t gpa, uint16_t value)
{
	uint16_t *p = word16(mem, gpa);

	if (!p)
		return false;
	__atomic_store_n(p, VC_LE(16, value), __ATOMIC_RELEASE);
	return true;
}

bool vc_mem_user_to_gpa(const struct vc_mem *mem, uint64_t user_addr,
			uint64_t len, gpa_t *ret)
{
	size_t i;

	for (i = 0; i < mem->nr; i++) {
		const struct vc_mem_region *r = &mem->regions[i];
		uint64_t off = user_addr - r->user_addr;

		if (user_addr >= r->user_addr &&
		    vc_range_ok(off, len, r->size_bytes)) {
			*ret = r->gpa + off;
			return true;
		}
	}
	return false;
}
