/*
 * Small things done with text.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

#define WORD_MAX	63

const char *
str_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* One row of the usual table is kept, and what stood left above. */
unsigned
str_distance(const char *a, const char *b, unsigned limit)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned row[WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX ||
	    (la > lb ? la - lb : lb - la) > limit)
		return limit + 1;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned best = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb] > limit ? limit + 1 : row[lb];
}

void
str_init(struct str *str, char *place, size_t size)
{
	*str = (struct str){ .s = place, .size = size };
	place[0] = '\0';
}

void
str_add(struct str *str, const char *fmt, ...)
{
	size_t room = str->size - str->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(str->s + str->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		str->len += (size_t)n < room ? (size_t)n : room - 1;
}
