/*
 * The canonical text of a relayd.conf (0.5): what was written, in one form,
 * and that it reads back as the same configuration.
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
#include "relayd/rd_conf.h"

#define OK	"relay \"ok\" {\n\tlisten on 192.0.2.99 port 1\n" \
		"\tforward to 192.0.2.98\n}\n"
#define WEB	"table <web> {\n\t10.0.0.1\n}\n\n"

static const struct row {
	const char	*text, *canonical;
} rows[] = {
	{ OK, OK },
	/* globals, and their distance to sections */
	{ "interval 5\n\n\ntimeout 30\nsocket '/s'\nlog connection errors\n"
	    "log host checks\nagentx context c path p\n" OK "timeout 40\n"
	    "agentx\n",
	    "interval 5\ntimeout 30\nsocket \"/s\"\nlog connection errors\n"
	    "log host checks\nagentx context \"c\" path \"p\"\n\n" OK
	    "\ntimeout 40\nagentx\n" },
	/* macros, continuation, comments */
	{ "a = \"10.0.0.1, 10.0.0.2\"\ntable <web> { $a } # two\n"
	    "relay ok { listen on 192.0.2.99 \\\n port 1\n"
	    "forward to <web> check tcp }\n",
	    "table <web> {\n\t10.0.0.1\n\t10.0.0.2\n}\n\n"
	    "relay \"ok\" {\n\tlisten on 192.0.2.99 port 1\n"
	    "\tforward to <web> check tcp\n}\n" },
	/* backslashes: also one at the end, which no quotes can hold */
	{ "socket a\\\\\n" OK, "socket a\\\\\n\n" OK },
	{ "socket \"a\\\\\"\n" OK, "socket \"a\\\\\"\n\n" OK },
	/* hosts and their flags */
	{ "table <\"table\"> { 10.0.0.1 ip ttl 3 retry 0 retry 2 } disable "
	    "{ 10.0.0.2 parent 1 priority 0 }\n"
	    "relay ok { listen on 192.0.2.99 port 1\n"
	    "forward to <\"table\"> timeout 0 }\n",
	    "table <\"table\"> disable {\n\t10.0.0.1 retry 2 ip ttl 3\n"
	    "\t10.0.0.2 parent 1 priority 0\n}\n\n"
	    "relay \"ok\" {\n\tlisten on 192.0.2.99 port 1\n"
	    "\tforward to <\"table\"> timeout 0\n}\n" },
	/* the order in a table-spec; what replaces */
	{ WEB "relay ok { listen on 192.0.2.99 port 1\n"
	    "forward to <web> demote g interval 20 timeout 7 check icmp "
	    "check tls mode hash port 80\n"
	    "forward to <web> mode source-hash 10x port 8 port 9\n"
	    "forward to <web> check http '/a\"b' code 200 mode\n"
	    "forward to <web> check https '/' host h digest "
	    "D41D8CD98F00B204E9800998ECF8427E\n"
	    "forward to <web> check send nothing expect 'a\\r\\n*'\n"
	    "forward to <web> check send x expect y tls\n"
	    "forward to <web> check binary send 0a expect 0B\n"
	    "forward to <web> check script \"/x\" }\n",
	    WEB "relay \"ok\" {\n\tlisten on 192.0.2.99 port 1\n"
	    "\tforward to <web> port 80 mode hash check tls timeout 7 "
	    "interval 20 demote g\n"
	    "\tforward to <web> port 9 mode source-hash \"10x\"\n"
	    "\tforward to <web> mode roundrobin check http \"/a\\\"b\" "
	    "code 200\n"
	    "\tforward to <web> check https \"/\" host \"h\" digest "
	    "\"D41D8CD98F00B204E9800998ECF8427E\"\n"
	    "\tforward to <web> check send nothing expect \"a\\r\\n*\"\n"
	    "\tforward to <web> check send \"x\" expect \"y\" tls\n"
	    "\tforward to <web> check binary send \"0a\" expect \"0B\"\n"
	    "\tforward to <web> check script \"/x\"\n}\n" },
	/* redirects */
	{ WEB "redirect r {\nlisten on 192.0.2.1 tcp port 80:90 interface em0 "
	    "pflog\nlisten on 192.0.2.1 port 99\nmatch pftag T\nsticky-address"
	    "\nsession timeout 0\ndisable\nforward to <web> check tcp\n}\n"
	    "redirect q {\nlisten on 192.0.2.2 port 1\npftag \"a b\"\n"
	    "route to <web> check tcp interface \"if\"\n}\n",
	    WEB "redirect \"r\" {\n\tlisten on 192.0.2.1 tcp port 80:90 "
	    "interface em0 pflog\n\tlisten on 192.0.2.1 port 99\n"
	    "\tmatch pftag \"T\"\n\tsticky-address\n\tsession timeout 0\n"
	    "\tdisable\n\tforward to <web> check tcp\n}\n\n"
	    "redirect \"q\" {\n\tlisten on 192.0.2.2 port 1\n"
	    "\tpftag \"a b\"\n\troute to <web> check tcp interface if\n}\n" },
	/* relays */
	{ WEB "tcp protocol p\nrelay r {\n"
	    "listen on 192.0.2.1 port 1\nlisten on ::1 port 2\nprotocol p\n"
	    "transparent forward to <web> port 1 inet\n"
	    "forward to 10.0.0.1 port 5 retry 2 inet6 2001:db8:: "
	    "proxy-protocol v2\n"
	    "session timeout 5 }\nrelay s { disable\n"
	    "listen on 192.0.2.1 port 3\nforward with tls to nat lookup\n"
	    "}\nrelay t { listen on 192.0.2.1 port 4\n"
	    "forward to destination retry 1 proxy-protocol v1 }\n",
	    WEB "tcp protocol \"p\"\n\nrelay \"r\" {\n"
	    "\tlisten on 192.0.2.1 port 1\n\tlisten on ::1 port 2\n"
	    "\tprotocol \"p\"\n\ttransparent forward to <web> port 1 inet\n"
	    "\tforward to 10.0.0.1 port 5 retry 2 inet6 2001:db8:: "
	    "proxy-protocol v2\n\tsession timeout 5\n}\n\n"
	    "relay \"s\" {\n\tdisable\n\tlisten on 192.0.2.1 port 3\n"
	    "\tforward with tls to nat lookup\n}\n\n"
	    "relay \"t\" {\n\tlisten on 192.0.2.1 port 4\n"
	    "\tforward to destination retry 1 proxy-protocol v1\n}\n" },
	/* lists */
	{ "protocol p {\ntcp { backlog 5, splice,\nno splice backlog 6 }\n"
	    "tcp { ip TTL 3 } \ntcp ip minttl 4\ntcp { socket buffer 9,"
	    " no failover, failover }\n"
	    "tls { tlsv1, no tlsv1.2, tlsv1.2, no tlsv1.2 }\n"
	    "tls { ciphers HIGH, ecdhe default, edh, edh params none }\n"
	    "tls { session tickets, no session tickets, server-name }\n"
	    "tls { no edh, tlsv1.1 client-renegotiation }\n"
	    "tls { sslv3 }\n"
	    "tls { client ca \"/c\" keypair a cert \"b\" ocsp \"/o\", "
	    "keypair a key \"/k\" }\n}\n" OK,
	    "protocol \"p\" {\n\ttcp { splice, no splice, backlog 6 }\n"
	    "\ttcp ip ttl 3\n\ttcp ip minttl 4\n"
	    "\ttcp { socket buffer 9, failover }\n"
	    "\ttls { tlsv1, no tlsv1.2 }\n"
	    "\ttls { ciphers \"HIGH\", ecdhe \"default\", edh params none }\n"
	    "\ttls { no session tickets, server-name }\n"
	    "\ttls { no edh, client-renegotiation }\n"
	    "\ttls { client ca \"/c\", keypair \"a\" cert \"/where/b\" ocsp "
	    "\"/o\", keypair \"a\" key \"/k\" }\n}\n\n" OK },
	{ "http protocol p {\nhttp { websockets, headerlen 5 no websockets }"
	    "\nreturn error { style a style 'b\"c' }\nreturn error\n}\n" OK,
	    "http protocol \"p\" {\n"
	    "\thttp { headerlen 5, no websockets }\n"
	    "\treturn error style \"b\\\"c\"\n\treturn error\n}\n\n" OK },
	/* rules: direction is added, the order is fixed */
	{ WEB "http protocol p {\npass\nblock response quick inet6 from ::1/64"
	    " to ::1\nmatch label L tagged G tag T forward to <web> cookie c "
	    "url u path \"/p\" query q header h value v method GET\n"
	    "match no tag no label\nmatch path strip 1\n"
	    "match header set X value 'a b' tag U\n"
	    "match header log pattern \"X-%a+\" value glob ignorecase \"*\"\n"
	    "match header log pattern\nblock url digest "
	    "d41d8cd98f00b204e9800998ecf8427e\n"
	    "block header tag T file \"/keys\" value \"v\" path\n"
	    "block cookie glob file \"/keys\"\n}\n" OK,
	    WEB "http protocol \"p\" {\n\tpass request\n"
	    "\tblock response quick inet6 from ::1/64 to ::1\n"
	    "\tmatch request method GET header \"h\" value \"v\" query \"q\" "
	    "path \"/p\" url \"u\" cookie \"c\" forward to <web> tag \"T\" "
	    "tagged \"G\" label \"L\"\n"
	    "\tmatch request no tag no label\n\tmatch request path strip 1\n"
	    "\tmatch request header set \"X\" value \"a b\" tag \"U\"\n"
	    "\tmatch request header log pattern \"X-%a+\" value glob "
	    "ignorecase \"*\"\n"
	    "\tmatch request header log pattern\n"
	    "\tblock request url digest "
	    "\"d41d8cd98f00b204e9800998ecf8427e\"\n"
	    "\tblock request header file \"/keys\" value \"v\" path tag \"T\""
	    "\n\tblock request cookie glob file \"/keys\"\n}\n\n" OK },
	/* routers */
	{ WEB "router r {\nroute 10.0.0.0/8\nroute 192.0.2.1\nrtable 0\n"
	    "rtlabel l\nforward to <web> check icmp\ndisable\n}\n",
	    WEB "router \"r\" {\n\troute 10.0.0.0/8\n\troute 192.0.2.1\n"
	    "\trtable 0\n\trtlabel \"l\"\n\tforward to <web> check icmp\n"
	    "\tdisable\n}\n" },
	/* aliases and includes */
	{ "log all\ninclude \"/inc\"\n" OK,
	    "log state changes\nlog host checks\ntimeout 77\n\n" OK },
};

static const struct rd_request request = { .file = "r.conf",
    .directory = "/where" };

static struct rd_conf *
compile(const char *text, struct diag *d)
{
	struct source *s = source_empty();
	struct rd_conf *c;

	source_add(s, SOURCE_TEXT, "/where/r.conf", text, strlen(text));
	source_add(s, SOURCE_TEXT, "/keys", "a\nb\n", 4);
	source_add(s, SOURCE_TEXT, "/inc", "timeout 77\n", 11);
	if ((c = rd_compile(&request, s, d)) == NULL)
		source_free(s);
	return c;
}

static void
canon(const char *text, const char *canonical)
{
	struct diag *d = diag_new();
	struct rd_conf *c = compile(text, d), *again;
	char why[512];

	if (c == NULL)
		fail_msg("%s", diag_first(d, why, sizeof why));
	assert_string_equal(c->text, canonical);
	assert_int_equal(c->text_len, strlen(canonical));
	again = compile(c->text, d);
	if (again == NULL)
		fail_msg("%s", diag_first(d, why, sizeof why));
	assert_string_equal(again->text, c->text);
	assert_memory_equal(again->digest, c->digest, sizeof c->digest);
	rd_conf_unref(again);
	rd_conf_unref(c);
	diag_free(d);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (tls_available() || strstr(rows[i].text, "tls") == NULL)
			canon(rows[i].text, rows[i].canonical);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
