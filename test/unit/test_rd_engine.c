/*
 * From a relayd.conf to what broker and engine work by: every field of a
 * relay, and what this version does not serve.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "misc/tls.h"
#include "relayd/rd_board.h"
#include "relayd/rd_engine.h"

/* One configuration, compiled as the broker would. */
struct made {
	struct compiled	 c;
	struct rd_conf	*conf;
	struct config	*config;
	struct diag	*diag;
};

static const struct rd_request request = { .file = "r.conf",
    .directory = "/where" };

/* Files are not looked into, but they have to be there. */
static bool
make(struct made *m, const char *text, bool check)
{
	static const char *const files[] = { "/etc/ssl/192.0.2.1:443.crt",
	    "/etc/ssl/a.crt", "/etc/ssl/b:443.crt", "/etc/ssl/a.ocsp" };
	static const char *const keys[] = {
	    "/etc/ssl/private/192.0.2.1:443.key", "/etc/ssl/private/a.key",
	    "/etc/ssl/private/b:443.key" };
	struct source *s = source_empty();
	char why[512];

	memset(m, 0, sizeof *m);
	m->diag = diag_new();
	m->c.arena = arena_new();
	m->c.refs = 1;
	m->c.check = check;
	source_add(s, SOURCE_TEXT, "/where/r.conf", text, strlen(text));
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		source_add(s, SOURCE_CERT, files[i], "x", 1);
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		source_add(s, SOURCE_KEY, keys[i], "x", 1);
	m->conf = rd_compile(&request, s, m->diag);
	if (m->conf == NULL)
		fail_msg("%s", diag_first(m->diag, why, sizeof why));
	if (!rd_engine(&m->c, m->conf, m->diag))
		return false;
	m->config = m->c.worker;
	return true;
}

static void
made_clear(struct made *m)
{
	rd_conf_unref(m->conf);
	arena_free(m->c.arena);
	diag_free(m->diag);
}

static void
same_text(const struct net_addr *a, const char *text)
{
	char buf[NET_TEXT];

	assert_string_equal(net_text(a, buf), text);
}

/* ---- what is not said ---- */

static void
test_defaults(void **state)
{
	const struct config_relay *r;
	const struct listener_conf *l;
	struct made m;

	(void)state;
	assert_true(make(&m, "relay www { listen on 192.0.2.1 port 80\n"
	    "forward to 10.0.0.1 port 8080 }\n", false));
	assert_int_equal(m.c.broker_common.log.facility, LOG_DAEMON);
	assert_int_equal(m.c.worker_common.log.severity, LOG_INFO);
	assert_true(m.c.worker_common.log.to_syslog);
	assert_int_equal(m.c.broker.spawn.instances_min, 3);
	assert_int_equal(m.c.broker.spawn.instances_max, 3);
	assert_true(m.c.broker.spawn.users_max >= 1000000);
	assert_true(m.c.broker.spawn.uid == (uid_t)-1);
	assert_true(m.c.broker.spawn.gid == (gid_t)-1);
	assert_null(m.c.broker.spawn.exec);
	assert_false(m.c.broker.single);
	assert_int_equal(m.c.broker.overload, OVERLOAD_QUEUE);

	assert_int_equal(m.c.broker.nlisteners, 1);
	assert_int_equal(m.c.broker.nendpoints, 1);
	assert_int_equal(m.c.broker.indexes, 1);
	assert_ptr_equal(m.c.broker.endpoints, m.c.broker.listeners);
	l = &m.c.broker.listeners[0];
	assert_string_equal(l->name, "www");
	assert_true(l->named);
	assert_string_equal(l->owner, "relay \"www\"");
	assert_string_equal(l->place.file, "r.conf");
	assert_int_equal(l->place.line, 1);
	same_text(&l->addr, "[192.0.2.1]:80");
	assert_false(l->v6only);
	assert_int_equal(l->type, SOCK_STREAM);
	assert_int_equal(l->protocol, IPPROTO_TCP);
	assert_int_equal(l->backlog, 10);
	assert_int_equal(l->overload_backlog, 10);
	assert_int_equal(l->retry, 0);
	assert_int_equal(l->dscp, -1);
	assert_int_equal(l->versions, 0);
	assert_int_equal(l->accept, ACCEPT_WORKERS);
	assert_int_equal(l->sticky.period, 0);
	assert_true(l->no_keepalive);
	assert_int_equal(l->tcp.nodelay, -1);
	assert_int_equal(l->tcp.sack, -1);
	assert_int_equal(l->tcp.buffer, 0);
	assert_int_equal(l->tcp.ttl, 0);
	assert_int_equal(l->tcp.minttl, 0);

	assert_int_equal(m.config->nrelays, 1);
	r = &m.config->relays[0];
	assert_int_equal(r->id, 1);
	assert_string_equal(r->name, "www");
	assert_int_equal(r->listener, 0);
	same_text(&r->listen, "[192.0.2.1]:80");
	assert_false(r->disabled);
	assert_int_equal(r->timeout, 600);
	assert_int_equal(r->ntables, 0);
	assert_false(r->key_given);
	assert_int_equal(r->original, ORIGINAL_NO);
	assert_int_equal(r->address, 0);
	assert_int_equal(r->template, -1);
	assert_int_equal(r->retry, 0);
	assert_false(r->transparent);
	assert_int_equal(r->map, TARGET_AS_IS);
	assert_int_equal(r->tcp.socket.nodelay, -1);
	assert_true(r->tcp.splice);
	assert_true(r->tcp.failover);
	assert_null(r->tls);
	assert_int_equal(r->log, 0);

	assert_int_equal(m.config->nremotes, 1);
	same_text(&m.config->remotes[0].addr, "[10.0.0.1]:8080");
	assert_string_equal(m.config->remotes[0].text, "10.0.0.1:8080");
	assert_string_equal(m.config->remotes[0].identity,
	    "relay/www/10.0.0.1:8080");
	assert_string_equal(m.config->remotes[0].name, "10.0.0.1");
	assert_null(m.config->remotes[0].health);
	assert_int_equal(m.config->remotes[0].host, 0);
	assert_int_equal(m.config->remotes[0].haproxy, HAPROXY_NO);
	assert_int_equal(m.config->remotes[0].tls, 0);
	assert_false(m.config->tls.needed);
	assert_false(config_keys_apart(&m.c));
	assert_int_equal(config_row_count(&m.c), 1);
	made_clear(&m);
}

/* ---- tables ---- */

#define TABLES	"table <web> { 10.0.0.1 retry 2, 10.0.0.2 }\n" \
		"table <spare> disable { ::1 }\n"

static void
test_tables(void **state)
{
	const struct config_table *t;
	const struct config_remote *h;
	const struct config_relay *r;
	char name[BOARD_NAME];
	struct made m;

	(void)state;
	assert_true(make(&m, TABLES "prefork 5\nlog connection\n"
	    "relay one { listen on 192.0.2.1 port 80\n"
	    "listen on ::1 port 81\n"
	    "forward to <web> port 8080 mode source-hash "
	    "0x000102030405060708090a0b0c0d0e0f check tcp\n"
	    "forward to <spare> port 8081 mode loadbalance\n"
	    "session timeout 5\ndisable }\n"
	    "relay two { listen on 192.0.2.2 port 80\n"
	    "forward to <web> port 8080 check tcp mode hash\n"
	    "forward to <spare> mode random }\n", false));
	assert_int_equal(m.c.broker.spawn.instances_min, 5);
	assert_int_equal(m.c.broker.nlisteners, 3);
	/* each listener of a block is a relay, behind those named so far */
	r = &m.config->relays[1];
	assert_string_equal(r->name, "one2:81");
	assert_int_equal(r->listener, 1);
	assert_true(m.c.broker.listeners[1].v6only);
	assert_int_equal(m.c.broker.listeners[1].index, 1);
	assert_true(r->disabled);

	r = &m.config->relays[0];
	assert_true(r->disabled);
	assert_int_equal(r->timeout, 5);
	assert_int_equal(r->log,
	    CONFIG_LOG_SESSIONS | CONFIG_LOG_ERRORS);
	assert_int_equal(r->address, -1);
	assert_int_equal(r->template, -1);
	assert_int_equal(r->ntables, 2);
	assert_true(r->key_given);
	assert_int_equal(r->key[0], 0x00010203);
	assert_int_equal(r->key[3], 0x0c0d0e0f);
	t = &r->tables[0];
	assert_string_equal(t->name, "web:8080");
	assert_true(t->check);
	assert_false(t->disabled);
	assert_int_equal(t->mode, BALANCE_SOURCE_HASH);
	assert_int_equal(t->first, 0);
	assert_int_equal(t->n, 2);
	assert_string_equal(t->identity, rd_board_table(m.conf,
	    m.conf->relays[0]->tables[0].table, name));
	h = &m.config->remotes[t->first];
	same_text(&h->addr, "[10.0.0.1]:8080");
	assert_string_equal(h->name, "10.0.0.1");
	assert_int_equal(h->host, m.conf->relays[0]->tables[0].table->
	    hosts[0].id);
	assert_int_equal(h->retry, 2);
	assert_string_equal(h->health, rd_board_host(m.conf,
	    m.conf->relays[0]->tables[0].table,
	    &m.conf->relays[0]->tables[0].table->hosts[0], name));
	assert_false(h->disabled);
	assert_int_equal(h[1].retry, 0);
	assert_int_equal(h[1].index, 1);
	assert_string_not_equal(h[0].health, h[1].health);
	t = &r->tables[1];
	assert_false(t->check);
	assert_true(t->disabled);
	assert_int_equal(t->mode, BALANCE_LOADBALANCE);
	assert_int_equal(t->first, 2);
	assert_int_equal(t->n, 1);
	same_text(&m.config->remotes[2].addr, "[::1]:8081");

	r = &m.config->relays[2];
	assert_string_equal(r->name, "two");
	assert_false(r->key_given);
	assert_int_equal(r->tables[0].mode, BALANCE_HASH);
	assert_int_equal(r->tables[1].mode, BALANCE_RANDOM);
	/* the same instance: the same row, and sessions count together */
	assert_string_equal(m.config->remotes[
	    m.config->relays[1].tables[0].first].health,
	    m.config->remotes[0].health);
	assert_string_not_equal(m.config->remotes[r->tables[0].first].health,
	    m.config->remotes[0].health);
	/* hosts have rows of their own kind */
	assert_int_equal(config_row_count(&m.c), 0);
	made_clear(&m);
}

/* Where sessions are counted: with the host that they go to, or else with
 * the target. */
static void
test_cells(void **state)
{
	char name[BOARD_NAME];
	struct board board;
	struct board_cell *cell, *same;
	struct made m;
	int row;

	(void)state;
	assert_true(make(&m, TABLES
	    "relay www { listen on 192.0.2.1 port 80\n"
	    "forward to <web> port 80 check tcp\n"
	    "forward to 10.0.0.9 port 80 }\n", false));
	assert_int_equal(board_open(&board, 2, 8), 0);
	board.head->generation = 1;
	m.c.front = m.conf;
	rd_board_rows(&m.c, &board, 1);
	row = board_find(&board, BOARD_HOST, rd_board_host(m.conf,
	    m.conf->tables[0], &m.conf->tables[0]->hosts[0], name));
	assert_int_not_equal(row, -1);
	cell = config_cell(&m.config->remotes[0], &board, 1);
	assert_ptr_equal(cell, board_cell(&board, 1, (unsigned)row));
	same = config_cell(&m.config->remotes[0], &board, 1);
	assert_ptr_equal(cell, same);
	board_drop(cell);
	board_drop(same);
	row = board_find(&board, BOARD_DESTINATION,
	    "relay/www/10.0.0.9:80");
	assert_int_not_equal(row, -1);
	cell = config_cell(&m.config->remotes[2], &board, 0);
	assert_ptr_equal(cell, board_cell(&board, 0, (unsigned)row));
	board_drop(cell);
	board_close(&board);
	made_clear(&m);
}

/* ---- targets ---- */

static const struct target_row {
	const char		*forward;
	enum config_original	 original;
	int32_t			 address, template;
	unsigned		 retry;
	bool			 transparent;
	enum target_map		 map;
	enum config_haproxy	 haproxy;
} targets[] = {
	{ "forward to destination retry 3", ORIGINAL_LOCAL, -1, 0, 3, false,
	    TARGET_AS_IS, HAPROXY_NO },
	{ "forward to nat lookup", ORIGINAL_NAT, -1, 0, 0, false,
	    TARGET_AS_IS, HAPROXY_NO },
	{ "forward to nat lookup\nforward to 10.0.0.9 port 1", ORIGINAL_NAT,
	    0, 1, 0, false, TARGET_AS_IS, HAPROXY_NO },
	{ "transparent forward to 10.0.0.9 port 1 proxy-protocol v1",
	    ORIGINAL_NO, 0, -1, 0, true, TARGET_AS_IS, HAPROXY_V1 },
	{ "forward to 10.0.0.9 port 1 inet6 64:ff9b:: proxy-protocol v2",
	    ORIGINAL_NO, 0, -1, 0, false, TARGET_INET6, HAPROXY_V2 },
	{ "forward to ::9 port 1 inet", ORIGINAL_NO, 0, -1, 0, false,
	    TARGET_INET, HAPROXY_NO },
};

static void
test_targets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
		const struct target_row *t = &targets[i];
		const struct config_relay *r;
		const struct config_remote *remote;
		char text[512];
		struct made m;

		snprintf(text, sizeof text, "relay www { listen on 192.0.2.1 "
		    "port 80\n%s\n}\n", t->forward);
		assert_true(make(&m, text, false));
		r = &m.config->relays[0];
		assert_int_equal(r->original, t->original);
		assert_int_equal(r->address, t->address);
		assert_int_equal(r->template, t->template);
		assert_int_equal(r->retry, t->retry);
		assert_int_equal(r->transparent, t->transparent);
		assert_int_equal(r->map, t->map);
		for (size_t k = 0; k < m.config->nremotes; k++)
			assert_int_equal(m.config->remotes[k].haproxy,
			    t->haproxy);
		if (t->template != -1) {
			remote = &m.config->remotes[t->template];
			assert_int_equal(remote->addr.len, 0);
			assert_int_equal(remote->retry, t->retry);
		}
		if (t->map == TARGET_INET6)
			same_text(&r->prefix, "[64:ff9b::]:0");
		made_clear(&m);
	}
}

/* ---- socket options ---- */

static void
test_options(void **state)
{
	const struct listener_conf *l;
	const struct config_relay *r;
	struct made m;

	(void)state;
	assert_true(make(&m, "log connection errors\nprotocol p { tcp "
	    "{ nodelay, no sack, no splice, backlog 0, socket buffer 65536, "
	    "ip ttl 7, ip minttl 3, no failover } }\n"
	    "relay www { listen on 192.0.2.1 port 80\nprotocol p\n"
	    "forward to 10.0.0.1 port 8080 }\n", false));
	l = &m.c.broker.listeners[0];
	r = &m.config->relays[0];
	assert_int_equal(l->backlog, 0);
	assert_int_equal(l->tcp.nodelay, 1);
	assert_int_equal(l->tcp.sack, 0);
	assert_int_equal(l->tcp.buffer, 65536);
	assert_int_equal(l->tcp.ttl, 7);
	assert_int_equal(l->tcp.minttl, 3);
	assert_memory_equal(&r->tcp.socket, &l->tcp, sizeof l->tcp);
	assert_false(r->tcp.splice);
	assert_false(r->tcp.failover);
	assert_int_equal(r->log, CONFIG_LOG_ERRORS);
	made_clear(&m);
}

/* ---- TLS ---- */

static void
test_tls_server(void **state)
{
	const struct config_tls *t;
	struct made m;

	(void)state;
	if (!tls_available())
		skip();
	assert_true(make(&m, "protocol p { tls { keypair a, keypair b, "
	    "no tlsv1.2, ciphers compat, ecdhe \"P-384,P-256\", edh, "
	    "client ca \"/ca\", session tickets, "
	    "no cipher-server-preference } }\n"
	    "relay one { listen on 192.0.2.2 port 443 tls\nprotocol p\n"
	    "forward to 10.0.0.1 port 80 }\n"
	    "relay two { listen on 192.0.2.1 port 443 tls\n"
	    "listen on 192.0.2.1 port 80\n"
	    "forward to 10.0.0.1 port 80 }\n", false));
	t = m.config->relays[0].tls;
	assert_int_equal(m.c.broker.listeners[0].versions, TLS_V1_3);
	assert_int_equal(t->versions, TLS_V1_3);
	assert_string_equal(t->main->cert.path, "/etc/ssl/a.crt");
	assert_string_equal(t->main->key.path, "/etc/ssl/private/a.key");
	assert_string_equal(t->main->cert.place.file, "r.conf");
	assert_int_equal(t->nsni, 1);
	assert_string_equal(t->sni[0].cert.path, "/etc/ssl/b:443.crt");
	assert_string_equal(t->sni[0].key.path,
	    "/etc/ssl/private/b:443.key");
	assert_null(t->sni[0].ocsp.path);
	assert_string_equal(t->main->ocsp.path, "/etc/ssl/a.ocsp");
	assert_string_equal(t->ca.path, "/ca");
	assert_int_equal(t->verify, TLS_VERIFY_REQUIRED);
	assert_string_equal(t->ciphers, "HIGH:!aNULL");
	assert_string_equal(t->curves, "P-384:P-256");
	assert_int_equal(t->dh, TLS_DH_AUTO);
	assert_true(t->client_preference);
	assert_true(t->tickets);
	assert_int_equal(t->lifetime, 7200);
	assert_true(t->first_counts);
	assert_true(m.config->key_process);
	assert_true(config_keys_apart(&m.c));

	/* by address; and no key has the number of another one */
	assert_true(m.config->relays[1].tls->key >= t->key + 2);
	t = m.config->relays[1].tls;
	assert_string_equal(t->main->cert.path,
	    "/etc/ssl/192.0.2.1:443.crt");
	assert_int_equal(t->nsni, 0);
	assert_int_equal(t->verify, TLS_VERIFY_NO);
	assert_null(t->ca.path);
	assert_string_equal(t->curves, "X25519:P-256:P-384");
	assert_int_equal(t->dh, TLS_DH_NONE);
	assert_false(t->client_preference);
	assert_false(t->tickets);
	assert_int_equal(m.c.broker.listeners[1].versions,
	    TLS_V1_2 | TLS_V1_3);
	assert_null(m.config->relays[2].tls);
	assert_int_equal(m.c.broker.listeners[2].versions, 0);
	made_clear(&m);
}

#define HOSTS	"table <web> { 10.0.0.1, 10.0.0.2 }\n"

static void
test_tls_client(void **state)
{
	const struct config_remote *r;
	struct made m;

	(void)state;
	if (!tls_available())
		skip();
	assert_true(make(&m, HOSTS "protocol p { tls { ca file \"/ca\", "
	    "no tlsv1.3, verify-name } }\n"
	    "relay one { listen on 192.0.2.1 port 80\nprotocol p\n"
	    "forward with tls to <web> port 443\n"
	    "forward to destination }\n"
	    "relay two { listen on 192.0.2.2 port 80\n"
	    "forward with tls to <web> port 443 }\n", false));
	r = m.config->remotes;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(r[i].tls, TLS_V1_2);
		assert_true(r[i].tls_verify);
		assert_string_equal(r[i].tls_ca.path, "/ca");
		assert_false(r[i].tls_chain_only);
		assert_true(r[i].tls_silent);
		assert_null(r[i].tls_name);
		assert_non_null(r[i].tls_ciphers);
		assert_string_equal(r[i].tls_curves, "X25519:P-256:P-384");
		assert_null(r[i].tls_own);
	}
	/* one context serves both; that of another relay is another one */
	assert_int_equal(r[0].tls_like, 0);
	assert_int_equal(r[1].tls_like, 1);
	/* an original destination has no name, and is not always the same */
	assert_int_equal(r[2].addr.len, 0);
	assert_int_equal(r[2].tls, TLS_V1_2);
	assert_true(r[2].tls_verify);
	assert_true(r[2].tls_chain_only);
	assert_int_equal(r[2].tls_like, 0);
	assert_int_equal(r[3].tls, TLS_V1_2 | TLS_V1_3);
	assert_false(r[3].tls_verify);
	assert_int_equal(r[3].tls_like, 0);
	assert_int_equal(r[4].tls_like, 4);
	assert_false(config_keys_apart(&m.c));
	made_clear(&m);
}

/* ---- what workers say of it ---- */

static void
test_dump(void **state)
{
	static const char *const lines[] = {
		"protocol 1: name p",
		"\tflags: used, relay flags: tls, tls client",
		"\ttls flags: tlsv1.3, cipher-server-preference",
		"\ttls session tickets: enabled",
		"\ttype: tcp",
		"protocol 2: name h",
		"\tflags: used, return, relay flags: disable",
		"\ttls session tickets: disabled",
		"\ttype: http",
		"\tpass request path \"/b\"",
		"\tblock request",
		"protocol 0: name default",
		"\tflags: none, relay flags: none",
		"\ttls session tickets: disabled",
		"\ttype: tcp",
	};
	struct made m;

	(void)state;
	if (!tls_available())
		skip();
	assert_true(make(&m, "protocol p { tls { no tlsv1.2, "
	    "session tickets } }\n"
	    "http protocol h { return error\npass path \"/b\"\nblock }\n"
	    "relay one { listen on 192.0.2.1 port 443 tls\nprotocol p\n"
	    "forward with tls to 10.0.0.1 port 443 }\n"
	    "relay two { listen on 192.0.2.2 port 80\nprotocol h\n"
	    "forward to 10.0.0.1 port 80\ndisable }\n"
	    "relay three { listen on 192.0.2.3 port 80\n"
	    "forward to 10.0.0.1 port 80 }\n", true));
	for (size_t i = 0; i < m.config->ndump &&
	    i < sizeof lines / sizeof lines[0]; i++)
		assert_string_equal(m.config->dump[i], lines[i]);
	assert_int_equal(m.config->ndump, sizeof lines / sizeof lines[0]);
	made_clear(&m);
}

/* ---- what is not served ---- */

static const struct { const char *text, *why; } refused[] = {
	{ "http protocol p\nrelay www { listen on 192.0.2.1 port 80\n"
	    "protocol p\nforward to 10.0.0.1 port 80 }\n",
	    "r.conf:2: relay \"www\": protocols of type http are not served "
	    "by this version" },
	{ "dns protocol p\nrelay www { listen on 192.0.2.1 port 53\n"
	    "protocol p\nforward to 10.0.0.1 port 53 }\n",
	    "r.conf:2: relay \"www\": protocols of type dns are not served "
	    "by this version" },
	{ "protocol p { tls { ca cert \"/ca\", ca key \"/key\" password \"\" "
	    "} }\nrelay www { listen on 192.0.2.1 port 443 tls\n"
	    "protocol p\nforward with tls to 10.0.0.1 port 443 }\n",
	    "r.conf:2: relay \"www\": TLS inspection is not served by this "
	    "version" },
};

/* A check takes it: the language is complete. */
static void
test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		struct made m;
		char text[512];

		if (!tls_available() && strstr(refused[i].text, "tls"))
			continue;
		assert_false(make(&m, refused[i].text, false));
		assert_string_equal(diag_first(m.diag, text, sizeof text),
		    refused[i].why);
		made_clear(&m);
		assert_true(make(&m, refused[i].text, true));
		assert_int_equal(diag_errors(m.diag), 0);
		made_clear(&m);
	}
}

/* ---- what makes a difference ---- */

static void
digest_of(const char *text, uint8_t digest[static 32])
{
	struct made m;

	assert_true(make(&m, text, false));
	memcpy(digest, m.c.digest, 32);
	made_clear(&m);
}

static void
test_digest(void **state)
{
#define WWW	"relay www { listen on 192.0.2.1 port 80\nforward to "
	uint8_t a[32], b[32];

	(void)state;
	digest_of(WWW "10.0.0.1 port 80 }\n", a);
	digest_of("# the same\n" WWW "10.0.0.1   port 80 }\n", b);
	assert_memory_equal(a, b, sizeof a);
	digest_of(WWW "10.0.0.2 port 80 }\n", b);
	assert_memory_not_equal(a, b, sizeof a);
	digest_of(WWW "10.0.0.1 port 80\nsession timeout 5 }\n", b);
	assert_memory_not_equal(a, b, sizeof a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_tls_server),
		cmocka_unit_test(test_tls_client),
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
