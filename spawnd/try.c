#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "../misc/msg.h"
#include "../misc/source.h"
#include "../misc/url.h"
#include "channel.h"
#include "conf.h"
#include "environ.h"
#include "given.h"
#include "master.h"
#include "try.h"

#define TRY_MS	10000

/* Like a worker, so that the program takes ID for its own section. */
static _Noreturn void
try_child(const struct compiled *c, const struct start *s, int fd)
{
	const struct spawn_conf *w = &c->broker.spawn;
	const char *argv[] = { w->exec, "-P", w->config != NULL ? w->config :
	    s->file, w->id, NULL };
	bool given = w->text != NULL;
	char shown[URL_SHOWN];
	uint8_t nonce[8] = { 0 };
	char text[CHANNEL_ENV_MAX];

	environ_scrub();
	/* nobody greets it; any nonce will do */
	channel_env_print(text, nonce);
	if (setenv(CHANNEL_ENV, text, 1) == -1 || dup2(fd, 0) == -1)
		_exit(EX_OSERR);
	if (given) {
		argv[2] = GIVEN_FILE;
		if ((fd = source_text_file(w->text, w->text_len)) == -1 ||
		    (fd == GIVEN_FD ? fcntl(fd, F_SETFD, 0) :
		    dup2(fd, GIVEN_FD)) == -1 || setenv(GIVEN_ENV,
		    url_show(w->text_name, shown), 1) == -1)
			_exit(EX_OSERR);
	}
	execv(w->exec, (char **)(uintptr_t)argv);
	fprintf(stderr, "cannot execute %s: %s\n", w->exec, strerror(errno));
	_exit(EX_OSERR);
}

int
try_worker(const struct compiled *c, const struct start *s)
{
	int pair[2], gone[2], wstatus = 0;
	struct pollfd p = { .events = POLLIN };
	pid_t pid;

	if (msg_pair(pair, 0) == -1 || pipe(gone) == -1 ||
	    (pid = fork()) == -1) {
		fprintf(stderr, "%s: %s\n", s->base, strerror(errno));
		return EX_OSERR;
	}
	if (pid == 0) {
		/* the other end of `gone` is inherited: it closes with the
		   process and its children */
		close(gone[0]);
		try_child(c, s, pair[1]);
	}
	close(gone[1]);
	close(pair[1]);
	p.fd = gone[0];
	if (poll(&p, 1, TRY_MS) == 0) {
		fprintf(stderr, "warning: %s does not understand -P, its "
		    "section was not checked\n", c->broker.spawn.exec);
		kill(pid, SIGKILL);
		wstatus = 0;
		while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
			continue;
	} else
		while (waitpid(pid, &wstatus, 0) == -1 && errno == EINTR)
			continue;
	close(gone[0]);
	close(pair[0]);
	if (WIFSIGNALED(wstatus)) {
		fprintf(stderr, "%s: ended by signal %d while it checked "
		    "its section\n", c->broker.spawn.exec, WTERMSIG(wstatus));
		return EX_SOFTWARE;
	}
	return WEXITSTATUS(wstatus);
}
