/*
 * The broker's section (3.8): its own directives, and what becomes of it.
 */
#include <string.h>

#include "parse.h"
#include "program.h"

#define STATUS_PATH_MAX	107		/* of sun_path, with its NUL: 108 */

static const struct kw_word overloads[] = {
	{ "close", OVERLOAD_CLOSE, false },
	{ "queue", OVERLOAD_QUEUE, false },
	{ "reset", OVERLOAD_RESET, false },
	{ NULL, 0, false },
};

static const struct kw_word accepts[] = {
	{ "master", ACCEPT_MASTER, false },
	{ "workers", ACCEPT_WORKERS, false },
	{ NULL, 0, false },
};

static void
acl_line_read(struct kw_reader *r, struct broker_build *b, bool permit)
{
	struct acl *acl = &b->conf->acl;
	struct acl_line line = { .permit = permit,
	    .line = r->place.line }, *more;

	kw_equals(r);
	if (kw_is(r, "not")) {
		line.invert = true;
		kw_next(r);
	}
	if (!kw_has_value(r))
		return;
	if (!acl_parse(r->tok.text, &line)) {
		kw_bad_value(r, "'%.100s' is not an address or network",
		    r->tok.text);
		return;
	}
	if (acl->n == b->acl_room) {
		b->acl_room = b->acl_room == 0 ? 16 : b->acl_room * 2;
		more = arena_array(r->arena, b->acl_room, sizeof *more);
		if (acl->n > 0)
			memcpy(more, acl->lines, acl->n * sizeof *more);
		acl->lines = more;
	}
	acl->lines[acl->n++] = line;
	kw_next(r);
}

static void
permit_read(struct kw_reader *r, void *object)
{
	acl_line_read(r, object, true);
}

static void
deny_read(struct kw_reader *r, void *object)
{
	acl_line_read(r, object, false);
}

/* The largest one given anywhere counts. */
void
bufsize_read(struct kw_reader *r, void *object)
{
	struct broker_build *b = object;
	uint64_t value;

	kw_equals(r);
	if (!kw_number(r, KW_KIND_INT, 4096, 16 * 1024 * 1024, &value))
		return;
	if (value > b->conf->bufsize)
		b->conf->bufsize = (unsigned)value;
	kw_next(r);
}

static void
single_read(struct kw_reader *r, void *object)
{
	struct broker_build *b = object;
	const struct parse *p = r->owner;
	int value;

	b->conf->single_place = r->place;
	kw_equals(r);
	if (!kw_word(r, kw_bools, &value))
		return;
	b->conf->single = value != 0;
	if (b->conf->single && p->request->program->broker_only)
		kw_bad_place(r, &b->conf->single_place,
		    "single process: not with a stand-alone broker");
}

#define BUILD	struct broker_build
#define CONF	struct spawnd_conf

const struct kw broker_kw[] = {
	KW_CALL("permit", permit_read),
	KW_CALL("deny", deny_read),
	KW_CALL("acl permit", permit_read),
	KW_CALL("acl deny", deny_read),
	KW_CALL("acl accept", permit_read),
	KW_CALL("acl reject", deny_read),
	KW_SECONDS("bind retry delay", BUILD, retry, 0, 86400),
	KW_INT("tcp keepalive count", BUILD, keepalive.count, 1, 127),
	KW_SECONDS("tcp keepalive idle", BUILD, keepalive.idle, 1, 32767),
	KW_SECONDS("tcp keepalive interval", BUILD, keepalive.interval, 1,
	    32767),
	KW_CALL("tcp bufsize", bufsize_read),
	KW_CALL("single process", single_read),
	KW_WORD("accept", BUILD, accept, accepts),
	KW_VALUE("status socket", BUILD, status),
	KW_CALL("listen", listen_read),
	KW_CALL("spawn", spawn_read),
	KW_END
};

/* Those whose values stay where they are read to. */
const struct kw broker_conf_kw[] = {
	KW_BOOL("background", CONF, background),
	KW_TEXT("pidfile|pid-file", CONF, pidfile),
	KW_WORD("overload", CONF, overload, overloads),
	KW_SECONDS("sticky cache period|timeout", CONF, sticky.period, 0,
	    31536000),
	KW_INT("sticky cache size", CONF, sticky.size, 1, 10 * 1024 * 1024),
	KW_END
};

void
broker_begin(struct parse *p, struct broker_build *b,
    struct spawnd_conf *conf)
{
	(void)p;
	*b = (struct broker_build){ .conf = conf, .accept = ACCEPT_MASTER,
	    .instances_min = 2, .instances_max = 8, .users_min = 5,
	    .users_max = 40 };
	b->last_block = &b->blocks;
	conf->overload = OVERLOAD_QUEUE;
	conf->sticky.size = 1024;
	conf->spawn.uid = (uid_t)-1;
	conf->spawn.gid = (gid_t)-1;
}

void
broker_body(struct parse *p, void *object)
{
	struct broker_build *b = object;
	struct kw_block block = { .sets = { { common_kw, p->common },
	    { broker_kw, b }, { broker_conf_kw, b->conf } }, .nsets = 3 };

	(void)kw_block(&p->r, &block, false);
}

static void
status_end(struct parse *p, struct broker_build *b)
{
	struct spawnd_conf *conf = b->conf;

	if (b->status.text != NULL) {
		conf->status_given = true;
		conf->status_socket = b->status.text;
		if (strlen(b->status.text) > STATUS_PATH_MAX)
			diag_error(p->r.diag, &b->status.place,
			    "status socket: path too long");
	} else if (conf->pidfile != NULL) {
		conf->status_socket = arena_printf(p->r.arena, "%s.sock",
		    conf->pidfile);
		if (strlen(conf->status_socket) > STATUS_PATH_MAX) {
			conf->status_socket = NULL;
			diag_warn(p->r.diag, &p->found_place,
			    "status socket: path too long, there is none");
		}
	}
}

void
broker_end(struct parse *p, struct broker_build *b, bool own)
{
	status_end(p, b);
	spawn_end(p, b);
	listen_expand(p, b, own);
}
