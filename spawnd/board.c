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
#include <stdio.h>
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
#define BOARD_MORE	3u	/* columns that are no seats */

static_assert(sizeof(struct board_seat) == 64, "one cache line");
static_assert(sizeof(struct board_cell) == 64, "one cache line");
static_assert(sizeof(struct board_column) % 64 == 0, "whole cache lines");
static_assert(sizeof(struct board_row) == 384, "whole cache lines");
static_assert(sizeof(struct board_head) <= 4096, "one page");

const char *const board_ends[BOARD_ENDS] = {
	"done", "client-error", "destination-error", "idle", "no-destination",
	"handshake", "handshake-timeout", "proxy-header", "mavis",
	"session-timeout", "local-error", [BOARD_KILLED] = "killed",
};

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
	for (b->slots = 16; b->slots < rows * 2; b->slots *= 2)
		continue;
	b->seat_offset = BOARD_PAGE;
	b->slot_offset = b->seat_offset +
	    board_round(columns * sizeof(struct board_seat));
	b->row_offset = b->slot_offset +
	    board_round(b->slots * sizeof(uint32_t));
	b->column_offset = b->row_offset +
	    board_round(rows * sizeof(struct board_row));
	b->column_size = board_round(sizeof(struct board_column) +
	    rows * sizeof(struct board_cell));
	size = b->column_offset + ((uint64_t)columns + BOARD_MORE) *
	    b->column_size;
	if (size > SIZE_MAX / 2) {
		errno = ENOMEM;
		return -1;
	}
	b->size = (size_t)size;
	return 0;
}

/*
 * A second descriptor, which cannot write. Whoever is given it could open a
 * file of mode 0777, as memory files are made, once more for writing: so it
 * has to be the master's alone. -1: there is no such way here.
 */
#ifdef HAVE_MEMFD_CREATE
static int
board_view(int fd)
{
	char path[32];

	if (fchmod(fd, S_IRUSR | S_IWUSR) == -1)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}
#endif

static int
board_memory(size_t size, int *view)
{
	int fd;

#ifdef HAVE_MEMFD_CREATE
	fd = memfd_create("board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	*view = board_view(fd);
#else
	char name[] = "/tmp/spawnd-board.XXXXXX";

	fd = mkstemp(name);
	if (fd == -1)
		return -1;
	*view = open(name, O_RDONLY | O_CLOEXEC);
	(void)unlink(name);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
	if (ftruncate(fd, (off_t)size) == -1) {
		int saved = errno;

		close(fd);
		if (*view != -1)
			close(*view);
		*view = -1;
		errno = saved;
		return -1;
	}
#ifdef F_SEAL_SHRINK
	/* A worker that cut it off would end the master by SIGBUS. */
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
#endif
	return fd;
}

static void
board_none(struct board *b)
{
	memset(b, 0, sizeof(*b));
	b->fd = b->view = -1;
}

int
board_open(struct board *b, unsigned columns, unsigned rows)
{
	struct board_head *h;

	board_none(b);
	if (board_layout(b, columns, rows) == -1)
		return -1;
	b->fd = board_memory(b->size, &b->view);
	/* Without a descriptor it can still count, for this process alone. */
	h = mmap(NULL, b->size, PROT_READ | PROT_WRITE, b->fd == -1 ?
	    MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, b->fd, 0);
	if (h == MAP_FAILED) {
		int saved = errno;

		board_close(b);
		errno = saved;
		return -1;
	}
	h->version = BOARD_VERSION;
	h->columns = b->columns;
	h->rows = b->rows;
	h->slots = b->slots;
	h->seat_offset = b->seat_offset;
	h->slot_offset = b->slot_offset;
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
	    h->slots == b->slots && h->seat_offset == b->seat_offset &&
	    h->slot_offset == b->slot_offset &&
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

static int
board_take(struct board *b, int fd, size_t size, int protection)
{
	board_none(b);
	if (board_attach(b, fd, size, protection) == -1) {
		int saved = errno;

		close(fd);
		board_none(b);
		errno = saved;
		return -1;
	}
	return 0;
}

int
board_map(struct board *b, int fd, size_t size)
{
	return board_take(b, fd, size, PROT_READ | PROT_WRITE);
}

/* 0: not a size. */
static size_t
board_file_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1 || st.st_size < 0 ||
	    (uint64_t)st.st_size > SIZE_MAX)
		return 0;
	return (size_t)st.st_size;
}

int
board_adopt(struct board *b, int fd, size_t size)
{
	if (board_map(b, fd, size) == -1)
		return -1;
#ifdef HAVE_MEMFD_CREATE
	b->view = board_view(fd);
#endif
	for (b->top = b->columns; b->top > 0; b->top--)
		if (atomic_load(&board_seat(b, b->top - 1)->number) != 0)
			break;
	return 0;
}

int
board_look(struct board *b, int fd)
{
#if defined(HAVE_MEMFD_CREATE) && defined(F_SEAL_SHRINK)
	int seals = fcntl(fd, F_GET_SEALS);

	/* what can be cut off would end us by SIGBUS */
	if (seals == -1 || !(seals & F_SEAL_SHRINK)) {
		board_none(b);
		close(fd);
		errno = EPROTO;
		return -1;
	}
#endif
	return board_take(b, fd, board_file_size(fd), PROT_READ);
}

void
board_close(struct board *b)
{
	if (b->head != NULL)
		munmap(b->head, b->size);
	if (b->fd != -1)
		close(b->fd);
	if (b->view != -1)
		close(b->view);
	board_none(b);
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
	assert(column < b->columns + BOARD_MORE);
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
	assert(column < b->columns + BOARD_MORE && row < b->rows);
	return board_at(b, b->column_offset + column * b->column_size +
	    sizeof(struct board_column) + row * sizeof(struct board_cell));
}

/* ---- rows ---- */

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
 * Where a row is found: an open hash of their numbers, at least twice as
 * large as there are rows. 0 ends a search, SLOT_GONE does not; any other is
 * a row's number + 1. So rows stand close together, and never move.
 */
#define SLOT_GONE	UINT32_MAX

static _Atomic uint32_t *
board_slot(const struct board *b, uint32_t at)
{
	return board_at(b, b->slot_offset +
	    (at & (b->slots - 1)) * sizeof(uint32_t));
}

bool
board_row_used(const struct board_row *r)
{
	return (atomic_load_explicit(&r->used, memory_order_acquire) & 1) != 0;
}

static bool
row_is(const struct board_row *r, uint32_t kind, const char *name)
{
	return board_row_used(r) && r->kind == kind &&
	    strncmp(r->name, name, sizeof(r->name)) == 0;
}

/* The row, or -1; the place in the slots where it stands, or could. */
static int
board_search(const struct board *b, uint32_t kind, const char *name,
    uint32_t *place)
{
	uint32_t at = board_hash(kind, name), free_at = 0;
	bool found = false;

	for (uint32_t i = 0; i < b->slots; i++, at++) {
		uint32_t n = atomic_load_explicit(board_slot(b, at),
		    memory_order_acquire);

		if ((n == 0 || n == SLOT_GONE) && !found) {
			free_at = at;
			found = true;
		}
		if (n == 0)
			break;
		if (n != SLOT_GONE && n <= b->rows &&
		    row_is(board_row(b, n - 1), kind, name)) {
			*place = at;
			return (int)(n - 1);
		}
	}
	*place = free_at;
	return -1;
}

int
board_find(const struct board *b, uint32_t kind, const char *name)
{
	uint32_t place;

	return board_search(b, kind, name, &place);
}

/* A free row, the lowest: rows that were never used take no memory. */
static int
row_free(struct board *b)
{
	for (; b->low < b->rows; b->low++)
		if (!board_row_used(board_row(b, b->low)))
			return (int)b->low++;
	return -1;
}

int
board_claim(struct board *b, uint32_t kind, const char *name,
    uint32_t weight, uint32_t generation)
{
	bool reserve = generation != atomic_load(&b->head->generation);
	struct board_row *r;
	uint32_t place;
	int at;

	/* A name cut short could become another's. */
	if (strlen(name) >= BOARD_NAME)
		return -1;
	at = board_search(b, kind, name, &place);
	if (at != -1) {
		r = board_row(b, (unsigned)at);
		if (!reserve) {
			r->weight = weight;
			r->generation = generation;
		}
		return at;
	}
	if ((at = row_free(b)) == -1) {
		b->full = true;
		return -1;
	}
	r = board_row(b, (unsigned)at);
	r->kind = kind;
	r->weight = weight;
	r->generation = reserve ? 0 : generation;
	r->order = 0;
	atomic_store_explicit(&r->state, BOARD_OPEN, memory_order_relaxed);
	atomic_store_explicit(&r->lent, 0, memory_order_relaxed);
	atomic_store_explicit(&r->flags, 0, memory_order_relaxed);
	memcpy(r->name, name, strlen(name) + 1);
	r->label[0] = r->text[0] = '\0';
	atomic_store_explicit(&r->used, atomic_load(&r->used) + 1,
	    memory_order_release);
	atomic_store_explicit(board_slot(b, place), (uint32_t)at + 1,
	    memory_order_release);
	return at;
}

void
board_describe(struct board *b, unsigned row, uint32_t order,
    const char *label, const char *text)
{
	struct board_row *r = board_row(b, row);

	r->order = order;
	snprintf(r->label, sizeof(r->label), "%s", label);
	snprintf(r->text, sizeof(r->text), "%s", text);
}

/* A worker that went wrong may have written anywhere: texts need not end. */
void
board_row_text(char *to, size_t size, const char *from)
{
	memcpy(to, from, size);
	to[size - 1] = '\0';
}

/* Does anybody count there, or may he? Reading takes memory, so columns that
 * never had an owner are left alone. */
static bool
row_wanted(const struct board *b, unsigned row)
{
	for (unsigned c = 0; c < b->top; c++) {
		struct board_cell *cell = board_cell(b, c, row);

		if (atomic_load(&cell->held) != 0 ||
		    (atomic_load(&board_seat(b, c)->state) != BOARD_FREE &&
		    atomic_load(&cell->use) != 0))
			return true;
	}
	return atomic_load(&board_cell(b, board_check(b), row)->held) != 0 ||
	    atomic_load(&board_cell(b, board_orders(b), row)->held) != 0;
}

/* Places that no search needs to pass are searched to no more. */
static void
slot_clear(struct board *b, uint32_t at)
{
	atomic_store(board_slot(b, at), SLOT_GONE);
	if (atomic_load(board_slot(b, at + 1)) != 0)
		return;
	for (; atomic_load(board_slot(b, at)) == SLOT_GONE; at--)
		atomic_store(board_slot(b, at), 0);
}

/*
 * A worker says that it holds the cell and then looks whether the row still
 * is what it was; we say that it is not and then look whether anybody holds
 * it. One of us sees the other.
 */
static bool
row_give_up(struct board *b, unsigned row)
{
	struct board_row *r = board_row(b, row);
	uint32_t place, used = atomic_load(&r->used);
	char name[BOARD_NAME];

	board_row_text(name, sizeof(name), r->name);
	if (row_wanted(b, row) ||
	    board_search(b, r->kind, name, &place) != (int)row)
		return false;
	atomic_store(&r->used, used + 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (row_wanted(b, row)) {
		atomic_store(&r->used, used);
		return false;
	}
	slot_clear(b, place);
	for (unsigned c = 0; c < b->top; c++)
		memset(board_cell(b, c, row), 0, sizeof(struct board_cell));
	for (unsigned c = board_past(b); c <= board_orders(b); c++)
		memset(board_cell(b, c, row), 0, sizeof(struct board_cell));
	if (row < b->low)
		b->low = row;
	return true;
}

unsigned
board_recycle(struct board *b)
{
	uint32_t generation = atomic_load(&b->head->generation);
	unsigned n = 0;

	for (unsigned i = 0; i < b->rows; i++) {
		const struct board_row *r = board_row(b, i);

		n += !board_row_used(r) ||
		    (r->generation != generation && row_give_up(b, i));
	}
	return n;
}

void
board_unorder(struct board *b)
{
	uint32_t generation = atomic_load(&b->head->generation);

	for (unsigned i = 0; i < b->rows; i++) {
		const struct board_row *r = board_row(b, i);
		struct board_switch *s = (struct board_switch *)board_cell(b,
		    board_orders(b), i);

		if (board_row_used(r) && r->generation != generation &&
		    atomic_load_explicit(&s->ordered, memory_order_relaxed))
			atomic_store_explicit(&s->ordered, 0,
			    memory_order_release);
	}
}

struct board_cell *
board_hold(struct board *b, unsigned column, uint32_t kind, const char *name)
{
	int row = board_find(b, kind, name);
	struct board_cell *cell;

	if (row == -1)
		return NULL;
	cell = board_cell(b, column, (unsigned)row);
	atomic_store(&cell->held, atomic_load_explicit(&cell->held,
	    memory_order_relaxed) + 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (row_is(board_row(b, (unsigned)row), kind, name))
		return cell;
	board_drop(cell);
	return NULL;
}

void
board_drop(struct board_cell *cell)
{
	uint32_t held = atomic_load_explicit(&cell->held,
	    memory_order_relaxed);

	/* 0: given up by the master just when it was being taken */
	if (held > 0)
		atomic_store_explicit(&cell->held, held - 1,
		    memory_order_release);
}

/* ---- what checks and operators say ---- */

static struct board_cell *
column_find(const struct board *b, unsigned column, uint32_t kind,
    const char *name)
{
	int row = board_find(b, kind, name);

	return row == -1 ? NULL : board_cell(b, column, (unsigned)row);
}

struct board_health *
board_health(const struct board *b, uint32_t kind, const char *name)
{
	return (struct board_health *)column_find(b, board_check(b), kind,
	    name);
}

struct board_switch *
board_switch(const struct board *b, uint32_t kind, const char *name)
{
	return (struct board_switch *)column_find(b, board_orders(b), kind,
	    name);
}

/* ---- columns ---- */

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
	/*
	 * Cells that were never touched are left so: clearing them would
	 * take the memory that the board promises not to take. Reading does
	 * take it too, so only rows in use are looked at.
	 */
	memset(board_seat(b, column), 0, sizeof(struct board_seat));
	memset(board_column(b, column), 0, sizeof(struct board_column));
	if (column >= b->top) {
		b->top = column + 1;
		return;
	}
	for (unsigned row = 0; row < b->rows; row++)
		if (board_row_used(board_row(b, row)))
			memset(board_cell(b, column, row), 0,
			    sizeof(struct board_cell));
}
