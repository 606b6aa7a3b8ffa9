/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "vmm/supervisor/terminal.h"

static struct termios saved;
static volatile bool is_raw;

int terminal_set_raw(struct vc_error *err)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp())
		return 0;
	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return vc_fail(err, VC_E_SYS, errno,
			       "terminal: get attributes");
	raw = saved;
	cfmakeraw(&raw);
	/* lines of ours and of the guest still end with a carriage return */
	raw.c_oflag |= OPOST | ONLCR;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return vc_fail(err, VC_E_SYS, errno, "terminal: set raw mode");
	is_raw = true;
	return 0;
}

void terminal_restore(void)
{
	if (!is_raw)
		return;
	is_raw = false;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

int terminal_open_stream(int fd, struct vc_error *err)
{
	char path[32];
	struct stat st;
	int flags, ret = -1;

	if (fstat(fd, &st) < 0)
		return vc_fail(err, VC_E_SYS, errno, "standard stream %d", fd);
	flags = fcntl(fd, F_GETFL);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* a regular file never blocks and has an offset to keep; a socket
	 * cannot be opened again */
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
		ret = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC |
					 O_NOCTTY);
	if (ret < 0)
		ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (ret < 0)
		return vc_fail(err, VC_E_SYS, errno, "standard stream %d", fd);
	return ret;
}
