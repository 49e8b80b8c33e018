/*
 * The process of a role: what it needs privileges for, then nobody's, then a
 * loop whose first message is the board and the second the configuration.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/daemon.h"
#include "../misc/log.h"
#include "../misc/title.h"
#include "aide.h"
#include "board.h"
#include "config_msg.h"
#include "program.h"
#include "roles.h"
#include "tell.h"
#include "words.h"

#define STATUS_FAILED	1

/* One per process. */
struct role {
	const struct program		*program;
	const struct program_role	*kind;
	const char			*base;
	uint32_t			 instance;
	struct aide			 aide;
	struct board			 board;		/* head NULL: none */
	struct board			 former;	/* until config */
	struct compiled			*conf;
	void				*object;	/* the role's own */
};

/* ---- what the role calls ---- */

void
role_tell(struct role *r, unsigned role, uint32_t instance, unsigned type,
    const void *data, size_t len, int fd)
{
	const struct channel_tell head = { .role = role,
	    .instance = instance, .type = type };

	assert(type != 0 && len <= ROLE_DATA);
	if (!aide_send(&r->aide, CHANNEL_TELL, &head, sizeof(head), data,
	    len, fd) && errno != EPIPE && errno != ECONNRESET)
		log_err("channel: TELL: %s", strerror(errno));
}

struct board *
role_board(struct role *r)
{
	return &r->board;
}

uint32_t
role_instance(const struct role *r)
{
	return r->instance;
}

struct ev *
role_ev(struct role *r)
{
	return r->aide.ev;
}

void
role_fail(struct role *r, int status)
{
	aide_end(&r->aide, status);
}

/* ---- messages ---- */

static void
got_board(void *ctx, struct channel_message *m)
{
	struct role *r = ctx;
	struct channel_board b;
	struct board board;
	int fd = m->fds[0];

	memcpy(&b, m->payload, sizeof(b));
	m->fds[0] = -1;
	if (board_map(&board, fd, (size_t)b.size) == -1) {
		log_err("%s: the board cannot be used: %s", r->kind->title,
		    strerror(errno));
		aide_end(&r->aide, STATUS_FAILED);
		return;
	}
	/* what the role holds is on the older one of several */
	if (r->former.head == NULL)
		r->former = r->board;
	else
		board_close(&r->board);
	r->board = board;
}

static void
role_log(struct role *r)
{
	struct log_conf log = r->conf->worker_common.log;

	log.role = r->kind->title;
	log_configure(&log);
}

static void
config_adopt(struct role *r, struct compiled *c)
{
	struct channel_ready ready = { .generation = c->generation };

	if (r->conf != NULL)
		compiled_unref(r->conf);
	r->conf = c;
	if (r->former.head != NULL)
		board_close(&r->former);
	role_log(r);
	memcpy(ready.nonce, r->aide.nonce, sizeof(ready.nonce));
	memcpy(ready.digest, c->digest, sizeof(ready.digest));
	(void)aide_send(&r->aide, CHANNEL_READY, &ready, sizeof(ready),
	    NULL, 0, -1);
}

static void
got_config(void *ctx, struct channel_message *m)
{
	struct role *r = ctx;
	const struct conf_request request = { .program = r->program };
	const char *why = NULL;
	struct compiled *c;
	struct diag *d;

	if (!r->aide.greeted || r->board.head == NULL)
		return;
	if ((d = diag_new()) == NULL)
		return;
	c = config_unpack(&request, m, d, &why);
	if (c != NULL && r->kind->ops->config(r->object, c, d) == 0) {
		config_adopt(r, c);
	} else {
		if (c != NULL)
			compiled_unref(c);
		diag_log(d);
		log_err("%s: the configuration cannot be used%s%s",
		    r->kind->title, why != NULL ? ": " : "",
		    why != NULL ? why : "");
		aide_end(&r->aide, STATUS_FAILED);
	}
	diag_free(d);
}

static void
role_give(struct role *r, struct tell *t)
{
	if (r->conf != NULL && r->kind->ops->tell != NULL && !r->aide.ending)
		r->kind->ops->tell(r->object, t);
}

static void
got_keys(void *ctx, struct channel_message *m)
{
	struct role *r = ctx;
	struct channel_keys keys;
	struct tell t;

	if (m->len < sizeof(keys))
		return;
	memcpy(&keys, m->payload, sizeof(keys));
	t = (struct tell){ .role = ROLE_WORKER, .instance = keys.worker,
	    .type = ROLE_KEYS, .data = m->payload,
	    .len = sizeof(keys.generation), .fd = m->fds[0] };
	role_give(r, &t);
	m->fds[0] = t.fd;
}

static void
got_tell(void *ctx, struct channel_message *m)
{
	struct role *r = ctx;
	struct tell t;

	tell_read(&t, m);
	if (t.type == 0)
		log_verbose(tell_verbose(&t));
	else
		role_give(r, &t);
	tell_done(&t, m);
}

static void
role_over(void *ctx)
{
	struct role *r = ctx;

	aide_end(&r->aide, 0);
}

static const struct aide_ops aide_ops = {
	.messages = {
		[CHANNEL_BOARD] = got_board,
		[CHANNEL_CONFIG] = got_config,
		[CHANNEL_KEYS] = got_keys,
		[CHANNEL_TELL] = got_tell,
	},
	.over = role_over, .lost = role_over,
};

/* ---- the process ---- */

static const struct program_role *
kind_find(const struct program *program, const char *title)
{
	for (unsigned i = 0; i < program->nroles; i++)
		if (strcmp(program->roles[i].title, title) == 0)
			return &program->roles[i];
	return NULL;
}

/* With all privileges, and then without. -1: why is logged. */
static int
privileges_use(struct role *r)
{
	if (r->kind->secrets)
		aide_conceal();
	(void)daemon_raise_limit();
	r->object = r->kind->ops->open(r->aide.ev, r);
	if (r->object == NULL)
		return -1;
	if (r->program->confine != NULL &&
	    !r->program->confine(r->kind->title))
		return -1;
	if (r->kind->secrets)
		aide_conceal();		/* a new identity may undo it */
	return 0;
}

static void
role_free(struct role *r)
{
	if (r->object != NULL && r->kind->ops->close != NULL)
		r->kind->ops->close(r->object);
	words_say(WORD_CHILD_GONE, r->kind->title, (long)getpid());
	if (r->conf != NULL)
		compiled_unref(r->conf);
	board_close(&r->former);
	board_close(&r->board);
	aide_close(&r->aide);
}

int
role_main(const struct program *program, const char *base, const char *title,
    uint32_t instance)
{
	/* found by leak checkers, and there to the end */
	static struct role r;
	int status = STATUS_FAILED;

	r.program = program;
	r.base = base;
	r.instance = instance;
	r.board.fd = r.former.fd = r.board.view = r.former.view = -1;
	if ((r.kind = kind_find(program, title)) == NULL ||
	    r.kind->ops == NULL) {
		log_err("%s: no such process", title);
		return status;
	}
	r.aide = (struct aide){ .ops = &aide_ops, .ctx = &r, .name = title,
	    .foreign = STATUS_FAILED };
	if (!aide_open(&r.aide, ROLE_ENV)) {
		log_err("%s: cannot start: %s", title, strerror(errno));
		return status;
	}
	(void)title_set(ev_clock(r.aide.ev), "%s: %s", base, title);
	if (privileges_use(&r) == 0)
		status = aide_serve(&r.aide);
	role_free(&r);
	return status;
}
