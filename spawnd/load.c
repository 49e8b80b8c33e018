/*
 * The checking child and its parent's side.
 */
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/ev.h"
#include "../misc/log.h"
#include "../misc/msg.h"
#include "child.h"
#include "keys.h"
#include "load.h"
#include "program.h"
#include "store.h"

void
loaded_init(struct loaded *l)
{
	l->conf = NULL;
	l->bundle = l->secrets = l->shared = -1;
}

void
loaded_clear(struct loaded *l)
{
	if (l->conf != NULL)
		compiled_unref(l->conf);
	if (l->bundle != -1)
		close(l->bundle);
	if (l->secrets != -1)
		close(l->secrets);
	if (l->shared != -1)
		close(l->shared);
	loaded_init(l);
}

/* Somebody who looks sees the place, too; a program gets one line each. */
static void
print(struct diag *d, const struct source *src)
{
	diag_print(d, stderr, src, isatty(STDERR_FILENO));
}

/* Whoever typed the command wants to see it, wherever the log goes (3.15). */
static void
report(struct diag *d, const struct source *src,
    const struct load_request *r)
{
	print(d, src);
	if (!r->to_stderr)
		diag_log(d);
}

/*
 * Everything a start needs, tried: the result may be NULL. *src stays the
 * caller's if it is.
 */
static struct compiled *
compile_and_try(const struct load_request *r, struct source *src,
    struct diag *d)
{
	struct compiled *c = conf_compile(&r->conf, src, d);

	if (c != NULL && r->conf.program->check != NULL)
		r->conf.program->check(c, d);
	return c;
}

/* Bundle, secrets, and those of them that workers share travel in one
 * message; its byte says how many. */
static int
send_files(int fd, const struct source *src, bool apart)
{
	int fds[3] = { -1, -1, -1 };
	uint8_t n;
	struct iovec iov = { &n, 1 };

	if (source_save(src, &fds[0], &fds[1]) == -1 ||
	    (apart && source_save_shared(src, &fds[2]) == -1))
		return -1;
	n = fds[2] != -1 ? 3 : fds[1] != -1 ? 2 : 1;
	return msg_send(fd, &iov, 1, fds, n);
}

/* A source that may wait for a server. */
static struct source *
gather(const struct load_request *r)
{
	struct source *src = source_gather(r->environ_base);

	if (src != NULL)
		source_fetches(src, &(struct source_fetching){
		    .previous = r->previous,
		    .copy = r->copies != NULL ? store_read : NULL,
		    .ctx = (void *)(uintptr_t)r->copies });
	return src;
}

/* Whether there is anything to compile; else the child ends. */
static void
child_poll(struct source *src, struct diag *d, int report_fd, int files_fd)
{
	char failure[SOURCE_FAILURE];
	uint8_t none = 0;
	struct iovec iov = { &none, 1 };
	const char *url = NULL;

	switch (source_fetch_again(src, &url)) {
	case 0:
		_exit(msg_send(files_fd, &iov, 1, NULL, 0) == -1 ?
		    EX_OSERR : 0);
	case -1:
		diag_fail(d, NULL, EX_NOINPUT, "%s", source_failure(src, url,
		    failure));
		_exit(diag_write(d, report_fd) == -1 ? EX_OSERR : EX_NOINPUT);
	default:
		break;
	}
}

static _Noreturn void
child_run(const struct load_request *r, int report_fd, int files_fd)
{
	struct diag *d = diag_new();
	struct source *src = gather(r);
	struct compiled *c;
	int status;

	if (d == NULL || src == NULL)
		_exit(EX_OSERR);
	child_close((int[]){ report_fd, files_fd }, 2);
	if (r->poll)
		child_poll(src, d, report_fd, files_fd);
	c = compile_and_try(r, src, d);
	if (c != NULL)
		src = c->source;
	status = diag_status(d);
	if (status == 0 && c == NULL)
		status = EX_SOFTWARE;
	if (r->print)
		report(d, src, r);
	if (diag_write(d, report_fd) == -1)
		status = EX_OSERR;
	if (status == 0 && send_files(files_fd, src,
	    keys_elsewhere(r->conf.program, c)) == -1) {
		log_err("configuration cannot be kept in memory: %s",
		    strerror(errno));
		status = EX_OSERR;
	}
	/* no destructors: the parent's buffers and hooks are not ours */
	_exit(status);
}

int
load_start(struct load *l, const struct load_request *r)
{
	int pipes[2], pair[2] = { -1, -1 };

	memset(l, 0, sizeof(*l));
	l->pid = -1;
	l->report = l->files = -1;
	if (pipe(pipes) == -1)
		return -1;
	net_cloexec(pipes[0], true);
	net_cloexec(pipes[1], true);
	if (msg_pair(pair, 0) == -1 || (l->pid = fork()) == -1) {
		int saved = errno;

		close(pipes[0]);
		close(pipes[1]);
		if (pair[0] != -1) {
			close(pair[0]);
			close(pair[1]);
		}
		errno = saved;
		return -1;
	}
	if (l->pid == 0) {
		ev_signal_reset();
		close(pipes[0]);
		close(pair[0]);
		child_run(r, pipes[1], pair[1]);
	}
	close(pipes[1]);
	close(pair[1]);
	l->report = pipes[0];
	l->files = pair[0];
	return 0;
}

int
load_read(struct load *l)
{
	for (;;) {
		ssize_t n;

		if (l->room - l->len < 4096) {
			size_t room = l->room > 0 ? l->room * 2 : 16384;
			char *data = realloc(l->data, room);

			if (data == NULL)
				return -1;
			l->data = data;
			l->room = room;
		}
		n = read(l->report, l->data + l->len, l->room - l->len);
		if (n == 0)
			return 1;
		if (n == -1)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		l->len += (size_t)n;
	}
}

/* What the child sent beside its report. 1: nothing new, -1: nothing. */
static int
receive_files(struct load *l, struct loaded *to)
{
	uint8_t n;
	int fds[MSG_FDS], truncated = 0;
	unsigned nfds = 0;

	if (msg_recv(l->files, &n, 1, fds, &nfds, &truncated) != 1)
		return -1;
	if (nfds > 0)
		to->bundle = fds[0];
	if (nfds > 1)
		to->secrets = fds[1];
	if (nfds > 2)
		to->shared = fds[2];
	for (unsigned i = 3; i < nfds; i++)
		close(fds[i]);
	if (nfds == 0 && n == 0)
		return 1;
	if (nfds == 0 || nfds != n) {
		errno = EPROTO;
		return -1;
	}
	return 0;
}

/* The same text again, without asking the system anything. */
static struct compiled *
compile_bundle(const struct load_request *r, const struct loaded *from,
    struct diag *d)
{
	struct load_request again = *r;
	struct diag *quiet = diag_new();
	struct source *src = source_replay(from->bundle, from->secrets);
	struct compiled *c = NULL;

	again.conf.trace = false;
	if (src != NULL && quiet != NULL)
		c = conf_compile(&again.conf, src, quiet);
	if (c == NULL) {
		if (src != NULL)
			source_free(src);
		if (quiet != NULL && diag_errors(quiet) > 0)
			diag_merge(d, quiet);
		else
			diag_fail(d, NULL, EX_SOFTWARE,
			    "configuration cannot be read back: %s",
			    strerror(errno));
	}
	if (quiet != NULL)
		diag_free(quiet);
	return c;
}

int
load_finish(struct load *l, const struct load_request *r,
    struct loaded *to, struct diag *d)
{
	int received;

	loaded_init(to);
	if (diag_read(d, l->data, l->len) == 0 && diag_errors(d) > 0)
		return diag_status(d);
	/* a good one comes with its files, whatever else was said */
	received = receive_files(l, to);
	if (received == 1 && r->poll)
		return 0;
	if (received != 0) {
		diag_fail(d, NULL, EX_SOFTWARE,
		    "the process that read the configuration failed");
		loaded_clear(to);
		return EX_SOFTWARE;
	}
	if ((to->conf = compile_bundle(r, to, d)) == NULL) {
		loaded_clear(to);
		return diag_status(d);
	}
	return 0;
}

void
load_clear(struct load *l)
{
	if (l->report != -1)
		close(l->report);
	if (l->files != -1)
		close(l->files);
	if (l->pid > 0)
		kill(l->pid, SIGKILL);
	free(l->data);
	memset(l, 0, sizeof(*l));
	l->pid = -1;
	l->report = l->files = -1;
}

int
load_wait(const struct load_request *r, struct loaded *to)
{
	struct load l;
	struct diag *d = diag_new();
	int status, n, wstatus = 0;

	loaded_init(to);
	if (d == NULL || load_start(&l, r) == -1) {
		log_err("cannot read the configuration: %s", strerror(errno));
		return EX_OSERR;
	}
	while ((n = load_read(&l)) == 0)
		continue;
	if (n == -1)
		log_err("cannot read the configuration: %s", strerror(errno));
	while (waitpid(l.pid, &wstatus, 0) == -1 && errno == EINTR)
		continue;
	l.pid = -1;
	status = load_finish(&l, r, to, d);
	/* what the child could say it has said */
	if (status == EX_SOFTWARE || status == EX_OSERR)
		report(d, NULL, r);
	load_clear(&l);
	diag_free(d);
	return status;
}

/* What print() would print, but for the places. NULL: no memory. */
static char *
print_text(struct diag *d, const struct source *src)
{
	char *text = NULL;
	size_t size;
	FILE *fp = open_memstream(&text, &size);

	if (fp == NULL)
		return NULL;
	diag_print(d, fp, src, false);
	return fclose(fp) == 0 ? text : NULL;
}

int
load_check(const struct load_request *r, struct compiled **result,
    char **said)
{
	struct load_request request = *r;
	struct diag *d = diag_new();
	struct source *src = gather(r);
	struct compiled *c, *wrong = NULL;
	int status;

	if (d == NULL || src == NULL)
		return EX_OSERR;
	request.conf.wrong = &wrong;
	if ((c = compile_and_try(&request, src, d)) == NULL && wrong != NULL) {
		c = wrong;
		c->source = src;
	}
	status = diag_status(d);
	if (!r->quiet || status != 0)
		print(d, src);
	if (said != NULL)
		*said = print_text(d, src);
	if (c == NULL)
		source_free(src);
	*result = c;
	diag_free(d);
	return status;
}
