/*
 * relayd: the command line, and what it asks for (relayd-runtime 1.6).
 */
#include <sys/random.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/sandbox.h"
#include "../spawnd/master.h"
#include "features.h"
#include "rd_conf.h"
#include "rd_extra.h"
#include "rd_program.h"

#define CONF_FILE	"/etc/relayd.conf"
#define OPTIONS_MAX	24576		/* bytes of -D and the like: they go
					   with each configuration */

/* What is asked for; the latter of two holds. */
struct options {
	struct arena		*arena;
	struct rd_extra		 extra;
	struct rd_macro		*macros;
	const char		*file;
	bool			 check, test;
	const char		*dialect, *convert;
	/* the same once more, for children; NULL ends */
	char			**again;
	size_t			 nagain;
};

static void __attribute__((noreturn))
usage(void)
{
	fprintf(stderr, "usage: relayd [-dnv] [-D macro=value] [-F backend] "
	    "[-f file] [-H dialect]\n");
	exit(1);
}

static int
refused(const char *why, const char *what)
{
	fprintf(stderr, "relayd: %s%s\n", why, what);
	return 1;
}

/* NAME=VALUE, at its last equals sign. */
static void
macro_add(struct options *o, const char *arg)
{
	const char *equals = strrchr(arg, '=');
	struct rd_macro *m = &o->macros[o->extra.nmacros];

	if (equals == NULL || equals == arg)
		exit(refused("could not parse macro definition ", arg));
	m->name = arena_strndup(o->arena, arg, (size_t)(equals - arg));
	m->value = equals + 1;
	o->extra.nmacros++;
}

/* Of -F only the kind is looked at: nothing is opened here. */
static bool
backend_known(const char *backend)
{
	static const char *const kinds[] = { "nft", "pf", "log", "none" };
	size_t len = strcspn(backend, ":");

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		if (strlen(kinds[i]) == len &&
		    strncmp(kinds[i], backend, len) == 0)
			return true;
	}
	return false;
}

static void
again_add(struct options *o, char option, const char *arg)
{
	o->again[o->nagain++] = arena_printf(o->arena, "-%c", option);
	if (arg != NULL)
		o->again[o->nagain++] = arena_strdup(o->arena, arg);
}

static void
options_read(struct options *o, int argc, char **argv)
{
	int c;

	/* each argument comes to two at the most */
	o->again = arena_array(o->arena, 2 * (size_t)argc + 1,
	    sizeof *o->again);
	o->macros = arena_array(o->arena, (size_t)argc, sizeof *o->macros);
	o->extra.macros = o->macros;
	while ((c = getopt(argc, argv, "dnvD:F:f:H:c:T")) != -1) {
		switch (c) {
		case 'd':
			o->extra.foreground = true;
			break;
		case 'n':
			o->check = true;
			continue;
		case 'v':
			o->extra.verbose = true;
			break;
		case 'T':
			o->test = true;
			continue;
		case 'D':
			macro_add(o, optarg);
			break;
		case 'F':
			o->extra.backend = optarg;
			break;
		case 'f':
			o->file = optarg;
			break;
		case 'H':
			o->dialect = optarg;
			break;
		case 'c':
			o->convert = optarg;
			break;
		default:
			usage();
		}
		again_add(o, (char)c, optarg);
	}
	if (optind != argc)
		usage();
}

/* NULL, or what this version cannot do of what it is asked for. */
static const char *
options_fault(const struct options *o)
{
	if (o->extra.backend != NULL && !backend_known(o->extra.backend))
		return arena_printf(o->arena,
		    "unknown packet-filter backend %s", o->extra.backend);
	if (o->dialect != NULL)
		return arena_printf(o->arena,
		    "this version knows no other dialect: %s", o->dialect);
	if (o->convert != NULL)
		return arena_printf(o->arena,
		    "this version converts nothing: %s", o->convert);
	return NULL;
}

/* ---- reading the file, and nothing else ---- */

/* NULL: its errors are printed. */
static struct rd_conf *
conf_read(const struct options *o)
{
	const struct rd_request request = { .file = o->file,
	    .directory = o->extra.directory, .macros = o->macros,
	    .nmacros = o->extra.nmacros, .verbose = o->extra.verbose,
	    .files = true };
	struct source *source = source_gather(environ);
	struct diag *diag = diag_new();
	struct rd_conf *conf;

	if (source == NULL || diag == NULL)
		exit(refused("out of memory", ""));
	conf = rd_compile(&request, source, diag);
	diag_print(diag, stderr, source, false);
	diag_free(diag);
	if (conf == NULL)
		source_free(source);
	return conf;
}

/* -n */
static int
conf_check(const struct options *o)
{
	struct rd_conf *conf = conf_read(o);
	int status = 1;

	if (conf == NULL)
		return 1;
	if (o->extra.verbose)
		fwrite(conf->text, 1, conf->text_len, stdout);
	if (fflush(stdout) == 0 && !ferror(stdout)) {
		fprintf(stderr, "configuration OK\n");
		status = 0;
	} else {
		perror("relayd: standard output");
	}
	rd_conf_unref(conf);
	return status;
}

/* ---- serving ---- */

/* NULL, or why nothing can be served, whatever the file says. */
static const char *
rights_fault(char error[static SANDBOX_ERROR])
{
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0)
		return "need root privileges";
	return sandbox_user(RELAYD_USER, &uid, &gid, error) == -1 ? error :
	    NULL;
}

/* -T: no file is looked at. */
static int
confinement_test(void)
{
	char error[SANDBOX_ERROR];
	const char *why = rights_fault(error);

	if (why != NULL)
		return refused(why, "");
	return rd_program_test(STDOUT_FILENO) == 0 ? 0 : 1;
}

/* Whoever lacks the rights still learns first what is wrong with his file. */
static int
rights_lack(const struct options *o, const char *why)
{
	struct rd_conf *conf = conf_read(o);

	if (conf == NULL)
		return 1;
	rd_conf_unref(conf);
	return refused(why, "");
}

/* Once per service: an upgrade finds the one of the start. */
static void
key_make(void)
{
	uint32_t key[4];
	char text[33];

	if (getenv(RD_HASH_KEY) != NULL)
		return;
	if (getentropy(key, sizeof key) == -1)
		exit(refused("no random numbers", ""));
	snprintf(text, sizeof text, "%08" PRIx32 "%08" PRIx32 "%08" PRIx32
	    "%08" PRIx32, key[0], key[1], key[2], key[3]);
	if (setenv(RD_HASH_KEY, text, 1) == -1)
		exit(refused("out of memory", ""));
}

static int
serve(const struct options *o, char **argv)
{
	/* what it points to is in use to the end */
	static struct start s;
	char error[SANDBOX_ERROR];
	const char *why = rights_fault(error);

	if (why != NULL)
		return rights_lack(o, why);
	key_make();
	s.argv = argv;
	s.file = o->file;
	s.extra = rd_extra_pack(o->arena, &o->extra);
	if (strlen(s.extra) + strlen(s.file) > OPTIONS_MAX)
		return refused("macro definitions are too long", "");
	s.options = o->again;
	s.foreground = s.stderr_copy = o->extra.foreground;
	s.background = !o->extra.foreground;
	log_verbose(o->extra.verbose);
	return spawnd_serve(&rd_program, &s);
}

int
main(int argc, char **argv)
{
	static struct options o = { .file = CONF_FILE };
	const char *why;
	int status;

	if (spawnd_child(&rd_program, argc, &argv, &status))
		return status;
	o.arena = arena_new();
	if (o.arena == NULL)
		return refused("out of memory", "");
	options_read(&o, argc, argv);
	o.extra.directory = getcwd(NULL, 0);
	if ((why = options_fault(&o)) != NULL)
		status = refused(why, "");
	else if (o.test)
		status = confinement_test();
	else if (o.check)
		status = conf_check(&o);
	else
		status = serve(&o, argv);
	free((char *)(uintptr_t)o.extra.directory);
	arena_free(o.arena);
	return status;
}
