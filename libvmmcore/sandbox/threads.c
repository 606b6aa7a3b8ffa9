/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which threads are sealed. vCPU threads load a filter of their own, and then
 * the kernel will not give them the process's by SECCOMP_FILTER_FLAG_TSYNC: it
 * only extends a filter that all have in common. So the process's filter then
 * goes on the main thread alone, after a count has shown that no third kind of
 * thread exists: threads there are = sealed ones still alive + the caller.
 *
 * The count comes from /proc/self/task, opened while there is a /proc, and
 * closed by the seal. Only a sealed thread or the caller could start another
 * thread meanwhile: the first cannot any more, the second is busy here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sandbox/internal.h"

#define MAX_SEALED_THREADS 512

static struct {
	pthread_mutex_t lock;
	pid_t tid[MAX_SEALED_THREADS];
	size_t nr;
	int task_fd; /* /proc/self/task, or -1 */
} threads = { .lock = PTHREAD_MUTEX_INITIALIZER, .task_fd = -1 };

int sbx_threads_init(struct vc_error *err)
{
	sbx_threads_fini();
	threads.task_fd =
		open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (threads.task_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "/proc/self/task: open");
	return 0;
}

void sbx_threads_fini(void)
{
	vc_close(&threads.task_fd);
}

int sbx_count_threads(size_t *ret, struct vc_error *err)
{
	struct dirent *e;
	size_t nr = 0;
	DIR *dir;
	int fd;

	if (threads.task_fd < 0 && sbx_threads_init(err) < 0)
		return -1;
	fd = dup(threads.task_fd);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		vc_fail(err, VC_E_SYS, errno, "/proc/self/task: read");
		vc_close(&fd);
		return -1;
	}
	rewinddir(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			nr++;
	closedir(dir);
	*ret = nr;
	return 0;
}

int sbx_threads_add_sealed(struct vc_error *err)
{
	bool is_full;

	pthread_mutex_lock(&threads.lock);
	is_full = threads.nr == MAX_SEALED_THREADS;
	if (!is_full)
		threads.tid[threads.nr++] = (pid_t)syscall(SYS_gettid);
	pthread_mutex_unlock(&threads.lock);
	if (is_full)
		return vc_fail(err, VC_E_LIMIT, 0, "more than %d threads",
			       MAX_SEALED_THREADS);
	return 0;
}

size_t sbx_count_sealed_threads(void)
{
	size_t i, alive = 0;

	pthread_mutex_lock(&threads.lock);
	for (i = 0; i < threads.nr; i++)
		if (syscall(SYS_tgkill, getpid(), threads.tid[i], 0) == 0)
			threads.tid[alive++] = threads.tid[i];
	threads.nr = alive;
	pthread_mutex_unlock(&threads.lock);
	return alive;
}
