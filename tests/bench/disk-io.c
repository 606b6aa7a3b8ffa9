/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random I/O on an image through the block interface: how many requests a
 * second, beside what fio does to a raw file.
 *
 *	disk-io read|write FORMAT PATH SECONDS [direct] [threads|calls]
 *
 * through a ring, or through the pool of threads, or by plain system calls.
 * Blocks of 4 KiB, 32 at a time. Prints requests a second and the most memory
 * the process had, in KiB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <vmmcore/disk.h>

#define BLOCK 4096
#define DEPTH 32

struct slot {
	struct vc_disk_req req;
	struct iovec iov;
};

static struct vc_disk *disk;
static uint64_t nr_blocks, nr_done, seed = 88172645463325252u;
static bool stop;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const struct vc_error *err)
{
	char line[300];

	fprintf(stderr, "disk-io: %s\n", vc_error_str(err, line, sizeof(line)));
	exit(1);
}

static void start(struct slot *s)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	s->req.offset_bytes = seed % nr_blocks * BLOCK;
	vc_disk_submit(disk, &s->req);
}

static void done(struct vc_disk_req *req, enum vc_disk_status status)
{
	if (status != VC_DISK_OK) {
		fprintf(stderr, "disk-io: %s\n", vc_disk_status_str(status));
		exit(1);
	}
	nr_done++;
	if (!stop)
		start((struct slot *)req); /* its first member */
}

int main(int argc, char **argv)
{
	static struct slot slots[DEPTH];
	struct vc_disk_open_opts oo = { .writable = true,
					.io = VC_DISK_IO_URING };
	double from, to;
	struct rusage usage;
	struct vc_error err;
	int i;

	if (argc < 5)
		return 2;
	oo.format = strcmp(argv[2], "raw") ? VC_DISK_FORMAT_QCOW2
					   : VC_DISK_FORMAT_RAW;
	for (i = 5; i < argc; i++) {
		if (!strcmp(argv[i], "threads"))
			oo.io = VC_DISK_IO_POOL;
		else if (!strcmp(argv[i], "calls"))
			oo.io = VC_DISK_IO_SYNC;
		else
			oo.direct = true;
	}
	if (vc_disk_open(argv[3], &oo, &disk, &err) < 0)
		die(&err);
	nr_blocks = vc_disk_get_size(disk) / BLOCK;
	for (i = 0; i < DEPTH; i++) {
		struct slot *s = &slots[i];

		s->iov = (struct iovec){ aligned_alloc(BLOCK, BLOCK), BLOCK };
		if (!s->iov.iov_base)
			return 1;
		memset(s->iov.iov_base, i, BLOCK);
		s->req = (struct vc_disk_req){
			.op = strcmp(argv[1], "read") ? VC_DISK_WRITE
						      : VC_DISK_READ,
			.length_bytes = BLOCK,
			.iov = &s->iov,
			.nr_iov = 1,
			.done = done,
		};
		start(s);
	}
	from = to = now();
	while (to - from < atof(argv[4])) {
		vc_disk_poll(disk, true);
		to = now();
	}
	stop = true;
	printf("%.0f\n", (double)nr_done / (to - from));
	vc_disk_drain(disk);
	if (vc_disk_close(disk, &err) < 0)
		die(&err);
	getrusage(RUSAGE_SELF, &usage);
	printf("%ld\n", usage.ru_maxrss);
	for (i = 0; i < DEPTH; i++)
		free(slots[i].iov.iov_base);
	return 0;
}
