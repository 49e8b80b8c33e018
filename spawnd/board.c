/*
 * The board: where everything stands on it, and who may be believed. The
 * layout follows from the numbers of columns and rows alone; it is computed,
 * compared with what the head says when a board comes from elsewhere, and
 * kept privately, so that nobody who may write to the memory can lead a
 * reader out of it.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "features.h"
#include "board.h"

/* A column starts on a page of its own: what one worker touches costs only
 * its own memory, and no cache line is shared. 16 kB where pages are that
 * large would waste only address space. */
#define BOARD_PAGE	((size_t)4096)
#define BOARD_COLUMNS	65536u
#define BOARD_ROWS	(1u << 20)

static_assert(sizeof(struct board_seat) == 64, "one cache line");
static_assert(sizeof(struct board_cell) == 64, "one cache line");
static_assert(sizeof(struct board_column) % 64 == 0, "whole cache lines");
static_assert(sizeof(struct board_head) <= 4096, "one page");

static size_t
board_round(size_t n)
{
	return (n + BOARD_PAGE - 1) & ~(BOARD_PAGE - 1);
}

/* The limits keep all of this far below 2^63. */
static int
board_layout(struct board *b, unsigned columns, unsigned rows)
{
	uint64_t size;

	if (columns == 0 || columns > BOARD_COLUMNS || rows > BOARD_ROWS) {
		errno = EINVAL;
		return -1;
	}
	b->columns = columns;
	b->rows = rows;
	b->seat_offset = BOARD_PAGE;
	b->row_offset = b->seat_offset +
	    board_round(columns * sizeof(struct board_seat));
	b->column_offset = b->row_offset +
	    board_round(rows * sizeof(struct board_row));
	b->column_size = board_round(sizeof(struct board_column) +
	    rows * sizeof(struct board_cell));
	size = b->column_offset + (uint64_t)columns * b->column_size;
	if (size > SIZE_MAX / 2) {
		errno = ENOMEM;
		return -1;
	}
	b->size = (size_t)size;
	return 0;
}

static int
board_memory(size_t size)
{
	int fd;

#ifdef HAVE_MEMFD_CREATE
	fd = memfd_create("board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
#else
	char name[] = "/tmp/spawnd-board.XXXXXX";

	fd = mkstemp(name);
	if (fd == -1)
		return -1;
	(void)unlink(name);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
	if (ftruncate(fd, (off_t)size) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
#ifdef F_SEAL_SHRINK
	/* A worker that cut it off would end the master by SIGBUS. */
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
#endif
	return fd;
}

int
board_open(struct board *b, unsigned columns, unsigned rows)
{
	struct board_head *h;

	memset(b, 0, sizeof(*b));
	b->fd = -1;
	if (board_layout(b, columns, rows) == -1)
		return -1;
	b->fd = board_memory(b->size);
	/* Without a descriptor it can still count, for this process alone. */
	h = mmap(NULL, b->size, PROT_READ | PROT_WRITE, b->fd == -1 ?
	    MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, b->fd, 0);
	if (h == MAP_FAILED) {
		int saved = errno;

		if (b->fd != -1)
			close(b->fd);
		b->fd = -1;
		errno = saved;
		return -1;
	}
	h->version = BOARD_VERSION;
	h->columns = b->columns;
	h->rows = b->rows;
	h->seat_offset = b->seat_offset;
	h->row_offset = b->row_offset;
	h->column_offset = b->column_offset;
	h->column_size = b->column_size;
	h->size = b->size;
	atomic_store(&h->started, (uint64_t)time(NULL));
	h->magic = BOARD_MAGIC;
	b->head = h;
	return 0;
}

static bool
board_agrees(const struct board *b, const struct board_head *h)
{
	return h->magic == BOARD_MAGIC && h->version == BOARD_VERSION &&
	    h->columns == b->columns && h->rows == b->rows &&
	    h->seat_offset == b->seat_offset &&
	    h->row_offset == b->row_offset &&
	    h->column_offset == b->column_offset &&
	    h->column_size == b->column_size && h->size == b->size;
}

static int
board_attach(struct board *b, int fd, size_t size, int protection)
{
	struct board_head copy;
	struct stat st;
	void *p;

	if (fstat(fd, &st) == -1)
		return -1;
	errno = EPROTO;
	if (size < sizeof(copy) || st.st_size < 0 ||
	    (uint64_t)st.st_size < size)
		return -1;
	p = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	/* Once, so that what was checked is what is used. */
	memcpy(&copy, p, sizeof(copy));
	if (board_layout(b, copy.columns, copy.rows) == -1 ||
	    b->size != size || !board_agrees(b, &copy)) {
		munmap(p, size);
		errno = EPROTO;
		return -1;
	}
	b->head = p;
	b->fd = fd;
	return 0;
}

int
board_map(struct board *b, int fd, size_t size)
{
	memset(b, 0, sizeof(*b));
	b->fd = -1;
	if (board_attach(b, fd, size, PROT_READ | PROT_WRITE) == -1) {
		int saved = errno;

		close(fd);
		memset(b, 0, sizeof(*b));
		b->fd = -1;
		errno = saved;
		return -1;
	}
	return 0;
}

void
board_close(struct board *b)
{
	if (b->head != NULL)
		munmap(b->head, b->size);
	if (b->fd != -1)
		close(b->fd);
	memset(b, 0, sizeof(*b));
	b->fd = -1;
}

static void *
board_at(const struct board *b, size_t offset)
{
	return (char *)b->head + offset;
}

struct board_seat *
board_seat(const struct board *b, unsigned column)
{
	assert(column < b->columns);
	return board_at(b, b->seat_offset +
	    column * sizeof(struct board_seat));
}

struct board_column *
board_column(const struct board *b, unsigned column)
{
	assert(column < b->columns);
	return board_at(b, b->column_offset + column * b->column_size);
}

struct board_row *
board_row(const struct board *b, unsigned row)
{
	assert(row < b->rows);
	return board_at(b, b->row_offset + row * sizeof(struct board_row));
}

struct board_cell *
board_cell(const struct board *b, unsigned column, unsigned row)
{
	assert(column < b->columns && row < b->rows);
	return board_at(b, b->column_offset + column * b->column_size +
	    sizeof(struct board_column) + row * sizeof(struct board_cell));
}

/* FNV-1a: names are short, and the master alone enters them. */
static uint32_t
board_hash(uint32_t kind, const char *name)
{
	uint32_t h = UINT32_C(2166136261) ^ kind;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * UINT32_C(16777619);
	return h ^ h >> 15;
}

/*
 * Rows are probed one after the other from where the name hashes to; one
 * never used ends the search, since rows are never given up. That row (or
 * -1) is *empty.
 */
static int
board_search(const struct board *b, uint32_t kind, const char *name,
    int *empty)
{
	uint32_t at;

	*empty = -1;
	if (b->rows == 0)
		return -1;
	at = board_hash(kind, name) % b->rows;
	for (uint32_t i = 0; i < b->rows; i++, at = (at + 1) % b->rows) {
		const struct board_row *r = board_row(b, at);

		if (atomic_load_explicit(&r->used, memory_order_acquire) ==
		    0) {
			*empty = (int)at;
			return -1;
		}
		if (r->kind == kind &&
		    strncmp(r->name, name, sizeof(r->name)) == 0)
			return (int)at;
	}
	return -1;
}

int
board_find(const struct board *b, uint32_t kind, const char *name)
{
	int empty;

	return board_search(b, kind, name, &empty);
}

int
board_claim(struct board *b, uint32_t kind, const char *name,
    uint32_t weight, uint32_t generation)
{
	struct board_row *r;
	int at, empty;

	/* A name cut short could become another's. */
	if (strlen(name) >= BOARD_NAME)
		return -1;
	at = board_search(b, kind, name, &empty);
	if (at == -1 && empty == -1)
		return -1;
	r = board_row(b, (unsigned)(at == -1 ? empty : at));
	r->weight = weight;
	r->generation = generation;
	if (at != -1)
		return at;
	r->kind = kind;
	memcpy(r->name, name, strlen(name) + 1);
	atomic_store_explicit(&r->used, 1, memory_order_release);
	return empty;
}

uint32_t
board_use(const struct board *b, unsigned column)
{
	const struct board_seat *s = board_seat(b, column);
	const struct board_column *c = board_column(b, column);
	uint64_t gone, come;

	/*
	 * What has gone is read first, and acquired: what came before it is
	 * then seen as well. A column that is written by somebody hostile
	 * still gives a number, and only that worker's share is wrong.
	 */
	gone = atomic_load_explicit(&c->finished, memory_order_acquire) +
	    atomic_load_explicit(&c->returned, memory_order_acquire);
	come = board_get(&s->given) + board_get(&c->accepted);
	if (come <= gone)
		return 0;
	return come - gone > UINT32_MAX ? UINT32_MAX : (uint32_t)(come - gone);
}

void
board_reset(struct board *b, unsigned column)
{
	struct board_seat *s = board_seat(b, column);
	struct board_column *c = board_column(b, column);
	const uint64_t *cells;
	size_t n;

	/*
	 * Cells that were never touched are left so: clearing them would
	 * take the memory that the board promises not to take. Reading does
	 * take it too, so only rows in use are looked at.
	 */
	memset(s, 0, sizeof(*s));
	memset(c, 0, sizeof(*c));
	for (unsigned row = 0; row < b->rows; row++) {
		struct board_cell *cell;

		if (atomic_load_explicit(&board_row(b, row)->used,
		    memory_order_relaxed) == 0)
			continue;
		cell = board_cell(b, column, row);
		cells = (const uint64_t *)cell;
		for (n = 0; n < sizeof(*cell) / sizeof(*cells); n++)
			if (cells[n] != 0)
				break;
		if (n < sizeof(*cell) / sizeof(*cells))
			memset(cell, 0, sizeof(*cell));
	}
}
