/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "disk/disk.h"

#define LARGE_FILES "/var/tmp"

/* Where the output will be there is room for a thousandth of it, too. */
static int open_beside(int fd)
{
	char link[40], path[PATH_MAX], *slash;
	struct stat st;
	ssize_t n;

	/* the folder of a device is kept in memory */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	/* nor has a file in memory any */
	if (n <= 0 || path[0] != '/' || !strncmp(path, "/memfd:", 7))
		return -1;
	path[n] = '\0';
	slash = strrchr(path, '/');
	slash[slash == path] = '\0';
	return open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

int disk_scratch_open(int beside, struct vc_error *err)
{
	int fd = open_beside(beside);

	if (fd < 0)
		fd = open(LARGE_FILES, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "make a temporary file in '" LARGE_FILES "'");
	return fd;
}
