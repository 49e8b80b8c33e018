/*
 * What relayd is to the broker: its language, its workers, its processes, and
 * what becomes of these when they need no privileges any more.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "../misc/log.h"
#include "../misc/sandbox.h"
#include "../tcprelay/config.h"
#include "../tcprelay/worker.h"
#include "features.h"
#include "rd_board.h"
#include "rd_engine.h"
#include "rd_extra.h"
#include "rd_program.h"
#include "rd_role.h"

#define TICKETS		7200	/* s that one lives */

static const struct program_manners manners = {
	.worker = "relay", .facility = LOG_DAEMON,
	.warning = LOG_ERR, .plain = true,
	.cut = true, .unhurried = true, .exits_1 = true,
	.exact = true,
};

/* ---- compiling ---- */

/*
 * What is configured, checked and shown, and has no effect yet: nobody may
 * believe that it has.
 */
static void
unapplied_warn(const struct rd_conf *conf, struct diag *d)
{
	for (size_t i = 0; i < conf->nredirects; i++)
		diag_warn(d, &conf->redirects[i]->place,
		    "redirect \"%s\" is not applied by this version: it "
		    "drives no packet filter", conf->redirects[i]->name);
	for (size_t i = 0; i < conf->nrouters; i++)
		diag_warn(d, &conf->routers[i]->place,
		    "router \"%s\" is not applied by this version: it sets "
		    "no routes", conf->routers[i]->name);
	for (size_t i = 0; i < conf->ntables; i++) {
		const struct rd_table *t = conf->tables[i];

		if (t->demote != NULL)
			diag_warn(d, &t->place, "table <%s>: \"demote "
			    "%s\" is not applied by this version", t->name,
			    t->demote);
	}
}

static bool
redirects_possible(const struct rd_conf *conf, const char *backend,
    struct diag *d)
{
	if (backend == NULL || strcmp(backend, "none") != 0 ||
	    conf->nredirects == 0)
		return true;
	diag_error(d, &conf->redirects[0]->place,
	    "redirects are not available on this system");
	return false;
}

/* To standard error only, or to syslog only. */
static void
log_fill(struct log_conf *log, const struct rd_extra *extra)
{
	log->stderr_copy = extra->foreground;
	log->to_syslog = !extra->foreground;
}

static bool
compile(const struct conf_request *q, struct source *source,
    struct compiled *c, struct diag *d)
{
	struct rd_extra extra;
	struct rd_conf *conf;

	if (!rd_compile_all(q, source, c, d))
		return false;
	conf = rd_conf_of(c);
	(void)rd_extra_unpack(c->arena, q->extra, &extra);
	if (extra.foreground)
		conf->log |= RD_LOG_STATE;	/* nobody has seen it yet */
	log_fill(&c->broker_common.log, &extra);
	log_fill(&c->worker_common.log, &extra);
	if (!redirects_possible(conf, extra.backend, d))
		return false;
	unapplied_warn(conf, d);
	return true;
}

static unsigned
ticket_lifetime(const struct compiled *c)
{
	const struct rd_conf *conf = rd_conf_of(c);

	for (size_t i = 0; i < conf->nrelays; i++) {
		const struct rd_relay *r = conf->relays[i];

		if (r->tls && r->protocol->tls.tickets)
			return TICKETS;
	}
	return 0;
}

/* ---- processes ---- */

/* One for each worker: what one signs the others need not wait for. */
static unsigned
ca_instances(const struct compiled *c)
{
	return rd_conf_of(c)->prefork;
}

static unsigned
snmp_instances(const struct compiled *c)
{
#ifdef HAVE_NETSNMP
	return rd_conf_of(c)->agentx;
#else
	(void)c;
	return 0;
#endif
}

static const struct program_role roles[] = {
	[RD_HCE - ROLE_FIRST] = { .title = "hce", .ops = &rd_hce_ops },
	[RD_PFE - ROLE_FIRST] = { .title = "pfe", .ops = &rd_pfe_ops },
	[RD_CA - ROLE_FIRST] = { .title = "ca", .instances = ca_instances,
	    .secrets = true, .keys = true, .ops = &rd_ca_ops },
	[RD_SNMP - ROLE_FIRST] = { .title = "snmp",
	    .instances = snmp_instances, .ops = &rd_snmp_ops },
};

static const struct {
	const char		*title;
	enum sandbox_role	 role;
} cells[] = {
	{ "relay", SANDBOX_RELAY }, { "hce", SANDBOX_CHECK },
	{ "pfe", SANDBOX_FILTER }, { "ca", SANDBOX_KEY },
	{ "snmp", SANDBOX_KEY },
};

static bool
confine(const char *title)
{
	char error[SANDBOX_ERROR];
	size_t i = 0;

	while (i < sizeof(cells) / sizeof(cells[0]) &&
	    strcmp(cells[i].title, title) != 0)
		i++;
	if (i == sizeof(cells) / sizeof(cells[0])) {
		log_crit("%s: no such process", title);
		return false;
	}
	log_connect(manners.facility);
	if (sandbox_drop(RELAYD_USER, error) == -1) {
		log_crit("%s: %s", title, error);
		return false;
	}
	if (sandbox_enter(cells[i].role, error) == -1) {
		log_crit("%s: cannot be confined: %s", title,
		    strerror(errno));
		return false;
	}
	log_debug(DEBUG_PROC, "%s: confined: %s", title, error);
	return true;
}

unsigned
rd_program_test(int fd)
{
	unsigned possible = 0;

	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
		possible += sandbox_test(RELAYD_USER, cells[i].role,
		    cells[i].title, fd);
	return possible;
}

/* ---- all of it ---- */

const struct program rd_program = {
	.name = "relayd",
	.compile = compile,
	.check = config_check, .rows = rd_board_rows,
	.row_count = rd_board_row_count,
	.ticket_lifetime = ticket_lifetime, .ticket_keys = 4,
	.worker = &relay_worker_ops,
	.manners = &manners, .confine = confine,
	.roles = roles, .nroles = sizeof(roles) / sizeof(roles[0]),
	.parent = &rd_parent_ops,
};
