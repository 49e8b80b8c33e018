/*
 * Configurations of an own worker: compiled from the master's bundle,
 * prepared beside the running one, adopted at COMMIT.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "features.h"
#include "../misc/msg.h"
#include "config_msg.h"
#include "own_process.h"
#include "postmortem.h"
#include "words.h"

extern char **environ;

int
process_open(struct process *p)
{
	if (p->own.worker != NULL)
		return 0;
	p->own.worker = p->own.engine->open(p->own.ev, &p->own);
	if (p->own.worker == NULL) {
		log_err("cannot start: %s", strerror(errno));
		return -1;
	}
	return 0;
}

void
process_log(struct process *p, const struct compiled *c)
{
	struct log_conf conf = c->worker_common.log;

	conf.stderr_copy |= p->stderr_copy;
	conf.debug |= p->debug;
	conf.role = p->manners != NULL ? p->manners->worker : "worker";
	conf.worker = p->own.number;
	log_configure(&conf);
	postmortem_prepare(&c->worker_common, c->source, environ,
	    p->link->ch.fd);
}

static void
process_adopt(struct process *p, struct compiled *c)
{
	p->own.engine->commit(p->own.worker);
	if (p->running != NULL)
		compiled_unref(p->running);
	p->running = c;
	process_log(p, c);
	/* others come by LOGFILE */
	if (c->worker_common.log_path == NULL)
		log_file(-1);
	if (c->worker_common.debug_path == NULL)
		log_debug_file(-1);
	msg_enlarge(p->link->ch.fd, (int)c->broker.bufsize);
	p->lents.least = c->broker.spawn.users_min;
	atomic_store_explicit(&p->own.users->generation, c->generation,
	    memory_order_relaxed);
	own_stir(&p->own);
}

/* Lines and READY come behind all that the master has sent by now: LOGFILE
 * follows CONFIG. */
static void
process_announce_cb(void *ctx)
{
	struct process *p = ctx;

	if (p->announced || p->running == NULL ||
	    (process_has(p, FEATURE_BOARD) && !p->board_shared))
		return;
	p->announced = true;
	words_say(WORD_WORKER, PACKAGE_VERSION);
	words_say(WORD_MECHANISM, ev_name(p->own.ev));
	process_ready(p, p->running);
	process_title(p);
}

void
process_announce(struct process *p)
{
	ev_defer(p->own.ev, &p->announce, process_announce_cb, p);
}

/* Ends the process if nothing works yet. */
static void
process_refused(struct process *p, struct diag *d, const char *why)
{
	char text[REASON_MAX];

	if (why == NULL)
		why = diag_first(d, text, sizeof(text));
	process_bad_config(p, why == NULL ? "no reason known" : why);
	if (p->running == NULL)
		ev_stop(p->own.ev, STATUS_CONFIG);
}

static void
process_forget(struct process *p)
{
	if (p->prepared == NULL)
		return;
	p->own.engine->forget(p->own.worker);
	compiled_unref(p->prepared);
	p->prepared = NULL;
}

/* Takes c over in any case. */
int
process_prepare(struct process *p, struct compiled *c, struct diag *d)
{
	if (p->own.engine->prepare(p->own.worker, c, d) == -1) {
		compiled_unref(c);
		return -1;
	}
	if (p->running == NULL) {
		process_adopt(p, c);
		process_announce(p);
		return 0;
	}
	p->prepared = c;
	process_ready(p, c);
	return 0;
}

void
process_config(struct process *p, struct channel_message *m)
{
	const char *why = NULL;
	struct compiled *c;
	struct diag *d;

	if (p->own.worker == NULL) {
		process_refused(p, NULL, "CONFIG came before BOARD");
		return;
	}
	process_forget(p);
	p->request.worker_only = false;
	d = diag_new();
	c = config_unpack(&p->request, m, d, &why);
	if (c == NULL || process_prepare(p, c, d) == -1)
		process_refused(p, d, why);
	diag_free(d);
}

void
process_commit(struct process *p, struct channel_message *m)
{
	struct channel_generation g;

	memcpy(&g, m->payload, sizeof(g));
	if (p->prepared != NULL && p->prepared->generation == g.generation) {
		struct compiled *c = p->prepared;

		p->prepared = NULL;
		process_adopt(p, c);
	} else if (p->running != NULL &&
	    p->running->generation == g.generation) {
		process_forget(p);
	} else {
		log_warn("channel: COMMIT of a configuration that is not "
		    "here: %" PRIu32, g.generation);
	}
}
