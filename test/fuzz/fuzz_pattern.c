/*
 * Patterns and globs: the first line is one, the rest is a subject. Whatever
 * they are, an answer comes, the same each time; what has no special bytes is
 * found as it stands; and what is malformed has a place.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "misc/pattern.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define CHECK(x)	do { if (!(x)) abort(); } while (0)
#define PATTERN_SIZE	512
#define SUBJECT_SIZE	4096

static bool
found(const char *what, const char *subject, size_t len)
{
	size_t n = strlen(what);

	for (size_t i = 0; n <= len && i <= len - n; i++) {
		if (memcmp(subject + i, what, n) == 0)
			return true;
	}
	return false;
}

static void
try_pattern(struct arena *arena, const char *text, const char *subject,
    size_t len)
{
	char error[PATTERN_ERROR] = "", anchored[PATTERN_SIZE + 1] = "^";
	bool exhausted, again, matches, plain;
	unsigned column = 0;
	struct pattern *p = pattern_new(arena, text, error, &column);

	plain = strpbrk(text, "^$*+?.([%-)") == NULL;
	if (p == NULL) {
		CHECK(error[0] != '\0' && !plain);
		CHECK(column >= 1 && column <= strlen(text));
		return;
	}
	matches = pattern_match(p, subject, len, &exhausted);
	CHECK(!matches || !exhausted);
	CHECK(pattern_match(p, subject, len, &again) == matches &&
	    again == exhausted);
	CHECK(!plain || matches == found(text, subject, len));
	/* what matches at the start matches somewhere */
	if (text[0] == '^' || exhausted)
		return;
	strcat(anchored, text);
	p = pattern_new(arena, anchored, error, &column);
	CHECK(p != NULL);
	CHECK(!pattern_match(p, subject, len, &exhausted) || matches);
}

static void
try_glob(const char *text, const char *subject, size_t len)
{
	bool same = glob_match(text, subject, len, false);
	bool any = glob_match(text, subject, len, true);

	CHECK(!same || any || strchr(text, '[') != NULL);
	if (strpbrk(text, "*?[\\") == NULL)
		CHECK(same == (strlen(text) == len &&
		    memcmp(text, subject, len) == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	char text[PATTERN_SIZE], subject[SUBJECT_SIZE];
	size_t n = end == NULL ? size : (size_t)(end - data), len;
	struct arena *arena;

	len = end == NULL ? 0 : size - n - 1;
	if (n >= sizeof text || len > sizeof subject ||
	    memchr(data, '\0', n) != NULL || (arena = arena_new()) == NULL)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	if (len > 0)
		memcpy(subject, end + 1, len);
	try_pattern(arena, text, subject, len);
	try_glob(text, subject, len);
	arena_free(arena);
	return 0;
}
