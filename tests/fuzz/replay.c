/* SPDX-License-Identifier: BSD-3-Clause */
/* main() of a fuzz target without libFuzzer: feeds it the files and the files
 * in the directories it is given. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES (64u << 20)

static unsigned nr_inputs;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf = NULL, *exact = NULL;
	size_t n = 0;
	int rc = -1;

	if (f)
		buf = malloc(MAX_BYTES);
	if (buf) {
		n = fread(buf, 1, MAX_BYTES, f);
		/* of exactly the size: a sanitizer sees a read past its end */
		exact = malloc(n ? n : 1);
	}
	if (exact && !ferror(f)) {
		memcpy(exact, buf, n);
		LLVMFuzzerTestOneInput(exact, n);
		nr_inputs++;
		rc = 0;
	} else {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	}
	free(exact);
	free(buf);
	if (f)
		fclose(f);
	return rc;
}

static int run_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char file[4096];
	int rc = 0;

	if (!d) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, e->d_name) >=
			    (int)sizeof(file) ||
		    run_file(file) < 0)
			rc = -1;
	}
	closedir(d);
	return rc;
}

int main(int argc, char **argv)
{
	int i, rc = 0;

	for (i = 1; i < argc; i++) {
		struct stat st;

		if (argv[i][0] == '-')
			continue; /* an option of libFuzzer's */
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			rc |= run_dir(argv[i]);
		else
			rc |= run_file(argv[i]);
	}
	printf("%u inputs\n", nr_inputs);
	return rc || !nr_inputs;
}
