/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gentar: write a tar archive, right or wrong, from a description on standard
 * input, one entry a line, words separated by blanks:
 *
 *	file|contig NAME [key=value]...	  size=N (of letters), zeroes=N, text=T
 *	dir|fifo NAME
 *	symlink|link NAME TARGET
 *	char|block NAME MAJOR MINOR
 *	type C NAME			  any type flag
 *	pax KEY VALUE			  a record for the next entry
 *	global | solaris		  the records so far, as a g or X entry
 *	gnu-long C TEXT			  L or K entry for the next one
 *	end | zeroes N | text T		  end mark, plain bytes
 *	repeat N			  the next line N times, # is the number
 *
 * Keys of every entry: mode=, uid=, gid=, mtime=, format=v7|ustar|gnu|star,
 * prefix=TEXT (of the name), declared=N (size in the header other than that of
 * the contents), base256=1 (numbers, which are octal unless too large), signed=1
 * (a checksum of signed bytes, as some have made it), at=N,TEXT (bytes of the
 * header, whatever they are otherwise). \xHH
 * stands for a byte, in a value and a text also for 0.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512
#define MAX_WORDS 16
#define MAX_LINE (1 << 20)

struct entry {
	char type;
	const char *name, *target;
	uint64_t size, declared, mode, uid, gid;
	int64_t mtime;
	uint64_t major, minor;
	const char *text, *format, *prefix;
	const char *bytes;
	size_t bytes_at, bytes_len;
	int is_zero, has_declared, is_base256, is_signed;
};

static char pax[MAX_LINE];
static size_t pax_len;

static void die(const char *why)
{
	fprintf(stderr, "gentar: %s\n", why);
	exit(1);
}

static void put(const void *data, size_t len)
{
	if (fwrite(data, 1, len, stdout) != len)
		die("write");
}

static void put_fill(uint64_t len, int byte)
{
	char buf[65536];
	size_t n;

	memset(buf, byte, sizeof(buf));
	for (; len; len -= n) {
		n = len < sizeof(buf) ? (size_t)len : sizeof(buf);
		put(buf, n);
	}
}

static void put_padding(uint64_t len)
{
	if (len % BLOCK)
		put_fill(BLOCK - len % BLOCK, 0);
}

static void put_number(char *to, size_t width, uint64_t v, int is_base256)
{
	size_t i;

	if (!is_base256 && v < UINT64_C(1) << (3 * (width - 1))) {
		snprintf(to, width, "%0*llo", (int)width - 1,
			 (unsigned long long)v);
		return;
	}
	for (i = width; i-- > 0; v >>= 8)
		to[i] = (char)(v & 0xff);
	to[0] = (char)0x80;
}

static void copy_field(char *to, size_t width, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, len < width ? len : width);
}

static void put_header(const struct entry *e)
{
	char h[BLOCK] = { 0 };
	int sum = 0;
	size_t i;

	copy_field(h, 100, e->name);
	put_number(h + 100, 8, e->mode, 0);
	put_number(h + 108, 8, e->uid, e->is_base256);
	put_number(h + 116, 8, e->gid, e->is_base256);
	put_number(h + 124, 12, e->has_declared ? e->declared : e->size,
		   e->is_base256);
	put_number(h + 136, 12, (uint64_t)e->mtime, e->is_base256);
	if (e->mtime < 0)
		memset(h + 136, 0xff, 4); /* base 256, two's complement */
	h[156] = e->type;
	if (e->target)
		copy_field(h + 157, 100, e->target);
	if (!strcmp(e->format, "gnu"))
		memcpy(h + 257, "ustar  ", 8);
	else if (strcmp(e->format, "v7") != 0)
		memcpy(h + 257, "ustar\00000", 8);
	if (strcmp(e->format, "v7") != 0) {
		put_number(h + 329, 8, e->major, 0);
		put_number(h + 337, 8, e->minor, 0);
	}
	if (e->prefix)
		copy_field(h + 345, 155, e->prefix);
	if (!strcmp(e->format, "star")) {
		put_number(h + 476, 12, 1234567890, 0); /* atime */
		put_number(h + 488, 12, 1234567891, 0); /* ctime */
		memcpy(h + 508, "tar", 4);
	}
	if (e->bytes)
		memcpy(h + e->bytes_at, e->bytes, e->bytes_len);
	memset(h + 148, ' ', 8);
	for (i = 0; i < BLOCK; i++)
		sum += e->is_signed ? (signed char)h[i] : (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", (unsigned)sum);
	put(h, BLOCK);
}

static void put_extra(char type, const char *data, size_t len)
{
	struct entry e = {
		.type = type,
		.name = strchr("xgX", type) ? "PaxHeader" : "././@LongLink",
		.mode = 0644,
		.size = len,
		.format = strchr("xgX", type) ? "ustar" : "gnu",
	};

	put_header(&e);
	put(data, len);
	put_padding(len);
}

static void add_pax(const char *key, const char *value, size_t value_len)
{
	size_t body = strlen(key) + value_len + 3, len = body + 1, digits;
	char num[32];

	/* the length counts its own digits */
	for (;;) {
		digits = (size_t)snprintf(num, sizeof(num), "%zu", len);
		if (len == body + digits)
			break;
		len = body + digits;
	}
	if (pax_len + len > sizeof(pax))
		die("pax records too long");
	pax_len += (size_t)sprintf(pax + pax_len, "%s %s=", num, key);
	memcpy(pax + pax_len, value, value_len);
	pax_len += value_len;
	pax[pax_len++] = '\n';
}

static void put_entry(const struct entry *e)
{
	if (pax_len)
		put_extra('x', pax, pax_len);
	pax_len = 0;
	put_header(e);
	if (e->text)
		put(e->text, (size_t)e->size);
	else
		put_fill(e->size, e->is_zero ? 0 : 'x');
	put_padding(e->size);
}

/* Returns the length: a byte may be 0. */
static size_t unescape(char *s)
{
	char *to = s, *start = s;
	unsigned v;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] == 'x' &&
		    sscanf(s + 2, "%2x", &v) == 1) {
			*to++ = (char)v;
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return (size_t)(to - start);
}

static void set_bytes(struct entry *e, char *v)
{
	char *end;

	e->bytes_at = strtoul(v, &end, 0);
	if (*end++ != ',')
		die("at= without a ','");
	e->bytes_len = unescape(end);
	e->bytes = end;
	if (e->bytes_at > BLOCK || e->bytes_len > BLOCK - e->bytes_at)
		die("at= past the header");
}

static void set_key(struct entry *e, char *word)
{
	char *v = strchr(word, '=');

	if (!v)
		die("key without a value");
	*v++ = '\0';
	if (!strcmp(word, "size")) {
		e->size = strtoull(v, NULL, 0);
	} else if (!strcmp(word, "zeroes")) {
		e->size = strtoull(v, NULL, 0);
		e->is_zero = 1;
	} else if (!strcmp(word, "text")) {
		e->size = unescape(v);
		e->text = v;
	} else if (!strcmp(word, "mode")) {
		e->mode = strtoull(v, NULL, 8);
	} else if (!strcmp(word, "uid")) {
		e->uid = strtoull(v, NULL, 0);
	} else if (!strcmp(word, "gid")) {
		e->gid = strtoull(v, NULL, 0);
	} else if (!strcmp(word, "mtime")) {
		e->mtime = strtoll(v, NULL, 0);
	} else if (!strcmp(word, "format")) {
		e->format = v;
	} else if (!strcmp(word, "prefix")) {
		unescape(v);
		e->prefix = v;
	} else if (!strcmp(word, "declared")) {
		e->declared = strtoull(v, NULL, 0);
		e->has_declared = 1;
	} else if (!strcmp(word, "at")) {
		set_bytes(e, v);
	} else if (!strcmp(word, "signed")) {
		e->is_signed = atoi(v);
	} else if (!strcmp(word, "base256")) {
		e->is_base256 = atoi(v);
	} else {
		die("unknown key");
	}
}

static const struct {
	const char *word;
	char type;
	int nr_words; /* beside the first */
} kinds[] = {
	{ "file", '0', 1 }, { "contig", '7', 1 },  { "dir", '5', 1 },
	{ "fifo", '6', 1 }, { "symlink", '2', 2 }, { "link", '1', 2 },
	{ "char", '3', 3 }, { "block", '4', 3 },   { "type", 0, 2 },
};

static void do_entry(char **w, int n, size_t kind)
{
	struct entry e = {
		.type = kinds[kind].type,
		.mode = kinds[kind].type == '5' ? 0755 : 0644,
		.mtime = 1000000000,
		.format = "ustar",
	};
	int i, at = 1;

	if (n <= kinds[kind].nr_words)
		die("words are missing");
	if (!e.type)
		e.type = w[at++][0];
	e.name = w[at++];
	if (e.type == '1' || e.type == '2')
		e.target = w[at++];
	if (e.type == '3' || e.type == '4') {
		e.major = strtoull(w[at++], NULL, 0);
		e.minor = strtoull(w[at++], NULL, 0);
	}
	for (i = at; i < n; i++)
		set_key(&e, w[i]);
	for (i = 1; i < at; i++)
		unescape(w[i]);
	put_entry(&e);
}

static void do_line(char *line)
{
	char *w[MAX_WORDS], *save = NULL, *p;
	int n = 0;
	size_t i;

	for (p = strtok_r(line, " \t\n", &save); p && n < MAX_WORDS;
	     p = strtok_r(NULL, " \t\n", &save))
		w[n++] = p;
	if (!n || w[0][0] == '#')
		return;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(w[0], kinds[i].word)) {
			do_entry(w, n, i);
			return;
		}
	}
	if (!strcmp(w[0], "end")) {
		put_fill(2 * BLOCK, 0);
	} else if (!strcmp(w[0], "zeroes") && n == 2) {
		put_fill(strtoull(w[1], NULL, 0), 0);
	} else if (!strcmp(w[0], "text") && n == 2) {
		put(w[1], unescape(w[1]));
	} else if (!strcmp(w[0], "pax") && n == 3) {
		add_pax(w[1], w[2], unescape(w[2]));
	} else if (!strcmp(w[0], "pax") && n == 2) {
		add_pax(w[1], "", 0);
	} else if (!strcmp(w[0], "global") || !strcmp(w[0], "solaris")) {
		put_extra(w[0][0] == 'g' ? 'g' : 'X', pax, pax_len);
		pax_len = 0;
	} else if (!strcmp(w[0], "gnu-long") && n == 3) {
		unescape(w[2]);
		put_extra(w[1][0], w[2], strlen(w[2]) + 1);
	} else {
		die("unknown line");
	}
}

/* The line with every # replaced by the number. */
static void number_line(const char *line, unsigned long nr, char *to)
{
	for (; *line; line++) {
		if (*line == '#')
			to += sprintf(to, "%lu", nr);
		else
			*to++ = *line;
	}
	*to = '\0';
}

int main(void)
{
	static char line[MAX_LINE], numbered[2 * MAX_LINE];
	unsigned long i, nr = 1;

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "repeat %lu", &nr) == 1)
			continue;
		if (nr == 1) {
			do_line(line);
			continue;
		}
		for (i = 0; i < nr; i++) {
			number_line(line, i, numbered);
			do_line(numbered);
		}
		nr = 1;
	}
	if (fflush(stdout))
		die("write");
	return 0;
}
