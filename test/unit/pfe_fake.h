/*
 * For tests of pfe: a role whose master writes down what it is told, and
 * whose board is private memory. Everything else is the real thing.
 */
#ifndef TEST_PFE_FAKE_H
#define TEST_PFE_FAKE_H

#include <sys/socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relayd/rd_board.h"
#include "relayd/rd_engine.h"
#include "relayd/rd_pfe.h"

#define FAKE_COLUMNS	4
#define FAKE_TOLD	64

struct role {
	struct ev	*ev;
	struct board	 board;
	struct {
		unsigned	 role, type;
		uint32_t	 instance;
		size_t		 len;
		_Alignas(8) uint8_t data[1200];
	} told[FAKE_TOLD];
	unsigned	 ntold;
};

static struct role fake;
static struct rd_pfe *fake_pfe;

void
role_tell(struct role *r, unsigned role, uint32_t instance, unsigned type,
    const void *data, size_t len, int fd)
{
	unsigned i = r->ntold;

	(void)fd;
	if (i == FAKE_TOLD || len > sizeof(r->told[i].data))
		return;
	r->told[i].role = role;
	r->told[i].instance = instance;
	r->told[i].type = type;
	r->told[i].len = len;
	if (len > 0)
		memcpy(r->told[i].data, data, len);
	r->ntold++;
}

struct board *
role_board(struct role *r)
{
	return &r->board;
}

struct ev *
role_ev(struct role *r)
{
	return r->ev;
}

/* As the process of the role would; what is wrong goes to error. */
static inline struct compiled *
fake_compile(const char *text, size_t len, char *error, size_t size)
{
	const struct conf_request q = { .file = "/r.conf",
	    .extra = "d6:/wherem1:aw5:value" };
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct compiled *c = calloc(1, sizeof(*c));

	if (s == NULL || d == NULL || c == NULL)
		abort();
	c->arena = arena_new();
	c->refs = 1;
	source_add(s, SOURCE_TEXT, "/r.conf", text, len);
	if (rd_compile_all(&q, s, c, d)) {
		c->source = s;
	} else {
		(void)diag_first(d, error, size);
		source_free(s);
		compiled_unref(c);
		c = NULL;
	}
	diag_free(d);
	return c;
}

/* A configuration comes into force; c is taken over. */
static inline int
fake_config(struct compiled *c)
{
	struct diag *d = diag_new();
	struct board *b = &fake.board;
	int rc;

	atomic_fetch_add(&b->head->generation, 1);
	rd_board_rows(c, b, atomic_load(&b->head->generation));
	rc = rd_pfe_ops.config(fake_pfe, c, d);
	compiled_unref(c);
	diag_free(d);
	return rc;
}

static inline int
fake_open(struct compiled *c)
{
	memset(&fake, 0, sizeof(fake));
	fake.ev = ev_new(NULL, true);
	if (fake.ev == NULL || board_open(&fake.board, FAKE_COLUMNS, 16384) ==
	    -1 || (fake_pfe = rd_pfe_ops.open(fake.ev, &fake)) == NULL)
		return -1;
	return fake_config(c);
}

static inline void
fake_close(void)
{
	rd_pfe_ops.close(fake_pfe);
	ev_turn(fake.ev, 0);
	board_close(&fake.board);
	ev_free(fake.ev);
}

/* A worker, or nobody (pid 0), sits in that column. */
static inline void
fake_seat(unsigned column, uint32_t number, enum board_state state)
{
	struct board_seat *s = board_seat(&fake.board, column);

	if (column >= fake.board.top)
		board_reset(&fake.board, column);
	atomic_store(&s->number, number);
	atomic_store(&s->state, state);
}

static inline void
fake_tell(unsigned role, uint32_t instance, unsigned type, const void *data,
    size_t len)
{
	struct tell t = { .role = role, .instance = instance, .type = type,
	    .data = data, .len = len, .fd = -1 };

	rd_pfe_ops.tell(fake_pfe, &t);
}

/* Connects; the end of the client, which does not block. */
static inline int
fake_client(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    fds) == -1)
		return -1;
	rd_ctl_serve(fake_pfe->ctl, fds[0]);
	return fds[1];
}

#endif
