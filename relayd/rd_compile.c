/*
 * From a file to a configuration: the reader tells the builder.
 */
#include <errno.h>
#include <string.h>

#include "rd_parse.h"

struct rd_conf *
rd_compile(const struct rd_request *request, struct source *source,
    struct diag *diag)
{
	struct rd_build *build;
	struct diag_place end;

	diag_every(diag);
	build = rd_build_new(request, source, diag);
	if (build == NULL) {
		diag_error(diag, NULL, "%s", strerror(errno));
		return NULL;
	}
	rd_read(request, source, diag, build, &end);
	return rd_build_end(build, &end);
}
