/*
 * Lists of facts: what a change is, what the order of things is worth, files
 * that come from somebody who means harm; and that each item of a
 * configuration is in its list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "conf_try.h"
#include "spawnd/board.h"
#include "spawnd/facts.h"

static const uint8_t salt[FACTS_SALT] = "salt";

/* ---- lists that a test makes ---- */

struct item {
	enum fact_kind	 kind;
	enum fact_effect effect;
	const char	*name, *option, *value, *usual;
	uint32_t	 rank;
	bool		 secret;
};

static struct facts *
make(const struct item *items)
{
	struct facts *f = facts_new(salt);

	assert_non_null(f);
	for (; items->name != NULL; items++) {
		struct fact fact = { .kind = items->kind,
		    .effect = items->effect, .name = items->name,
		    .option = items->option, .value = items->value,
		    .usual = items->usual, .rank = items->rank };

		if (items->secret)
			facts_add_secret(f, fact, items->value,
			    strlen(items->value));
		else
			facts_add(f, &fact);
	}
	assert_int_equal(facts_end(f), 0);
	return f;
}

static void
told_cb(void *ctx, const struct fact_change *ch)
{
	const struct fact *f = ch->new != NULL ? ch->new : ch->old;
	FILE *fp = ctx;

	fprintf(fp, "%c%d %s", ch->old == NULL ? '+' : ch->new == NULL ?
	    '-' : '~', f->kind, f->name);
	if (f->option != NULL)
		fprintf(fp, " %s", f->option);
	if (ch->old != NULL && ch->new != NULL)
		fprintf(fp, ": %s > %s", ch->old->secret ? "***" :
		    ch->old->value, ch->new->secret ? "***" : ch->new->value);
	fprintf(fp, " (%d)\n", facts_effect(ch));
}

static char *
compared(const struct facts *a, const struct facts *b)
{
	char *text = NULL;
	size_t len = 0, n, lines = 0;
	FILE *fp = open_memstream(&text, &len);

	assert_non_null(fp);
	n = facts_compare(a, b, told_cb, fp);
	fclose(fp);
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(n, lines);
	return text;
}

/* Both in memory, and of files. */
static void
differ(const struct item *old, const struct item *new, const char *wanted)
{
	struct facts *a = make(old), *b = make(new), *c;
	int fd = facts_save(b);
	char *text;

	assert_int_not_equal(fd, -1);
	c = facts_load(fd);
	assert_non_null(c);
	assert_int_equal(facts_count(b), facts_count(c));
	text = compared(a, b);
	assert_string_equal(text, wanted);
	free(text);
	text = compared(a, c);
	assert_string_equal(text, wanted);
	free(text);
	text = compared(b, c);
	assert_string_equal(text, "");
	free(text);
	close(fd);
	facts_free(a);
	facts_free(b);
	facts_free(c);
}

#define NOTHING	{ .name = NULL }
#define L FACT_LISTENER
#define D FACT_DESTINATION

static void
test_changes(void **state)
{
	static const struct item old[] = {
		{ .kind = L, .name = "a", .value = "[::]:1" },
		{ .kind = L, .name = "a", .option = "backlog", .value = "9",
		    .usual = "128" },
		{ .kind = L, .name = "b", .value = "[::]:2" },
		{ .kind = L, .name = "b", .option = "backlog", .value = "9",
		    .usual = "128" },
		{ .kind = FACT_WORKER, .name = "userid", .value = "1",
		    .effect = EFFECT_WORKERS },
		{ .kind = FACT_OPTION, .name = "userid", .value = "1" },
		NOTHING
	}, new[] = {
		{ .kind = L, .name = "c", .value = "[::]:3" },
		{ .kind = L, .name = "c", .option = "backlog", .value = "9",
		    .usual = "128" },
		{ .kind = L, .name = "a", .value = "[::]:1" },
		{ .kind = L, .name = "a", .option = "dscp", .value = "7",
		    .usual = "none", .effect = EFFECT_SESSIONS },
		/* as good as not there */
		{ .kind = L, .name = "a", .option = "realm", .value = "none",
		    .usual = "none" },
		{ .kind = FACT_WORKER, .name = "userid", .value = "2",
		    .effect = EFFECT_WORKERS },
		{ .kind = FACT_OPTION, .name = "userid", .value = "1" },
		NOTHING
	};

	(void)state;
	differ(old, new,
	    "~0 a backlog: 9 > 128 (0)\n"
	    "~0 a dscp: none > 7 (1)\n"
	    "-0 b (0)\n"
	    "+0 c (0)\n"
	    "~2 userid: 1 > 2 (2)\n");
	differ(new, old,
	    "~0 a backlog: 128 > 9 (0)\n"
	    "~0 a dscp: 7 > none (1)\n"
	    "+0 b (0)\n"
	    "-0 c (0)\n"
	    "~2 userid: 2 > 1 (2)\n");
	differ(old, old, "");
}

/* Setting x of a, and a thing that is called as both together. */
static void
test_names_with_spaces(void **state)
{
	static const struct item old[] = {
		{ .kind = D, .name = "a", .value = "1" },
		{ .kind = D, .name = "a", .option = "x", .value = "1",
		    .usual = "0" },
		{ .kind = D, .name = "a x", .value = "2" },
		NOTHING
	}, new[] = {
		{ .kind = D, .name = "a", .value = "1" },
		{ .kind = D, .name = "a x", .value = "2" },
		NOTHING
	};

	(void)state;
	differ(old, new, "~1 a x: 1 > 0 (0)\n");
}

static void
test_order(void **state)
{
#define ACL(t, r) { .kind = FACT_ACL, .name = t, .value = t, .rank = r }
	static const struct item old[] = {
		ACL("a", 1), ACL("b", 2), ACL("c", 3), ACL("d", 4), NOTHING
	}, inserted[] = {
		ACL("x", 1), ACL("a", 2), ACL("b", 3), ACL("d", 4), NOTHING
	}, first[] = {
		ACL("d", 1), ACL("a", 2), ACL("b", 3), ACL("c", 4), NOTHING
	}, last[] = {
		ACL("b", 1), ACL("c", 2), ACL("d", 3), ACL("a", 4), NOTHING
	}, turned[] = {
		ACL("d", 1), ACL("c", 2), ACL("b", 3), ACL("a", 4), NOTHING
	};

	(void)state;
	differ(old, inserted, "-5 c (0)\n+5 x (0)\n");
	differ(old, first, "~5 d position: 4 > 1 (0)\n");
	differ(old, last, "~5 a position: 1 > 4 (0)\n");
	differ(old, turned, "~5 b position: 2 > 3 (0)\n"
	    "~5 c position: 3 > 2 (0)\n~5 d position: 4 > 1 (0)\n");
}

static void
test_twice(void **state)
{
	static const struct item old[] = {
		ACL("a", 1), ACL("a", 2), ACL("a", 3), NOTHING
	}, new[] = { ACL("a", 1), NOTHING };

	(void)state;
	differ(old, new, "-5 a #2 (0)\n-5 a #3 (0)\n");
}

static void
test_secrets(void **state)
{
#define SECRET(v) { .kind = FACT_TLS, .name = "tls", .option = "pass",	\
	.usual = "none", .value = v, .secret = true }
#define TLS { .kind = FACT_TLS, .name = "tls", .value = "server" }
	static const struct item a[] = { TLS, SECRET("uno"), NOTHING },
	    b[] = { TLS, SECRET("two"), NOTHING }, none[] = { TLS, NOTHING };
	static const uint8_t other[FACTS_SALT] = "other";
	struct facts *f = make(a), *g;
	char image[4096];
	int fd = facts_save(f);
	ssize_t n = pread(fd, image, sizeof(image), 0);

	(void)state;
	assert_in_range(n, 1, sizeof(image));
	assert_null(memmem(image, (size_t)n, "uno", 3));
	close(fd);
	differ(a, b, "~4 tls pass: *** > *** (0)\n");
	differ(none, a, "~4 tls pass: none > *** (0)\n");
	differ(a, none, "~4 tls pass: *** > none (0)\n");
	/* another salt, another digest: lists of two services never agree */
	assert_memory_equal(facts_salt(f), salt, FACTS_SALT);
	g = facts_new(other);
	facts_add(g, &(struct fact){ .kind = FACT_TLS, .name = "tls",
	    .value = "server" });
	facts_add_secret(g, (struct fact){ .kind = FACT_TLS, .name = "tls",
	    .option = "pass", .usual = "none" }, "uno", 3);
	assert_int_equal(facts_end(g), 0);
	assert_int_equal(facts_compare(f, g, NULL, NULL), 1);
	facts_free(f);
	facts_free(g);
}

/* What needs a restart stays as it was, and shows again. */
static void
test_adopt(void **state)
{
#define R(n, v) { .kind = FACT_OPTION, .name = n, .value = v,		\
	.effect = EFFECT_RESTART }
#define N(n, v) { .kind = FACT_OPTION, .name = n, .value = v }
	static const struct item a[] = { R("path", "1"), N("log", "1"),
	    NOTHING }, b[] = { R("path", "2"), N("log", "2"), NOTHING };
	struct facts *old = make(a), *new = make(b), *both;
	char *text;

	(void)state;
	both = facts_adopt(old, new);
	assert_non_null(both);
	text = compared(both, new);
	assert_string_equal(text, "~7 path: 1 > 2 (3)\n");
	free(text);
	text = compared(old, both);
	assert_string_equal(text, "~7 log: 1 > 2 (0)\n");
	free(text);
	facts_free(old);
	facts_free(new);
	facts_free(both);
}

/* ---- files ---- */

static int
file_of(const void *data, size_t len)
{
	char path[] = "/tmp/facts.XXXXXX";
	int fd = mkstemp(path);

	assert_int_not_equal(fd, -1);
	unlink(path);
	assert_int_equal(write(fd, data, len), len);
	return fd;
}

static void
load_try(const void *data, size_t len, int error)
{
	int fd = file_of(data, len);
	struct facts *f;

	errno = 0;
	f = facts_load(fd);
	if (error != 0) {
		assert_null(f);
		assert_int_equal(errno, error);
	}
	if (f != NULL)		/* whatever it says, it can be looked at */
		facts_compare(f, f, NULL, NULL);
	facts_free(f);
	close(fd);
}

static void
test_files(void **state)
{
	static const struct item items[] = {
		{ .kind = L, .name = "a", .value = "[::]:1" },
		{ .kind = L, .name = "a", .option = "backlog", .value = "9",
		    .usual = "128", .rank = 3 },
		SECRET("uno"), NOTHING
	};
	struct facts *f = make(items);
	int fd = facts_save(f), null;
	uint8_t image[2048], copy[2048];
	ssize_t size = pread(fd, image, sizeof(image), 0);
	size_t len;

	(void)state;
	assert_in_range(size, 100, sizeof(image) - 1);
	len = (size_t)size;
	load_try(image, len, 0);
	for (size_t n = 0; n < len; n++)
		load_try(image, n, EBADMSG);
	memcpy(copy, image, len);
	copy[len] = 0;
	load_try(copy, len + 1, EBADMSG);
	copy[0] ^= 1;
	load_try(copy, len, EBADMSG);
	copy[0] ^= 1;
	copy[8] ^= 1;				/* its version */
	load_try(copy, len, EPROTO);
	copy[8] ^= 1;
	copy[len - 1] = 'x';			/* a text without an end */
	load_try(copy, len, EBADMSG);
	/* each byte with each of some values: no reader goes astray */
	for (size_t n = 0; n < len; n++) {
		static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };

		for (size_t k = 0; k < sizeof(values); k++) {
			memcpy(copy, image, len);
			copy[n] = values[k];
			load_try(copy, len, 0);
		}
	}
	close(fd);
	facts_free(f);
	null = open("/dev/null", O_RDONLY);
	assert_null(facts_load(null));
	close(null);
	assert_null(facts_load(-1));
}

/* The same key in two records: made by hand. */
static void
test_file_with_twins(void **state)
{
	static const struct item items[] = { ACL("aa", 1), ACL("ab", 2),
	    NOTHING };
	struct facts *f = make(items);
	int fd = facts_save(f);
	char image[1024], *at;
	ssize_t size = pread(fd, image, sizeof(image), 0);

	(void)state;
	close(fd);
	facts_free(f);
	at = memmem(image, (size_t)size, "ab", 3);
	assert_non_null(at);
	at[1] = 'a';
	load_try(image, (size_t)size, EBADMSG);
}

#ifdef F_SEAL_WRITE
static void
test_sealed(void **state)
{
	static const struct item items[] = { ACL("a", 1), NOTHING };
	struct facts *f = make(items);
	int fd = facts_save(f);

	(void)state;
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
	facts_free(f);
}
#else
static void
test_sealed(void **state)
{
	(void)state;
	skip();
}
#endif

/* ---- very many ---- */

static struct facts *
many(uint32_t n, uint32_t from)
{
	struct facts *f = facts_new(salt);

	for (uint32_t i = from; i < from + n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "tcp/[10.0.0.1]:%u/x", i);
		facts_add(f, &(struct fact){ .kind = D, .name = name,
		    .value = name, .rank = i + 1,
		    .row_kind = BOARD_DESTINATION, .row = name });
		facts_add(f, &(struct fact){ .kind = D, .name = name,
		    .option = "weight", .value = "7", .usual = "1",
		    .row_kind = BOARD_DESTINATION, .row = name });
	}
	assert_int_equal(facts_end(f), 0);
	return f;
}

static void
test_many(void **state)
{
	struct facts *a = many(30000, 0), *b = many(30000, 10), *c;
	int fd = facts_save(b);

	(void)state;
	c = facts_load(fd);
	assert_non_null(c);
	assert_int_equal(facts_compare(a, c, NULL, NULL), 20);
	assert_int_equal(facts_compare(c, b, NULL, NULL), 0);
	close(fd);
	facts_free(a);
	facts_free(b);
	facts_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_names_with_spaces),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_file_with_twins),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
