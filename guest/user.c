/* SPDX-License-Identifier: BSD-3-Clause */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <vmmcore/util.h>
#include "guest/user.h"

/* the kernel's (uid_t)-1 means "leave it alone" */
#define MAX_ID (UINT32_MAX - 1)

static bool is_id(const char *text, uint32_t *ret)
{
	uint64_t v;

	/* decimal only: chown and its like read no other numbers */
	if (!*text || text[strspn(text, "0123456789")] ||
	    vc_parse_u64(text, MAX_ID, &v, NULL) < 0)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static int copy(char *to, size_t size, const char *from, struct vc_error *err)
{
	if ((size_t)snprintf(to, size, "%s", from) >= size)
		return vc_fail(err, VC_E_LIMIT, 0, "entry: too long");
	return 0;
}

static int unknown(const char *what, const char *name, struct vc_error *err)
{
	char shown[80];

	return vc_fail(err, VC_E_ARG, 0, "%s %s: unknown", what,
		       vc_printable(name, shown, sizeof(shown)));
}

/* Find `name` in passwd, as a name and then, if it is one, as a number. */
static int find_user(const char *path, const char *name, struct user *u,
		     struct vc_error *err)
{
	vc_auto_file FILE *f = fopen(path, "re");
	bool has_id = is_id(name, &u->uid);
	struct passwd *pw;

	while (f && (pw = fgetpwent(f))) {
		if (strcmp(pw->pw_name, name) &&
		    !(has_id && pw->pw_uid == u->uid))
			continue;
		u->uid = pw->pw_uid;
		u->gid = pw->pw_gid;
		if (copy(u->name, sizeof(u->name), pw->pw_name, err) < 0 ||
		    copy(u->home, sizeof(u->home), pw->pw_dir, err) < 0 ||
		    copy(u->shell, sizeof(u->shell), pw->pw_shell, err) < 0)
			return vc_prefix(err, "%s", path);
		return 0;
	}
	/* root needs no file: a damaged guest is repaired as root */
	if (!strcmp(name, "root"))
		u->uid = 0;
	else if (!has_id)
		return unknown("user", name, err);
	u->gid = u->uid;
	return copy(u->name, sizeof(u->name), name, err);
}

static int find_group(const char *path, const char *name, gid_t *ret,
		      struct vc_error *err)
{
	vc_auto_file FILE *f = fopen(path, "re");
	struct group *gr;

	while (f && (gr = fgetgrent(f)))
		if (!strcmp(gr->gr_name, name)) {
			*ret = gr->gr_gid;
			return 0;
		}
	if (is_id(name, ret))
		return 0;
	return unknown("group", name, err);
}

static bool is_member(const struct group *gr, const char *name)
{
	char **m;

	for (m = gr->gr_mem; *m; m++)
		if (!strcmp(*m, name))
			return true;
	return false;
}

static int find_memberships(const char *path, struct user *u,
			    struct vc_error *err)
{
	vc_auto_file FILE *f = fopen(path, "re");
	struct group *gr;

	u->groups[0] = u->gid;
	u->nr_groups = 1;
	while (f && (gr = fgetgrent(f))) {
		if (gr->gr_gid == u->gid || !is_member(gr, u->name))
			continue;
		if (u->nr_groups == USER_MAX_GROUPS)
			return vc_fail(err, VC_E_LIMIT, 0,
				       "%s: user in more than %d groups", path,
				       USER_MAX_GROUPS);
		u->groups[u->nr_groups++] = gr->gr_gid;
	}
	return 0;
}

int user_lookup(const char *passwd_path, const char *group_path,
		const char *spec, struct user *ret, struct vc_error *err)
{
	char name[USER_MAX_NAME], *group;

	if (!spec || !*spec)
		spec = "root";
	if (strlen(spec) >= sizeof(name))
		return vc_fail(err, VC_E_LIMIT, 0,
			       "user: name longer than %zu bytes",
			       sizeof(name) - 1);
	strcpy(name, spec);
	group = strchr(name, ':');
	if (group)
		*group++ = '\0';
	memset(ret, 0, sizeof(*ret));
	strcpy(ret->home, "/");
	strcpy(ret->shell, "/bin/sh");
	if (find_user(passwd_path, name, ret, err) < 0)
		return -1;
	if (!group)
		return find_memberships(group_path, ret, err);
	if (find_group(group_path, group, &ret->gid, err) < 0)
		return -1;
	ret->groups[0] = ret->gid;
	ret->nr_groups = 1;
	return 0;
}
