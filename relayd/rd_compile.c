/*
 * From a file to a configuration: the reader tells the builder.
 */
#include <errno.h>
#include <string.h>

#include "rd_board.h"
#include "rd_parse.h"

static const char *
text_keep(struct arena *arena, const char *text)
{
	return text != NULL ? arena_strdup(arena, text) : NULL;
}

/* A copy that lives as long as the configuration. */
static void
request_keep(struct rd_conf *conf, const struct rd_request *q)
{
	struct rd_macro *macros = arena_array(conf->arena, q->nmacros,
	    sizeof(*macros));

	for (size_t i = 0; i < q->nmacros; i++) {
		macros[i].name = text_keep(conf->arena, q->macros[i].name);
		macros[i].value = text_keep(conf->arena, q->macros[i].value);
	}
	conf->request = *q;
	conf->request.file = text_keep(conf->arena, q->file);
	conf->request.directory = text_keep(conf->arena, q->directory);
	conf->request.macros = macros;
}

struct rd_conf *
rd_compile(const struct rd_request *request, struct source *source,
    struct diag *diag)
{
	struct rd_build *build;
	struct rd_conf *conf;
	struct diag_place end;

	diag_every(diag);
	build = rd_build_new(request, source, diag);
	if (build == NULL) {
		diag_error(diag, NULL, "%s", strerror(errno));
		return NULL;
	}
	rd_read(request, source, diag, build, &end);
	conf = rd_build_end(build, &end);
	if (conf != NULL) {
		request_keep(conf, request);
		rd_board_number(conf);
	}
	return conf;
}
