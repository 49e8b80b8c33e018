/*
 * Arenas: chunks of memory, each twice as large as the one before, handed
 * out from the front. What is large gets a chunk of its own.
 */
#include <errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "log.h"
#include "pool.h"

#define CHUNK_MIN	4096
#define CHUNK_MAX	262144
#define ALIGNMENT	alignof(max_align_t)

struct chunk {
	struct chunk		*next;
	size_t			 used, size;
	alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct chunk	*chunks;	/* the first one has room */
	size_t		 size;		/* of all of them */
};

static _Noreturn void
out_of_memory(void)
{
	log_err("%s", strerror(ENOMEM));
	exit(EX_OSERR);
}

static struct chunk *
chunk_new(size_t size)
{
	struct chunk *c = NULL;

	if (size <= PTRDIFF_MAX - sizeof(*c))
		c = calloc(1, sizeof(*c) + size);
	if (c == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	c->size = size;
	return c;
}

struct arena *
arena_new(void)
{
	struct arena *a = malloc(sizeof(*a));

	if (a == NULL)
		return NULL;
	a->chunks = chunk_new(CHUNK_MIN - sizeof(struct chunk));
	if (a->chunks == NULL) {
		free(a);
		return NULL;
	}
	a->size = CHUNK_MIN;
	return a;
}

void
arena_free(struct arena *a)
{
	struct chunk *c, *next;

	if (a == NULL)
		return;
	for (c = a->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

static void *
chunk_take(struct chunk *c, size_t size)
{
	void *p = c->data + c->used;

	c->used += size;
	return p;
}

/* A new chunk for size bytes. One for a large thing stands behind the first,
 * whose room is not lost that way. */
static struct chunk *
arena_extend(struct arena *a, size_t size)
{
	size_t room = a->chunks->size + sizeof(struct chunk);
	struct chunk *c;
	bool large = size > CHUNK_MAX / 4;

	if (room < CHUNK_MAX)
		room *= 2;
	if (!large && size > room - sizeof(*c))
		room = CHUNK_MAX;
	c = chunk_new(large ? size : room - sizeof(*c));
	if (c == NULL)
		out_of_memory();
	a->size += sizeof(*c) + c->size;
	if (large) {
		c->next = a->chunks->next;
		a->chunks->next = c;
	} else {
		c->next = a->chunks;
		a->chunks = c;
	}
	return c;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	struct chunk *c = a->chunks;

	if (size > SIZE_MAX - ALIGNMENT)
		out_of_memory();
	/* of no bytes, too, each one has its own address */
	size = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) &
	    ~(ALIGNMENT - 1);
	if (size > c->size - c->used)
		c = arena_extend(a, size);
	return chunk_take(c, size);
}

void *
arena_array(struct arena *a, size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size)
		out_of_memory();
	return arena_alloc(a, n * size);
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *
arena_strndup(struct arena *a, const char *s, size_t max)
{
	size_t n = strnlen(s, max);
	char *p;

	if (n == SIZE_MAX)
		out_of_memory();
	p = arena_alloc(a, n + 1);
	memcpy(p, s, n);
	return p;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

size_t
arena_size(const struct arena *a)
{
	return a->size;
}
