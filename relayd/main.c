/*
 * relayd. In this version it checks configurations and prints them back; it
 * does not serve.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rd_conf.h"

#define CONF_FILE	"/etc/relayd.conf"

struct options {
	struct arena		*arena;
	struct rd_request	 request;
	struct rd_macro		*macros;
	bool			 check;
	const char		*backend, *dialect;
};

static void __attribute__((noreturn))
usage(void)
{
	fprintf(stderr, "usage: relayd [-dnv] [-D macro=value] [-F backend] "
	    "[-f file] [-H dialect]\n");
	exit(1);
}

/* NAME=VALUE, at its last equals sign. */
static void
macro_add(struct options *o, const char *arg)
{
	const char *equals = strrchr(arg, '=');
	struct rd_macro *m = &o->macros[o->request.nmacros];

	if (equals == NULL || equals == arg) {
		fprintf(stderr,
		    "relayd: could not parse macro definition %s\n", arg);
		exit(1);
	}
	m->name = arena_strndup(o->arena, arg, (size_t)(equals - arg));
	m->value = equals + 1;
	o->request.nmacros++;
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
options_read(struct options *o, int argc, char **argv)
{
	int c;

	o->macros = arena_array(o->arena, (size_t)argc, sizeof *o->macros);
	o->request.macros = o->macros;
	while ((c = getopt(argc, argv, "dnvD:F:f:H:")) != -1) {
		switch (c) {
		case 'd':
			break;
		case 'n':
			o->check = true;
			break;
		case 'v':
			o->request.verbose = true;
			break;
		case 'D':
			macro_add(o, optarg);
			break;
		case 'F':
			o->backend = optarg;
			break;
		case 'f':
			o->request.file = optarg;
			break;
		case 'H':
			o->dialect = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
}

static int
refused(const char *why, const char *what)
{
	fprintf(stderr, "relayd: %s%s\n", why, what);
	return 1;
}

static int
conf_check(const struct rd_request *request)
{
	struct source *source = source_gather(environ);
	struct diag *diag = diag_new();
	struct rd_conf *conf;
	int status = 1;

	if (source == NULL || diag == NULL)
		return refused("out of memory", "");
	conf = rd_compile(request, source, diag);
	diag_print(diag, stderr, source, false);
	diag_free(diag);
	if (conf == NULL) {
		source_free(source);
		return 1;
	}
	if (request->verbose)
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

int
main(int argc, char **argv)
{
	struct options o = { .arena = arena_new(),
	    .request = { .file = CONF_FILE, .files = true } };
	char *directory = getcwd(NULL, 0);
	int status;

	if (o.arena == NULL)
		return refused("out of memory", "");
	options_read(&o, argc, argv);
	o.request.directory = directory;
	if (o.backend != NULL && !backend_known(o.backend))
		status = refused("unknown packet-filter backend ", o.backend);
	else if (o.dialect != NULL)
		status = refused("this version knows no other dialect: ",
		    o.dialect);
	else if (!o.check)
		status = refused("this version only checks configurations, "
		    "see option -n", "");
	else
		status = conf_check(&o.request);
	free(directory);
	arena_free(o.arena);
	return status;
}
