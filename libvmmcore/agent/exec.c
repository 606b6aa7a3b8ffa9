/* SPDX-License-Identifier: BSD-3-Clause */
/* The payload of EXEC. Decoding is two passes over the same function: the
 * first checks and counts, the second fills an allocation of that size. */
#include <errno.h>
#include <stdlib.h>
#include <vmmcore/agent.h>

enum { LIST_CWD, LIST_USER, LIST_ARGV, LIST_ENV, NR_LISTS };

static const uint32_t list_max[NR_LISTS] = { 1, 1, VC_AGENT_MAX_ARGS,
					     VC_AGENT_MAX_ENV };

/* An output of fixed size that remembers when it was too small. */
struct out {
	uint8_t *buf;
	size_t size, used;
	bool is_full;
};

static void out_put(struct out *o, const void *data, size_t len)
{
	if (o->is_full || len > o->size - o->used) {
		o->is_full = true;
		return;
	}
	if (len)
		memcpy(o->buf + o->used, data, len);
	o->used += len;
}

static void out_u32(struct out *o, size_t value)
{
	le32_t v = le32_put((uint32_t)value);

	if (value > UINT32_MAX)
		o->is_full = true;
	out_put(o, &v, sizeof(v));
}

static void out_list(struct out *o, int list, const char *const *strings)
{
	size_t n = 0, i;

	while (strings && strings[n])
		n++;
	if (n > list_max[list])
		o->is_full = true;
	out_u32(o, n);
	for (i = 0; i < n && !o->is_full; i++) {
		size_t len = strlen(strings[i]);

		out_u32(o, len);
		out_put(o, strings[i], len);
	}
}

int vc_agent_exec_encode(const struct vc_agent_exec *exec, uint8_t *buf,
			 size_t size, size_t *ret_len, struct vc_error *err)
{
	const char *cwd[] = { exec->cwd, NULL };
	const char *user[] = { exec->user, NULL };
	struct out o = { .buf = buf, .size = size };

	if (size > VC_AGENT_MAX_PAYLOAD)
		o.size = VC_AGENT_MAX_PAYLOAD;
	if (!exec->argv || !exec->argv[0])
		return vc_fail(err, VC_E_ARG, 0, "command: empty");
	out_u32(&o, exec->flags);
	out_list(&o, LIST_CWD, cwd);
	out_list(&o, LIST_USER, user);
	out_list(&o, LIST_ARGV, (const char *const *)exec->argv);
	out_list(&o, LIST_ENV, (const char *const *)exec->env);
	if (o.is_full)
		return vc_fail(err, VC_E_LIMIT, 0,
			       "command: more than %d arguments, %d variables "
			       "or %zu bytes in all",
			       VC_AGENT_MAX_ARGS, VC_AGENT_MAX_ENV, o.size);
	*ret_len = o.used;
	return 0;
}

/* What the two passes share: the first has no `next`, `text`. */
struct sink {
	char **next;   /* where the next pointer goes */
	char *text;    /* where the next string goes */
	size_t nr_ptr; /* pointers, the final NULL of each list too */
	size_t nr_text;
};

static bool take_string(struct vc_bytes *c, struct sink *s)
{
	const uint8_t *p;
	uint32_t len;

	if (!vc_bytes_get_le32(c, &len))
		return false;
	p = vc_bytes_view(c, len);
	if (!p || (len && memchr(p, '\0', len)))
		return false;
	if (s->next) {
		*s->next++ = s->text;
		memcpy(s->text, p, len);
		s->text[len] = '\0';
		s->text += len + 1;
	}
	s->nr_ptr++;
	s->nr_text += (size_t)len + 1;
	return true;
}

static bool take_list(struct vc_bytes *c, int list, struct sink *s,
		      char ***ret_list)
{
	uint32_t n, i;

	if (!vc_bytes_get_le32(c, &n) || n > list_max[list])
		return false;
	*ret_list = s->next;
	for (i = 0; i < n; i++)
		if (!take_string(c, s))
			return false;
	if (s->next)
		*s->next++ = NULL;
	s->nr_ptr++;
	return list != LIST_ARGV || n > 0;
}

static bool take_all(const void *payload, size_t len, struct sink *s,
		     char **lists[NR_LISTS], uint32_t *ret_flags)
{
	struct vc_bytes c = vc_bytes_init(payload, len);
	int i;

	if (!vc_bytes_get_le32(&c, ret_flags) || *ret_flags)
		return false;
	for (i = 0; i < NR_LISTS; i++)
		if (!take_list(&c, i, s, &lists[i]))
			return false;
	return vc_bytes_left(&c) == 0;
}

int vc_agent_exec_decode(const void *payload, size_t len,
			 struct vc_agent_exec *ret, void **ret_storage,
			 struct vc_error *err)
{
	char **lists[NR_LISTS];
	struct sink s = { .next = NULL };
	uint32_t flags;
	size_t ptr_size;
	void *storage;

	if (len > VC_AGENT_MAX_PAYLOAD ||
	    !take_all(payload, len, &s, lists, &flags))
		return vc_fail(err, VC_E_PEER, 0, "exec request: malformed");
	/* cannot overflow: both counts are bounded by the payload's size */
	ptr_size = s.nr_ptr * sizeof(char *);
	storage = malloc(ptr_size + s.nr_text);
	if (!storage)
		return vc_fail(err, VC_E_SYS, ENOMEM, "exec request");
	s = (struct sink){ .next = storage,
			   .text = (char *)storage + ptr_size };
	if (!take_all(payload, len, &s, lists, &flags)) {
		free(storage);
		return vc_fail(err, VC_E_INTERNAL, 0, "exec request");
	}
	*ret = (struct vc_agent_exec){ .flags = flags,
				       .cwd = lists[LIST_CWD][0],
				       .user = lists[LIST_USER][0],
				       .argv = lists[LIST_ARGV],
				       .env = lists[LIST_ENV] };
	*ret_storage = storage;
	return 0;
}
