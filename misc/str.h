/*
 * Small things done with text.
 */
#ifndef MISC_STR_H
#define MISC_STR_H

#include <stdbool.h>
#include <stddef.h>

/* The last component of a path; the path itself when it has no slash. */
const char	*str_base(const char *path);

/* Insertions, removals and replacements that turn a into b; limit + 1 when
 * there are more than limit. Words of up to 63 bytes. */
unsigned	 str_distance(const char *a, const char *b, unsigned limit);

/*
 * Length of the well-formed UTF-8 sequence at p (RFC 3629: no overlong
 * forms, no surrogates, nothing past U+10FFFF), or 0; then *bad is how many
 * bytes belong to the broken one.
 */
size_t		 str_utf8(const unsigned char *p, size_t n, size_t *bad);

/* Text built in a place of fixed size: what does not fit is cut off. */
struct str {
	char	*s;
	size_t	 size, len;
};

void	 str_init(struct str *, char *place, size_t size);
void	 str_add(struct str *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));

#endif
