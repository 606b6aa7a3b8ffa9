/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where kernels are: Debian, Alpine, SUSE and Fedora put vmlinuz-VERSION into
 * /boot, images made for containers /lib/modules/VERSION/vmlinuz; what has no
 * version is found by the links that are kept for boot loaders. The initrd is
 * the one that has the same version in its name.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmmcore/checked.h>
#include "mkimage/boot.h"

#define COPY_BYTES ((size_t)256 * 1024)

/* --- versions ------------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* '~' comes before the end, the end before letters, these before the rest. */
static int order(char c)
{
	if (c == '~')
		return -1;
	if (!c || is_digit(c))
		return 0;
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return c;
	return (unsigned char)c + 256;
}

/* As a number of any length. */
static int compare_digits(const char **a, const char **b)
{
	int first = 0;

	while (**a == '0')
		++*a;
	while (**b == '0')
		++*b;
	for (; is_digit(**a) && is_digit(**b); ++*a, ++*b)
		if (!first)
			first = **a - **b;
	if (is_digit(**a))
		return 1;
	return is_digit(**b) ? -1 : first;
}

int boot_compare_versions(const char *a, const char *b)
{
	int rc;

	while (*a || *b) {
		while ((*a && !is_digit(*a)) || (*b && !is_digit(*b))) {
			rc = order(*a) - order(*b);
			if (rc)
				return rc;
			a += *a != '\0';
			b += *b != '\0';
		}
		rc = compare_digits(&a, &b);
		if (rc)
			return rc;
	}
	return 0;
}

/* --- looking for them ----------------------------------------------------- */

static const struct node *file_at(struct tree *t, const char *path)
{
	const struct node *n = tree_find(t, path);

	return n && n->type == NODE_FILE && n->size_bytes ? n : NULL;
}

static void take(struct boot_found *b, const struct node *n, const char *path,
		 const char *version)
{
	if (b->kernel && boot_compare_versions(version, b->version) <= 0)
		return;
	b->kernel = n;
	snprintf(b->kernel_path, sizeof(b->kernel_path), "%s", path);
	snprintf(b->version, sizeof(b->version), "%s", version);
}

/* Every name in `dir` that is prefix + version, with `suffix` behind. */
static void look_in(struct tree *t, const char *dir, const char *prefix,
		    const char *suffix, struct boot_found *b)
{
	const struct node *d = tree_find(t, dir), *n;
	const size_t skip = strlen(prefix);
	char path[BOOT_MAX_PATH], name[TREE_MAX_NAME + 1];
	const struct dent *e;

	if (!d || !node_is_dir(d))
		return;
	for (e = d->dir->first; e; e = e->next) {
		if (!e->node || e->len <= skip || memcmp(e->name, prefix, skip))
			continue;
		memcpy(name, e->name, e->len);
		name[e->len] = '\0';
		if (snprintf(path, sizeof(path), "%s/%s%s", dir, name,
			     suffix) >= (int)sizeof(path))
			continue;
		n = file_at(t, path);
		if (n)
			take(b, n, path, name + skip);
	}
}

static void look_at_links(struct tree *t, struct boot_found *b)
{
	static const char *const paths[] = { "/vmlinuz", "/boot/vmlinuz",
					     "/boot/vmlinux", "/boot/bzImage",
					     "/boot/Image" };
	size_t i;

	for (i = 0; !b->kernel && i < VC_ARRAY_SIZE(paths); i++) {
		b->kernel = file_at(t, paths[i]);
		if (b->kernel)
			strcpy(b->kernel_path, paths[i]);
	}
}

static void find_initrd(struct tree *t, struct boot_found *b)
{
	static const char *const with_version[] = {
		"/boot/initrd.img-%s",
		"/boot/initramfs-%s.img",
		"/boot/initramfs-%s",
		"/boot/initrd-%s",
		"/boot/initrd-%s.img",
		"/lib/modules/%s/initrd",
		"/lib/modules/%s/initramfs.img",
	};
	static const char *const without[] = { "/initrd.img",
					       "/boot/initrd.img",
					       "/boot/initrd" };
	const size_t nr = b->version[0] ? VC_ARRAY_SIZE(with_version)
					: VC_ARRAY_SIZE(without);
	size_t i;

	for (i = 0; !b->initrd && i < nr; i++) {
		const char *p = b->version[0] ? with_version[i] : without[i];
		const char *at = strstr(p, "%s");

		if (at)
			snprintf(b->initrd_path, sizeof(b->initrd_path),
				 "%.*s%s%s", (int)(at - p), p, b->version,
				 at + 2);
		else
			strcpy(b->initrd_path, p);
		b->initrd = file_at(t, b->initrd_path);
	}
	if (!b->initrd)
		b->initrd_path[0] = '\0';
}

int boot_find(struct tree *t, struct boot_found *ret, struct vc_error *err)
{
	struct boot_found b = { 0 };

	look_in(t, "/boot", "vmlinuz-", "", &b);
	look_in(t, "/lib/modules", "", "/vmlinuz", &b);
	if (!b.kernel)
		look_in(t, "/boot", "vmlinux-", "", &b);
	if (!b.kernel)
		look_at_links(t, &b);
	if (!b.kernel)
		return vc_fail(
			err, VC_E_CORRUPT, 0,
			"no kernel in the image: neither /boot/vmlinuz-* "
			"nor /lib/modules/*/vmlinuz nor /vmlinuz");
	find_initrd(t, &b);
	*ret = b;
	return 0;
}

/* --- copies --------------------------------------------------------------- */

static int copy(const struct node *n, struct writer *w,
		const struct boot_opts *o, const char *name,
		struct vc_outfile **ret, struct vc_error *err)
{
	vc_auto_free uint8_t *buf = malloc(COPY_BYTES);
	vc_auto_free char *path = NULL;
	uint64_t pos, len;

	if (!buf || asprintf(&path, "%s/%s", o->dir, name) < 0)
		return vc_fail(err, VC_E_SYS, ENOMEM, "boot files");
	if (vc_outfile_open(path, o->force, ret, err))
		return -1;
	vc_outfile_set_sync(*ret, o->sync);
	vc_outfile_keep_old(*ret);
	for (pos = 0; pos < n->size_bytes; pos += len) {
		len = vc_min_u64(n->size_bytes - pos, COPY_BYTES);
		if (w->ops->file_read(w, n, pos, buf, (size_t)len, err))
			return -1;
		if (vc_pwrite_full(vc_outfile_get_fd(*ret), buf, (size_t)len,
				   pos))
			return vc_fail(err, VC_E_SYS, errno, "'%s': write",
				       path);
	}
	return 0;
}

/* An initrd of an earlier kernel would be taken for this one's. */
static int check_no_initrd(const char *dir, struct vc_error *err)
{
	vc_auto_free char *path = NULL;
	char shown[200];

	if (asprintf(&path, "%s/initrd", dir) < 0) {
		path = NULL;
		return vc_fail(err, VC_E_SYS, ENOMEM, "boot files");
	}
	if (access(path, F_OK) < 0)
		return 0;
	return vc_fail(err, VC_E_SYS, EEXIST,
		       "'%s': is of another kernel, as the image has none",
		       vc_printable(path, shown, sizeof(shown)));
}

int boot_copy(const struct boot_found *b, struct writer *w,
	      const struct boot_opts *o, struct boot_files *ret,
	      struct vc_error *err)
{
	if (vc_outfile_create_folder(o->dir, &ret->folder, err))
		return -1;
	if (ret->folder)
		vc_outfile_set_sync(ret->folder, o->sync);
	if ((!b->initrd && check_no_initrd(o->dir, err)) ||
	    copy(b->kernel, w, o, "vmlinuz", &ret->kernel, err))
		return -1;
	return b->initrd ? copy(b->initrd, w, o, "initrd", &ret->initrd, err)
			 : 0;
}

void boot_abort(struct boot_files *f)
{
	vc_outfile_abort(vc_steal_ptr(&f->kernel));
	vc_outfile_abort(vc_steal_ptr(&f->initrd));
	vc_outfile_abort(vc_steal_ptr(&f->folder));
}
