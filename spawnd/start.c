/*
 * main() of every program here: the command line, the configuration, and
 * which role this process has (1.2, 1.5, 2).
 */
#include <sys/stat.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/str.h"
#include "../misc/title.h"
#include "../misc/url.h"
#include "adopt.h"
#include "aide.h"
#include "features.h"
#include "given.h"
#include "keys.h"
#include "load.h"
#include "logs.h"
#include "master.h"
#include "notify.h"
#include "own.h"
#include "plan.h"
#include "postmortem.h"
#include "roles.h"
#include "self.h"
#include "show.h"
#include "start.h"
#include "store.h"
#include "try.h"
#include "words.h"

extern char **environ;

enum { OPTION_PLAN = 256, OPTION_JSON };

static const struct option long_options[] = {
	{ "help",   no_argument, NULL, 'h' },
	{ "status", no_argument, NULL, 's' },
	{ "plan",   no_argument, NULL, OPTION_PLAN },
	{ "json",   no_argument, NULL, OPTION_JSON },
	{ NULL, 0, NULL, 0 }
};

static void
usage(FILE *fp, const char *name)
{
	fprintf(fp,
	    "usage: %s [-1DPbfv] [-I id] [-i id] [-d level] [-k keyfile] "
	    "[-p pidfile] FILE [id]\n"
	    "       %s -s [-I id] [-k keyfile] [-p pidfile] [--json] "
	    "FILE [id]\n"
	    "       %s --plan [-I id] [-i id] [-k keyfile] [-p pidfile] "
	    "[--json] FILE [id]\n"
	    "  -P        check FILE and end\n"
	    "  -f, -b    stay in the foreground, go to the background\n"
	    "  -1        single process: accept and serve in one\n"
	    "  -D        copy the log to standard error\n"
	    "  -d LEVEL  debug bits\n"
	    "  -I ID     section of the broker\n"
	    "  -i ID     section of the workers\n"
	    "  -p FILE   pid file\n"
	    "  -k FILE   public key that must have signed FILE, a URL\n"
	    "  -s        show what the running service does\n"
	    "  --plan    show what a reload with FILE would change there\n"
	    "  --json    either as JSON\n"
	    "  -v, -h    version, this text\n", name, name, name);
}

void
start_err(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* whoever typed the command wants to know, wherever the log goes */
	log_stderr(true);
	words_fatal(text);
	log_stderr(isatty(STDERR_FILENO));
}

/* "-1", decimal or 0x; masked with ALL. */
static bool
debug_parse(const char *text, uint32_t *bits)
{
	char *end;
	unsigned long n;
	bool hex = strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0;

	if (strcmp(text, "-1") == 0) {
		*bits = DEBUG_ALL;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoul(text, &end, hex ? 16 : 10);
	if (errno != 0 || *end != '\0' || end == text || n > UINT32_MAX)
		return false;
	*bits |= (uint32_t)n & DEBUG_ALL;
	return true;
}

/* One option. -1: go on, else the status to end with. */
static int
option_take(struct start *s, const struct program *program, int c)
{
	static char debug_text[16];

	switch (c) {
	case 'P': s->check = true; return -1;
	case 'D': s->stderr_copy = true; return -1;
	case '1': s->single = true; return -1;
	case 'I': s->broker_id = optarg; return -1;
	case 'i': s->worker_id = optarg; return -1;
	case 'p': s->pidfile = optarg; return -1;
	case 'k': s->keyfile = optarg; return -1;
	case 'b':
	case 'f':
		s->background = c == 'b';
		s->foreground = c == 'f';
		return -1;
	case 'd':
		if (debug_parse(optarg, &s->debug)) {
			/* all of them, as other programs read it, too */
			snprintf(debug_text, sizeof(debug_text), "%u",
			    s->debug);
			s->debug_text = debug_text;
			return -1;
		}
		fprintf(stderr, "%s: -d: '%s' is not a number\n", s->base,
		    optarg);
		break;
	case 'v':
		printf("%s version %s%s\n", program->name, PACKAGE_VERSION,
		    program->features != NULL ? program->features : "");
		return 0;
	case 'h':
		usage(stdout, s->base);
		return 0;
	case 's': s->status = true; return -1;
	case OPTION_JSON: s->json = true; return -1;
	case OPTION_PLAN: s->plan = true; return -1;
	default:
		break;
	}
	usage(stderr, s->base);
	return EX_USAGE;
}

static int
options_read(struct start *s, const struct program *program, int argc,
    char **argv)
{
	int c, status;

	while ((c = getopt_long(argc, argv, "1DPbfvhsd:I:i:p:k:",
	    long_options, NULL)) != -1)
		if ((status = option_take(s, program, c)) != -1)
			return status;
	if (argc - optind < 1 || argc - optind > 2) {
		usage(stderr, s->base);
		return EX_USAGE;
	}
	s->file = argv[optind];
	if (argc - optind == 2 && s->broker_id == NULL)
		s->broker_id = argv[optind + 1];
	if (s->single && program->broker_only) {
		fprintf(stderr, "%s: -1: a broker needs workers\n", s->base);
		return EX_USAGE;
	}
	if (s->status && s->plan) {
		fprintf(stderr, "%s: --plan: not with -s\n", s->base);
		return EX_USAGE;
	}
	if (s->check && (s->status || s->plan)) {
		fprintf(stderr, "%s: -P: not with -s or --plan\n", s->base);
		return EX_USAGE;
	}
	if (s->json && !s->status && !s->plan) {
		fprintf(stderr, "%s: --json: only with -s or --plan\n",
		    s->base);
		usage(stderr, s->base);
		return EX_USAGE;
	}
	if (s->keyfile != NULL && !url_is(s->file)) {
		fprintf(stderr, "%s: -k: '%s' is no URL\n", s->base, s->file);
		return EX_USAGE;
	}
	return -1;
}

/* Whatever file, name of a program and look-ups there are: also what own
 * workers compile by. */
void
start_request(const struct start *s, const struct program *program,
    struct conf_request *r)
{
	*r = (struct conf_request){
		.program = program, .file = s->file,
		.broker_id = s->broker_id, .worker_id = s->worker_id,
		.argv0 = s->argv[0], .self = s->self, .single = s->single,
		.keyfile = s->keyfile, .extra = s->extra,
	};
}

static int
check_only(const struct start *s, const struct program *program)
{
	struct load_request r = { .environ_base = s->environ_base,
	    .to_stderr = true };
	struct compiled *c = NULL;
	char *said = NULL;
	int status, theirs = 0;

	start_request(s, program, &r.conf);
	r.conf.check = true;
	r.conf.trace = (s->debug & DEBUG_PARSE) != 0;
	status = load_check(&r, &c, &said);
	/* whatever is wrong with ours: one run shows everything */
	if (c != NULL && program->broker_only &&
	    c->broker.spawn.exec != NULL)
		theirs = try_worker(c, s, said != NULL ? said : "");
	if (c != NULL)
		compiled_unref(c);
	free(said);
	return status != 0 ? status : theirs;
}

/* Everything that stands before the first bind. */
static int
configuration_load(const struct start *s, const struct program *program,
    struct loaded *conf)
{
	struct load_request r = { .environ_base = s->environ_base,
	    .copies = store_directory(program, s->environ_base),
	    .print = true,
	    .to_stderr = s->stderr_copy || isatty(STDERR_FILENO) };
	struct diag *d;
	int status;

	umask(077);
	start_request(s, program, &r.conf);
	r.conf.trace = (s->debug & DEBUG_PARSE) != 0;
	status = load_wait(&r, conf);
	umask(022);
	free((char *)(uintptr_t)r.copies);
	if (status != 0) {
		if (program->manners == NULL)
			start_err("configuration not usable");
		return status;
	}
	if ((d = diag_new()) == NULL)
		return EX_OSERR;
	inherit_fill(conf->conf, &s->inherit, d);
	if ((status = diag_status(d)) != 0) {
		diag_print(d, stderr, conf->conf->source,
		    isatty(STDERR_FILENO));
		if (!r.to_stderr)
			diag_log(d);
	}
	diag_free(d);
	if (status != 0)
		return status;
	if (conf->conf->broker.nendpoints == 0 && program->compile == NULL) {
		start_err("no listeners configured");
		return EX_OSERR;
	}
	return 0;
}

static int
logs_open(const struct start *s, const struct compiled *c)
{
	struct diag *d = diag_new();
	int status = 0;
	bool single = s->single || c->broker.single;

	if (d == NULL)
		return EX_OSERR;
	if (!logs_apply(s, &c->broker_common, single ? "single" : "master",
	    d) || !logs_try(&c->worker_common, d)) {
		char first[512];

		start_err("%s", diag_first(d, first, sizeof(first)));
		status = diag_status(d);
	}
	diag_free(d);
	return status;
}

static int
serve(struct start *s, const struct program *program)
{
	char error[INHERIT_ERROR];
	struct loaded conf;
	int status, daemon_fd = -1;

	notify_open();
	if (s->handed != NULL) {
		/* where we are, we are already */
		s->foreground = true;
		s->background = false;
	}
	if (program->compile != NULL) {
		/* it has no word for sockets that others have opened */
	} else if (s->handed != NULL) {
		if ((status = adopt_passed(&s->inherit, s->handed)) != 0)
			return status;
	} else if ((status = inherit_take(&s->inherit, program, error)) !=
	    0) {
		start_err("%s", error);
		return status;
	}
	if (s->inherit.inetd) {
		/* inetd must see when we end */
		s->foreground = true;
		s->background = false;
	}
	if ((status = configuration_load(s, program, &conf)) != 0) {
		loaded_clear(&conf);
		return status;
	}
	if (s->background || (conf.conf->broker.background &&
	    !s->foreground)) {
		if ((daemon_fd = daemon_fork()) == -1) {
			start_err("cannot go to the background: %s",
			    strerror(errno));
			loaded_clear(&conf);
			return EX_OSERR;
		}
	}
	if ((status = logs_open(s, conf.conf)) != 0) {
		loaded_clear(&conf);
		return status;
	}
	postmortem_prepare(&conf.conf->broker_common, conf.conf->source,
	    s->environ_base, -1);
	return master_run(program, s, &conf, daemon_fd);
}

/* ---- programs with options of their own ---- */

char **
start_argv(const struct start *s, const char *title, uint32_t instance)
{
	size_t n = 0, at = 0;
	char **argv, *number;

	while (s->options != NULL && s->options[n] != NULL)
		n++;
	if ((argv = calloc(n + 6, sizeof(*argv))) == NULL ||
	    asprintf(&number, "%" PRIu32, instance) == -1) {
		free(argv);
		return NULL;
	}
	argv[at++] = s->argv[0];
	argv[at++] = (char *)(uintptr_t)"-P";
	argv[at++] = (char *)(uintptr_t)title;
	argv[at++] = (char *)(uintptr_t)"-I";
	argv[at++] = number;
	for (size_t i = 0; i < n; i++)
		argv[at++] = s->options[i];
	return argv;
}

/* Somebody's who typed it, or of a child without its channel. */
static int
child_alone(const char *base, const char *title)
{
	log_stderr(true);
	log_err("%s: %s is started by the program itself", base, title);
	return 1;
}

bool
spawnd_child(const struct program *program, int argc, char ***argvp,
    int *status)
{
	char **argv = title_open(argc, *argvp);
	const char *base = str_base(argv[0]);
	bool mine;

	*argvp = argv;
	log_open(base);
	words_of(program);
	if (program->manners != NULL)
		log_style(program->manners->facility,
		    program->manners->warning != 0 ?
		    program->manners->warning : LOG_WARNING,
		    program->manners->plain);
	mine = argc >= 5 && strcmp(argv[1], "-P") == 0 &&
	    strcmp(argv[3], "-I") == 0;
	for (int i = 5; mine && i < argc; i++) {
		if (strcmp(argv[i], "-d") == 0)
			log_stderr(true);
		else if (strcmp(argv[i], "-v") == 0)
			log_verbose(true);
	}
	if (mine && aide_is_process(ROLE_ENV))
		*status = role_main(program, base, argv[2],
		    (uint32_t)strtoul(argv[4], NULL, 10));
	else if (mine && own_is_worker())
		*status = own_main(program, argc, argv);
	else if (argc >= 2 && strcmp(argv[1], "-P") == 0)
		*status = child_alone(base, argc > 2 ? argv[2] : "that");
	else
		return false;
	if (program->manners != NULL && program->manners->exits_1 &&
	    *status != 0)
		*status = 1;
	return true;
}

/* What the process inherited that is for a child only. */
static void
environ_forget(void)
{
	(void)unsetenv(CHANNEL_ENV);
	(void)unsetenv(KEYS_ENV);
	(void)unsetenv(ROLE_ENV);
	(void)unsetenv(GIVEN_ENV);
}

/* Children are told of them in one message. */
static bool
options_fit(const struct start *s, const struct program *program)
{
	char tail[OWN_REQUEST_MAX];
	struct conf_request request;

	start_request(s, program, &request);
	return own_request_pack(tail, sizeof(tail), &request) > 0;
}

int
spawnd_serve(const struct program *program, struct start *s)
{
	static struct self image;
	static char self[PATH_MAX];
	int status;

	environ_forget();
	s->environ_base = environ;
	s->base = str_base(s->argv[0]);
	s->self = self_path(s->argv[0], self, sizeof(self));
	self_note(&image, s->argv[0], s->self);
	s->image = &image;
	if (!options_fit(s, program)) {
		start_err("too many options");
		return 1;
	}
	if ((status = adopt_read(&s->handed)) == 0)
		status = serve(s, program);
	return status != 0 && program->manners != NULL &&
	    program->manners->exits_1 ? 1 : status;
}

int
spawnd_main(const struct program *program, int argc, char **argv)
{
	/* what it points to is in use to the end, and found by leak checkers */
	static struct start s;
	static struct self image;
	static char self[PATH_MAX];
	int status;

	argv = title_open(argc, argv);
	s.argv = argv;
	s.environ_base = environ;
	s.base = str_base(argv[0]);
	log_open(s.base);
	if (own_is_worker())
		return own_main(program, argc, argv);
	if (aide_is_process(KEYS_ENV))
		return keys_main(program, argv);
	/* left by somebody who was one; ours must not find it */
	environ_forget();
	log_stderr(isatty(STDERR_FILENO));
	if ((status = options_read(&s, program, argc, argv)) != -1)
		return status;
	s.self = self_path(argv[0], self, sizeof(self));
	self_note(&image, argv[0], s.self);
	s.image = &image;
	if (s.status)
		return show_status(&s, program, s.json);
	if (s.plan)
		return plan_main(&s, program);
	if (s.check)
		return check_only(&s, program);
	if ((status = adopt_read(&s.handed)) != 0)
		return status;
	return serve(&s, program);
}
