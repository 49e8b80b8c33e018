/*
 * Process titles. Where the system has setproctitle(3), that; on Linux the
 * title is written over the place of argv and the environment, both of which
 * are moved first; elsewhere nothing is shown.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "features.h"
#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

#include "title.h"
#include "url.h"

extern char **environ;

/* One process, one title. */
static struct {
	char		*area;		/* NULL: nothing can be shown */
	size_t		 size;
	char		*last_arg;	/* last byte of the arguments proper */
	uint64_t	 shown_at;
	bool		 any;		/* something was shown */
	char		**args, **env;	/* where argv and environ went; kept */
	char		 shown[TITLE_MAX];
	char		 held[TITLE_MAX];	/* "": nothing */
} title;

#if defined(HAVE_SETPROCTITLE)

static void
title_area(int argc, char **argv)
{
	(void)argc;
	(void)argv;
}

static void
title_write(const char *text)
{
	setproctitle("-%s", text);
}

#elif defined(__linux__)

/* The strings of argv and environ lie one behind the other, as the kernel
 * put them there; as far as that is true the place is ours. */
static void
title_area(int argc, char **argv)
{
	char *end;
	char **e;
	int i;

	if (argc < 1 || argv[0] == NULL)
		return;
	end = argv[0];
	for (i = 0; i < argc && argv[i] == end; i++)
		end = argv[i] + strlen(argv[i]) + 1;
	title.last_arg = end - 1;
	if (i == argc)
		for (e = environ; e != NULL && *e == end; e++)
			end = *e + strlen(*e) + 1;
	title.area = argv[0];
	title.size = (size_t)(end - title.area);
}

/*
 * A last argument byte that is not NUL tells the kernel that the text is a
 * title, which ends at the first NUL, rather than arguments
 * (proc_pid_cmdline(5), fs/proc/base.c get_mm_proctitle()).
 */
static void
title_write(const char *text)
{
	size_t n = strlen(text);

	if (title.area == NULL || title.size < 2)
		return;
	if (n > title.size - 1)
		n = title.size - 1;
	memset(title.area + n, 0, title.size - n);
	memcpy(title.area, text, n);
	if (title.area + n < title.last_arg)
		*title.last_arg = '.';
}

#else

static void
title_area(int argc, char **argv)
{
	(void)argc;
	(void)argv;
}

static void
title_write(const char *text)
{
	(void)text;
}

#endif

/* A NULL-terminated copy of n strings, all in one block. */
static char **
strings_copy(char *const *from, size_t n)
{
	size_t i, bytes = 0, len;
	char **list, *at;

	for (i = 0; i < n; i++)
		bytes += strlen(from[i]) + 1;
	if ((list = malloc((n + 1) * sizeof(*list) + bytes)) == NULL)
		return NULL;
	at = (char *)(list + n + 1);
	for (i = 0; i < n; i++) {
		len = strlen(from[i]) + 1;
		list[i] = memcpy(at, from[i], len);
		at += len;
	}
	list[n] = NULL;
	return list;
}

/* Until there is a title everybody sees the arguments. */
static void
credentials_hide(char *arg)
{
	char shown[URL_SHOWN];
	const char *text = url_show(arg, shown);
	size_t len = strlen(arg), n = strlen(text);

	if (text == arg)
		return;
	memset(arg, 0, len);
	memcpy(arg, text, n < len ? n : len);
}

char **
title_open(int argc, char **argv)
{
	char **args, **env;
	size_t n = 0;

	while (environ != NULL && environ[n] != NULL)
		n++;
	args = strings_copy(argv, (size_t)argc);
	env = strings_copy(environ, n);
	if (args == NULL || env == NULL) {
		free(args);
		free(env);
		return argv;
	}
	title_area(argc, argv);
	for (int i = 0; i < argc; i++)
		credentials_hide(argv[i]);
	title.args = args;
	environ = title.env = env;
#ifdef PR_SET_NAME
	/* started by descriptor the kernel would call it that number */
	if (argc > 0) {
		const char *slash = strrchr(args[0], '/');

		(void)prctl(PR_SET_NAME,
		    slash != NULL ? slash + 1 : args[0], 0, 0, 0);
	}
#endif
	return args;
}

static void
title_show(uint64_t now, const char *text)
{
	title_write(text);
	title.shown_at = now;
	title.any = true;
	memmove(title.shown, text, strlen(text) + 1);
	title.held[0] = '\0';
}

uint64_t
title_flush(uint64_t now)
{
	if (title.held[0] == '\0')
		return 0;
	if (now - title.shown_at < TITLE_PERIOD)
		return TITLE_PERIOD - (now - title.shown_at);
	title_show(now, title.held);
	return 0;
}

uint64_t
title_set(uint64_t now, const char *fmt, ...)
{
	char text[TITLE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (title.any && strcmp(text, title.shown) == 0) {
		title.held[0] = '\0';
		return 0;
	}
	memcpy(title.held, text, strlen(text) + 1);
	if (!title.any) {
		title_show(now, text);
		return 0;
	}
	return title_flush(now);
}

const char *
title_shown(void)
{
	return title.shown;
}
