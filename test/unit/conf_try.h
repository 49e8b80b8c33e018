/*
 * For tests of the configuration language: a directory of files, and what
 * the compiler says of one of them.
 */
#ifndef TEST_CONF_TRY_H
#define TEST_CONF_TRY_H

#include <sys/stat.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "misc/diag.h"
#include "misc/source.h"
#include "spawnd/program.h"
#include "tcprelay/config.h"

#define TRY_LINES	64

/* One compilation: what was said, line by line, and what came of it. */
struct try {
	struct conf_request	 request;	/* set what matters before */
	struct source		*source;
	struct diag		*diag;
	struct compiled		*compiled;
	char			*text;
	const char		*lines[TRY_LINES];
	unsigned		 nlines;
	int			 status;
};

static char try_dir[64];

static const struct program try_tcprelay = {
	.name = "tcprelay", .section = &tcprelay_section,
};
static const struct program try_spawnd = {
	.name = "spawnd", .broker_only = true,
};

static inline int
try_setup(void **state)
{
	(void)state;
	snprintf(try_dir, sizeof try_dir, "/tmp/conf.XXXXXX");
	return mkdtemp(try_dir) == NULL ? -1 : 0;
}

static inline int
try_teardown(void **state)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(try_dir);

	(void)state;
	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", try_dir, e->d_name);
		if (e->d_name[0] != '.' && unlink(path) == -1)
			rmdir(path);
	}
	if (d != NULL)
		closedir(d);
	return rmdir(try_dir);
}

/* A file of the directory; its path is good until the 8th call from now. */
static inline const char *
try_path(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned n;
	char *path = paths[n++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", try_dir, name);
	return path;
}

static inline const char *
try_write(const char *name, const void *data, size_t len)
{
	const char *path = try_path(name);
	FILE *fp = fopen(path, "w");

	assert_non_null(fp);
	assert_int_equal(fwrite(data, 1, len, fp), len);
	assert_int_equal(fclose(fp), 0);
	return path;
}

static inline const char *
try_file(const char *name, const char *text)
{
	return try_write(name, text, strlen(text));
}

static inline void
try_split(struct try *t)
{
	char *p = t->text;

	t->nlines = 0;
	while (*p != '\0' && t->nlines < TRY_LINES) {
		t->lines[t->nlines++] = p;
		p += strcspn(p, "\n");
		if (*p == '\n')
			*p++ = '\0';
	}
}

/* Lines of diagnostics with the directory left out. */
static inline void
try_said(struct try *t)
{
	size_t len, dir = strlen(try_dir);
	FILE *fp = open_memstream(&t->text, &len);
	char *at;

	assert_non_null(fp);
	diag_print(t->diag, fp, NULL, false);
	fclose(fp);
	while ((at = strstr(t->text, try_dir)) != NULL)
		memmove(at, at + dir + 1, strlen(at + dir + 1) + 1);
	try_split(t);
}

static inline void
try_compile(struct try *t, struct source *source)
{
	t->diag = diag_new();
	assert_non_null(t->diag);
	t->source = source;
	t->compiled = conf_compile(&t->request, source, t->diag);
	t->status = diag_status(t->diag);
	assert_int_equal(t->compiled != NULL, diag_errors(t->diag) == 0);
	try_said(t);
}

/* As tcprelay -P, or as a stand-alone spawnd -P. */
static inline void
try_begin(struct try *t, const struct program *program, const char *file)
{
	memset(t, 0, sizeof *t);
	t->request = (struct conf_request){ .program = program,
	    .file = file, .argv0 = program->name, .check = true };
}

static inline void
try_run(struct try *t, const struct program *program, const char *file)
{
	static char *const env[] = { (char *)(uintptr_t)"SET=value",
	    (char *)(uintptr_t)"SITE=here", NULL };

	try_begin(t, program, file);
	try_compile(t, source_gather(env));
}

static inline void
try_end(struct try *t)
{
	if (t->compiled != NULL)
		compiled_unref(t->compiled);
	else
		source_free(t->source);
	diag_free(t->diag);
	free(t->text);
}

#endif
