/*
 * Whole configurations: those of the specification with what they come to,
 * every directive's value, forms that old manuals show, and that a bundle
 * gives the same everywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <cmocka.h>

#include "conf_try.h"
#include "misc/log.h"
#include "spawnd/board.h"
#include "spawnd/spawnd.h"

#define CORPUS	"test/fuzz/corpus/conf/"

/* ---- configurations of the specification ---- */

/* Where the machine has no such program or file: what stands for it. */
static const struct {
	const char	*from, *to;
} stands_for[] = {
	{ "/usr/local/libexec/tcprelay", "/bin/true" },
	{ "/opt/relay/%O/sbin/tcprelay", "/bin/true" },
	{ "/usr/local/sbin/aaa-worker", "/bin/true" },
	{ "/etc/relay/remotes.inc", "\"$CONFDIR/remotes.inc\"" },
};

static char *
file_read(const char *path)
{
	char *text = NULL;
	size_t len = 0;
	FILE *in = fopen(path, "r"), *out = open_memstream(&text, &len);
	int c;

	if (in == NULL)
		fail_msg("%s: cannot be read", path);
	while ((c = getc(in)) != EOF)
		putc(c, out);
	fclose(in);
	fclose(out);
	return text;
}

static const char *
replaced(const char *text)
{
	static char out[8192];
	size_t len = 0;

	while (*text != '\0') {
		size_t i, n = sizeof stands_for / sizeof stands_for[0];

		for (i = 0; i < n; i++) {
			size_t from = strlen(stands_for[i].from);

			if (strncmp(text, stands_for[i].from, from) == 0) {
				len += (size_t)snprintf(out + len,
				    sizeof out - len, "%s", stands_for[i].to);
				text += from;
				break;
			}
		}
		if (i == n)
			out[len++] = *text++;
		assert_true(len < sizeof out - 100);
	}
	out[len] = '\0';
	return out;
}

static void
number_begin(struct try *t, const struct program *program, const char *number)
{
	char path[64], *text;

	snprintf(path, sizeof path, CORPUS "%s.conf", number);
	text = file_read(path);
	try_begin(t, program, try_file(number, replaced(text)));
	free(text);
}

#define BOTH	1	/* programs that can use it */
#define ALONE	2

/* Listeners and destinations it comes to, lines of warnings it gives. */
static const struct {
	const char	*number, *broker, *worker;
	int		 programs;
	size_t		 listeners, remotes;
	unsigned	 warnings;
} numbers[] = {
	{ "01", NULL, NULL, 0, 4, 1, 0 },
	{ "02", NULL, NULL, 0, 1, 1, 0 },
	{ "03", NULL, NULL, BOTH, 1, 0, 0 },
	{ "04", NULL, NULL, 0, 1, 3, 0 },
	{ "05", NULL, NULL, 0, 3, 1, 0 },
	{ "06", NULL, NULL, 0, 1, 1, 0 },
	{ "07", NULL, NULL, 0, 1, 1, 0 },
	{ "08", NULL, NULL, 0, 1, 1, 0 },
	{ "09", NULL, NULL, 0, 2, 1, 0 },
	{ "10", NULL, NULL, 0, 1, 1, 0 },
	{ "11", "front-spawnd", "front", 0, 1, 1, 0 },
	{ "11", "back-spawnd", "back", 0, 1, 1, 0 },
	{ "14", NULL, NULL, 0, 2, 2, 0 },
	{ "15", NULL, NULL, 0, 0, 1, 0 },
	{ "16", NULL, NULL, 0, 2, 1, 0 },
	{ "18", NULL, NULL, 0, 1, 2, 0 },
	{ "19", NULL, NULL, 0, 2, 1, 0 },
	{ "20", NULL, NULL, 0, 1, 1, 0 },
	{ "21", NULL, NULL, 0, 1, 1, 1 },
	{ "22", NULL, NULL, ALONE, 5, 0, 0 },
	{ "24", NULL, NULL, 0, 2, 2, 0 },
	{ "25-1", NULL, NULL, 0, 1, 1, 0 },
	{ "26", NULL, NULL, 0, 1, 1, 1 },
	{ "27", NULL, NULL, 0, 2, 1, 0 },
	{ "28", NULL, NULL, 0, 2, 3, 1 },
};

/* Refused for want of a library only. */
static bool
wants_tls(const struct try *t)
{
	for (unsigned i = 0; !tls_available() && i < t->nlines; i++) {
		if (strstr(t->lines[i], "built without TLS") != NULL)
			return true;
	}
	return false;
}

static void
number_check(const struct program *program, size_t i)
{
	const struct config *c;
	struct try t;

	number_begin(&t, program, numbers[i].number);
	t.request.broker_id = numbers[i].broker;
	t.request.worker_id = numbers[i].worker;
	try_compile(&t, source_gather(NULL));
	if (t.compiled == NULL && wants_tls(&t)) {
		try_end(&t);
		return;
	}
	if (t.compiled == NULL || t.nlines != numbers[i].warnings)
		fail_msg("%s: %s: %u lines: %s", program->name,
		    numbers[i].number, t.nlines,
		    t.nlines > 0 ? t.lines[0] : "");
	assert_int_equal(t.compiled->broker.nlisteners,
	    numbers[i].listeners);
	c = t.compiled->worker;
	assert_int_equal(c == NULL ? 0 : c->nremotes, program->broker_only ?
	    0 : numbers[i].remotes);
	try_end(&t);
}

static void
test_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		if (numbers[i].programs != ALONE)
			number_check(&try_tcprelay, i);
		if (numbers[i].programs != 0)
			number_check(&try_spawnd, i);
	}
}

/* Those that cannot be used, and why. */
static void
test_number_errors(void **state)
{
	static const struct {
		const char	*number, *line;
	} want[] = {
		{ "25", "25:2: users min: '1users' is not a number" },
		{ "23", "23:4: mavis: built without MAVIS support" },
	};
	struct try t;

	(void)state;
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		number_begin(&t, &try_tcprelay, want[i].number);
		try_compile(&t, source_gather(NULL));
		assert_string_equal(t.lines[0], want[i].line);
		try_end(&t);
	}
	number_begin(&t, &try_tcprelay, "29");
	try_compile(&t, source_gather(NULL));
	assert_string_equal(t.lines[0], "29:1: verify key: cannot read "
	    "'/etc/relay/config.pub': No such file or directory");
	assert_int_equal(t.status, 78);
	try_end(&t);
}

static void
address_is(const struct net_addr *a, const char *want)
{
	char text[NET_TEXT];

	assert_string_equal(net_text(a, text), want);
}

/* The founding sample: its blocks share a port, and all must serve. */
static void
test_number_1(void **state)
{
	const struct listener_conf *l;
	const struct config *c;
	struct try t;

	(void)state;
	if (!tls_available())
		skip();
	number_begin(&t, &try_tcprelay, "01");
	try_compile(&t, source_gather(NULL));
	l = t.compiled->broker.listeners;
	address_is(&l[0].addr, "[0.0.0.0]:3022");
	assert_false(l[0].both);
	address_is(&l[1].addr, "[::]:3022");
	assert_true(l[1].v6only);
	address_is(&l[2].addr, "[::]:3024");
	assert_false(l[2].v6only);
	address_is(&l[3].addr, "[::]:3025");
	assert_true(l[3].both);
	assert_int_equal(l[3].versions, SPAWND_TLS_1_2 | SPAWND_TLS_1_3);
	assert_string_equal(l[3].name, "listener-4");
	assert_int_equal(l[3].index, 3);
	assert_int_equal(t.compiled->broker.spawn.users_max, 3000);
	assert_int_equal(t.compiled->broker.spawn.users_min, 15);
	assert_int_equal(t.compiled->broker.spawn.instances_min, 2);
	assert_int_equal(t.compiled->broker.spawn.instances_max, 12);
	c = t.compiled->worker;
	assert_true(c->tls.needed);
	assert_string_equal(c->tls.main->cert.path,
	    "/etc/ssl/private/edge.pem");
	assert_string_equal(c->tls.main->passphrase, "98765");
	assert_int_equal(c->tls.main->cert.place.line, 17);
	assert_string_equal(c->remotes[0].identity,
	    "tcp/[192.0.2.22]:22/default");
	assert_string_equal(c->remotes[0].text, "[192.0.2.22]:22");
	try_end(&t);
}

static void
test_number_4(void **state)
{
	const struct config *c;
	struct try t;

	(void)state;
	number_begin(&t, &try_tcprelay, "04");
	try_compile(&t, source_gather(NULL));
	c = t.compiled->worker;
	assert_int_equal(t.compiled->broker.spawn.users_max, 2048);
	assert_int_equal(c->remotes[0].weight, 3);
	assert_int_equal(net_port(&c->remotes[0].addr), 443);
	assert_int_equal(c->remotes[2].weight, 1);
	address_is(&c->local, "[192.0.2.4]:0");
	assert_int_equal(c->rebalance, 5000);
	assert_int_equal(c->retire, 1000000);
	assert_int_equal(c->idle, 1800);
	assert_int_equal(c->connect, 4);
	assert_int_equal(c->dead, 120);
	assert_int_equal(c->handshake, 30);
	assert_int_equal(config_row_count(t.compiled), 3);
	try_end(&t);
}

static void
test_number_6(void **state)
{
	static const struct {
		const char	*peer;
		bool		 permitted;
		unsigned	 line;
	} want[] = {
		{ "127.9.9.9", true, 0 },
		{ "203.0.113.200", false, 3 },
		{ "203.0.113.100", true, 0 },
		{ "2001:db8:4f::1", true, 0 },
		{ "::1", true, 0 },
		{ "198.51.100.7", false, 7 },
		{ "198.51.100.8", true, 0 },
		{ "192.0.2.1", true, 0 },
		{ "192.0.3.1", false, 9 },
		{ "2001:db8:50::1", false, 9 },
	};
	struct try t;

	(void)state;
	number_begin(&t, &try_tcprelay, "06");
	try_compile(&t, source_gather(NULL));
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		struct net_addr a;
		unsigned line;

		assert_true(net_parse_ip(want[i].peer, &a));
		assert_int_equal(acl_permits(&t.compiled->broker.acl, &a.sa,
		    &line), want[i].permitted);
		assert_int_equal(line, want[i].line);
	}
	try_end(&t);
}

static void
test_number_8(void **state)
{
	const struct spawnd_conf *b;
	const struct listener_conf *l;
	struct try t;

	(void)state;
	number_begin(&t, &try_tcprelay, "08");
	try_compile(&t, source_gather(NULL));
	b = &t.compiled->broker;
	l = b->listeners;
	assert_int_equal(b->bufsize, 256 * 1024);
	assert_int_equal(b->overload, OVERLOAD_RESET);
	assert_string_equal(l->realm, "customers");
	assert_int_equal(l->dscp, 0x2e);
	assert_int_equal(l->backlog, 4096);
	assert_int_equal(l->overload_backlog, 16);
	assert_int_equal(l->retry, 1);
	assert_int_equal(l->keepalive.idle, 30);
	assert_int_equal(l->keepalive.count, 3);
	assert_int_equal(l->keepalive.interval, 5);
	assert_int_equal(l->flags, SPAWND_HAPROXY);
	try_end(&t);
}

static void
test_number_9(void **state)
{
	const struct spawnd_conf *b;
	struct try t;

	(void)state;
	number_begin(&t, &try_tcprelay, "09");
	try_compile(&t, source_gather(NULL));
	b = &t.compiled->broker;
	assert_int_equal(b->sticky.period, 600);
	assert_int_equal(b->sticky.size, 50000);
	assert_false(b->listeners[0].sticky.own);
	assert_int_equal(b->listeners[0].sticky.period, 600);
	assert_true(b->listeners[1].sticky.own);
	assert_int_equal(b->listeners[1].sticky.period, 30);
	assert_int_equal(b->listeners[1].sticky.size, 200);
	try_end(&t);
}

static void
test_number_13(void **state)
{
	static char *const env[] = { (char *)(uintptr_t)"SITE=here", NULL };
	struct try t;

	(void)state;
	try_file("listen-dmz.inc", "listen = { port = 8080 }");
	try_file("remotes.inc",
	    "remote = { address = 192.0.2.1 port = 80 }");
	number_begin(&t, &try_tcprelay, "13");
	try_compile(&t, source_gather(env));
	assert_int_equal(t.nlines, 1);
	assert_int_equal(t.compiled->broker.nlisteners, 1);
	assert_string_equal(t.compiled->broker.pidfile,
	    "/run/relay-here-dmz.pid");
	assert_string_equal(t.compiled->broker.status_socket,
	    "/run/relay-here-dmz.pid.sock");
	assert_false(t.compiled->broker.status_given);
	/* the place outlives the reading */
	assert_string_equal(t.compiled->broker.listeners[0].place.from->file,
	    try_path("13"));
	try_end(&t);
}

static void
test_number_22(void **state)
{
	const struct listener_conf *l;
	struct try t;

	(void)state;
	number_begin(&t, &try_spawnd, "22");
	try_compile(&t, source_gather(NULL));
	l = t.compiled->broker.listeners;
	assert_int_equal(l[0].type, SOCK_DGRAM);
	assert_int_equal(l[0].protocol, IPPROTO_UDP);
	assert_int_equal(l[0].aaa, SPAWND_AAA_RADIUS_UDP);
	assert_int_equal(l[1].flags, SPAWND_ACCOUNTING);
	assert_int_equal(l[2].protocol, IPPROTO_TCP);
	assert_int_equal(l[3].versions, SPAWND_DTLS_1_2);
	assert_int_equal(l[4].type, SOCK_SEQPACKET);
	assert_int_equal(l[4].protocol, 0);
	assert_int_equal(l[4].mode, 0600);
	assert_int_equal(l[4].uid, 1);
	assert_string_equal(t.compiled->broker.spawn.id, "aaa");
	try_end(&t);
}

static void
test_number_24(void **state)
{
	const struct config *c;
	struct try t;

	(void)state;
	number_begin(&t, &try_tcprelay, "24");
	try_compile(&t, source_gather(NULL));
	c = t.compiled->worker;
	assert_int_equal(t.compiled->broker.nlisteners, 2);
	assert_int_equal(t.compiled->broker.spawn.users_max, 200);
	assert_int_equal(t.compiled->broker.spawn.users_min, 20);
	assert_int_equal(c->nremotes, 2);
	assert_int_equal(c->idle, 60);
	try_end(&t);
}

static void
test_number_26(void **state)
{
	const struct config *c;
	struct try t;

	(void)state;
	number_begin(&t, &try_tcprelay, "26");
	try_compile(&t, source_gather(NULL));
	c = t.compiled->worker;
	assert_string_equal(t.compiled->broker.pidfile,
	    "/run/with space/x.pid");
	assert_string_equal(t.compiled->broker_common.log.ident,
	    "tab\there AB \\ \"");
	assert_string_equal(t.compiled->broker.listeners[0].realm, "listen");
	assert_null(c->tls.main);
	try_end(&t);
}

static void
test_number_28(void **state)
{
	const struct listener_conf *l;
	const struct config *c;
	struct try t;

	(void)state;
	if (!tls_available())
		skip();
	number_begin(&t, &try_tcprelay, "28");
	try_compile(&t, source_gather(NULL));
	l = t.compiled->broker.listeners;
	c = t.compiled->worker;
	assert_int_equal(t.compiled->broker_common.refresh, 300);
	assert_true(t.compiled->worker_common.log.json);
	assert_true(t.compiled->broker.status_given);
	assert_string_equal(l[0].name, "https");
	assert_int_equal(l[0].accept, ACCEPT_WORKERS);
	assert_int_equal(l[1].accept, ACCEPT_MASTER);
	assert_int_equal(l[1].versions, SPAWND_TLS_1_3);
	assert_int_equal(c->tls.nsni, 2);
	assert_int_equal(c->tls.sni[0].nnames, 2);
	assert_string_equal(c->tls.sni[0].names[1], "*.example.org");
	assert_string_equal(c->tls.sni[1].passphrase, "a b");
	assert_null(c->tls.sni[1].key.path);
	assert_int_equal(c->tls.lifetime, 3600);
	assert_true(c->key_process && c->log_connections);
	assert_int_equal(c->remotes[0].tls, TLS_V1_2 | TLS_V1_3);
	assert_true(c->remotes[0].tls_verify);
	assert_string_equal(c->remotes[0].tls_name, "backend.example.net");
	assert_int_equal(c->remotes[1].tls, TLS_V1_3);
	assert_false(c->remotes[1].tls_verify);
	assert_string_equal(c->remotes[1].tls_own->cert.path,
	    "/etc/ssl/me.pem");
	assert_int_equal(c->remotes[2].tls, 0);
	assert_string_equal(c->remotes[2].identity,
	    "tcp/[192.0.2.43]:8080/spare");
	try_end(&t);
}

/* ---- forms of old manuals, and how values are written ---- */

static const char *const forms[] = {
	/* for the broker */
	"listen = { ::0 port = 2224 }", "spawn { servers min = 1 }",
	"spawn { servers max = 20 }", "spawn = { exec /bin/true }",
	"listen = { port = 80}", "listen { port 21 }",
	"spawn { users minimum = 10 }", "spawn { instances maximum = 100 }",
	"tcp bufsize 65536", "listen { port = 1 tcp bufsize = 64k }",
	"spawn { working directory = /tmp }", "acl accept 192.0.2.1",
	"permit 192.0.2.0/24", "deny not 192.0.2.0/24",
	"listen { path = /run/x }", "spawn { ipc key = 17 }",
	"sticky cache timeout = 17", "debug = RADIUS", "debug = FORK",
	"debug = LOG", "alias x { background = yes } x",
	"pid-file = /run/x", "trace = 17", "trace redirect = syslog",
	"syslog level = INFO", "syslog severity warning",
	"syslog facility = Local3", "background = deny",
	"background permit", "setenv A b",
	"include \"$CONFDIR/nothing*\"", "listen = { }",
	"listen = { port = 1 address = * }",
	"listen { address = inet:127.0.0.1 port = 1 }",
	"listen { inet6:::1 port = 1 }", "listen { 127.0.0.1:80 }",
	"listen { \"[::1]:80\" }", "listen { address = [::1]:80 }",
	"listen { address = [::1] port = 80 }",
	"listen { address = unix:/run/x }", "listen { address = /run/x }",
	"listen { port = domain protocol = UDP type = STREAM }",
	"listen { port = 0 }", "listen { port = \"80\" dscp = \"0x10\" }",
	"listen { port = 1 protocol = tcp type = STREAM }",
	"listen { port = 1 mode = 660 flag = access }",
	"listen { path = /x user = 0 group = 0 userid = root }",
	"status socket /run/s", "accept workers", "debug = 24 -8 +NET -NONE",
	"log file = /var/log/x", "tcp keepalive interval = 9h",
	"bind retry delay 1d",
	/* for the relay, behind a destination */
	"R ssl cert = /x", "R ssl passphrase = 12345", "R retire = 5",
	"R retire limit = 5", "R idle timeout =60", "R ssl certfile = /x",
	"R remote { address [::1]:80 }", "R remote = { address unix:/x }",
	"R remote = { address /x port = 80 }", "R tls verify = no",
	"R remote { address ::1 port http protocol tcp weight 3 }",
	"R rebalance 0x10", "R dead time = 0", "R idle timeout = 30d",
	"R local address = ::9", "R tls ticket lifetime = 7d",
	"R tls ciphers = X tls cipher-suites = Y tls tickets no",
	"R alias y { dead time = 3 } y",
};

static void
test_forms(void **state)
{
	char text[512];
	struct try t;

	(void)state;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		bool relay = strncmp(forms[i], "R ", 2) == 0;

		snprintf(text, sizeof text, "id = spawnd {\n %s\n}\n"
		    "id = tcprelay {\n remote { address ::2 port 2 }\n %s\n"
		    "}\n", relay ? "" : forms[i], relay ? forms[i] + 2 : "");
		try_run(&t, &try_tcprelay, try_file("main", text));
		if (t.compiled == NULL)
			fail_msg("%s: %s", forms[i], t.lines[0]);
		try_end(&t);
	}
}

static const struct {
	const char	*list;
	uint32_t	 bits;
} debugs[] = {
	{ "PARSE AUTHOR AUTHEN ACCT", 15 }, { "CONFIG", 16 },
	{ "PACKET", 32 }, { "HEX", 64 }, { "LOCK", 128 }, { "REGEX", 256 },
	{ "ACL", 512 }, { "RADIUS", 1024 }, { "CMD", 2048 },
	{ "BUFFER", 4096 }, { "PROC", 8192 }, { "NET", 16384 },
	{ "PATH", 32768 }, { "CONTROL", 65536 }, { "INDEX", 131072 },
	{ "AV", 262144 }, { "MAVIS", 524288 }, { "DNS", 1048576 },
	{ "LWRES", 1048576 }, { "USERINPUT", 2097152 },
	{ "ALL", 2141192191 }, { "ALL NONE", 0 }, { "-NONE", 2141192191 },
	{ "ALL -ALL", 0 }, { "NET -NET", 0 }, { "NET +PROC -NET", 8192 },
	{ "255 -15", 240 }, { "2097152", 0 }, { "0x10 FORK", 8208 },
	{ "LOG", 16 }, { "NET debug = PROC", 24576 },
	{ "NET NONE PROC", 8192 },
};

static void
test_debug(void **state)
{
	char text[256];
	struct try t;

	(void)state;
	for (size_t i = 0; i < sizeof debugs / sizeof debugs[0]; i++) {
		snprintf(text, sizeof text, "debug = %s\nid = spawnd { }\n"
		    "id = tcprelay { debug = ACL\n"
		    "  remote { address ::2 port 2 } }\n", debugs[i].list);
		try_run(&t, &try_tcprelay, try_file("main", text));
		assert_int_equal(t.nlines, 0);
		assert_int_equal(t.compiled->broker_common.log.debug,
		    debugs[i].bits);
		assert_int_equal(t.compiled->worker_common.log.debug,
		    debugs[i].bits | 512);
		try_end(&t);
	}
}

/* Numbers at their limits: what is taken, and as what. */
static const struct {
	const char	*text;
	bool		 good;
	unsigned	 value;
} times[] = {
	{ "0", true, 0 }, { "010", true, 10 }, { "17s", true, 17 },
	{ "2M", true, 120 }, { "3h", true, 10800 }, { "1d", true, 86400 },
	{ "86400", true, 86400 }, { "86401", false, 0 }, { "2d", false, 0 },
	{ "1k", false, 0 }, { "1.5", false, 0 }, { "1m30s", false, 0 },
	{ "s", false, 0 }, { "\"\"", false, 0 }, { "+1", false, 0 },
	{ "-1", false, 0 }, { "18446744073709551616", false, 0 },
	{ "18446744073709551615d", false, 0 }, { "0x1", false, 0 },
}, sizes[] = {
	{ "4096", true, 4096 }, { "4k", true, 4096 }, { "4K", true, 4096 },
	{ "16m", true, 16777216 }, { "0x1000", true, 4096 },
	{ "0X1000", true, 4096 }, { "0x4k", true, 4096 },
	{ "16777217", false, 0 }, { "1g", false, 0 }, { "0x", false, 0 },
	{ "4kb", false, 0 }, { "18446744073709551615g", false, 0 },
	{ "99999999999999999999999999", false, 0 }, { "k", false, 0 },
};

static void
test_numbers_written(void **state)
{
	char text[256];
	struct try t;

	(void)state;
	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
		snprintf(text, sizeof text, "id = spawnd {\n"
		    " bind retry delay = %s listen { port = 1 } }\n"
		    "id = tcprelay { remote { address ::2 port 2 } }\n",
		    times[i].text);
		try_run(&t, &try_tcprelay, try_file("main", text));
		assert_int_equal(t.compiled != NULL, times[i].good);
		if (times[i].good)
			assert_int_equal(t.compiled->broker.listeners[0].retry,
			    times[i].value);
		try_end(&t);
	}
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		snprintf(text, sizeof text, "id = spawnd {\n"
		    " tcp bufsize = %s }\n"
		    "id = tcprelay { remote { address ::2 port 2 } }\n",
		    sizes[i].text);
		try_run(&t, &try_tcprelay, try_file("main", text));
		assert_int_equal(t.compiled != NULL, sizes[i].good);
		if (sizes[i].good)
			assert_int_equal(t.compiled->broker.bufsize,
			    sizes[i].value);
		try_end(&t);
	}
}

/* ---- endpoints that meet ---- */

/* What listen blocks come to: addresses, with '6' for IPv6-only and '*' for
 * both families. */
static const struct {
	const char	*blocks, *want;
} overlaps[] = {
	{ "{ port 1 }", "[::]:1*" },
	{ "{ ::0 port 1 }", "[::]:1" },
	{ "{ 0.0.0.0 port 1 }", "[0.0.0.0]:1" },
	{ "{ ::0 port 1 } listen { 0.0.0.0 port 1 }",
	    "[::]:1/6 [0.0.0.0]:1" },
	{ "{ port 1 } listen { ::0 port 1 }", "[0.0.0.0]:1 [::]:1/6" },
	{ "{ port 1 } listen { 0.0.0.0 port 1 }", "[::]:1/6 [0.0.0.0]:1" },
	{ "{ port 1 } listen { 0.0.0.0 port 1 } listen { ::0 port 1 }",
	    "[0.0.0.0]:1 [::]:1/6" },
	{ "{ port 1 } listen { ::0 port 2 }", "[::]:1* [::]:2" },
	{ "{ port 1 } listen { 127.0.0.1 port 1 } listen { ::1 port 1 }",
	    "[::]:1* [127.0.0.1]:1 [::1]:1" },
	{ "{ port 1 } listen { ::0 port 1 vrf = x }", "[::]:1* [::]:1" },
	{ "{ port 1 } listen { port 1 }", "[::]:1*" },
	{ "{ ::1 port 1 } listen { ::1 port 1 }", "[::1]:1" },
	{ "{ port 0 } listen { port 0 } listen { ::0 port 0 }",
	    "[::]:0* [::]:0* [::]:0" },
	{ "{ path /x } listen { path /y } listen { path unix:/x }",
	    "/x /y" },
	{ "{ name = a tls no } listen { name = b }", "- -" },
	{ "{ } listen { }", "" },
};

static void
test_overlaps(void **state)
{
	char text[512], addr[NET_TEXT];
	struct try t;

	(void)state;
	for (size_t i = 0; i < sizeof overlaps / sizeof overlaps[0]; i++) {
		const struct spawnd_conf *b;

		snprintf(text, sizeof text, "id = spawnd {\n listen %s }\n"
		    "id = tcprelay { remote { address ::2 port 2 } }\n",
		    overlaps[i].blocks);
		try_run(&t, &try_tcprelay, try_file("main", text));
		assert_non_null(t.compiled);
		b = &t.compiled->broker;
		text[0] = '\0';
		for (size_t k = 0; k < b->nlisteners; k++) {
			const struct listener_conf *l = &b->listeners[k];

			assert_int_equal(l->index, k);
			snprintf(text + strlen(text), 100, "%s%s%s%s",
			    k > 0 ? " " : "", net_text(&l->addr, addr),
			    l->both ? "*" : "", l->v6only ? "/6" : "");
		}
		assert_string_equal(text, overlaps[i].want);
		try_end(&t);
	}
}

/* Names of rows on the board: unique, whatever is configured. */
static void
test_identities(void **state)
{
	const struct config *c;
	char text[1024], pool[65];
	struct try t;

	(void)state;
	memset(pool, 'p', 64);
	pool[64] = '\0';
	snprintf(text, sizeof text, "id = spawnd { }\nid = tcprelay {\n"
	    "remote { address ::2 port 2 }\n"
	    "remote { address ::2 port 2 pool x }\n"
	    "remote { address ::2 port 2 }\nremote { address ::2 port 2 }\n"
	    "remote { address /run/%080d pool %s }\n"
	    "remote { address /run/%080d pool %s }\n"
	    "remote { address /x }\n}\n", 1, pool, 1, pool);
	try_run(&t, &try_tcprelay, try_file("main", text));
	assert_int_equal(t.nlines, 3);
	c = t.compiled->worker;
	assert_string_equal(c->remotes[0].identity, "tcp/[::2]:2/default");
	assert_string_equal(c->remotes[1].identity, "tcp/[::2]:2/x");
	assert_string_equal(c->remotes[2].identity, "tcp/[::2]:2/default#2");
	assert_string_equal(c->remotes[3].identity, "tcp/[::2]:2/default#3");
	assert_string_not_equal(c->remotes[4].identity,
	    c->remotes[5].identity);
	assert_string_equal(c->remotes[6].identity, "unix//x/default");
	try_end(&t);
}

/* ---- the same everywhere ---- */

/*
 * Compiled, saved, and compiled again from the bundle alone: with every file
 * gone the result is the same, errors too.
 */
static void
replay_check(const char *number, bool good)
{
	struct try t, again;
	int bundle, secrets;

	number_begin(&t, &try_tcprelay, number);
	try_compile(&t, source_gather(NULL));
	assert_int_equal(t.compiled != NULL, good);
	assert_int_equal(source_save(t.source, &bundle, &secrets), 0);
	assert_int_equal(unlink(t.request.file), 0);
	again = t;
	try_compile(&again, source_replay(bundle, secrets));
	assert_int_equal(again.compiled != NULL, good);
	assert_int_equal(again.nlines, t.nlines);
	for (unsigned i = 0; i < t.nlines; i++)
		assert_string_equal(again.lines[i], t.lines[i]);
	if (good)
		assert_memory_equal(again.compiled->digest,
		    t.compiled->digest, 32);
	close(bundle);
	if (secrets != -1)
		close(secrets);
	try_end(&again);
	try_end(&t);
}

static void
test_replay(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		if (numbers[i].broker == NULL && numbers[i].programs == 0 &&
		    tls_available())
			replay_check(numbers[i].number, true);
	}
	replay_check("23", false);
	replay_check("25", false);
	replay_check("29", false);
}

/* What makes a difference makes another digest. */
static void
test_digest(void **state)
{
	static const char *const texts[] = {
		"id = spawnd { listen { port 1 tls } }\n"
		"id = tcprelay { tls cert %s remote { address ::2 port 2 } }",
		"id = spawnd { listen { port 1 tls backlog 9 } }\n"
		"id = tcprelay { tls cert %s remote { address ::2 port 2 } }",
		"id = spawnd { listen { port 1 tls } }\n"
		"id = tcprelay { tls cert %s remote { address ::2 port 3 } }",
		"id = spawnd { listen { port 1 tls } permit ::1 }\n"
		"id = tcprelay { tls cert %s remote { address ::2 port 2 } }",
		"debug = NET id = spawnd { listen { port 1 tls } }\n"
		"id = tcprelay { tls cert %s remote { address ::2 port 2 } }",
	};
	uint8_t digests[8][32];
	char text[PATH_MAX + 200];
	size_t n = 0;
	struct try t;

	(void)state;
	if (!tls_available())
		skip();
	for (size_t i = 0; i < 7; i++) {
		const char *cert = i == 6 ? "another one" : "a certificate";

		/* the 6th differs in white space only */
		snprintf(text, sizeof text, texts[i < 5 ? i : 0],
		    try_file("cert", cert));
		if (i == 5)
			strcat(text, "\n # \n");
		try_run(&t, &try_tcprelay, try_file("main", text));
		assert_non_null(t.compiled);
		memcpy(digests[n++], t.compiled->digest, 32);
		try_end(&t);
	}
	assert_memory_equal(digests[0], digests[5], 32);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (i != 5 && k != 5)
				assert_memory_not_equal(digests[i],
				    digests[k], 32);
		}
	}
}

/* Rows are entered under their names, and keep them over a reload. */
static void
test_rows(void **state)
{
	const struct config *c;
	struct board board;
	struct try t;
	int row[3];

	(void)state;
	number_begin(&t, &try_tcprelay, "04");
	try_compile(&t, source_gather(NULL));
	c = t.compiled->worker;
	assert_int_equal(board_open(&board, 2, 8), 0);
	board.head->generation = 7;
	config_rows(t.compiled, &board, 7);
	for (int i = 0; i < 3; i++) {
		row[i] = board_find(&board, BOARD_DESTINATION,
		    c->remotes[i].identity);
		assert_int_not_equal(row[i], -1);
		assert_string_equal(board_row(&board, (unsigned)row[i])->name,
		    c->remotes[i].identity);
	}
	assert_int_equal(board_row(&board, (unsigned)row[0])->weight, 3);
	/* what is being prepared shows nothing new */
	config_rows(t.compiled, &board, 8);
	assert_int_equal(board_row(&board, (unsigned)row[0])->generation, 7);
	board.head->generation = 8;
	config_rows(t.compiled, &board, 8);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(board_find(&board, BOARD_DESTINATION,
		    c->remotes[i].identity), row[i]);
		assert_int_equal(board_row(&board,
		    (unsigned)row[i])->generation, 8);
		assert_int_equal(board_row(&board, (unsigned)row[i])->order,
		    i);
		assert_string_equal(board_row(&board,
		    (unsigned)row[i])->text, c->remotes[i].text);
		assert_string_equal(board_row(&board,
		    (unsigned)row[i])->label, c->remotes[i].pool);
	}
	assert_int_equal(board_find(&board, BOARD_DESTINATION, "x"), -1);
	board_close(&board);
	try_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_number_errors),
		cmocka_unit_test(test_number_1),
		cmocka_unit_test(test_number_4),
		cmocka_unit_test(test_number_6),
		cmocka_unit_test(test_number_8),
		cmocka_unit_test(test_number_9),
		cmocka_unit_test(test_number_13),
		cmocka_unit_test(test_number_22),
		cmocka_unit_test(test_number_24),
		cmocka_unit_test(test_number_26),
		cmocka_unit_test(test_number_28),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_numbers_written),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, try_setup, try_teardown);
}
