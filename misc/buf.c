/*
 * Buffers and the pool they borrow from: blocks of powers of two, straight
 * from the system, so that they can go back there page by page however long
 * lived the neighbours on the heap are.
 */
#include <sys/mman.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define BLOCK_MIN	4096u
#define CLASSES		8	/* 4 kB to BUF_MAX */

/* What a block is while nobody has it. */
struct block {
	struct block	*next;
};

struct buf_pool {
	struct class {
		struct block	*free;
		size_t		 n;	/* on the list */
		size_t		 spare;	/* least n since the last trim */
	}	classes[CLASSES];
	size_t	lent;			/* bytes */
};

static_assert(BLOCK_MIN << (CLASSES - 1) == BUF_MAX, "classes");

static uint32_t
class_size(unsigned c)
{
	return BLOCK_MIN << c;
}

/* The smallest class with room for n bytes, CLASSES if there is none. */
static unsigned
class_for(size_t n)
{
	unsigned c = 0;

	while (c < CLASSES && class_size(c) < n)
		c++;
	return c;
}

struct buf_pool *
buf_pool_new(void)
{
	return calloc(1, sizeof(struct buf_pool));
}

static void *
block_get(struct buf_pool *pool, unsigned class)
{
	struct class *c = &pool->classes[class];
	struct block *b = c->free;

	if (b != NULL) {
		c->free = b->next;
		if (--c->n < c->spare)
			c->spare = c->n;
	} else {
		c->spare = 0;
		b = mmap(NULL, class_size(class), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (b == MAP_FAILED)
			return NULL;
	}
	pool->lent += class_size(class);
	return b;
}

static void
block_put(struct buf_pool *pool, void *p, uint32_t size)
{
	struct class *c = &pool->classes[class_for(size)];
	struct block *b = p;

	b->next = c->free;
	c->free = b;
	c->n++;
	pool->lent -= size;
}

/* Gives n blocks of a class back, or as many as the system will take. */
static void
class_shrink(struct buf_pool *pool, unsigned class, size_t n)
{
	struct class *c = &pool->classes[class];
	struct block *b;

	while (n-- > 0 && (b = c->free) != NULL) {
		c->free = b->next;
		if (munmap(b, class_size(class)) == -1) {
			/* a hole too many in the address space */
			c->free = b;
			return;
		}
		c->n--;
	}
}

bool
buf_pool_trim(struct buf_pool *pool)
{
	bool left = false;
	unsigned i;

	for (i = 0; i < CLASSES; i++) {
		class_shrink(pool, i, pool->classes[i].spare);
		pool->classes[i].spare = pool->classes[i].n;
		left |= pool->classes[i].n > 0;
	}
	return left;
}

void
buf_pool_free(struct buf_pool *pool)
{
	unsigned i;

	if (pool == NULL)
		return;
	assert(pool->lent == 0);
	for (i = 0; i < CLASSES; i++)
		class_shrink(pool, i, pool->classes[i].n);
	free(pool);
}

size_t
buf_pool_lent(const struct buf_pool *pool)
{
	return pool->lent;
}

size_t
buf_pool_kept(const struct buf_pool *pool)
{
	size_t total = 0;
	unsigned i;

	for (i = 0; i < CLASSES; i++)
		total += pool->classes[i].n * class_size(i);
	return total;
}

/* A larger block for what is there and n bytes more. */
static int
buf_enlarge(struct buf_pool *pool, struct buf *b, size_t n)
{
	unsigned class = class_for(b->len + n);
	uint8_t *p;

	if (class == CLASSES) {
		errno = ENOMEM;
		return -1;
	}
	p = block_get(pool, class);
	if (p == NULL)
		return -1;
	if (b->data != NULL) {
		memcpy(p, b->data + b->off, b->len);
		block_put(pool, b->data, b->cap);
	}
	b->data = p;
	b->off = 0;
	b->cap = class_size(class);
	return 0;
}

uint8_t *
buf_room(struct buf_pool *pool, struct buf *b, size_t n)
{
	if (n > BUF_MAX - b->len) {
		errno = ENOMEM;
		return NULL;
	}
	if (n > b->cap - b->len) {
		if (buf_enlarge(pool, b, n) == -1)
			return NULL;
	} else if (n > b->cap - b->len - b->off) {
		memmove(b->data, b->data + b->off, b->len);
		b->off = 0;
	}
	return b->data + b->off + b->len;
}

void
buf_added(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->len - b->off);
	b->len += (uint32_t)n;
}

int
buf_append(struct buf_pool *pool, struct buf *b, const void *data, size_t n)
{
	uint8_t *p;

	if (n == 0)
		return 0;
	p = buf_room(pool, b, n);
	if (p == NULL)
		return -1;
	memcpy(p, data, n);
	buf_added(b, n);
	return 0;
}

void
buf_drop(struct buf_pool *pool, struct buf *b, size_t n)
{
	assert(n <= b->len);
	if (n == b->len) {
		buf_clear(pool, b);
		return;
	}
	b->off += (uint32_t)n;
	b->len -= (uint32_t)n;
}

void
buf_clear(struct buf_pool *pool, struct buf *b)
{
	if (b->data != NULL)
		block_put(pool, b->data, b->cap);
	*b = (struct buf){ 0 };
}
