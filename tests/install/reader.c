/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program of somebody else's, built against the installed library alone: it
 * makes a qcow2 image, writes to it, and reads it back from a second handle.
 */
#include <stdio.h>
#include <string.h>
#include <vmmcore/disk.h>
#include <vmmcore/outfile.h>

static int make(const char *path, struct vc_error *err)
{
	struct vc_disk_create_opts create = {
		.format = VC_DISK_FORMAT_QCOW2,
		.size_bytes = 1 << 20,
	};
	vc_auto(vc_outfile) struct vc_outfile *of = NULL;

	if (vc_outfile_open(path, false, &of, err) ||
	    vc_disk_create(vc_outfile_get_fd(of), &create, err))
		return -1;
	return vc_outfile_commit(vc_steal_ptr(&of), err);
}

static int use(const char *path, bool write, char *text, size_t len,
	       struct vc_error *err)
{
	struct vc_disk_open_opts opts = { .writable = write, .lock = true };
	vc_auto(vc_disk) struct vc_disk *disk = NULL;

	if (vc_disk_open(path, &opts, &disk, err))
		return -1;
	if (write ? vc_disk_write(disk, 70000, text, len, err)
		  : vc_disk_read(disk, 70000, text, len, err))
		return -1;
	return vc_disk_close(vc_steal_ptr(&disk), err);
}

int main(int argc, char **argv)
{
	char out[] = "written by a stranger", in[sizeof(out)] = "";
	struct vc_error err = { 0 };

	if (argc != 2)
		return 2;
	if (make(argv[1], &err) || use(argv[1], true, out, sizeof(out), &err) ||
	    use(argv[1], false, in, sizeof(in), &err)) {
		fprintf(stderr, "reader: %s\n", err.msg);
		return 1;
	}
	puts(in);
	return strcmp(in, out) != 0;
}
