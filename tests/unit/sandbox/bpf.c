/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "tests/unit/sandbox/bpf.h"

static bool is_conditional(uint16_t code)
{
	switch (code) {
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_K:
		return true;
	default:
		return false;
	}
}

const char *bpf_check(const struct sock_filter *insns, size_t nr)
{
	size_t i;

	if (!nr || nr > BPF_MAXINSNS)
		return "length";
	for (i = 0; i < nr; i++) {
		const struct sock_filter *f = &insns[i];

		if (is_conditional(f->code)) {
			if (i + 1 + f->jt >= nr || i + 1 + f->jf >= nr)
				return "jump out of the program";
		} else if (f->code == (BPF_JMP | BPF_JA)) {
			if (f->k >= nr - i - 1)
				return "jump out of the program";
		} else if (f->code == (BPF_LD | BPF_W | BPF_ABS)) {
			if (f->k % 4 || f->k >= sizeof(struct seccomp_data))
				return "load outside seccomp_data";
		} else if (f->code != (BPF_ALU | BPF_AND | BPF_K) &&
			   f->code != (BPF_RET | BPF_K)) {
			return "unknown instruction";
		}
	}
	/* the last one is reached only by falling or jumping onto it */
	return insns[nr - 1].code == (BPF_RET | BPF_K) ? NULL : "no end";
}

uint32_t bpf_run(const struct sock_filter *insns,
		 const struct seccomp_data *data, size_t *ret_steps)
{
	const struct sock_filter *f = insns;
	uint32_t a = 0;
	size_t steps = 0;

	for (;; f++) {
		bool taken = false;

		steps++;
		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			continue;
		case BPF_JMP | BPF_JA:
			f += f->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			taken = a == f->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			taken = a > f->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			taken = a >= f->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			taken = a & f->k;
			break;
		default: /* RET: bpf_check() has seen to that */
			if (ret_steps)
				*ret_steps = steps;
			return f->k;
		}
		f += taken ? f->jt : f->jf;
	}
}
