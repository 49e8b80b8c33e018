/*
 * Arenas: memory that goes as a whole. There is no free for a part.
 */
#ifndef MISC_POOL_H
#define MISC_POOL_H

#include <stddef.h>

struct arena;

/* NULL and errno when memory is out. */
struct arena	*arena_new(void);
void		 arena_free(struct arena *);
/* Zeroed, aligned for any type. Never NULL: memory out at configuration
 * time ends the process with a message and 71. */
void		*arena_alloc(struct arena *, size_t);
/* n * size, checked for overflow. */
void		*arena_array(struct arena *, size_t n, size_t size);
char		*arena_strdup(struct arena *, const char *);
char		*arena_strndup(struct arena *, const char *, size_t);
char		*arena_printf(struct arena *, const char *, ...)
		    __attribute__((format(printf, 2, 3)));
size_t		 arena_size(const struct arena *);

#endif
