/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vmmcore/kv.h>
#include <vmmcore/util.h>

/* One `key=value` of the text, scanned but not yet interpreted. */
struct item {
	char *name;  /* owned; NULL: the value stands without a key */
	char *value; /* owned; NULL: the key stands without a value */
	bool is_list;
};

static void item_fini(struct item *it)
{
	free(it->name);
	free(it->value);
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* 'text' or "text": the value into `out`, the rest in *p. */
static int scan_quoted(const char **p, char *out, struct vc_error *err)
{
	char quote = *(*p)++;
	const char *s = *p;

	while (*s && *s != quote) {
		if (quote == '"' && *s == '\\') {
			s++;
			if (*s != '"' && *s != '\\')
				return vc_fail(err, VC_E_ARG, 0,
					       "only \\\" and \\\\ may follow "
					       "a backslash in \"...\"");
		}
		*out++ = *s++;
	}
	if (!*s)
		return vc_fail(err, VC_E_ARG, 0, "%c without its end", quote);
	*out = '\0';
	*p = s + 1;
	return 0;
}

static int scan_list(const char **p, char *out, struct vc_error *err)
{
	const char *s = *p;
	unsigned depth = 0;

	for (; *s; s++) {
		if (*s == '[')
			depth++;
		if (*s == ']' && --depth == 0)
			break;
	}
	if (!*s)
		return vc_fail(err, VC_E_ARG, 0, "[ without its ]");
	memcpy(out, *p + 1, (size_t)(s - *p - 1));
	out[s - *p - 1] = '\0';
	*p = s + 1;
	return 0;
}

static int scan_bare(const char **p, char *out, struct vc_error *err)
{
	size_t n = strcspn(*p, ",");

	if (!n)
		return vc_fail(err, VC_E_ARG, 0, "empty value");
	if (strcspn(*p, "[]'\"") < n)
		return vc_fail(err, VC_E_ARG, 0,
			       "a value with quotes or brackets must be "
			       "quoted");
	memcpy(out, *p, n);
	out[n] = '\0';
	*p += n;
	return 0;
}

static int scan_value(const char **p, struct item *it, struct vc_error *err)
{
	it->value = malloc(strlen(*p) + 1);
	if (!it->value)
		return vc_fail(err, VC_E_SYS, ENOMEM, "option");
	if (**p == '\'' || **p == '"')
		return scan_quoted(p, it->value, err);
	if (**p == '[') {
		it->is_list = true;
		return scan_list(p, it->value, err);
	}
	return scan_bare(p, it->value, err);
}

/* One item from *p on. Only the first may be a value without its key. */
static int scan_item(const char **p, bool is_first, struct item *it,
		     struct vc_error *err)
{
	const char *s = *p;
	size_t n = 0, i;

	while (is_name_char(s[n]))
		n++;
	if (n && (s[n] == '=' || ((s[n] == ',' || !s[n])))) {
		it->name = strndup(s, n);
		if (!it->name)
			return vc_fail(err, VC_E_SYS, ENOMEM, "option");
		for (i = 0; i < n; i++)
			if (it->name[i] == '_')
				it->name[i] = '-';
		*p = s + n;
		if (s[n] != '=')
			return 0;
		(*p)++;
		return scan_value(p, it, err);
	}
	if (!is_first)
		return vc_fail(err, VC_E_ARG, 0, "'%s': expected key=value", s);
	return scan_value(p, it, err);
}

static int set_enum(const struct vc_kv_key *key, const char *value, int *out,
		    struct vc_error *err)
{
	char all[200] = "";
	int i;

	for (i = 0; key->names[i]; i++) {
		if (!strcmp(key->names[i], value)) {
			*out = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
			 i ? ", " : "", key->names[i]);
	}
	return vc_fail(err, VC_E_ARG, 0, "'%s': not one of %s", value, all);
}

static int set_bool(const char *value, bool *out, struct vc_error *err)
{
	if (!value || !strcmp(value, "true") || !strcmp(value, "on"))
		*out = true;
	else if (!strcmp(value, "false") || !strcmp(value, "off"))
		*out = false;
	else
		return vc_fail(err, VC_E_ARG, 0, "'%s': not true or false",
			       value);
	return 0;
}

static int set_member(const struct vc_kv_key *key, struct item *it, void *out,
		      struct vc_error *err)
{
	void *member = (char *)out + key->offset;
	uint64_t u64;

	if (key->type == VC_KV_BOOL)
		return set_bool(it->value, member, err);
	if (!it->value)
		return vc_fail(err, VC_E_ARG, 0, "needs a value");
	if (it->is_list != (key->type == VC_KV_LIST))
		return vc_fail(err, VC_E_ARG, 0,
			       it->is_list ? "takes no list"
					   : "takes a list: [a,b]");
	switch (key->type) {
	case VC_KV_U64:
		return vc_parse_u64(it->value, key->max ? key->max : UINT64_MAX,
				    member, err);
	case VC_KV_SIZE:
		return vc_parse_size(it->value, member, err);
	case VC_KV_ENUM:
		return set_enum(key, it->value, member, err);
	case VC_KV_FD:
		if (vc_parse_u64(it->value, key->max ? key->max : INT32_MAX,
				 &u64, err) < 0)
			return -1;
		*(int *)member = (int)u64;
		return 0;
	case VC_KV_STRING:
	case VC_KV_LIST:
		*(char **)member = vc_steal_ptr(&it->value);
		return 0;
	case VC_KV_BOOL:
		break;
	}
	return vc_fail(err, VC_E_INTERNAL, 0, "option table");
}

static int find_key(const struct vc_kv_key *keys, size_t nr, const char *name)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (!strcmp(keys[i].name, name) ||
		    (keys[i].alias && !strcmp(keys[i].alias, name)))
			return (int)i;
	return -1;
}

/* A first item that is a bare word can be a flag or the first key's value: it
 * is a flag if a boolean key has that name. */
static int resolve(struct item *it, const struct vc_kv_key *keys, size_t nr,
		   bool is_first, const char *text, struct vc_error *err)
{
	int k = it->name ? find_key(keys, nr, it->name) : 0;

	if (is_first && it->name && !it->value &&
	    (k < 0 || keys[k].type != VC_KV_BOOL)) {
		/* as typed: `_` was not meant as `-` in a value */
		it->value = strndup(text, strlen(it->name));
		if (!it->value)
			return vc_fail(err, VC_E_SYS, ENOMEM, "option");
		return 0;
	}
	if (k < 0)
		return vc_fail(err, VC_E_ARG, 0, "unknown key '%s'", it->name);
	return k;
}

static int parse_item(const char **p, bool is_first,
		      const struct vc_kv_key *keys, size_t nr, void *out,
		      uint64_t *seen, struct vc_error *err)
{
	struct item it = { NULL, NULL, false };
	const char *start = *p;
	int ret = -1, k;

	if (scan_item(p, is_first, &it, err) < 0)
		goto out;
	k = resolve(&it, keys, nr, is_first, start, err);
	if (k < 0)
		goto out;
	if (*seen >> k & 1) {
		vc_fail(err, VC_E_ARG, 0, "key '%s' given twice", keys[k].name);
		goto out;
	}
	ret = set_member(&keys[k], &it, out, err);
	if (ret < 0)
		vc_prefix(err, "%s", keys[k].name);
	else
		*seen |= UINT64_C(1) << k;
out:
	item_fini(&it);
	return ret;
}

static int parse(const char *text, bool may_lack_key,
		 const struct vc_kv_key *keys, size_t nr_keys, void *out,
		 uint64_t *ret_seen, struct vc_error *err)
{
	const char *p = text;
	uint64_t seen = 0;
	size_t i;

	if (nr_keys > VC_KV_MAX_KEYS || strlen(text) > VC_KV_MAX_TEXT)
		return vc_fail(err, VC_E_ARG, 0, "option too long");
	for (;;) {
		if (parse_item(&p, may_lack_key && p == text, keys, nr_keys,
			       out, &seen, err) < 0)
			goto fail;
		if (!*p)
			break;
		if (*p++ != ',') {
			vc_fail(err, VC_E_ARG, 0,
				"'%s': expected a comma before it", p - 1);
			goto fail;
		}
	}
	if (ret_seen)
		*ret_seen = seen;
	return 0;
fail:
	for (i = 0; i < nr_keys; i++)
		if ((seen >> i & 1) && (keys[i].type == VC_KV_STRING ||
					keys[i].type == VC_KV_LIST)) {
			char **s =
				(char **)(void *)((char *)out + keys[i].offset);

			free(*s);
			*s = NULL;
		}
	return -1;
}

int vc_kv_parse(const char *text, const struct vc_kv_key *keys, size_t nr_keys,
		void *out, uint64_t *ret_seen, struct vc_error *err)
{
	return parse(text, true, keys, nr_keys, out, ret_seen, err);
}

int vc_kv_parse_named(const char *text, const struct vc_kv_key *keys,
		      size_t nr_keys, void *out, uint64_t *ret_seen,
		      struct vc_error *err)
{
	return parse(text, false, keys, nr_keys, out, ret_seen, err);
}
