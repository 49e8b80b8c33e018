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

/* Text built in a place of fixed size: what does not fit is cut off. */
struct str {
	char	*s;
	size_t	 size, len;
};

void	 str_init(struct str *, char *place, size_t size);
void	 str_add(struct str *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));

#endif
