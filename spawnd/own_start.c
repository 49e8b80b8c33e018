/*
 * The start of an own worker: options, HELLO, and where the configuration
 * comes from. Under a master of another build, or without CONFIG, it reads
 * its file itself and is otherwise the same.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "features.h"
#include "../misc/daemon.h"
#include "../misc/str.h"
#include "given.h"
#include "own_process.h"
#include "words.h"

#define FEATURES	(FEATURE_BATCH | FEATURE_BOARD | FEATURE_TICKETS | \
			FEATURE_CONFIG | FEATURE_LEND)

static const int process_ending[] = { SIGHUP, SIGTERM, SIGINT };

static void
process_signal_cb(void *ctx, int signo)
{
	struct process *p = ctx;

	words_say(WORD_CHILD_END, signo == SIGTERM ? "TERM" :
	    signo == SIGHUP ? "HUP" : "INT");
	if (process_cuts(p)) {
		ev_stop(p->own.ev, 0);
		return;
	}
	if (signo == SIGTERM && ++p->terms > 1) {
		if (p->own.worker != NULL)
			p->own.engine->kill(p->own.worker);
		ev_stop(p->own.ev, 0);
		return;
	}
	process_dying(p);
}

static void
process_keepalive_cb(void *ctx)
{
	struct process *p = ctx;

	process_send(p, CHANNEL_KEEPALIVE, NULL, 0);
	ev_timer_set(p->own.ev, &p->keepalive, WORKER_KEEPALIVE,
	    process_keepalive_cb, p);
}

static void
process_hello(struct process *p)
{
	struct channel_hello hello;
	uint32_t f = p->link->offered & FEATURES;

	/* Another build: the plain channel, which begins without HELLO. */
	if (memcmp(p->link->build, channel_build, sizeof(channel_build)) != 0)
		return;
	if ((f & FEATURE_BOARD) == 0)
		f &= ~FEATURE_CONFIG;
	if ((f & FEATURE_CONFIG) == 0)
		f &= ~FEATURE_LEND;
	memset(&hello, 0, sizeof(hello));
	memcpy(hello.nonce, p->link->nonce, sizeof(hello.nonce));
	memcpy(hello.build, channel_build, sizeof(hello.build));
	hello.generation = p->link->generation;
	hello.features = f;
	hello.worker = p->link->number;
	(void)worker_send(p->link, CHANNEL_HELLO, &hello, sizeof(hello));
	p->link->ch.features = f;
}

/* A board of our own, for what the engine counts where the master has no
 * rows for it, and for the users until a shared one comes. */
static int
process_private(struct process *p, struct compiled *c)
{
	unsigned rows = 1;

	if (c != NULL && p->program->row_count != NULL)
		rows += p->program->row_count(c);
	if (board_open(&p->private, 1, rows) == -1) {
		log_err("board: %s", strerror(errno));
		return -1;
	}
	if (c != NULL && p->program->rows != NULL)
		p->program->rows(c, &p->private, c->generation);
	p->own.board = &p->private;
	p->own.column = 0;
	p->own.seat = board_seat(&p->private, 0);
	p->own.users = board_column(&p->private, 0);
	p->own.seat_ours = true;
	return 0;
}

/* What the master hands over in the place of a file. */
static bool
process_given(struct process *p, struct source *s, struct diag *d)
{
	struct given g;

	if (given_open(p->request.file, &g) == -1) {
		diag_fail(d, NULL, EX_NOINPUT, "cannot read '%s': %s",
		    p->request.file, strerror(errno));
		return false;
	}
	if (g.text != NULL) {
		source_add(s, SOURCE_TEXT, p->request.file, g.text, g.len);
		p->request.shown = g.name;
	}
	given_clear(&g);
	return true;
}

/* The file that the master only named. NULL: the reasons are logged. */
static struct compiled *
process_gather(struct process *p, char *const *env, struct diag *d)
{
	static const struct source_fetching alone = { .previous = NULL };
	struct source *s = source_gather(env);
	struct compiled *c;

	if (s != NULL)
		source_fetches(s, &alone);
	c = s == NULL || !process_given(p, s, d) ? NULL :
	    conf_compile(&p->request, s, d);
	if (c == NULL && s != NULL)
		source_free(s);
	if (c != NULL)
		c->generation = p->link == NULL ? 1 : p->link->generation;
	return c;
}

static int
process_log_file(const char *path, void (*use)(int))
{
	int fd;

	if (path == NULL)
		return 0;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
	    O_NOFOLLOW, 0640);
	if (fd == -1) {
		log_err("log file %s: %s", path, strerror(errno));
		return -1;
	}
	use(fd);
	return 0;
}

static int
process_loop(struct process *p, const char *mechanisms)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2 };

	p->own.ev = ev_new(mechanisms, true);
	if (p->own.ev == NULL) {
		log_err("no event mechanism: %s", strerror(errno));
		return -1;
	}
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		(void)ev_signal(p->own.ev, ignored[i], NULL, NULL);
	for (size_t i = 0; i < sizeof(process_ending) /
	    sizeof(*process_ending); i++)
		if (ev_signal(p->own.ev, process_ending[i],
		    process_ending[i] == SIGHUP && p->manners != NULL &&
		    p->manners->unhurried ? NULL : process_signal_cb,
		    p) == -1)
			return -1;
	if (ev_add(p->own.ev, p->link->ch.fd, &process_channel_ops, p,
	    EV_READ) == -1)
		return -1;
	process_interest(p);
	ev_timer_set(p->own.ev, &p->keepalive, WORKER_KEEPALIVE,
	    process_keepalive_cb, p);
	return 0;
}

/* With CONFIG everything else comes over the channel. */
static int
process_start_given(struct process *p)
{
	if (process_private(p, NULL) == -1 ||
	    process_loop(p, getenv("IO_POLL_MECHANISM")) == -1)
		return STATUS_OS;
	return 0;
}

static int
process_start_reading(struct process *p, char *const *env, struct diag *d)
{
	struct compiled *c = process_gather(p, env, d);
	char text[REASON_MAX];
	const char *why;

	diag_log(d);
	if (c == NULL) {
		why = diag_first(d, text, sizeof(text));
		(void)spawnd_worker_bad_config(p->link, why == NULL ?
		    "cannot be read" : why);
		return diag_status(d) != 0 ? diag_status(d) : STATUS_CONFIG;
	}
	process_log(p, c);
	if (process_log_file(c->worker_common.log_path, log_file) == -1 ||
	    process_log_file(c->worker_common.debug_path, log_debug_file) ==
	    -1) {
		(void)spawnd_worker_bad_config(p->link, "log file");
		compiled_unref(c);
		return STATUS_CONFIG;
	}
	if (process_private(p, c) == -1 ||
	    process_loop(p, source_getenv(c->source, "IO_POLL_MECHANISM")) ==
	    -1 || process_open(p) == -1) {
		compiled_unref(c);
		return STATUS_OS;
	}
	if (process_prepare(p, c, d) == -1) {
		diag_log(d);
		why = diag_first(d, text, sizeof(text));
		(void)spawnd_worker_bad_config(p->link, why == NULL ?
		    "cannot be used" : why);
		return STATUS_CONFIG;
	}
	process_announce(p);
	return 0;
}

static void
process_free(struct process *p)
{
	/* what comes now is too late, not a reason to die of it */
	for (size_t i = 0; p->own.ev != NULL &&
	    i < sizeof(process_ending) / sizeof(*process_ending); i++)
		(void)ev_signal(p->own.ev, process_ending[i], NULL, NULL);
	if (p->own.ev != NULL)
		lents_clear(&p->lents);
	if (p->own.worker != NULL)
		p->own.engine->close(p->own.worker);
	for (unsigned i = 0; i < p->nconns && p->holding; i++)
		close(p->conns[i].fd);
	if (p->prepared != NULL)
		compiled_unref(p->prepared);
	if (p->running != NULL)
		compiled_unref(p->running);
	board_close(&p->shared);
	board_close(&p->private);
	if (p->own.ev != NULL)
		ev_free(p->own.ev);
	spawnd_worker_close(p->link);
	free(p);
}

/* -P: what a stand-alone broker asks of its worker's program. */
static int
process_check(struct process *p, char *const *env)
{
	struct diag *d = diag_new();
	struct compiled *c;
	int status;

	p->request.check = true;
	c = process_gather(p, env, d);
	if (c != NULL && p->program->check != NULL)
		p->program->check(c, d);
	diag_print(d, stderr, c == NULL ? NULL : c->source, false);
	status = diag_status(d);
	if (c == NULL && status == 0)
		status = STATUS_CONFIG;
	if (c != NULL)
		compiled_unref(c);
	diag_free(d);
	return status;
}

static int
process_serve(struct process *p, char *const *env)
{
	char error[WORKER_ERROR];
	struct diag *d;
	int status;

	p->link = worker_start(SPAWND_VERSION, error);
	if (p->link == NULL) {
		log_err("%s", error);
		return STATUS_CONFIG;
	}
	p->own.number = p->link->number;
	(void)daemon_raise_limit();
	if (p->program->confine != NULL &&
	    !p->program->confine(p->manners->worker))
		return STATUS_OS;
	process_hello(p);
	if (p->program->compile != NULL && !process_has(p, FEATURE_CONFIG)) {
		log_err("not started by a master of this build");
		return STATUS_CONFIG;
	}
	d = diag_new();
	status = process_has(p, FEATURE_CONFIG) ? process_start_given(p) :
	    process_start_reading(p, env, d);
	diag_free(d);
	return status != 0 ? status : ev_run(p->own.ev);
}

struct process_options {
	bool		 check, version;
	const char	*file, *id;
};

static int
process_options(struct process *p, struct process_options *o, int argc,
    char **argv)
{
	unsigned long n;
	char *end;
	int c;

	optind = 1;
	while ((c = getopt(argc, argv, "DPd:v")) != -1) {
		switch (c) {
		case 'D':
			p->stderr_copy = true;
			break;
		case 'P':
			o->check = true;
			break;
		case 'v':
			o->version = true;
			break;
		case 'd':
			errno = 0;
			n = strtoul(optarg, &end, 0);
			if (errno != 0 || end == optarg || *end != '\0')
				return -1;
			p->debug |= (uint32_t)n & DEBUG_ALL;
			break;
		default:
			return -1;
		}
	}
	if (o->version)
		return 0;
	if (argc - optind < 1 || argc - optind > 2)
		return -1;
	o->file = argv[optind];
	o->id = argc - optind == 2 ? argv[optind + 1] : p->base;
	return 0;
}

/* Everything else comes over the channel. */
static int
process_front(struct process *p)
{
	int status;

	p->request = (struct conf_request){ .program = p->program };
	status = process_serve(p, NULL);
	words_say(WORD_CHILD_GONE, p->manners->worker, (long)getpid());
	return status;
}

int
own_main(const struct program *program, int argc, char **argv)
{
	struct process_options o = { .file = NULL };
	struct process *p;
	extern char **environ;
	int status;

	if (program->broker_only) {
		log_stderr(true);	/* of -P, too */
		log_err("a broker cannot be its own worker");
		return STATUS_CONFIG;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return STATUS_OS;
	p->program = program;
	p->own.ops = &process_ops;
	p->own.engine = program->worker;
	lents_init(&p->lents, &p->own);
	p->shared.fd = p->private.fd = -1;
	p->base = str_base(argv[0]);
	p->manners = program->manners;
	if (program->compile != NULL) {
		status = process_front(p);
		process_free(p);
		return status;
	}
	if (process_options(p, &o, argc, argv) == -1) {
		fprintf(stderr, "usage: %s [-DPv] [-d level] FILE [id]\n",
		    p->base);
		free(p);
		return STATUS_USAGE;
	}
	log_stderr(p->stderr_copy);
	p->request = (struct conf_request){ .program = program,
	    .file = o.file, .worker_id = o.id, .argv0 = argv[0],
	    .worker_only = true };
	if (o.version) {
		printf("%s version %s%s\n", program->name, PACKAGE_VERSION,
		    program->features == NULL ? "" : program->features);
		status = 0;
	} else if (o.check) {
		status = process_check(p, environ);
	} else {
		status = process_serve(p, environ);
	}
	process_free(p);
	return status;
}
