/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Links in the image are followed as in a chroot, so that nothing leads out of
 * it. Files that are edited (shadow, hosts) are those the sources brought: their
 * contents were kept when they went by.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "mkimage/guest.h"
#include "mkimage/network.h"

/* --- options -------------------------------------------------------------- */

int guest_set_hostname(struct guest_opts *o, const char *text,
		       struct vc_error *err)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
	size_t len = strlen(text);

	if (!len || len > GUEST_MAX_HOSTNAME || strspn(text, good) != len ||
	    text[0] == '-' || text[0] == '.')
		return vc_fail(err, VC_E_ARG, 0,
			       "not 1 to %d letters, digits, '-' and '.'",
			       GUEST_MAX_HOSTNAME);
	o->hostname = text;
	return 0;
}

int guest_add_ssh_key(struct guest_opts *o, const char *path,
		      struct vc_error *err)
{
	if (o->nr_ssh_keys == GUEST_MAX_SSH_KEYS)
		return vc_fail(err, VC_E_ARG, 0, "given more than %d times",
			       GUEST_MAX_SSH_KEYS);
	o->ssh_keys[o->nr_ssh_keys++] = path;
	return 0;
}

/* A word that is none of these is a password by mistake: it would lock root out
 * and be there for all to read. */
static bool is_hash(const char *text)
{
	static const char digits[] = "./0123456789"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz";
	const size_t len = strlen(text);

	if (text[0] == '!' || text[0] == '*') /* locked */
		return true;
	if (text[0] == '$') /* $method$... */
		return strchr(text + 1, '$') > text + 1;
	if (text[0] == '_') /* bsdicrypt */
		return len == 20 && strspn(text + 1, digits) == len - 1;
	return len == 13 && strspn(text, digits) == len; /* descrypt */
}

int guest_set_password(struct guest_opts *o, const char *hash,
		       struct vc_error *err)
{
	size_t len = strlen(hash), i;

	for (i = 0; i < len; i++)
		if (hash[i] <= ' ' || hash[i] > '~' || hash[i] == ':')
			break;
	if (i < len || len > GUEST_MAX_HASH || !is_hash(hash))
		return vc_fail(err, VC_E_ARG, 0,
			       "not a hash of crypt(5), as 'openssl passwd -6' "
			       "makes them");
	o->password_hash = hash;
	return 0;
}

int guest_set_network(struct guest_opts *o, const char *text,
		      struct vc_error *err)
{
	if (!strcmp(text, "dhcp"))
		o->network = GUEST_NETWORK_DHCP;
	else if (!strcmp(text, "none"))
		o->network = GUEST_NETWORK_NONE;
	else
		return vc_fail(err, VC_E_ARG, 0, "neither dhcp nor none");
	return 0;
}

/* --- files of the image --------------------------------------------------- */

static int add(struct build *b, const char *path, enum node_type type,
	       uint16_t mode, struct node **ret, struct vc_error *err)
{
	const struct tree_meta meta = build_meta(b, mode);
	struct tree_place place;
	struct node *old;

	if (tree_walk(&b->tree, path, TREE_MAKE_PARENTS | TREE_CHROOT, &place,
		      err))
		return vc_prefix(err, "'%s'", path);
	old = tree_child(&b->tree, place.dir, place.name, place.len);
	if (old && node_is_dir(old) && type != NODE_DIR)
		return vc_fail(err, VC_E_SYS, EISDIR, "'%s'", path);
	return tree_add(&b->tree, &place, type, &meta, ret, err);
}

int guest_put_file(struct build *b, const char *path, uint16_t mode,
		   const void *data, size_t len, struct vc_error *err)
{
	struct node *n;

	if (add(b, path, NODE_FILE, mode, &n, err))
		return -1;
	return build_file(b, n, data, len, err);
}

int guest_put_symlink(struct build *b, const char *path, const char *target,
		      struct vc_error *err)
{
	struct node *n;

	if (add(b, path, NODE_SYMLINK, 0777, &n, err))
		return -1;
	return tree_set_target(&b->tree, n, target, err);
}

bool guest_has(struct build *b, const char *const *paths)
{
	for (; *paths; paths++)
		if (tree_find(&b->tree, *paths))
			return true;
	return false;
}

bool guest_has_systemd(struct build *b)
{
	static const char *const systemd[] = { "/usr/lib/systemd/systemd",
					       "/lib/systemd/systemd", NULL };

	return guest_has(b, systemd);
}

bool guest_has_openrc(struct build *b)
{
	static const char *const rc[] = { "/sbin/openrc-run",
					  "/usr/sbin/openrc-run",
					  "/usr/bin/openrc-run",
					  "/bin/openrc-run", NULL };

	return !guest_has_systemd(b) && guest_has(b, rc);
}

int guest_put_text(struct build *b, const char *path, const char *text,
		   struct vc_error *err)
{
	return guest_put_file(b, path, 0644, text, strlen(text), err);
}

/* A file that is there keeps its inode: owner, mode, attributes. */
static int rewrite(struct build *b, const char *path, uint16_t mode,
		   const char *data, size_t len, struct vc_error *err)
{
	struct node *n = tree_find(&b->tree, path);

	if (!n || n->type != NODE_FILE)
		return guest_put_file(b, path, mode, data, len, err);
	b->writer->ops->file_drop(b->writer, n);
	return build_file(b, n, data, len, err);
}

/* The contents of a file of /etc, "" if there is none. */
static int kept(struct build *b, const char *path, const struct accounts *acc,
		const char **ret, size_t *ret_len, struct vc_error *err)
{
	const struct node *n = tree_find(&b->tree, path);

	*ret = "";
	*ret_len = 0;
	if (!n || !n->size_bytes)
		return 0;
	if (n->type != NODE_FILE || !acc->text || acc->len != n->size_bytes ||
	    strlen(acc->text) != acc->len)
		return vc_fail(err, VC_E_UNSUPPORTED, 0,
			       "'%s': not a file that can be edited", path);
	*ret = acc->text;
	*ret_len = acc->len;
	return 0;
}

/* --- each of them --------------------------------------------------------- */

static int put_hostname(struct build *b, const char *name, struct vc_error *err)
{
	static const char local[] = "127.0.0.1\tlocalhost\n"
				    "::1\tlocalhost ip6-localhost "
				    "ip6-loopback\n";
	vc_auto_free char *text = NULL, *line = NULL;
	const char *old;
	size_t len;
	int n;

	if (asprintf(&line, "%s\n", name) < 0)
		return vc_fail(err, VC_E_SYS, ENOMEM, "hostname");
	if (guest_put_text(b, "/etc/hostname", line, err) ||
	    kept(b, "/etc/hosts", &b->hosts, &old, &len, err))
		return -1;
	n = asprintf(&text, "%.*s%s127.0.1.1\t%s\n",
		     len ? (int)len : (int)sizeof(local) - 1, len ? old : local,
		     len && old[len - 1] != '\n' ? "\n" : "", name);
	if (n < 0)
		return vc_fail(err, VC_E_SYS, ENOMEM, "hostname");
	return rewrite(b, "/etc/hosts", 0644, text, (size_t)n, err);
}

static int read_key(const char *path, char *to, size_t *len,
		    struct vc_error *err)
{
	vc_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	const size_t start = *len;
	char shown[200];
	ssize_t n = 1;

	vc_printable(path, shown, sizeof(shown));
	if (fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "'%s': open", shown);
	while (n && *len < GUEST_MAX_KEY_BYTES) {
		n = read(fd, to + *len, GUEST_MAX_KEY_BYTES - *len);
		if (n < 0)
			return vc_fail(err, VC_E_SYS, errno, "'%s': read",
				       shown);
		*len += (size_t)n;
	}
	if (n)
		return vc_fail(err, VC_E_LIMIT, 0, "'%s': too long", shown);
	to[*len] = '\0';
	if (strstr(to + start, "PRIVATE KEY") || strlen(to) != *len ||
	    !strstr(to + start, " AAAA"))
		return vc_fail(err, VC_E_CORRUPT, 0, "'%s': not a public key",
			       shown);
	if (to[*len - 1] != '\n')
		to[(*len)++] = '\n';
	return 0;
}

static int put_ssh_keys(struct build *b, const struct guest_opts *o,
			struct vc_error *err)
{
	static const char *const there[] = { "/root/.ssh/authorized_keys",
					     NULL };
	/* a newline more than the limit, and a NUL */
	vc_auto_free char *text = malloc(GUEST_MAX_KEY_BYTES + 2);
	struct node *dir;
	size_t len = 0, i;

	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "ssh-key");
	for (i = 0; i < o->nr_ssh_keys; i++)
		if (read_key(o->ssh_keys[i], text, &len, err))
			return vc_prefix(err, "--ssh-key");
	if (guest_has(b, there) &&
	    warn_add(&b->warn, err, "'%s' of the image replaced", there[0]))
		return -1;
	if (!tree_find(&b->tree, "/root") &&
	    add(b, "/root", NODE_DIR, 0700, &dir, err))
		return -1;
	/* sshd refuses keys in a folder that others can write to */
	dir = tree_find(&b->tree, "/root/.ssh");
	if (!dir && add(b, "/root/.ssh", NODE_DIR, 0700, &dir, err))
		return -1;
	if (!node_is_dir(dir))
		return vc_fail(err, VC_E_SYS, ENOTDIR, "'/root/.ssh'");
	dir->mode = 0700;
	dir->uid = dir->gid = 0;
	return guest_put_file(b, there[0], 0600, text, len, err);
}

/* The second field of root's line, from *ret_from to *ret_to; false if there is no
 * such line. */
static bool find_root(const char *text, size_t len, size_t *ret_from,
		      size_t *ret_to)
{
	const char *const end = text + len;
	const char *at, *rest;

	for (at = text; at < end; at = rest + 1) {
		if (end - at >= 5 && !memcmp(at, "root:", 5))
			break;
		rest = memchr(at, '\n', (size_t)(end - at));
		if (!rest)
			return false;
	}
	if (at >= end)
		return false;
	for (rest = at + 5; rest < end; rest++)
		if (*rest == ':' || *rest == '\n')
			break;
	*ret_from = (size_t)(at + 5 - text);
	*ret_to = (size_t)(rest - text);
	return true;
}

/* `path`, whose text is `old`, with another word in place of from..to. Whatever
 * else is in it stays. */
static int put_field(struct build *b, const char *path, const char *old,
		     size_t len, size_t from, size_t to, const char *word,
		     struct vc_error *err)
{
	const size_t word_len = strlen(word), rest = len - to;
	vc_auto_free char *text = malloc(from + word_len + rest + 1);

	if (!text)
		return vc_fail(err, VC_E_SYS, ENOMEM, "'%s'", path);
	memcpy(text, old, from);
	memcpy(text + from, word, word_len);
	memcpy(text + from + word_len, old + to, rest);
	return rewrite(b, path, 0600, text, from + word_len + rest, err);
}

/* What has another word than "x" there, or none, needs no hash. */
static int look_in_shadow(struct build *b, struct vc_error *err)
{
	static const char path[] = "/etc/passwd";
	const struct accounts *acc = &b->passwd;
	const struct node *n = tree_find(&b->tree, path);
	size_t from, to;

	if (!n || n->type != NODE_FILE || !acc->text ||
	    acc->len != n->size_bytes ||
	    !find_root(acc->text, acc->len, &from, &to) ||
	    (to - from == 1 && acc->text[from] == 'x'))
		return 0;
	return put_field(b, path, acc->text, acc->len, from, to, "x", err);
}

static int put_password(struct build *b, const char *hash, struct vc_error *err)
{
	static const char path[] = "/etc/shadow";
	vc_auto_free char *line = NULL;
	size_t len, from, to;
	const char *old;

	if (kept(b, path, &b->shadow, &old, &len, err) ||
	    look_in_shadow(b, err))
		return -1;
	if (find_root(old, len, &from, &to))
		return put_field(b, path, old, len, from, to, hash, err);
	if (asprintf(&line, "root:%s::0:99999:7:::\n", hash) < 0) {
		line = NULL;
		return vc_fail(err, VC_E_SYS, ENOMEM, "shadow");
	}
	return put_field(b, path, old, len, 0, 0, line, err);
}

static int put_fstab(struct build *b, const struct guest_opts *o,
		     struct vc_error *err)
{
	char text[120], name[VC_GUID_TEXT];
	const char *l;

	if (o->has_root_uuid) {
		vc_guid_format(&o->root_uuid, name);
	} else {
		for (l = o->root_label; *l; l++)
			if (*l <= ' ' || *l > '~' || strchr("\"\\#", *l))
				return vc_fail(err, VC_E_ARG, 0,
					       "--fstab: a label of letters "
					       "and digits is needed");
		snprintf(name, sizeof(name), "%s", o->root_label);
	}
	snprintf(text, sizeof(text), "%s=%s\t/\text4\tdefaults\t0\t1\n",
		 o->has_root_uuid ? "UUID" : "LABEL", name);
	return guest_put_text(b, "/etc/fstab", text, err);
}

int guest_apply(struct build *b, const struct guest_opts *o,
		struct vc_error *err)
{
	if (o->hostname && put_hostname(b, o->hostname, err))
		return -1;
	if (o->nr_ssh_keys && put_ssh_keys(b, o, err))
		return -1;
	if (o->password_hash && put_password(b, o->password_hash, err))
		return -1;
	if (o->has_fstab && put_fstab(b, o, err))
		return -1;
	if (o->network == GUEST_NETWORK_AS_IS)
		return 0;
	return network_apply(b, o->network == GUEST_NETWORK_DHCP, err);
}
