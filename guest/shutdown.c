/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * systemd and vmm-init take a signal. Any other init is asked through its own
 * poweroff or reboot program, whatever that does; only without one, or when it
 * fails, is the kernel asked directly, after a sync.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "guest/init.h"
#include "guest/shutdown.h"

static bool is_vmm_init(void)
{
	char comm[32] = "";
	vc_auto_fd int fd = open("/proc/1/comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, comm, sizeof(comm) - 1);

	return n > 0 && !strcmp(comm, INIT_COMM "\n");
}

/* True if the program of that init took the request. */
static bool run_program(enum shutdown_how how)
{
	char name_off[] = "/sbin/poweroff", name_boot[] = "/sbin/reboot";
	char *argv[] = { how == SHUTDOWN_REBOOT ? name_boot : name_off, NULL };
	char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *env[] = { path, NULL };
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int status = -1, failed;

	if (posix_spawnattr_init(&attr))
		return false;
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	failed = posix_spawn(&pid, argv[0], NULL, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	if (failed)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

int shutdown_guest(enum shutdown_how how, struct vc_error *err)
{
	bool is_reboot = how == SHUTDOWN_REBOOT;
	int sig = 0;

	/* sd_booted(3): that folder is there when systemd runs the machine */
	if (!access("/run/systemd/system", F_OK))
		sig = is_reboot ? SIGRTMIN + 5 : SIGRTMIN + 4;
	else if (is_vmm_init())
		sig = is_reboot ? INIT_SIG_REBOOT : INIT_SIG_POWEROFF;
	if (sig) {
		if (kill(1, sig) < 0)
			return vc_fail(err, VC_E_SYS, errno, "init: signal");
		return 0;
	}
	if (run_program(how))
		return 0;
	sync();
	if (reboot(is_reboot ? RB_AUTOBOOT : RB_POWER_OFF) < 0)
		return vc_fail(err, VC_E_SYS, errno, "reboot");
	return 0;
}
