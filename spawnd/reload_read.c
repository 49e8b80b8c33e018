/*
 * The new configuration is read by a child, so that neither a slow disk nor
 * a name server holds up the service.
 */
#include <errno.h>
#include <string.h>

#include "../misc/log.h"
#include "../misc/url.h"
#include "logs.h"
#include "reload_impl.h"
#include "words.h"

static void
loaded_end(struct master *m)
{
	struct reload *r = m->reload;
	struct diag *d = diag_new();
	char first[512];
	int status;

	ev_del(m->ev, r->load.report);
	if (d != NULL && m->program->compile != NULL)
		diag_every(d);
	status = d == NULL ? -1 : load_finish(&r->load, &r->request,
	    &r->conf, d);
	if (status == 0) {
		/* its name, if it is not the one of the start, with it */
		r->conf.conf->request = r->file;
		r->file = NULL;
		inherit_fill(r->conf.conf, &m->start->inherit, d);
		logs_try(&r->conf.conf->broker_common, d);
		logs_try(&r->conf.conf->worker_common, d);
		status = diag_status(d);
	}
	load_clear(&r->load);
	ev_timer_stop(m->ev, &r->timer);
	if (d != NULL)
		diag_log(d);
	if (status != 0) {
		words_say(WORD_RELOAD_REFUSED, d != NULL ? diag_first(d,
		    first, sizeof(first)) : strerror(ENOMEM));
		diag_free(d);
		reload_finish(m);
		return;
	}
	diag_free(d);
	reload_prepare(m);
}

static void
report_readable(void *ctx, int fd)
{
	struct master *m = ctx;
	int n = load_read(&m->reload->load);

	(void)fd;
	if (n != 0)
		loaded_end(m);
}

static const struct ev_ops report_ops = {
	.readable = report_readable, .error = report_readable,
	.hangup = report_readable
};

bool
reload_reaped(struct master *m, pid_t pid)
{
	if (m->reload == NULL || m->reload->load.pid != pid)
		return false;
	m->reload->load.pid = -1;
	return true;
}

/* A file that never ends, a name server that never answers: reload_free
 * kills the child. */
static void
load_late_cb(void *ctx)
{
	struct master *m = ctx;
	char shown[URL_SHOWN];

	log_err("reload: refused, %s: not read within %d s",
	    url_show(m->reload->request.conf.file, shown),
	    (int)(RELOAD_TOO_LONG / EV_SECOND));
	reload_finish(m);
}

bool
reload_read(struct master *m)
{
	struct reload *r = m->reload;

	master_request(m, &r->request.conf);
	if (r->file != NULL)
		r->request.conf.file = r->file;
	r->request.environ_base = m->start->environ_base;
	r->request.previous = m->conf.conf->source;
	hand_forks(m);
	if (load_start(&r->load, &r->request) == -1)
		return false;
	if (net_nonblock(r->load.report) == -1 ||
	    ev_add(m->ev, r->load.report, &report_ops, m, EV_READ) == -1)
		return false;
	ev_timer_set(m->ev, &r->timer, RELOAD_TOO_LONG, load_late_cb, m);
	return true;
}
