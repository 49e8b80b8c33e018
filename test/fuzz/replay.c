/*
 * A main() for fuzz targets where there is no libFuzzer: runs the target on
 * every file named, and on those of every directory named; options of
 * libFuzzer (-runs=0 ...) are accepted and ignored. So each corpus is a test
 * with any compiler.
 */
#include <sys/stat.h>
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static unsigned done;

static int
replay_file(const char *path)
{
	FILE *fp = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t n = 0, cap = 0;

	if (fp == NULL) {
		perror(path);
		return -1;
	}
	do {
		if (n == cap) {
			cap = cap == 0 ? 4096 : cap * 2;
			if ((data = realloc(data, cap)) == NULL)
				abort();
		}
		n += fread(data + n, 1, cap - n, fp);
	} while (!feof(fp) && !ferror(fp));
	fclose(fp);
	/* exactly as long as the input, so that an overrun is seen */
	if (n > 0 && (data = realloc(data, n)) == NULL)
		abort();
	(void)LLVMFuzzerTestOneInput(data, n);
	free(data);
	done++;
	return 0;
}

static int
replay(const char *path)
{
	char name[PATH_MAX];
	struct dirent *e;
	struct stat st;
	int result = 0;
	DIR *d;

	if (stat(path, &st) == -1) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	if ((d = opendir(path)) == NULL) {
		perror(path);
		return -1;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (replay_file(name) == -1)
			result = -1;
	}
	closedir(d);
	return result;
}

int
main(int argc, char **argv)
{
	int i, result = 0;

	for (i = 1; i < argc; i++)
		if (argv[i][0] != '-' && replay(argv[i]) == -1)
			result = 1;
	printf("%u inputs\n", done);
	return result;
}
