/*
 * A relayd.conf from bytes, through the whole compiler. Nothing is looked up:
 * the source knows the text only, and what is behind a line "%%" as the file
 * "/inc". What is wrong must be said; what compiles must print a text that
 * compiles to the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd/rd_conf.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

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

static struct rd_conf *
compiled(const char *text, size_t len, const char *inc, size_t inc_len,
    bool verbose)
{
	static const struct rd_macro macros[] = { { "given", "10.0.0.1" } };
	struct rd_request q = { .file = "/main", .directory = "/",
	    .macros = macros, .nmacros = 1, .verbose = verbose };
	struct source *s = source_empty();
	struct diag *d = diag_new();
	struct rd_conf *c;

	if (s == NULL || d == NULL)
		abort();
	source_add(s, SOURCE_TEXT, "/main", text, len);
	source_add(s, SOURCE_TEXT, "/inc", inc, inc_len);
	c = rd_compile(&q, s, d);
	if ((c == NULL) != (diag_errors(d) > 0))
		abort();
	shown(d, s);
	if (c == NULL)
		source_free(s);
	diag_free(d);
	return c;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "\n%%\n";
	const char *text = (const char *)data;
	const char *inc = size == 0 ? NULL :
	    memmem(text, size, mark, sizeof mark - 1);
	size_t len = inc == NULL ? size : (size_t)(inc - text);
	struct rd_conf *c, *again;

	inc = inc == NULL ? "" : inc + sizeof mark - 1;
	c = compiled(text, len, inc, len == size ? 0 :
	    size - len - (sizeof mark - 1), size % 2);
	if (c == NULL)
		return 0;
	again = compiled(c->text, c->text_len, "", 0, false);
	if (again == NULL || again->text_len != c->text_len ||
	    memcmp(again->text, c->text, c->text_len) != 0 ||
	    memcmp(again->digest, c->digest, sizeof c->digest) != 0)
		abort();
	rd_conf_unref(again);
	rd_conf_unref(c);
	return 0;
}
