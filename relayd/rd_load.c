/*
 * A relayd.conf as the broker asks for it: read, then made into what broker
 * and engine work by.
 */
#include <sysexits.h>

#include "rd_engine.h"
#include "rd_extra.h"

static void
front_free(void *front)
{
	rd_conf_unref(front);
}

bool
rd_compile_all(const struct conf_request *q, struct source *source,
    struct compiled *c, struct diag *diag)
{
	struct rd_extra extra;
	struct rd_request request = { .file = q->file, .files = true };
	struct rd_conf *conf;
	bool good;

	if (!rd_extra_unpack(c->arena, q->extra, &extra)) {
		diag_fail(diag, NULL, EX_SOFTWARE,
		    "options of the start are not readable");
		return false;
	}
	request.directory = extra.directory;
	request.macros = extra.macros;
	request.nmacros = extra.nmacros;
	request.verbose = extra.verbose;
	conf = rd_compile(&request, source, diag);
	if (conf == NULL)
		return false;
	c->front = conf;
	c->front_free = front_free;
	good = rd_engine(c, conf, diag);
	conf->source = NULL;		/* c's, or the caller's */
	return good;
}
