/*
 * A configuration from bytes, through the whole compiler, as both programs
 * read it. Nothing is looked up: the source knows the text only, and what is
 * behind a line "%%" as the file "inc". What compiles must give the same from
 * its bundle, and what is wrong must be said.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawnd/program.h"
#include "tcprelay/config.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const struct program programs[] = {
	{ .name = "tcprelay", .section = &tcprelay_section },
	{ .name = "spawnd", .broker_only = true },
};

static void
shown(struct diag *d, const struct source *s)
{
	char *text = NULL;
	size_t len;
	FILE *fp = open_memstream(&text, &len);

	if (fp == NULL)
		return;
	diag_print(d, fp, s, true);
	fclose(fp);
	free(text);
}

static void
replayed(const struct conf_request *q, const struct compiled *c)
{
	struct diag *d = diag_new();
	struct source *s;
	struct compiled *again;
	int bundle, secrets;

	if (source_save(c->source, &bundle, &secrets) == -1)
		abort();
	s = source_replay(bundle, secrets);
	if (s == NULL || (again = conf_compile(q, s, d)) == NULL ||
	    memcmp(again->digest, c->digest, sizeof c->digest) != 0)
		abort();
	compiled_unref(again);
	diag_free(d);
	close(bundle);
	if (secrets != -1)
		close(secrets);
}

static void
compiled_as(const struct program *program, const char *text, size_t len,
    const char *inc, size_t inc_len)
{
	struct conf_request q = { .program = program, .file = "main",
	    .argv0 = program->name, .check = len % 2 };
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct compiled *c;

	if (s == NULL || d == NULL)
		abort();
	source_add(s, SOURCE_TEXT, "main", text, len);
	source_add(s, SOURCE_TEXT, "inc", inc, inc_len);
	c = conf_compile(&q, s, d);
	if ((c == NULL) != (diag_errors(d) > 0) ||
	    (c == NULL) != (diag_status(d) != 0))
		abort();
	shown(d, s);
	if (c != NULL) {
		replayed(&q, c);
		compiled_unref(c);
	} else {
		source_free(s);
	}
	diag_free(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "\n%%\n";
	const char *text = (const char *)data;
	const char *inc = size == 0 ? NULL :
	    memmem(text, size, mark, sizeof mark - 1);
	size_t len = inc == NULL ? size : (size_t)(inc - text);

	inc = inc == NULL ? "" : inc + sizeof mark - 1;
	for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
		compiled_as(&programs[i], text, len, inc,
		    len == size ? 0 : size - len - (sizeof mark - 1));
	return 0;
}
