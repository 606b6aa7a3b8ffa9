/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The initramfs, see mkinitrd: load the listed modules, wait for the root
 * device, mount it, hand the kernel's file systems over, empty the initramfs
 * (its memory would be lost otherwise) and become the init found there.
 *
 * Waiting costs nothing: the kernel announces each device on a netlink socket,
 * after devtmpfs has its node.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <vmmcore/util.h>
#include "guest/init.h"
#include "guest/rootdev.h"

#define MODULE_LIST "/vmm-modules"
#define NEW_ROOT "/sysroot"
#define ROOT_WAIT_MS 10000
#define MAX_DEPTH 32
#define NS_PER_MS UINT64_C(1000000)

static void load_module(const char *path)
{
	vc_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct vc_error err = { 0 };

	/* ENODEV: a driver for a processor or device that is not here */
	if (fd >= 0 && (!syscall(SYS_finit_module, fd, "", 0) ||
			errno == EEXIST || errno == ENODEV))
		return;
	/* it may not be needed: the mount below is what counts */
	vc_fail(&err, VC_E_SYS, errno, "%s: load", path);
	init_warn(&err);
}

static void load_modules(void)
{
	vc_auto_file FILE *f = fopen(MODULE_LIST, "re");
	vc_auto_free char *line = NULL;
	size_t size = 0;
	ssize_t n;

	/* a kernel with everything built in has no list */
	while (f && (n = getline(&line, &size, f)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (*line)
			load_module(line);
	}
}

static int open_uevents(struct vc_error *err)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	vc_auto_fd int fd =
		socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return vc_fail(err, VC_E_SYS, errno, "uevents: listen");
	return vc_steal_fd(&fd);
}

/* What root= says, as a path, if it is there by now. */
static bool find_root(const char *spec, char *path, size_t size)
{
	struct stat st;

	if (rootdev_is_tag(spec))
		return rootdev_find(spec, path, size);
	return (size_t)snprintf(path, size, "%s", spec) < size &&
	       stat(path, &st) == 0;
}

static int wait_for_device(const char *spec, char *path, size_t size,
			   struct vc_error *err)
{
	uint64_t end = vc_now_ns() + ROOT_WAIT_MS * NS_PER_MS, now;
	vc_auto_fd int fd = open_uevents(err);
	struct stat st;
	char event[8192];

	if (fd < 0)
		return -1;
	while (!find_root(spec, path, size)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		now = vc_now_ns();
		if (now >= end)
			return vc_fail(err, VC_E_SYS, ENXIO,
				       "root=%s: wait %d s", spec,
				       ROOT_WAIT_MS / 1000);
		poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1);
		/* what it says does not matter: look again */
		while (recv(fd, event, sizeof(event), 0) >= 0)
			;
	}
	if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return vc_fail(err, VC_E_ARG, 0, "root=%s: not a block device",
			       path);
	return 0;
}

/* Generic options become flags; the others stay for the file system. */
static unsigned long mount_flags(char *options, char *rest, size_t size)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} known[] = {
		{ "noatime", MS_NOATIME },   { "nodiratime", MS_NODIRATIME },
		{ "relatime", MS_RELATIME }, { "strictatime", MS_STRICTATIME },
		{ "lazytime", MS_LAZYTIME }, { "sync", MS_SYNCHRONOUS },
		{ "dirsync", MS_DIRSYNC },   { "nosuid", MS_NOSUID },
		{ "nodev", MS_NODEV },	     { "noexec", MS_NOEXEC },
		{ "ro", MS_RDONLY },	     { "rw", 0 },
	};
	unsigned long flags = 0;
	char *word, *save = NULL;
	size_t i, n = 0;

	*rest = '\0';
	for (word = strtok_r(options, ",", &save); word;
	     word = strtok_r(NULL, ",", &save)) {
		for (i = 0; i < VC_ARRAY_SIZE(known); i++)
			if (!strcmp(word, known[i].name))
				break;
		if (i < VC_ARRAY_SIZE(known))
			flags |= known[i].flag;
		else if (n < size)
			n += (size_t)snprintf(rest + n, size - n, "%s%s",
					      n ? "," : "", word);
	}
	return flags;
}

/* The file systems of the kernel that live on a block device, in its order,
 * as "a,b,c". */
static void known_types(char *buf, size_t size)
{
	vc_auto_file FILE *f = fopen("/proc/filesystems", "re");
	bool has_ext4 = false;
	char line[128];
	size_t n = 0;

	*buf = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "\text4"))
			has_ext4 = true;
		else if (line[0] == '\t' && n < size)
			n += (size_t)snprintf(buf + n, size - n, ",%s",
					      line + 1);
	}
	/* first: as ext3 or ext2, its driver complains about the rest */
	n = n < size ? n : size - 1;
	if (has_ext4 && n + 4 < size) {
		memmove(buf + 4, buf, n + 1);
		memcpy(buf, "ext4", 4);
	}
}

/* Try each type: EINVAL means that it is another file system. */
static int mount_types(const char *dev, const char *types, unsigned long flags,
		       const char *data, struct vc_error *err)
{
	char list[1024], *save = NULL, *type;
	int failed = EINVAL;

	snprintf(list, sizeof(list), "%s", types);
	for (type = strtok_r(list, ",", &save); type;
	     type = strtok_r(NULL, ",", &save)) {
		if (!mount(dev, NEW_ROOT, type, flags, data))
			return 0;
		if (errno != EINVAL)
			failed = errno;
	}
	return vc_fail(err, VC_E_SYS, failed, "root=%s: mount as %s", dev,
		       types);
}

static int mount_root(const struct cmdline *c, struct vc_error *err)
{
	const char *dev = cmdline_get(c, "root");
	const char *types = cmdline_get(c, "rootfstype");
	const char *given = cmdline_get(c, "rootflags");
	const char *rw = cmdline_get(c, "rw"), *ro = cmdline_get(c, "ro");
	char options[1024], data[1024], list[1024], path[256];
	unsigned long flags;

	if (!dev || !*dev)
		return vc_fail(err, VC_E_CONFIG, 0,
			       "root=: missing from the kernel command line");
	snprintf(options, sizeof(options), "%s", given ? given : "");
	flags = mount_flags(options, data, sizeof(data));
	/* read-only unless told otherwise, as the kernel does; the last word
	 * of the command line wins */
	if (!rw || (ro && ro > rw))
		flags |= MS_RDONLY;
	if (mkdir(NEW_ROOT, 0755) < 0 && errno != EEXIST)
		return vc_fail(err, VC_E_SYS, errno, NEW_ROOT ": mkdir");
	if (!strncmp(dev, "/dev/", 5) || rootdev_is_tag(dev)) {
		if (wait_for_device(dev, path, sizeof(path), err) < 0)
			return -1;
		dev = path;
	} else if (!types) {
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "root=%s: only /dev/NAME, LABEL=, UUID=, "
			       "PARTLABEL= or PARTUUID=, or a tag together "
			       "with rootfstype=",
			       dev);
	}
	if (!types || !*types) {
		known_types(list, sizeof(list));
		types = list;
	}
	return mount_types(dev, types, flags, data, err);
}

/* Hand /dev, /proc and /sys over; where the new root has no place for one, it
 * is dropped. */
static void move_mounts(void)
{
	static const char *const paths[] = { "/dev", "/proc", "/sys" };
	char to[64];
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(paths); i++) {
		snprintf(to, sizeof(to), NEW_ROOT "%s", paths[i]);
		if (mount(paths[i], to, NULL, MS_MOVE, NULL) < 0)
			umount2(paths[i], MNT_DETACH);
	}
}

/* Remove what is below `fd` on the same device; takes the descriptor. */
static void remove_tree(int fd, dev_t device, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *de;
	struct stat st;

	if (!dir) {
		close(fd);
		return;
	}
	while ((de = readdir(dir))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..") ||
		    fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_dev != device)
			continue;
		if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
			int sub = openat(fd, de->d_name,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
						 O_CLOEXEC);

			if (sub >= 0)
				remove_tree(sub, device, depth + 1);
		}
		unlinkat(fd, de->d_name,
			 S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
	}
	closedir(dir);
}

static int switch_root(struct vc_error *err)
{
	vc_auto_fd int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 ||
	    chroot(".") < 0 || chdir("/") < 0)
		return vc_fail(err, VC_E_SYS, errno, "/: switch root");
	if (old >= 0 && fstat(old, &st) == 0)
		remove_tree(vc_steal_fd(&old), st.st_dev, 0);
	return 0;
}

/* Become the init of the new root. */
static int exec_init(const struct cmdline *c, char **argv, struct vc_error *err)
{
	static const char *const fallbacks[] = { "/sbin/init", "/etc/init",
						 "/bin/init",
						 "/usr/lib/systemd/systemd",
						 "/bin/sh" };
	const char *given = cmdline_get(c, "init");
	char path[4096];
	size_t i;

	if (given && *given) {
		snprintf(path, sizeof(path), "%s", given);
		argv[0] = path;
		execv(path, argv);
		return vc_fail(err, VC_E_SYS, errno, "init=%s: exec", given);
	}
	for (i = 0; i < VC_ARRAY_SIZE(fallbacks); i++) {
		snprintf(path, sizeof(path), "%s", fallbacks[i]);
		argv[0] = path;
		execv(path, argv);
		if (errno != ENOENT && errno != ENOTDIR)
			return vc_fail(err, VC_E_SYS, errno, "%s: exec", path);
	}
	return vc_fail(
		err, VC_E_CONFIG, 0,
		"root file system: no /sbin/init and no other; see init=");
}

int boot_main(const struct cmdline *c, char **argv, struct vc_error *err)
{
	if (init_mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL,
		       err) < 0)
		return -1;
	load_modules();
	if (mount_root(c, err) < 0)
		return -1;
	move_mounts();
	if (switch_root(err) < 0)
		return -1;
	return exec_init(c, argv, err);
}
