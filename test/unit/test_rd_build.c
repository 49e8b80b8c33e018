/*
 * The builder of relayd's configuration, driven as the parser drives it: how
 * instances, hosts and relays are numbered, and how the canonical text looks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "misc/tls.h"
#include "relayd/rd_build.h"
#include "relayd/rd_keypair.h"

/* One configuration; the line counts statements. */
static struct diag *diag;
static struct source *source;
static struct rd_build *build;
static unsigned line;

static const struct rd_request request = { .file = "r.conf",
    .directory = "/where" };

static int
begin(void **state)
{
	(void)state;
	diag = diag_new();
	diag_every(diag);
	source = source_empty();
	build = rd_build_new(&request, source, diag);
	line = 0;
	return build == NULL;
}

static const struct diag_place *
here(void)
{
	static struct diag_place place;

	place = (struct diag_place){ .file = "r.conf", .line = line };
	return &place;
}

static struct rd_word
word(const char *text)
{
	return (struct rd_word){ .text = text,
	    .len = text == NULL ? 0 : strlen(text), .place = *here() };
}

#define W(text)		(&(struct rd_word[]){ word(text) }[0])
#define N(number)	(&(struct rd_number[]){ { (number), true, *here() } }[0])

static const struct rd_number no_number;

static struct rd_port *
port(unsigned number)
{
	static struct rd_port p;

	p = (struct rd_port){ .given = true, .is_number = true,
	    .number = { number, true, *here() } };
	return &p;
}

static struct rd_conf *
end(void)
{
	struct diag_place place = *here();
	struct rd_conf *c = rd_build_end(build, &place);
	char text[256];

	if (c == NULL)
		fail_msg("%s", diag_first(diag, text, sizeof text));
	return c;
}

static void
done(struct rd_conf *c)
{
	rd_conf_unref(c);
	diag_free(diag);
}

static void
table(const char *name, bool disabled, const char *const *hosts)
{
	line++;
	rd_table_begin(build, W(name));
	if (disabled)
		rd_table_disable(build);
	for (; *hosts != NULL; hosts++) {
		line++;
		rd_host(build, W(*hosts));
	}
	rd_table_end(build);
}
#define TABLE(name, ...) \
	table(name, false, (const char *const []){ __VA_ARGS__, NULL })

static void
check_tcp(void)
{
	struct rd_check_text c = { .kind = RD_CHECK_TCP, .place = *here() };

	rd_use_check(build, &c);
}

/* 0: without. */
static void
forward(const char *name, unsigned number, unsigned timeout)
{
	struct rd_forward f = { .table = true };

	line++;
	f.place = *here();
	rd_use_begin(build, W(name));
	if (number != 0)
		rd_use_port(build, port(number));
	if (timeout != 0)
		rd_use_timeout(build, N(timeout));
	check_tcp();
	rd_relay_forward(build, &f);
}

static void
relay_begin(const char *name, const char *address)
{
	line++;
	rd_relay_begin(build, W(name));
	line++;
	rd_relay_listen(build, W(address), port(80), false);
}

/* ---- numbers ---- */

/* The example of 4.2. */
static void
test_hosts(void **state)
{
	struct rd_conf *c;

	(void)state;
	TABLE("a", "10.0.0.1", "10.0.0.2");
	TABLE("b", "10.0.1.1");
	line++;
	rd_redirect_begin(build, W("r"));
	rd_redirect_listen(build, W("192.0.2.1"), W(NULL), port(80), W(NULL),
	    false);
	rd_use_begin(build, W("a"));
	check_tcp();
	rd_redirect_to(build, false, false, W(NULL), here());
	rd_use_begin(build, W("b"));
	check_tcp();
	rd_redirect_to(build, false, false, W(NULL), here());
	rd_redirect_end(build);
	relay_begin("y", "192.0.2.2");
	forward("a", 0, 0);
	rd_relay_end(build);
	c = end();
	assert_int_equal(c->ntables, 3);
	assert_string_equal(c->tables[0]->name, "a:80");
	assert_string_equal(c->tables[1]->name, "b:80");
	assert_string_equal(c->tables[2]->name, "a:80");
	assert_int_equal(c->nhosts, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(c->hosts[i]->id, i + 1);
	assert_ptr_equal(c->hosts[2], &c->tables[1]->hosts[0]);
	assert_string_equal(c->hosts[3]->name, "10.0.0.1");
	assert_ptr_equal(c->redirects[0]->backup.table, c->tables[1]);
	assert_false(c->tables[0]->port_given);
	done(c);
}

static struct rd_table *
used(const struct rd_conf *c, size_t i)
{
	return c->relays[0]->tables[i].table;
}

static void
test_sharing(void **state)
{
	struct rd_conf *c;

	(void)state;
	TABLE("a", "10.0.0.1");
	table("off", true, (const char *const []){ "10.0.0.2", NULL });
	relay_begin("y", "192.0.2.2");
	forward("a", 80, 0);		/* 0 */
	forward("a", 80, 0);		/* 1: no timeout, never shared */
	forward("a", 80, 500);		/* 2 */
	forward("a", 80, 500);		/* 3: the same */
	forward("a", 0, 500);		/* 4: port not explicit */
	forward("a", 81, 500);		/* 5: another name */
	forward("a", 80, 200);		/* 6: what 0 inherited */
	forward("off", 80, 500);	/* 7 */
	forward("off", 80, 500);	/* 8: disabled, not shared */
	rd_relay_end(build);
	c = end();
	assert_ptr_not_equal(used(c, 0), used(c, 1));
	assert_ptr_not_equal(used(c, 1), used(c, 2));
	assert_ptr_equal(used(c, 2), used(c, 3));
	assert_ptr_not_equal(used(c, 3), used(c, 4));
	assert_string_equal(used(c, 4)->name, "a:80");
	assert_string_equal(used(c, 5)->name, "a:81");
	assert_ptr_equal(used(c, 6), used(c, 0));
	assert_ptr_not_equal(used(c, 7), used(c, 8));
	assert_true(used(c, 8)->disabled);
	assert_int_equal(c->ntables, 7);
	assert_int_equal(used(c, 0)->timeout, 200);
	done(c);
}

/* A table keeps the timeout of its definition; intervals follow the last. */
static void
test_order(void **state)
{
	struct rd_conf *c;

	(void)state;
	rd_global_number(build, RD_GLOBAL_TIMEOUT, N(700));
	TABLE("a", "10.0.0.1");
	rd_global_number(build, RD_GLOBAL_TIMEOUT, N(300));
	rd_global_number(build, RD_GLOBAL_INTERVAL, N(5));
	relay_begin("y", "192.0.2.2");
	rd_use_begin(build, W("a"));
	rd_use_interval(build, N(15));
	rd_relay_forward(build, &(struct rd_forward){ .table = true });
	rd_relay_end(build);
	c = end();
	assert_int_equal(used(c, 0)->timeout, 700);
	assert_int_equal(used(c, 0)->interval, 15);
	assert_int_equal(used(c, 0)->skip, 2);
	assert_int_equal(c->timeout, 300);
	done(c);
}

/* Further listeners get their numbers when the block ends. */
static void
test_listeners(void **state)
{
	struct rd_conf *c;

	(void)state;
	TABLE("a", "10.0.0.1");
	relay_begin("www", "192.0.2.1");
	rd_relay_listen(build, W("192.0.2.1"), port(81), false);
	rd_relay_listen(build, W("2001:db8::1"), port(80), false);
	forward("a", 0, 0);
	rd_session_timeout(build, N(9));
	rd_relay_end(build);
	relay_begin("next", "192.0.2.3");
	forward("a", 8080, 0);
	rd_relay_end(build);
	c = end();
	assert_int_equal(c->nrelays, 4);
	assert_string_equal(c->relays[0]->name, "www");
	assert_string_equal(c->relays[1]->name, "www2:81");
	assert_string_equal(c->relays[2]->name, "www3:80");
	assert_string_equal(c->relays[3]->name, "next");
	assert_int_equal(c->relays[3]->id, 4);
	assert_int_equal(net_port(&c->relays[1]->listen), 81);
	assert_int_equal(c->relays[2]->listen.sa.sa_family, AF_INET6);
	assert_ptr_equal(c->relays[2]->tables, c->relays[0]->tables);
	assert_int_equal(c->relays[2]->timeout, 9);
	/* the default: port of the last one above */
	assert_string_equal(used(c, 0)->name, "a:80");
	done(c);
}

/* ---- keys ---- */

static void
test_keys(void **state)
{
	/* MD5 of "secret" */
	static const uint32_t secret[4] = { 0x5ebe2294, 0xecd0e0f0,
	    0x8eab7690, 0xd2a6ee69 };
	static const uint32_t hex[4] = { 0x00010203, 0x04050607, 0x08090a0b,
	    0x0c0d0e0f };
	struct rd_conf *c;

	(void)state;
	TABLE("a", "10.0.0.1");
	relay_begin("one", "192.0.2.1");
	rd_use_begin(build, W("a"));
	rd_use_mode(build, RD_RANDOM, "random", W(NULL), here());
	rd_relay_forward(build, &(struct rd_forward){ .table = true });
	rd_use_begin(build, W("a"));
	rd_use_mode(build, RD_HASH, "hash", W("secret"), here());
	rd_relay_forward(build, &(struct rd_forward){ .table = true });
	rd_use_begin(build, W("a"));
	rd_use_mode(build, RD_LOADBALANCE, "loadbalance",
	    W("0x000102030405060708090A0b0c0d0e0f"), here());
	rd_relay_forward(build, &(struct rd_forward){ .table = true });
	rd_relay_end(build);
	relay_begin("two", "192.0.2.2");
	rd_use_begin(build, W("a"));
	rd_use_mode(build, RD_LOADBALANCE, "loadbalance",
	    W("0x000102030405060708090A0b0c0d0e0f"), here());
	rd_relay_forward(build, &(struct rd_forward){ .table = true });
	rd_relay_end(build);
	c = end();
	assert_false(c->relays[0]->tables[0].key.given);
	assert_memory_equal(c->relays[0]->tables[1].key.word, secret,
	    sizeof secret);
	/* all use that of the first keyed one */
	assert_memory_equal(c->relays[0]->tables[2].key.word, secret,
	    sizeof secret);
	assert_int_equal(c->relays[0]->tables[2].mode, RD_LOADBALANCE);
	assert_memory_equal(c->relays[1]->tables[0].key.word, hex,
	    sizeof hex);
	done(c);
}

/* ---- text ---- */

static void
small_relay(void)
{
	struct rd_forward f = { .target = RD_TO_ADDRESS, .place = *here() };

	relay_begin("www", "192.0.2.1");
	f.address = word("10.0.0.9");
	rd_relay_forward(build, &f);
	rd_relay_end(build);
}
#define SMALL_RELAY \
	"relay \"www\" {\n\tlisten on 192.0.2.1 port 80\n" \
	"\tforward to 10.0.0.9\n}\n"

static void
test_text(void **state)
{
	struct rd_conf *c;

	(void)state;
	rd_global_number(build, RD_GLOBAL_INTERVAL, N(30));
	rd_global_log(build, RD_LOG_STATE | RD_LOG_CHECKS, here());
	TABLE("hash", "10.0.0.1");
	rd_host_flag(build, RD_HOST_RETRY, N(0));
	rd_protocol_begin(build, NULL, W("a \"b\" \\'"));
	rd_list_begin(build, RD_LIST_TCP, here());
	rd_tcp_option(build, RD_TCP_NODELAY, false, &no_number, NULL,
	    here());
	rd_tcp_option(build, RD_TCP_BACKLOG, true, N(1), NULL, here());
	rd_tcp_option(build, RD_TCP_NODELAY, true, &no_number, NULL, here());
	rd_tcp_option(build, RD_TCP_BACKLOG, true, N(256), NULL, here());
	rd_list_end(build);
	if (tls_available()) {
		rd_list_begin(build, RD_LIST_TLS, here());
		rd_tls_option(build, RD_TLS_FLAG, true, W("sslv3"), NULL, here());
		rd_list_end(build);
	}
	rd_list_begin(build, RD_LIST_ERROR, here());
	rd_return_error(build, W(NULL), here());
	rd_list_end(build);
	rd_protocol_end(build);
	rd_protocol_begin(build, W("dns"), W("back\\\"slash"));
	rd_protocol_end(build);
	rd_global_log(build, RD_LOG_CONN, here());
	small_relay();
	c = end();
	assert_string_equal(c->text, "interval 30\n"
	    "log state changes\nlog host checks\n"
	    "\n"
	    "table <\"hash\"> {\n\t10.0.0.1\n}\n"
	    "\n"
	    "protocol \"a \\\"b\\\" \\'\" {\n"
	    "\ttcp { no nodelay, nodelay, backlog 256 }\n"
	    "\treturn error\n}\n"
	    "\n"
	    "dns protocol 'back\\\"slash'\n"
	    "\n"
	    "log connection\n"
	    "\n"
	    SMALL_RELAY);
	assert_int_equal(c->protocols[1]->tcp.nodelay, RD_OFF);
	assert_int_equal(c->log, RD_LOG_STATE | RD_LOG_CHECKS | RD_LOG_CONN |
	    RD_LOG_ERRORS);
	done(c);
}

static void
file_add(const char *name, const char *text)
{
	source_add(source, SOURCE_TEXT, name, text, strlen(text));
}

static void
test_rule_file(void **state)
{
	struct rd_rule_head head = { .action = RD_BLOCK };
	struct rd_lookup_text path = { .part = RD_PATH };
	struct rd_match_text file = { .matcher = RD_NATURAL }, value = file;
	const struct rd_protocol *p;
	struct rd_conf *c;

	(void)state;
	file_add("/where/list", "# comment\n/a* and more\n\n/b\r\n \t\n/c");
	rd_protocol_begin(build, W("http"), W("p"));
	rd_rule_begin(build, &head);
	rd_rule_lookup(build, &path);
	rd_rule_option(build, RD_RULE_LABEL, W("l"), here());
	file.word = word("list");
	rd_rule_file(build, &file, &value);
	rd_rule_end(build);
	rd_rule_begin(build, &head);
	rd_rule_end(build);
	rd_protocol_end(build);
	small_relay();
	c = end();
	p = c->protocols[1];
	assert_int_equal(p->nrules, 4);
	assert_string_equal(p->rules[0].parts[RD_PATH].key.text, "/a*");
	assert_string_equal(p->rules[1].parts[RD_PATH].key.text, "/b");
	assert_string_equal(p->rules[2].parts[RD_PATH].key.text, "/c");
	assert_true(p->rules[2].parts[RD_PATH].key.from_file);
	assert_null(p->rules[2].parts[RD_PATH].value.text);
	assert_string_equal(p->rules[2].label, "l");
	assert_int_equal(p->rules[3].id, 4);
	assert_non_null(strstr(c->text,
	    "\tblock request path file \"list\" label \"l\"\n"
	    "\tblock request\n"));
	done(c);
}

/* What a file says that is named counts, too. */
static void
digest_of(const char *list, uint8_t digest[32])
{
	struct rd_rule_head head = { .action = RD_BLOCK };
	struct rd_lookup_text path = { .part = RD_PATH, .file = true };
	struct rd_conf *c;

	begin(NULL);
	file_add("/list", list);
	rd_protocol_begin(build, W("http"), W("p"));
	rd_rule_begin(build, &head);
	path.key.word = word("/list");
	rd_rule_lookup(build, &path);
	rd_rule_end(build);
	rd_protocol_end(build);
	small_relay();
	c = end();
	memcpy(digest, c->digest, 32);
	done(c);
}

static void
test_digest(void **state)
{
	uint8_t a[32], b[32], other[32];

	(void)state;
	digest_of("/a\n", a);
	digest_of("/a\n", b);
	digest_of("/b\n", other);
	assert_memory_equal(a, b, sizeof a);
	assert_memory_not_equal(a, other, sizeof a);
}

/* ---- certificates ---- */

static void
test_keypair(void **state)
{
	static const struct {
		const char	*files[5];	/* that there are */
		struct rd_keypair pair;		/* name NULL: by address */
		const char	*cert, *key, *ocsp;	/* cert NULL: fails */
		const char	*failed;
	} rows[] = {
		{ { "/etc/ssl/a:443.crt", "/etc/ssl/a.crt",
		    "/etc/ssl/private/a:443.key" }, { .name = "a" },
		    "/etc/ssl/a:443.crt", "/etc/ssl/private/a:443.key", NULL,
		    NULL },
		{ { "/etc/ssl/a.crt", "/etc/ssl/private/a.key",
		    "/etc/ssl/private/a:443.key", "/etc/ssl/a.ocsp" },
		    { .name = "a" }, "/etc/ssl/a.crt",
		    "/etc/ssl/private/a.key", "/etc/ssl/a.ocsp", NULL },
		/* no way back from one to the other */
		{ { "/etc/ssl/a:443.crt", "/etc/ssl/a.crt",
		    "/etc/ssl/private/a.key" }, { .name = "a" }, NULL, NULL,
		    NULL, "/etc/ssl/private/a:443.key" },
		{ { "/etc/ssl/b.crt" }, { .name = "a" }, NULL, NULL, NULL,
		    "/etc/ssl/a.crt" },
		{ { "/etc/ssl/2001:db8::1.crt",
		    "/etc/ssl/private/2001:db8::1.key" }, { .name = NULL },
		    "/etc/ssl/2001:db8::1.crt",
		    "/etc/ssl/private/2001:db8::1.key", NULL, NULL },
		{ { "/x/c", "/etc/ssl/private/a.key" }, { .name = "a",
		    .cert = "/x/c" }, "/x/c", "/etc/ssl/private/a.key", NULL,
		    NULL },
		{ { "/x/c", "/x/k" }, { .name = "a", .cert = "/x/c",
		    .key = "/x/k", .ocsp = "/x/o" }, NULL, NULL, NULL,
		    "/x/o" },
	};
	struct net_addr listen;

	(void)state;
	assert_true(net_parse_ip("2001:db8::1", &listen));
	net_set_port(&listen, 443);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct rd_keypair_files files;
		const char *failed;
		int rc;

		begin(NULL);
		for (size_t k = 0; k < 5 && rows[i].files[k] != NULL; k++)
			file_add(rows[i].files[k], "x");
		rc = rd_keypair_find(source, rd_build_arena(build),
		    rows[i].pair.name == NULL ? NULL : &rows[i].pair,
		    &listen, &files, &failed);
		assert_int_equal(rc, rows[i].cert == NULL ? -1 : 0);
		if (rc == -1) {
			assert_string_equal(failed, rows[i].failed);
		} else {
			assert_string_equal(files.cert, rows[i].cert);
			assert_string_equal(files.key, rows[i].key);
			if (rows[i].ocsp == NULL)
				assert_null(files.ocsp);
			else
				assert_string_equal(files.ocsp, rows[i].ocsp);
		}
		small_relay();
		done(end());
	}
}

/* ---- names that the system knows ---- */

static void
warned(const char *line)
{
	char *said;
	size_t len;
	FILE *fp = open_memstream(&said, &len);

	assert_non_null(fp);
	diag_print(diag, fp, NULL, false);
	fclose(fp);
	assert_non_null(strstr(said, line));
	free(said);
}

/* The resolver would take these for 10.0.0.1 and 127.0.0.1. */
static void
test_short_addresses(void **state)
{
	static const char *const wrong[] = { "10.1", "10", "0x7f.1",
	    "10.0.0.256", "1.2.3.4.5" };
	struct source *system = source_gather(NULL);
	const struct diag_place *place;
	char want[256];

	(void)state;
	assert_non_null(system);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		diag = diag_new();
		build = rd_build_new(&request, system, diag);
		TABLE("a", wrong[i]);
		assert_null(rd_build_end(build, here()));
		snprintf(want, sizeof want, "cannot resolve host \"%s\"",
		    wrong[i]);
		assert_string_equal(diag_first_text(diag, &place), want);
		diag_free(diag);
	}
	source_free(system);
}

static void
test_names(void **state)
{
	struct source *system = source_gather(NULL);
	struct net_addr *addrs;
	unsigned number;
	struct rd_conf *c;
	int n, proto = 0;

	(void)state;
	assert_non_null(system);
	n = source_interface(system, "lo", &addrs);
	if (n < 1 || source_service(system, "domain", "tcp", &number) == -1 ||
	    source_protocol(system, "udp", &proto) == -1) {
		source_free(system);
		skip();
	}
	diag = diag_new();
	diag_every(diag);
	source = system;
	build = rd_build_new(&request, source, diag);
	line = 0;
	TABLE("a", "lo");
	line++;
	rd_redirect_begin(build, W("r"));
	rd_redirect_listen(build, W("lo"), W("udp"), &(struct rd_port){
	    .given = true, .word = word("domain:1000") }, W("lo"), false);
	rd_use_begin(build, W("a"));
	check_tcp();
	rd_redirect_to(build, false, false, W(NULL), here());
	rd_redirect_end(build);
	c = end();
	assert_int_equal(c->redirects[0]->nlistens, n);
	assert_int_equal(c->redirects[0]->listens[0].port, 53);
	assert_int_equal(c->redirects[0]->listens[0].port_to, 1000);
	assert_int_equal(c->redirects[0]->listens[0].proto, proto);
	assert_string_equal(c->redirects[0]->listens[0].proto_name, "udp");
	/* the lowest of the range is where checks go */
	assert_string_equal(c->tables[0]->name, "a:53");
	assert_string_equal(c->hosts[0]->name, "lo");
	assert_false(c->hosts[0]->by_name);
	assert_non_null(strstr(c->text,
	    "\tlisten on lo udp port domain:1000 interface lo\n"));
	if (n > 1)
		warned("r.conf:2: warning: \"lo\" resolves to more than 1 "
		    "address, using 127.0.0.1\n");
	done(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_hosts, begin),
		cmocka_unit_test_setup(test_sharing, begin),
		cmocka_unit_test_setup(test_order, begin),
		cmocka_unit_test_setup(test_listeners, begin),
		cmocka_unit_test_setup(test_keys, begin),
		cmocka_unit_test_setup(test_text, begin),
		cmocka_unit_test_setup(test_rule_file, begin),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_short_addresses),
		cmocka_unit_test(test_keypair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
