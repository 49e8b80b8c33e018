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

/* ---- what it says ---- */

#define LINE_SIZE	4096

/* Its lines, as they come. */
struct output {
	const char	*said;		/* what we have said ourselves */
	char		 line[LINE_SIZE];
	size_t		 len;
	bool		 again;		/* the message was ours before */
};

static bool
line_said(const char *said, const char *line, size_t len)
{
	for (const char *end; *said != '\0'; said = end + (*end != '\0')) {
		end = said + strcspn(said, "\n");
		if ((size_t)(end - said) == len &&
		    memcmp(said, line, len) == 0)
			return true;
	}
	return false;
}

/* Where an alias is defined, and the way to an included file, belong to the
 * message in front of them. */
static bool
line_follows(const char *line, size_t len)
{
	static const char *const tails[] = { ": defined here",
	    ": included from here" };

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		size_t n = strlen(tails[i]);

		if (len > n && memcmp(line + len - n, tails[i], n) == 0)
			return true;
	}
	return false;
}

static void
line_pass(struct output *o)
{
	if (!line_follows(o->line, o->len))
		o->again = line_said(o->said, o->line, o->len);
	if (!o->again)
		fprintf(stderr, "%.*s\n", (int)o->len, o->line);
	o->len = 0;
}

/* false: that was all. */
static bool
output_pass(struct output *o, int fd)
{
	char data[LINE_SIZE];
	ssize_t n = read(fd, data, sizeof(data));

	for (ssize_t i = 0; i < n; i++) {
		if (data[i] != '\n')
			o->line[o->len++] = data[i];
		if (data[i] == '\n' || o->len == sizeof(o->line))
			line_pass(o);
	}
	if (n == 0 && o->len > 0)
		line_pass(o);
	return n > 0 || (n == -1 && errno == EINTR);
}

static int
ms_left(const struct timespec *began)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - began->tv_sec) * INT64_C(1000) +
	    (now.tv_nsec - began->tv_nsec) / 1000000;
	return ms >= TRY_MS ? 0 : (int)(TRY_MS - ms);
}

/* To its end. false: it takes too long. */
static bool
output_wait(int fd, const char *said)
{
	struct output o = { .said = said };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct timespec began;
	int n;

	clock_gettime(CLOCK_MONOTONIC, &began);
	do
		n = poll(&p, 1, ms_left(&began));
	while ((n == -1 && errno == EINTR) || (n == 1 && output_pass(&o, fd)));
	return n != 0;
}

int
try_worker(const struct compiled *c, const struct start *s, const char *said)
{
	int pair[2], output[2], wstatus = 0;
	bool late;
	pid_t pid;

	if (msg_pair(pair, 0) == -1 || pipe(output) == -1 ||
	    (pid = fork()) == -1) {
		fprintf(stderr, "%s: %s\n", s->base, strerror(errno));
		return EX_OSERR;
	}
	if (pid == 0) {
		/* also inherited beside 2: its other end closes with the
		   process and its children, whatever they do with that */
		close(output[0]);
		if (*said != '\0' &&
		    dup2(output[1], STDERR_FILENO) == -1)
			_exit(EX_OSERR);
		try_child(c, s, pair[1]);
	}
	close(output[1]);
	close(pair[1]);
	if ((late = !output_wait(output[0], said))) {
		fprintf(stderr, "warning: %s does not understand -P, its "
		    "section was not checked\n", c->broker.spawn.exec);
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &wstatus, 0) == -1 && errno == EINTR)
		continue;
	close(output[0]);
	close(pair[0]);
	if (late)
		return 0;
	if (WIFSIGNALED(wstatus)) {
		fprintf(stderr, "%s: ended by signal %d while it checked "
		    "its section\n", c->broker.spawn.exec, WTERMSIG(wstatus));
		return EX_SOFTWARE;
	}
	return WEXITSTATUS(wstatus);
}
