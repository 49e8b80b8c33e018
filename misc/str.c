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

size_t
str_utf8(const unsigned char *p, size_t n, size_t *bad)
{
	static const struct {
		unsigned char	first, last;	/* of the lead byte */
		unsigned char	low, high;	/* of the second byte */
		unsigned char	len;
	} forms[] = {
		{ 0x00, 0x7f, 0x80, 0xbf, 1 },
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	size_t i, k;

	*bad = 1;
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (p[0] >= forms[i].first && p[0] <= forms[i].last)
			break;
	if (i == sizeof(forms) / sizeof(forms[0]))
		return 0;
	for (k = 1; k < forms[i].len; k++) {
		if (k >= n || p[k] < (k == 1 ? forms[i].low : 0x80) ||
		    p[k] > (k == 1 ? forms[i].high : 0xbf)) {
			*bad = k;
			return 0;
		}
	}
	return forms[i].len;
}
