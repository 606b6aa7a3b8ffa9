/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's command line: words, in which "double quotes" keep blanks. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <vmmcore/util.h>
#include "guest/init.h"

void cmdline_parse(struct cmdline *c, const char *text)
{
	bool is_quoted = false;
	size_t n = 0;

	for (; *text && n < sizeof(c->text) - 2; text++) {
		if (*text == '"')
			is_quoted = !is_quoted;
		else if (is_quoted || !strchr(" \t\n", *text))
			c->text[n++] = *text;
		else if (n && c->text[n - 1])
			c->text[n++] = '\0';
	}
	c->text[n] = c->text[n + 1] = '\0';
}

const char *cmdline_get(const struct cmdline *c, const char *name)
{
	size_t len = strlen(name);
	const char *word, *found = NULL;

	for (word = c->text; *word; word += strlen(word) + 1) {
		if (strncmp(word, name, len))
			continue;
		if (word[len] == '=')
			found = word + len + 1;
		else if (!word[len])
			found = word + len;
	}
	return found;
}

int cmdline_read(struct cmdline *ret, struct vc_error *err)
{
	char text[INIT_MAX_CMDLINE];
	vc_auto_fd int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return vc_fail(err, VC_E_SYS, errno, "/proc/cmdline: read");
	text[n] = '\0';
	cmdline_parse(ret, text);
	return 0;
}
