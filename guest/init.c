/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmm-init: process 1, in two places. As /init of an initramfs (boot.c) it
 * brings the kernel to the root file system; as the init of an image that has
 * none (service.c) it runs the agent and the shutdown. See vmm-init(8).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <vmmcore/options.h>
#include <vmmcore/util.h>
#include "guest/init.h"

/* what panic= may ask for at most before the reboot */
#define MAX_PANIC_S 3600

static bool is_mount_point(const char *path)
{
	struct stat self, parent;
	char up[256];

	snprintf(up, sizeof(up), "%s/..", path);
	return !stat(path, &self) && !stat(up, &parent) &&
	       self.st_dev != parent.st_dev;
}

int init_mount(const char *type, const char *target, unsigned long flags,
	       const char *data, struct vc_error *err)
{
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		return vc_fail(err, VC_E_SYS, errno, "%s: mkdir", target);
	if (is_mount_point(target))
		return 0;
	if (mount(type, target, type, flags, data) < 0 && errno != EBUSY &&
	    errno != ENODEV)
		return vc_fail(err, VC_E_SYS, errno, "%s: mount %s", target,
			       type);
	return 0;
}

void init_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY), i;

	if (fd < 0) /* a machine without a console is quiet */
		fd = open("/dev/null", O_RDWR);
	if (fd < 0)
		return;
	for (i = 0; i < 3; i++)
		if (fd != i)
			dup2(fd, i);
	if (fd > 2)
		close(fd);
}

void init_warn(const struct vc_error *err)
{
	char line[sizeof(err->msg) + 128];

	fprintf(stderr, "vmm-init: %s\n",
		vc_error_str(err, line, sizeof(line)));
}

/* Nothing can go on: do what the kernel would on a panic, without its dump. */
static __attribute__((noreturn)) void end_machine(const struct cmdline *c)
{
	const char *panic = cmdline_get(c, "panic");
	long seconds = panic ? strtol(panic, NULL, 10) : 0;

	sync();
	if (seconds > 0)
		sleep((unsigned)(seconds < MAX_PANIC_S ? seconds
						       : MAX_PANIC_S));
	reboot(seconds ? RB_AUTOBOOT : RB_POWER_OFF);
	exit(1); /* the kernel panics */
}

static bool is_initramfs(const char *argv0)
{
	struct statfs fs;

	return !strcmp(argv0, "/init") && !statfs("/", &fs) &&
	       ((unsigned long)fs.f_type == RAMFS_MAGIC ||
		(unsigned long)fs.f_type == TMPFS_MAGIC);
}

int main(int argc, char **argv)
{
	static struct cmdline cmdline;
	struct vc_error err = { 0 };
	bool is_boot;
	int ret;

	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("vmm-init " VC_VERSION);
		return vc_program_end("vmm-init", 0);
	}
	if (getpid() != 1) {
		vc_fail(&err, VC_E_CONFIG, 0,
			"it is to run as process 1; see vmm-init(8)");
		init_warn(&err);
		return 1;
	}
	prctl(PR_SET_NAME, INIT_COMM);
	is_boot = is_initramfs(argv[0]);
	if (init_mount("devtmpfs", "/dev", MS_NOSUID, "mode=0755", &err) == 0)
		init_console();
	ret = init_mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
			 NULL, &err);
	if (ret == 0)
		ret = cmdline_read(&cmdline, &err);
	if (ret == 0)
		ret = is_boot ? boot_main(&cmdline, argv, &err)
			      : service_main(&cmdline, &err);
	if (ret < 0)
		init_warn(&err);
	end_machine(&cmdline);
}
