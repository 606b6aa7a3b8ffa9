/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What jails cost: spawn_bench [PROCESSES [ROUNDS]] starts that many processes
 * side by side, each of which goes through every stage and then reports, and
 * prints how long the slowest took to be sealed, the median of the rounds.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/sandbox.h>

#define MAX_PROCESSES 64
#define MAX_ROUNDS 1000

static int fail(const struct vc_error *err)
{
	char text[512];

	fprintf(stderr, "spawn_bench: %s\n",
		vc_error_str(err, text, sizeof(text)));
	return 1;
}

static int child(void)
{
	static const int keep[] = { 1, 2 };
	const struct vc_jail_limits limits = { 0 };
	struct vc_error err;

	if (vc_jail_close_others(keep, 2, &err) < 0 ||
	    vc_jail_namespaces("bench", &err) < 0 ||
	    vc_jail_seal(VC_ROLE_RNG, VC_JAIL_KILL, &limits, &err) < 0)
		return fail(&err);
	return write(1, "", 1) == 1 ? 0 : 1;
}

static int one_round(int exe, int nr, bool jail, uint64_t *ret_ns)
{
	char *const argv[] = { (char[]){ "spawn_bench" }, (char[]){ "-child" },
			       NULL };
	char *const envp[] = { NULL };
	uint64_t start = vc_now_ns();
	vc_auto_fd int out = -1;
	int ends[2], status, i;
	struct vc_error err;
	char byte;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return 1;
	out = ends[0];
	for (i = 0; i < nr; i++) {
		const struct vc_jail_fd fds[] = { { ends[1], 1 }, { 2, 2 } };
		const struct vc_jail_spawn_opts opts = { exe, argv, envp,
							 fds, 2,    jail };
		vc_auto_fd int pidfd = -1;
		pid_t pid;

		if (vc_jail_spawn(&opts, &pid, &pidfd, &err) < 0)
			return fail(&err);
	}
	close(ends[1]);
	for (i = 0; i < nr; i++)
		if (read(out, &byte, 1) != 1)
			return 1;
	*ret_ns = vc_now_ns() - start;
	while (wait(&status) > 0)
		if (status)
			return 1;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	uint64_t ns[MAX_ROUNDS];
	int exe, i, nr, rounds;

	if (argc > 1 && !strcmp(argv[1], "-child"))
		return child();
	nr = argc > 1 ? atoi(argv[1]) : 6;
	rounds = argc > 2 ? atoi(argv[2]) : 21;
	if (nr < 1 || nr > MAX_PROCESSES || rounds < 1 || rounds > MAX_ROUNDS)
		return 2;
	exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	for (i = 0; i < rounds; i++)
		if (one_round(exe, nr, true, &ns[i]))
			return 1;
	qsort(ns, (size_t)rounds, sizeof(ns[0]), compare);
	printf("%d jailed processes: median %.2f ms, best %.2f ms, worst "
	       "%.2f ms\n",
	       nr, (double)ns[rounds / 2] / 1e6, (double)ns[0] / 1e6,
	       (double)ns[rounds - 1] / 1e6);
	return 0;
}
