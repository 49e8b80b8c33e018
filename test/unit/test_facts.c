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
#include "spawnd/parse.h"

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
	    '-' : '~', f->kind, f->shown);
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

/* ---- configurations ---- */

static const struct program tcprelay = {
	.name = "tcprelay", .section = &tcprelay_section,
	.facts = config_facts, .keys_apart = config_keys_apart,
};
static const struct program spawnd = {
	.name = "spawnd", .broker_only = true,
};

static struct facts *
facts_of_text(const struct program *program, const char *text)
{
	const char *path = try_file("conf", text);
	struct facts *f;
	struct try t;

	try_begin(&t, program, path);
	try_compile(&t, source_gather(NULL));
	if (t.compiled == NULL)
		fail_msg("%s\n%s", text, t.lines[0]);
	f = facts_of(program, t.compiled, salt);
	assert_non_null(f);
	try_end(&t);
	return f;
}

static char *
texts_compared(const struct program *program, const char *old,
    const char *new)
{
	struct facts *a = facts_of_text(program, old);
	struct facts *b = facts_of_text(program, new);
	char *text = compared(a, b);

	facts_free(a);
	facts_free(b);
	return text;
}

/* Where a directive stands. */
enum place { TOP, BROKER, LISTEN, UNIX, SPAWN, RELAY, REMOTE, SNI, PLACES };

static char *
text_with(enum place place, const char *body)
{
	static char text[2][8192];
	static unsigned n;
	const char *in[PLACES];

	for (int i = 0; i < PLACES; i++)
		in[i] = i == (int)place ? body : "";
	n = !n;
	snprintf(text[n], sizeof(text[n]),
	    "%s\nid = spawnd {\n%s\nlisten { port = 1234 %s }\n"
	    "listen { path = /tmp/facts.sock %s }\n"
	    "listen { port = 4433 tls = yes }\nspawn { %s }\n}\n"
	    "id = tcprelay {\ntls cert-file = /c\n%s\n"
	    "remote { address = 127.0.0.1 port = 9 %s }\n"
	    "tls sni { cert-file = /s %s }\n}\n", in[TOP], in[BROKER],
	    in[LISTEN], in[UNIX], in[SPAWN], in[RELAY], in[REMOTE], in[SNI]);
	return text[n];
}

/* What is said of a change from old to new, in this order. */
static const struct directive {
	const char	*words;		/* as in the table of the parser */
	enum place	 place;
	const char	*old, *new, *said;
} directives[] = {
	{ "setenv", TOP, "setenv A = 1", "setenv A = 2",
	    "~2 environment A: *** > *** (2)\n" },
	{ "setenv", RELAY, "", "setenv IO_POLL_MECHANISM = 8",
	    "+2 environment IO_POLL_MECHANISM (2)\n" },
	{ "debug|trace", TOP, "", "debug = NET",
	    "~7 debug: 0x0 > 0x4000 (0)\n" },
	{ "debug|trace redirect", TOP, "debug redirect = stderr",
	    "debug redirect = /x", "~7 debug redirect: stderr > /x (0)\n" },
	{ "syslog ident", TOP, "", "syslog ident = x",
	    "~7 syslog ident: none > x (0)\n" },
	{ "syslog facility", BROKER, "", "syslog facility = mail",
	    "~7 syslog facility: uucp > mail (master), uucp (workers) "
	    "(0)\n" },
	{ "syslog severity|level", TOP, "", "syslog level = debug",
	    "~7 syslog severity: info > debug (0)\n" },
	{ "syslog default", TOP, "", "syslog default = deny",
	    "~7 syslog default: permit > deny (0)\n" },
	{ "log file", TOP, "log file = /a", "log file = /b",
	    "~7 log file: /a > /b (0)\n" },
	{ "log format", TOP, "", "log format = json",
	    "~7 log format: text > json (0)\n" },
	{ "proctitle", TOP, "", "proctitle = x",
	    "~7 proctitle: none > x (0)\n" },
	{ "coredump directory", TOP, "", "coredump directory = /x",
	    "~2 coredump directory: none > /x (2)\n"
	    "~7 coredump directory: none > /x (0)\n" },
	{ "gcore", TOP, "", "gcore = /x", "~7 gcore: none > /x (0)\n" },
	{ "debug-cmd", TOP, "", "debug-cmd = x",
	    "~7 debug-cmd: none > x (0)\n" },
	{ "cleanup interval", TOP, "", "cleanup interval = 7",
	    "~7 cleanup interval: 2 > 7 (0)\n" },
	{ "refresh", TOP, "", "refresh = 60", "~7 refresh: 0 > 60 (0)\n" },

	{ "permit", BROKER, "", "permit 10.0.0.0/8",
	    "+5 permit 10.0.0.0/8 (0)\n" },
	{ "deny", BROKER, "deny not 2001:db8::/32", "",
	    "-5 deny not 2001:db8::/32 (0)\n" },
	{ "acl permit", BROKER, "", "acl permit 10.0.0.1",
	    "+5 permit 10.0.0.1/32 (0)\n" },
	{ "acl deny", BROKER, "", "acl deny ::1", "+5 deny ::1/128 (0)\n" },
	{ "acl accept", BROKER, "", "acl accept ::/0",
	    "+5 permit ::/0 (0)\n" },
	{ "acl reject", BROKER, "acl reject ::1", "acl accept ::1",
	    "-5 deny ::1/128 (0)\n+5 permit ::1/128 (0)\n" },
	{ "bind retry delay", BROKER, "", "bind retry delay = 5",
	    "~0 /tmp/facts.sock bind retry delay: 0 > 5 (0)\n"
	    "~0 [::]:1234 bind retry delay: 0 > 5 (0)\n"
	    "~0 [::]:4433 bind retry delay: 0 > 5 (0)\n" },
	{ "tcp keepalive count", BROKER, "", "tcp keepalive count = 5",
	    "~0 /tmp/facts.sock tcp keepalive count: system's > 5 (1)\n"
	    "~0 [::]:1234 tcp keepalive count: system's > 5 (1)\n"
	    "~0 [::]:4433 tcp keepalive count: system's > 5 (1)\n" },
	{ "tcp keepalive idle", LISTEN, "", "tcp keepalive idle = 5",
	    "~0 [::]:1234 tcp keepalive idle: system's > 5 "
	    "(1)\n" },
	{ "tcp keepalive interval", LISTEN, "", "tcp keepalive interval = 5",
	    "~0 [::]:1234 tcp keepalive interval: system's > 5 "
	    "(1)\n" },
	{ "tcp bufsize", BROKER, "", "tcp bufsize = 65536",
	    "~7 tcp bufsize: 0 > 65536 (0)\n" },
	{ "single process", BROKER, "", "single process = yes",
	    "~7 single process: no > yes (3)\n" },
	{ "accept", LISTEN, "", "accept = workers",
	    "~0 [::]:1234 accept: master > workers (0)\n" },
	{ "status socket", BROKER, "status socket = /a", "status socket = /b",
	    "~7 status socket: /a > /b (3)\n" },
	{ "listen", BROKER, "", "listen { name = x port = 5555 }",
	    "+0 x (0)\n" },
	{ "spawn", BROKER, "", "spawn { users max = 39 }",
	    "~3 users max: 40 > 39 (0)\n" },
	{ "background", BROKER, "", "background = yes",
	    "~7 background: no > yes (3)\n" },
	{ "pidfile|pid-file", BROKER, "", "pidfile = /p",
	    "~7 pidfile: none > /p (0)\n"
	    "~7 status socket: none > /p.sock (3)\n" },
	{ "overload", BROKER, "", "overload = reset",
	    "~7 overload: queue > reset (0)\n" },
	{ "sticky cache period|timeout", BROKER, "",
	    "sticky cache timeout = 9", "~3 sticky cache period: 0 > 9 (0)\n"
	},
	{ "sticky cache size", SPAWN, "", "sticky cache size = 9",
	    "~3 sticky cache size: 1024 > 9 (0)\n" },

	{ "address", LISTEN, "", "address = 127.0.0.1",
	    "+0 [127.0.0.1]:1234 (0)\n"
	    "-0 [::]:1234 (0)\n" },
	{ "path", BROKER, "", "listen { path = /y }", "+0 /y (0)\n" },
	{ "port", BROKER, "listen { port = 7 }", "listen { port = 8 }",
	    "-0 [::]:7 (0)\n+0 [::]:8 (0)\n" },
	{ "realm", LISTEN, "", "realm = x",
	    "~0 [::]:1234 realm: none > x (1)\n" },
	{ "dscp", LISTEN, "", "dscp = 0",
	    "~0 [::]:1234 dscp: none > 0 (1)\n" },
	{ "vrf", LISTEN, "", "vrf = x", "-0 [::]:1234 (0)\n"
	    "+0 [::]:1234 vrf x (0)\n" },
	{ "tls|ssl", LISTEN, "tls = TLSv1.3", "tls = auto",
	    "~0 [::]:1234 tls: TLSv1.3 > auto (1)\n" },
	{ "tls|ssl psk", RELAY, "tls psk-file = /p",
	    "tls psk-file = /p }\nid = spawnd { listen { port = 6666 tls tls "
	    "psk = yes } }\nid = tcprelay {", "+0 [::]:6666 (0)\n" },
	{ "aaa.protocol", LISTEN, "", "aaa.protocol = radius.tcp",
	    "~0 [::]:1234 aaa.protocol: none > radius.tcp (1)\n" },
	{ "haproxy", LISTEN, "", "haproxy = yes",
	    "~0 [::]:1234 haproxy: no > yes (1)\n" },
	{ "mode", UNIX, "", "mode = 0600",
	    "~0 /tmp/facts.sock mode: 0644 > 0600 (0)\n" },
	{ "userid|user", UNIX, "", "userid = 7",
	    "~0 /tmp/facts.sock userid: none > 7 (0)\n" },
	{ "groupid|group", UNIX, "", "groupid = 7",
	    "~0 /tmp/facts.sock groupid: none > 7 (0)\n" },
	{ "backlog", LISTEN, "", "backlog = 200",
	    "~0 [::]:1234 backlog: 128 > 200 (0)\n" },
	{ "overload backlog", LISTEN, "", "overload backlog = 9",
	    "~0 [::]:1234 overload backlog: 128 > 9 (0)\n" },
	{ "name", LISTEN, "", "name = web",
	    "~0 web name: none > web (0)\n" },
	{ "flag", LISTEN, "", "flag = accounting",
	    "~0 [::]:1234 flag: access > accounting (1)\n" },
	{ "sticky cache size", LISTEN, "", "sticky cache size = 9",
	    "~0 [::]:1234 sticky cache period: shared > 0 (0)\n"
	    "~0 [::]:1234 sticky cache size: shared > 9 (0)\n" },

	{ "exec", SPAWN, "exec = /bin/true", "exec = /bin/false",
	    "~2 exec: /bin/true > /bin/false (2)\n"
	    "~2 id: true > false (2)\n" },
	{ "id", SPAWN, "", "id = x } } id = x { tls cert = /c remote { "
	    "address = 127.0.0.1 port = 9 } } id = spawnd { spawn {",
	    "~2 id: tcprelay > x (2)\n-4 sni /s (1)\n" },
	{ "config", SPAWN, "exec = /bin/true", "exec = /bin/true config = /x",
	    "~2 config: none > /x (2)\n" },
	{ "instances|servers min", SPAWN, "", "servers min = 1",
	    "~3 instances min: 2 > 1 (0)\n" },
	{ "instances|servers max", SPAWN, "", "instances max = 9",
	    "~3 instances max: 8 > 9 (0)\n" },
	{ "instances|servers minimum", SPAWN, "", "instances minimum = 0",
	    "~3 instances min: 2 > 0 (0)\n" },
	{ "instances|servers maximum", SPAWN, "", "instances maximum = 3",
	    "~3 instances max: 8 > 3 (0)\n" },
	{ "users min", SPAWN, "", "users min = 1",
	    "~3 users min: 5 > 1 (0)\n" },
	{ "users max", SPAWN, "", "users max = 99",
	    "~3 users max: 40 > 99 (0)\n" },
	{ "users minimum", SPAWN, "", "users minimum = 1",
	    "~3 users min: 5 > 1 (0)\n" },
	{ "users maximum", SPAWN, "", "users maximum = 99",
	    "~3 users max: 40 > 99 (0)\n" },
	{ "userid|user", SPAWN, "", "userid = 7",
	    "~2 userid: none > 7 (2)\n" },
	{ "groupid|group", SPAWN, "groupid = 8", "groupid = 7",
	    "~2 groupid: 8 > 7 (2)\n" },
	{ "working directory", SPAWN, "", "working directory = /x",
	    "~2 working directory: none > /x (2)\n" },
	{ "ipc key", SPAWN, "", "ipc key = 7", "~7 ipc key: 0 > 7 (0)\n" },

	{ "remote", RELAY, "", "remote { address = 127.0.0.1 port = 10 }",
	    "+1 [127.0.0.1]:10 (1)\n" },
	{ "local address", RELAY, "", "local address = 127.0.0.1",
	    "~7 local address: none > 127.0.0.1 (1)\n" },
	{ "rebalance", RELAY, "", "rebalance = 7",
	    "~3 rebalance: 0 > 7 (1)\n" },
	{ "retire", RELAY, "", "retire = 7", "~3 retire: 0 > 7 (1)\n" },
	{ "retire limit", RELAY, "", "retire limit = 7",
	    "~3 retire: 0 > 7 (1)\n" },
	{ "idle timeout", RELAY, "", "idle timeout = 7",
	    "~7 idle timeout: 0 > 7 (1)\n" },
	{ "connect timeout", RELAY, "", "connect timeout = 7",
	    "~7 connect timeout: 10 > 7 (1)\n" },
	{ "handshake timeout", RELAY, "", "handshake timeout = 7",
	    "~7 handshake timeout: 30 > 7 (1)\n" },
	{ "dead time", RELAY, "", "dead time = 7",
	    "~7 dead time: 60 > 7 (1)\n" },
	{ "log connections", RELAY, "", "log connections = yes",
	    "~7 log connections: no > yes (1)\n" },
	{ "key process", RELAY, "", "key process = yes",
	    "~2 key process: no > yes (2)\n" },
	{ "tls|ssl cert-file|certfile|cert", RELAY, "", "ssl cert = /x",
	    "~4 tls cert-file: /c > /x (1)\n" },
	{ "tls|ssl key-file|keyfile|key", RELAY, "tls key = /x",
	    "tls key = /y", "~4 tls key-file: /x > /y (1)\n" },
	{ "tls|ssl passphrase", RELAY, "tls passphrase = old",
	    "tls passphrase = new", "~4 tls passphrase: *** > *** (1)\n" },
	{ "tls|ssl psk-file", RELAY, "", "tls psk-file = /p",
	    "~4 tls psk-file: none > /p (1)\n" },
	{ "tls|ssl ca-file", RELAY, "", "tls ca-file = /a",
	    "~4 tls ca-file: none > /a (1)\n" },
	{ "tls|ssl verify", RELAY, "tls ca-file = /a tls verify = optional",
	    "tls ca-file = /a tls verify = required",
	    "~4 tls verify: optional > required (1)\n" },
	{ "tls|ssl ciphers", RELAY, "", "tls ciphers = X",
	    "~4 tls ciphers: none > X (1)\n" },
	{ "tls|ssl cipher-suites", RELAY, "", "tls cipher-suites = X",
	    "~4 tls cipher-suites: none > X (1)\n" },
	{ "tls|ssl tickets", RELAY, "", "tls tickets = no",
	    "~4 tls tickets: yes > no (1)\n" },
	{ "tls|ssl ticket lifetime", RELAY, "", "tls ticket lifetime = 900",
	    "~4 tls ticket lifetime: 7200 > 900 (1)\n" },
	{ "tls|ssl sni", RELAY, "", "tls sni { cert-file = /q }",
	    "+4 sni /q (1)\n" },

	{ "address", REMOTE, "", "pool = p } remote { address = 127.0.0.2 "
	    "port = 9", "-1 [127.0.0.1]:9 (1)\n"
	    "+1 [127.0.0.1]:9/p (1)\n+1 [127.0.0.2]:9 "
	    "(1)\n" },
	{ "port", REMOTE, "", "port = 10",
	    "+1 [127.0.0.1]:10 (1)\n"
	    "-1 [127.0.0.1]:9 (1)\n" },
	{ "weight", REMOTE, "", "weight = 7",
	    "~1 [127.0.0.1]:9 weight: 1 > 7 (1)\n" },
	{ "pool", REMOTE, "", "pool = p",
	    "-1 [127.0.0.1]:9 (1)\n"
	    "+1 [127.0.0.1]:9/p (1)\n" },
	{ "haproxy", REMOTE, "", "haproxy = v2",
	    "~1 [127.0.0.1]:9 haproxy: no > v2 (1)\n" },
	{ "tls|ssl", REMOTE, "tls", "tls = TLSv1.3",
	    "~1 [127.0.0.1]:9 tls: TLSv1.2,TLSv1.3 > TLSv1.3 "
	    "(1)\n" },
	{ "tls|ssl verify", REMOTE, "tls", "tls tls verify = no",
	    "~1 [127.0.0.1]:9 tls verify: yes > no (1)\n" },
	{ "tls|ssl name", REMOTE, "tls", "tls tls name = x",
	    "~1 [127.0.0.1]:9 tls name: none > x (1)\n" },
	{ "tls|ssl ca-file", REMOTE, "tls", "tls tls ca-file = /a",
	    "~1 [127.0.0.1]:9 tls ca-file: none > /a (1)\n" },
	{ "tls|ssl cert-file|certfile|cert", REMOTE, "tls",
	    "tls tls cert = /a",
	    "~1 [127.0.0.1]:9 cert-file: none > /a (1)\n" },
	{ "tls|ssl key-file|keyfile|key", REMOTE, "tls tls cert = /a",
	    "tls tls cert = /a tls key = /k",
	    "~1 [127.0.0.1]:9 key-file: none > /k (1)\n" },
	{ "tls|ssl passphrase", REMOTE, "tls tls cert = /a",
	    "tls tls cert = /a tls passphrase = x",
	    "~1 [127.0.0.1]:9 passphrase: none > *** (1)\n" },

	{ "name", SNI, "name = a name = b", "name = a",
	    "~4 sni /s name: a b > a (1)\n" },
	{ "cert-file|certfile|cert", SNI, "", "cert = /t",
	    "-4 sni /s (1)\n+4 sni /t (1)\n" },
	{ "key-file|keyfile|key", SNI, "", "key = /t",
	    "~4 sni /s key-file: none > /t (1)\n" },
	{ "passphrase", SNI, "", "passphrase = x",
	    "~4 sni /s passphrase: none > *** (1)\n" },
};

static void
test_directives(void **state)
{
	size_t n = sizeof(directives) / sizeof(*directives);
	unsigned wrong = 0;

	(void)state;
	if (!tls_available())
		skip();
	for (size_t i = 0; i < n; i++) {
		const struct directive *d = &directives[i];
		char *old = strdup(text_with(d->place, d->old));
		char *said = texts_compared(&tcprelay, old,
		    text_with(d->place, d->new));

		if (strcmp(said, d->said) != 0) {
			print_error("%s: %s, not %s", d->words, said,
			    d->said);
			wrong++;
		}
		free(said);
		said = texts_compared(&tcprelay, old, old);
		assert_string_equal(said, "");
		free(said);
		free(old);
	}
	assert_int_equal(wrong, 0);
}

/* Tables of the parser, and where above their directives are tried. */
static const struct {
	const struct kw	*table;
	unsigned	 places;
} tables[] = {
	{ common_kw, 1u << TOP | 1u << BROKER | 1u << RELAY },
	{ top_kw, 1u << TOP },
	{ broker_kw, 1u << BROKER | 1u << LISTEN },
	{ broker_conf_kw, 1u << BROKER | 1u << SPAWN },
	{ listen_kw, 1u << LISTEN | 1u << UNIX | 1u << BROKER | 1u << RELAY },
	{ spawn_kw, 1u << SPAWN },
	{ spawn_conf_kw, 1u << SPAWN | 1u << BROKER },
};

/* No directive makes a difference by itself here: those that only bring other
 * text, and those that have no effect or are refused. The last three are
 * tried below. */
static const char *const silent[] = {
	"include", "alias", "id", "regex-match-case", "syslog filter",
	"mavis", "type", "protocol", "verify key",
};

static bool
is_tried(const char *words, unsigned places)
{
	for (size_t i = 0; i < sizeof(silent) / sizeof(*silent); i++)
		if (strcmp(silent[i], words) == 0)
			return true;
	for (size_t i = 0; i < sizeof(directives) / sizeof(*directives); i++)
		if (strcmp(directives[i].words, words) == 0 &&
		    places & 1u << directives[i].place)
			return true;
	return false;
}

static void
table_tried(const struct kw *table, unsigned places)
{
	for (; table->kind != KW_KIND_END; table++)
		if (!is_tried(table->words, places))
			fail_msg("%s: nobody has tried whether a change of it "
			    "is seen", table->words);
}

static void
test_all_directives(void **state)
{
	const struct kw *const *theirs = tcprelay_section.reserved;

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		table_tried(tables[i].table, tables[i].places);
	for (int i = 0; theirs[i] != NULL; i++)
		table_tried(theirs[i], 1u << (RELAY + i));
}

/* What only a broker by itself can have. */
static void
test_broker_alone(void **state)
{
#define ALONE(l, w) "id = spawnd { listen { port = 1 } " l "spawn { "	\
	"exec = /bin/true id = w } } id = w { " w " }"
	static const struct {
		const char *old, *new, *said;
	} rows[] = {
		{ ALONE("", ""), ALONE("listen { port = 2 protocol = UDP } ",
		    ""), "+0 udp/[::]:2 (0)\n" },
		{ ALONE("listen { path = /x } ", ""),
		    ALONE("listen { path = /x type = SEQPACKET } ", ""),
		    "-0 /x (0)\n+0 seqpacket//x (0)\n" },
		{ ALONE("", "a = 1"), ALONE("", "a = 1"), "" },
		{ ALONE("", "a = 1"), ALONE("", "a = 2"),
		    "~2 text of the section: %s > %s (2)\n" },
		{ ALONE("", "a = \"1\""), ALONE("", "a = \"2\""),
		    "~2 text of the section: %s > %s (2)\n" },
		{ ALONE("", "id = w { }"), ALONE("", "id = x { }"),
		    "~2 text of the section: %s > %s (2)\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *said = texts_compared(&spawnd, rows[i].old,
		    rows[i].new), *from, *to;
		size_t shown = strcspn(rows[i].said, "%");

		if (strncmp(said, rows[i].said, shown) != 0 ||
		    (rows[i].said[shown] == '\0' && said[shown] != '\0'))
			fail_msg("%s, not %s", said, rows[i].said);
		if (rows[i].said[shown] == '%') {
			from = said + shown;
			to = from + 19;
			assert_int_equal(strspn(from, "0123456789abcdef"),
			    16);
			assert_memory_equal(from + 16, " > ", 3);
			assert_int_equal(strspn(to, "0123456789abcdef"), 16);
			assert_string_equal(to + 16, " (2)\n");
		}
		free(said);
	}
}

/* A worker's file of its own: that text counts, and no other. */
static void
test_foreign_file(void **state)
{
	char text[512], *said;
	struct facts *a, *b;

	(void)state;
	snprintf(text, sizeof(text), "id = spawnd { listen { port = 1 } "
	    "spawn { exec = /bin/true id = w config = %s } }",
	    try_file("worker", "one"));
	a = facts_of_text(&spawnd, text);
	try_file("worker", "two");
	b = facts_of_text(&spawnd, text);
	said = compared(a, b);
	assert_true(strncmp(said, "~2 text of the section: ", 24) == 0);
	free(said);
	facts_free(a);
	snprintf(text + strlen(text), sizeof(text) - strlen(text),
	    " id = other { }");
	a = facts_of_text(&spawnd, text);
	said = compared(a, b);
	assert_string_equal(said, "");
	free(said);
	facts_free(a);
	facts_free(b);
}

/* Files by what is in them: certificates show, whatever may be a key does
 * not. */
static void
test_contents(void **state)
{
	static const struct {
		const char	*name, *said;
	} rows[] = {
		{ "c", "~4 tls cert-file content: X > X (1)\n" },
		{ "k", "~4 tls key-file content: *** > *** (1)\n" },
		{ "a", "~4 tls ca-file content: X > X (1)\n" },
		{ "p", "~4 tls psk-file content: *** > *** (1)\n" },
		{ "s", "~4 sni DIR/s cert-file content: *** > *** (1)\n" },
		{ "r", "~1 [127.0.0.1]:9 tls ca-file content: "
		    "X > X (1)\n" },
		{ "o", "~1 [127.0.0.1]:9 cert-file content: "
		    "*** > *** (1)\n" },
	};
	static const char conf[] = "id = spawnd { listen { port = 1 tls = yes"
	    " } } id = tcprelay { tls cert = $/c tls key = $/k "
	    "tls ca-file = $/a tls verify = optional tls psk-file = $/p "
	    "tls sni { cert = $/s } remote { address = 127.0.0.1 port = 9 "
	    "tls tls ca-file = $/r tls cert = $/o } }";
	char text[2048];
	size_t len = 0;

	(void)state;
	if (!tls_available())
		skip();
	for (const char *p = conf; *p != '\0'; p++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    *p == '$' ? "%s" : "%.1s", *p == '$' ? try_dir : p);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		try_file(rows[i].name, "old");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct facts *a = facts_of_text(&tcprelay, text), *b;
		char *said;
		const char *p = rows[i].said, *q;

		try_file(rows[i].name, "new");
		b = facts_of_text(&tcprelay, text);
		q = said = compared(a, b);
		for (; *p != '\0'; p++) {
			if (strncmp(p, "DIR", 3) == 0) {
				assert_memory_equal(q, try_dir,
				    strlen(try_dir));
				q += strlen(try_dir);
				p += 2;
			} else if (*p == 'X') {
				assert_int_equal(strspn(q,
				    "0123456789abcdef"), 16);
				q += 16;
			} else if (*p != *q++)
				fail_msg("%s, not %s", said, rows[i].said);
		}
		assert_int_equal(*q, '\0');
		free(said);
		facts_free(a);
		facts_free(b);
	}
}

static void
test_verify_key(void **state)
{
	static const char key[] = "-----BEGIN PUBLIC KEY-----\n"
	    "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
	    "-----END PUBLIC KEY-----\n";
	char top[256], wanted[256], *plain, *said;
	const char *path;

	(void)state;
	if (!tls_available())
		skip();
	path = try_file("key", key);
	snprintf(top, sizeof(top), "verify key = %s", path);
	snprintf(wanted, sizeof(wanted), "~7 verify key: none > %s (0)\n",
	    path);
	plain = strdup(text_with(TOP, ""));
	said = texts_compared(&tcprelay, plain, text_with(TOP, top));
	assert_string_equal(said, wanted);
	free(said);
	free(plain);
}

/* A certificate that no listener needs is not read, by nobody. */
static void
test_not_needed(void **state)
{
	char text[256], *said;
	struct facts *a, *b;

	(void)state;
	snprintf(text, sizeof(text), "id = spawnd { listen { port = 1 } } "
	    "id = tcprelay { tls cert = %s remote { address = 127.0.0.1 "
	    "port = 9 } }", try_file("cert", "old"));
	a = facts_of_text(&tcprelay, text);
	try_file("cert", "new");
	b = facts_of_text(&tcprelay, text);
	said = compared(a, b);
	assert_string_equal(said, "");
	free(said);
	facts_free(a);
	facts_free(b);
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
		cmocka_unit_test(test_directives),
		cmocka_unit_test(test_all_directives),
		cmocka_unit_test(test_broker_alone),
		cmocka_unit_test(test_foreign_file),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_verify_key),
		cmocka_unit_test(test_not_needed),
	};

	return cmocka_run_group_tests(tests, try_setup, try_teardown);
}
