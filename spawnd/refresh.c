/*
 * The timer, the child, and what becomes of its answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/log.h"
#include "logs.h"
#include "master.h"
#include "refresh.h"
#include "reload.h"

#define LONGEST		3600u		/* s, while it fails */
#define TOO_LONG	(30 * EV_SECOND)

/* Owned by the master, from the start to the end of the service. */
struct refresh {
	struct ev_timer		 timer;		/* to the next poll; while one
						   is under way: its limit */
	struct load		 load;
	struct load_request	 request;
	bool			 polling;
	bool			 reloading;	/* by what was found */
	bool			 adopted;
	bool			 failing;	/* and that was said */
	unsigned		 failures;	/* in a row */
};

uint64_t
refresh_interval(unsigned seconds, unsigned failures, uint32_t random)
{
	uint64_t most = seconds > LONGEST ? seconds : LONGEST;
	uint64_t s = seconds;

	while (failures-- > 0 && s < most)
		s *= 2;
	if (s > most)
		s = most;
	/* in ms, since a week in ns times 2^32 is too much */
	return (s * 900 + s * 200 * random / UINT32_MAX) * EV_MS;
}

/* Without it all machines that were started at once ask at once. */
static uint32_t
random_get(void)
{
	uint32_t n;

	return getentropy(&n, sizeof(n)) == -1 ? UINT32_MAX / 2 : n;
}

/* 0: nothing is polled. */
static unsigned
seconds_of(const struct master *m)
{
	const struct compiled *c = m->conf.conf;

	if (source_url_next(c->source, NULL) == NULL)
		return 0;
	return c->broker_common.refresh > 0 ? c->broker_common.refresh :
	    c->worker_common.refresh;
}

static void	 poll_cb(void *);

static void
timer_set(struct master *m)
{
	struct refresh *r = m->refresh;
	unsigned seconds = seconds_of(m);

	ev_timer_stop(m->ev, &r->timer);
	if (seconds > 0 && !m->ending)
		ev_timer_set(m->ev, &r->timer, refresh_interval(seconds,
		    r->failures, random_get()), poll_cb, m);
}

/* ---- the outcome ---- */

/* d: what more there is to say; NULL. true: it was said, for the first time. */
static bool
failed(struct master *m, struct diag *d, const char *why)
{
	struct refresh *r = m->refresh;

	if (r->failures < 32)
		r->failures++;
	if (r->failing)
		return false;
	r->failing = true;
	if (d != NULL)
		diag_log(d);
	log_err("refresh: failed, %s", why);
	return true;
}

static void
worked(struct master *m)
{
	struct refresh *r = m->refresh;

	r->failures = 0;
	if (r->failing)
		log_line("refresh: works again");
	r->failing = false;
}

/* ---- the child ---- */

static void
poll_end(struct master *m)
{
	struct refresh *r = m->refresh;

	if (!r->polling)
		return;
	r->polling = false;
	ev_del(m->ev, r->load.report);
	load_clear(&r->load);
	ev_timer_stop(m->ev, &r->timer);
}

static void
poll_late_cb(void *ctx)
{
	struct master *m = ctx;
	char why[64];

	poll_end(m);
	snprintf(why, sizeof(why), "not read within %d s",
	    (int)(TOO_LONG / EV_SECOND));
	if (failed(m, NULL, why))
		reload_unchanged(m);
	timer_set(m);
}

static void
poll_judge(struct master *m, struct loaded *conf, struct diag *d, int status)
{
	char first[512];

	if (status == 0 && conf->conf != NULL) {
		logs_try(&conf->conf->broker_common, d);
		logs_try(&conf->conf->worker_common, d);
		status = diag_status(d);
	}
	if (status != 0) {
		if (failed(m, d, diag_first(d, first, sizeof(first))))
			reload_unchanged(m);
		loaded_clear(conf);
	} else if (conf->conf == NULL) {
		worked(m);
	} else {
		diag_log(d);
		log_line("refresh: changed, reloading");
		m->refresh->reloading = true;
		reload_with(m, conf);
		return;
	}
	timer_set(m);
}

static void
poll_readable(void *ctx, int fd)
{
	struct master *m = ctx;
	struct refresh *r = m->refresh;
	struct loaded conf;
	struct diag *d;
	int status;

	(void)fd;
	if (load_read(&r->load) == 0)
		return;
	if ((d = diag_new()) == NULL) {
		poll_end(m);
		failed(m, NULL, strerror(ENOMEM));
		timer_set(m);
		return;
	}
	status = load_finish(&r->load, &r->request, &conf, d);
	poll_end(m);
	poll_judge(m, &conf, d, status);
	diag_free(d);
}

static const struct ev_ops poll_ops = {
	.readable = poll_readable, .error = poll_readable,
	.hangup = poll_readable
};

static bool
poll_start(struct master *m)
{
	struct refresh *r = m->refresh;

	memset(&r->request, 0, sizeof(r->request));
	master_request(m, &r->request.conf);
	r->request.environ_base = m->start->environ_base;
	r->request.previous = m->conf.conf->source;
	r->request.poll = true;
	hand_forks(m);
	if (load_start(&r->load, &r->request) == -1)
		return false;
	if (net_nonblock(r->load.report) == -1 || ev_add(m->ev,
	    r->load.report, &poll_ops, m, EV_READ) == -1) {
		load_clear(&r->load);
		return false;
	}
	return true;
}

static void
poll_cb(void *ctx)
{
	struct master *m = ctx;
	struct refresh *r = m->refresh;

	if (!poll_start(m)) {
		failed(m, NULL, strerror(errno));
		timer_set(m);
		return;
	}
	r->polling = true;
	ev_timer_set(m->ev, &r->timer, TOO_LONG, poll_late_cb, m);
}

/* ---- beside reloads ---- */

void
refresh_start(struct master *m)
{
	if ((m->refresh = calloc(1, sizeof(*m->refresh))) == NULL) {
		log_err("refresh: %s", strerror(errno));
		return;
	}
	m->refresh->load.pid = -1;
	timer_set(m);
}

void
refresh_end(struct master *m)
{
	if (m->refresh == NULL)
		return;
	refresh_pause(m);
	free(m->refresh);
	m->refresh = NULL;
}

void
refresh_pause(struct master *m)
{
	if (m->refresh == NULL)
		return;
	poll_end(m);
	ev_timer_stop(m->ev, &m->refresh->timer);
}

void
refresh_adopted(struct master *m)
{
	if (m->refresh != NULL)
		m->refresh->adopted = true;
}

void
refresh_resume(struct master *m)
{
	struct refresh *r = m->refresh;

	if (r == NULL)
		return;
	if (r->adopted)
		worked(m);
	else if (r->reloading)
		(void)failed(m, NULL, "what is there now cannot be used");
	else
		r->failures = 0;
	r->adopted = r->reloading = false;
	timer_set(m);
}

bool
refresh_reaped(struct master *m, pid_t pid)
{
	if (m->refresh == NULL || !m->refresh->polling ||
	    m->refresh->load.pid != pid)
		return false;
	m->refresh->load.pid = -1;
	return true;
}
