#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../misc/crash.h"
#include "../misc/log.h"
#include "environ.h"
#include "postmortem.h"

void
postmortem_prepare(const struct common_conf *c, struct source *src,
    char *const *base, int channel)
{
	struct crash_conf crash = {
		.directory = c->coredump, .gcore = c->gcore,
		.debug_cmd = c->debug_cmd, .channel = channel,
	};
	char **env = environ_merge(base, src);

	if (env == NULL || crash_configure(&crash, env) == -1)
		log_warn("crashes cannot be prepared for: %s",
		    strerror(errno));
	free(env);
}
