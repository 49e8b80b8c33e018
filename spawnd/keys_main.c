/*
 * The key process: a role of the program, as a worker is. It gets the
 * configuration with its secrets, becomes who workers are, and signs for
 * them. Nobody but the system's administrator can look into it.
 */
#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "../misc/daemon.h"
#include "../misc/log.h"
#include "../misc/str.h"
#include "../misc/title.h"
#include "aide.h"
#include "config_msg.h"
#include "keys.h"
#include "keyset.h"
#include "proc.h"
#include "program.h"

/* One per process. */
struct service {
	const struct program	*program;
	const char		*base;
	bool			 stderr_copy;
	struct aide		 aide;
	struct compiled		*conf;
	struct keyset		*keys;		/* NULL: not yet */
	bool			 over;		/* ends with the last worker */
};

/* ---- messages ---- */

static void
end_if_idle(struct service *s)
{
	if (s->over && (s->keys == NULL || keyset_idle(s->keys)))
		aide_end(&s->aide, 0);
}

static void
gone_cb(void *ctx)
{
	end_if_idle(ctx);
}

static void
show(const struct service *s)
{
	const struct common_conf *c = &s->conf->worker_common;
	struct log_conf log = c->log;

	log.role = "keys";
	log.stderr_copy |= s->stderr_copy;
	log_configure(&log);
	(void)title_set(ev_clock(s->aide.ev), "%s: %s%skey process", s->base,
	    c->proctitle != NULL ? c->proctitle : "",
	    c->proctitle != NULL ? ": " : "");
}

static int
load(struct service *s, struct channel_message *m, struct diag *d)
{
	const struct conf_request request = { .program = s->program };
	const char *lacks, *why = "the configuration cannot be used";

	s->conf = config_unpack(&request, m, d, &why);
	if (s->conf == NULL) {
		log_err("key process: %s", why);
		return EX_CONFIG;
	}
	show(s);
	if ((lacks = identity_take(&s->conf->broker.spawn)) != NULL) {
		log_err("key process cannot become what 'spawn' says: %s: %s",
		    lacks, strerror(errno));
		return EX_NOPERM;
	}
	aide_conceal();			/* a new identity may undo it */
	s->keys = keyset_new(s->aide.ev, s->conf, s->program->keys_load, d,
	    gone_cb, s);
	return s->keys == NULL ? EX_CONFIG : 0;
}

static void
got_config(void *ctx, struct channel_message *m)
{
	struct service *s = ctx;
	struct diag *d;
	int status;

	if (!s->aide.greeted || s->conf != NULL)
		return;
	d = diag_new();
	status = load(s, m, d);
	if (status != 0) {
		diag_log(d);
		aide_end(&s->aide, status);
	}
	diag_free(d);
}

static void
got_keys(void *ctx, struct channel_message *m)
{
	struct service *s = ctx;

	if (s->keys != NULL)
		keyset_serve(s->keys, &m->fds[0]);
}

/* The master is gone, or wants us to be, or somebody who ends processes:
 * workers go on, and so do we. */
static void
over(void *ctx)
{
	struct service *s = ctx;

	s->over = true;
	end_if_idle(s);
}

static const struct aide_ops aide_ops = {
	.messages = {
		[CHANNEL_CONFIG] = got_config,
		[CHANNEL_KEYS] = got_keys,
	},
	.over = over, .lost = over,
};

/* ---- the process ---- */

int
keys_main(const struct program *program, char **argv)
{
	/* found by leak checkers, and there to the end */
	static struct service s;
	int status;

	aide_conceal();
	s.program = program;
	s.base = str_base(argv[0]);
	s.stderr_copy = argv[1] != NULL && strcmp(argv[1], "-D") == 0;
	log_stderr(s.stderr_copy);
	s.aide = (struct aide){ .ops = &aide_ops, .ctx = &s,
	    .name = "key process", .foreign = EX_CONFIG };
	if (program->keys_load == NULL || !aide_open(&s.aide, KEYS_ENV)) {
		log_err("key process: cannot start");
		return EX_OSERR;
	}
	(void)daemon_raise_limit();
	status = aide_serve(&s.aide);
	keyset_free(s.keys);
	if (s.conf != NULL)
		compiled_unref(s.conf);
	aide_close(&s.aide);
	return status;
}
