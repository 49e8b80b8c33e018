/*
 * The process pfe, without its process: what clients of the control socket
 * ask, and what they are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>

#include "pfe_fake.h"

static const char config[] =
    "interval 10\n"
    "table <web> { 10.0.0.1 10.0.0.2 retry 2 10.0.0.3 parent 1 }\n"
    "table <sorry> { 10.0.1.1 }\n"
    "table <plain> { 10.0.2.1 10.0.2.2 }\n"
    "table <off> disable { 10.0.3.1 }\n"
    "table <gate> { 10.0.4.1 10.0.4.2 }\n"
    "redirect www { listen on 192.0.2.1 port 80\n"
    "	forward to <web> port 80 check tcp\n"
    "	forward to <sorry> port 80 check icmp }\n"
    "redirect idle { disable\n"
    "	listen on 192.0.2.2 port 80\n"
    "	forward to <web> port 81 check tcp }\n"
    "relay one { listen on 192.0.2.3 port 80\n"
    "	forward to <plain> port 8080\n"
    "	forward to <web> port 80 check tcp }\n"
    "relay two { disable\n"
    "	listen on 2001:db8::1 port 80\n"
    "	forward to <off> port 80 check tcp }\n"
    "router way { route 198.51.100.0/24\n"
    "	route 203.0.113.0/24\n"
    "	forward to <gate> check icmp\n"
    "	rtable 3\n"
    "	rtlabel lab }\n"
    "router shut { disable\n"
    "	route 198.51.101.0/24\n"
    "	forward to <gate> check icmp }\n";

/* ---- clients ---- */

/* What has come, as a whole. */
struct answer {
	size_t		 len, at;
	bool		 over;		/* disconnected */
	uint8_t		*data;
};

static void
turns(unsigned n)
{
	while (n-- > 0)
		assert_int_equal(ev_turn(fake.ev, 0), 0);
}

static void
ask(int fd, unsigned type, const void *body, size_t len)
{
	uint8_t data[2048];
	const struct ctl_header h = {
		.length = (uint32_t)(sizeof(h) + len), .type = (uint16_t)type
	};

	memcpy(data, &h, sizeof(h));
	if (len > 0)
		memcpy(data + sizeof(h), body, len);
	assert_int_equal(write(fd, data, sizeof(h) + len),
	    (ssize_t)(sizeof(h) + len));
}

static void
hello(int fd)
{
	const struct ctl_hello h = { CTL_MAGIC, CTL_VERSION };

	ask(fd, CTL_HELLO, &h, sizeof(h));
}

/* Reads all that pfe has to say. */
static struct answer
answered(int fd)
{
	struct answer a = { 0 };
	size_t room = 0;
	ssize_t n;

	for (unsigned idle = 0; idle < 5 && !a.over; ) {
		turns(1);
		if (a.len + 65536 > room) {
			room = room * 2 + 131072;
			a.data = realloc(a.data, room);
			assert_non_null(a.data);
		}
		n = read(fd, a.data + a.len, 65536);
		if (n > 0) {
			a.len += (size_t)n;
			idle = 0;
		} else if (n == 0 || errno != EAGAIN) {
			a.over = true;
		} else {
			idle++;
		}
	}
	return a;
}

/* The next message; NULL: that was all. */
static const void *
next(struct answer *a, struct ctl_header *h)
{
	static _Alignas(8) uint8_t body[CTL_LENGTH];

	if (a->at == a->len)
		return NULL;
	assert_true(a->len - a->at >= sizeof(*h));
	memcpy(h, a->data + a->at, sizeof(*h));
	assert_true(a->len - a->at >= h->length);
	memcpy(body, a->data + a->at + sizeof(*h), h->length - sizeof(*h));
	a->at += h->length;
	assert_null(ctl_check(h, body, false));
	return body;
}

/* The types of the messages, "64 1"; then the end, if it is one, as "!". */
static const char *
types(struct answer a)
{
	static char text[4096];
	struct ctl_header h;
	size_t n = 0;

	text[0] = '\0';
	while (next(&a, &h) != NULL && n < sizeof(text) - 16)
		n += (size_t)sprintf(text + n, "%s%u", n > 0 ? " " : "",
		    h.type);
	if (a.over)
		strcat(text, n > 0 ? " !" : "!");
	free(a.data);
	return text;
}

static int
greeted(void)
{
	int fd = fake_client();

	assert_true(fd != -1);
	hello(fd);
	assert_string_equal(types(answered(fd)), "64");
	return fd;
}

static const char *
asked(unsigned type, const void *body, size_t len)
{
	int fd = greeted();
	const char *text;

	ask(fd, type, body, len);
	text = types(answered(fd));
	close(fd);
	turns(2);
	return text;
}

static int
setup(void **state)
{
	char error[256] = "";
	struct compiled *c = fake_compile(config, sizeof(config) - 1, error,
	    sizeof(error));

	(void)state;
	if (c == NULL)
		print_error("%s\n", error);
	return c == NULL ? -1 : fake_open(c);
}

static int
teardown(void **state)
{
	(void)state;
	fake_close();
	return 0;
}

static struct compiled *
compiled(const char *text)
{
	char error[256] = "";
	struct compiled *c = fake_compile(text, strlen(text), error,
	    sizeof(error));

	if (c == NULL)
		fail_msg("%s", error);
	return c;
}

/* ---- manners ---- */

static void
greetings(void **state)
{
	const struct ctl_hello other = { CTL_MAGIC, CTL_VERSION + 1 };
	const struct ctl_hello wrong = { 1, CTL_VERSION };
	int fd;

	(void)state;
	/* asked without one */
	fd = fake_client();
	ask(fd, CTL_SHOW_SUMMARY, NULL, 0);
	assert_string_equal(types(answered(fd)), "!");
	close(fd);
	/* twice */
	fd = greeted();
	hello(fd);
	assert_string_equal(types(answered(fd)), "!");
	close(fd);
	/* another version is told ours, and not heard any more */
	fd = fake_client();
	ask(fd, CTL_HELLO, &other, sizeof(other));
	ask(fd, CTL_SHUTDOWN, NULL, 0);
	assert_string_equal(types(answered(fd)), "64 !");
	close(fd);
	/* nothing of ours */
	fd = fake_client();
	ask(fd, CTL_HELLO, &wrong, sizeof(wrong));
	assert_string_equal(types(answered(fd)), "!");
	close(fd);
	/* greeting and request at once */
	fd = fake_client();
	hello(fd);
	ask(fd, CTL_POLL, NULL, 0);
	assert_string_equal(types(answered(fd)), "64 1");
	close(fd);
	turns(2);
	assert_int_equal(rd_ctl_clients(fake_pfe->ctl), 0);
}

/* Each costs its sender the connection, and nobody else anything. */
static void
garbage(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "GET / HTTP/1.0\r\n\r\n", 18 },
		{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
		{ "\377\377\377\377\20\0\0\0\0\0\0\0\0\0\0\0", 16 },
		{ "\17\0\0\0\20\0\0\0\0\0\0\0\0\0\0\0", 16 },
		{ "\21\0\0\0\20\0\0\0\0\0\0\0\0\0\0\0x", 17 },
		{ "\20\0\0\0\20\0\1\0\0\0\0\0\0\0\0\0", 16 },
		{ "\20\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0", 16 },
		{ "\20\0\0\0\21\0\0\0\0\0\0\0\0\0\0\0", 16 },
		{ "\1\10\0\0\21\0\0\0\0\0\0\0\0\0\0\0", 16 },
	};
	struct ctl_id endless = { .id = CTL_NO_ID };
	char path[CTL_PATH];
	int witness = greeted();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = greeted();

		assert_int_equal(write(fd, rows[i].bytes, rows[i].len),
		    (ssize_t)rows[i].len);
		assert_string_equal(types(answered(fd)), "!");
		close(fd);
	}
	memset(endless.name, 'x', sizeof(endless.name));
	assert_string_equal(asked(CTL_HOST_DISABLE, &endless,
	    sizeof(endless)), "!");
	memset(path, '/', sizeof(path));
	assert_string_equal(asked(CTL_RELOAD, path, sizeof(path)), "!");
	ask(witness, CTL_POLL, NULL, 0);
	assert_string_equal(types(answered(witness)), "1");
	close(witness);
}

/* Byte by byte it is the same. */
static void
trickled(void **state)
{
	const struct ctl_header h = { 16, CTL_POLL, 0, 0, 0 };
	int fd = greeted();

	(void)state;
	for (size_t i = 0; i < sizeof(h); i++) {
		assert_int_equal(write(fd, (const char *)&h + i, 1), 1);
		turns(2);
	}
	assert_string_equal(types(answered(fd)), "1");
	/* half of one, then gone */
	assert_int_equal(write(fd, &h, 7), 7);
	turns(2);
	close(fd);
	turns(3);
	assert_int_equal(rd_ctl_clients(fake_pfe->ctl), 0);
}

/* ---- show ---- */

/* Rows as text, one line each. */
static char *
shown(int fd)
{
	static char text[16384];
	struct answer a;
	struct ctl_header h;
	const void *body;
	size_t n = 0;

	ask(fd, CTL_SHOW_SUMMARY, NULL, 0);
	a = answered(fd);
	while ((body = next(&a, &h)) != NULL) {
		const struct ctl_redirect *rdr = body;
		const struct ctl_table *t = body;
		const struct ctl_host *host = body;
		const struct ctl_relay *relay = body;
		const struct ctl_router *router = body;
		const struct ctl_route *route = body;
		const struct ctl_statistics *s = body;
		char addr[NET_TEXT];

		switch (h.type) {
		case CTL_REDIRECT:
			n += (size_t)sprintf(text + n, "redirect %u %s %u\n",
			    rdr->id, rdr->name, rdr->state);
			break;
		case CTL_TABLE:
			n += (size_t)sprintf(text + n,
			    " table %u %s %u up %u check %u\n", t->id,
			    t->name, t->state, t->up, t->check);
			break;
		case CTL_HOST:
			n += (size_t)sprintf(text + n,
			    "  host %u %s %u in %u parent %u %s\n", host->id,
			    host->name, host->state, host->table,
			    host->parent, net_name_ip_text(&host->addr,
			    addr));
			break;
		case CTL_RELAY:
			n += (size_t)sprintf(text + n, "relay %u %s %u\n",
			    relay->id, relay->name, relay->state);
			break;
		case CTL_ROUTER:
			n += (size_t)sprintf(text + n,
			    "router %u %s %u rtable %u %s\n", router->id,
			    router->name, router->state, router->rtable,
			    router->rtlabel);
			break;
		case CTL_ROUTE:
			n += (size_t)sprintf(text + n, " route %u %s/%u\n",
			    route->router, net_name_ip_text(&route->addr,
			    addr), route->bits);
			break;
		case CTL_STATISTICS:
			n += (size_t)sprintf(text + n,
			    " statistics %u %u %u\n", s->id, s->relay,
			    s->interval);
			break;
		default:
			assert_int_equal(h.type, CTL_END);
			n += (size_t)sprintf(text + n, "end\n");
		}
	}
	assert_false(a.over);
	free(a.data);
	return text;
}

static void
summary(void **state)
{
	int fd = greeted();

	(void)state;
	assert_string_equal(shown(fd),
	    "redirect 1 www 2\n"
	    " statistics 1 0 60\n"
	    " table 1 web:80 16 up 0 check 1\n"
	    "  host 1 10.0.0.1 64 in 1 parent 0 10.0.0.1\n"
	    "  host 2 10.0.0.2 64 in 1 parent 0 10.0.0.2\n"
	    "  host 3 10.0.0.3 64 in 1 parent 1 10.0.0.3\n"
	    " table 2 sorry:80 16 up 0 check 1\n"
	    "  host 4 10.0.1.1 64 in 2 parent 0 10.0.1.1\n"
	    "redirect 2 idle 1\n"
	    "relay 1 one 8\n"
	    " statistics 1 1 60\n"
	    " table 4 plain:8080 8 up 2 check 0\n"
	    "  host 8 10.0.2.1 64 in 4 parent 0 10.0.2.1\n"
	    "  host 9 10.0.2.2 64 in 4 parent 0 10.0.2.2\n"
	    " table 5 web:80 16 up 0 check 1\n"
	    "  host 10 10.0.0.1 64 in 5 parent 0 10.0.0.1\n"
	    "  host 11 10.0.0.2 64 in 5 parent 0 10.0.0.2\n"
	    "  host 12 10.0.0.3 64 in 5 parent 1 10.0.0.3\n"
	    "relay 2 two 1\n"
	    " statistics 2 1 60\n"
	    " table 6 off:80 1 up 0 check 1\n"
	    "router 1 way 8 rtable 3 lab\n"
	    " route 1 198.51.100.0/24\n"
	    " route 1 203.0.113.0/24\n"
	    " table 7 gate:65535 16 up 0 check 1\n"
	    "  host 14 10.0.4.1 64 in 7 parent 0 10.0.4.1\n"
	    "  host 15 10.0.4.2 64 in 7 parent 0 10.0.4.2\n"
	    "router 2 shut 1 rtable 0 \n"
	    "end\n");
	close(fd);
}

/* ---- states ---- */

static void
health(uint32_t host, int state)
{
	struct board_health *h = fake_pfe->view->hosts[host - 1].health;

	assert_non_null(h);
	atomic_store(&h->state, state);
	atomic_store(&h->error, 9);
	atomic_store(&h->left, 1);
	atomic_fetch_add(&h->checks, 4);
	atomic_fetch_add(&h->ups, state > 0 ? 4 : 1);
}

/* What has that in it. */
static void
assert_shows(int fd, const char *line, bool there)
{
	const char *text = shown(fd);

	if ((strstr(text, line) != NULL) != there)
		fail_msg("%s%s\nin\n%s", there ? "no " : "", line, text);
}

static void
states(void **state)
{
	int fd = greeted();

	(void)state;
	health(4, 1);
	assert_shows(fd, "redirect 1 www 132\n", true);	/* backup */
	assert_shows(fd, " table 2 sorry:80 8 up 1 check 1\n", true);
	assert_shows(fd, "host 4 10.0.1.1 32 in 2", true);
	health(2, 1);
	health(1, -1);
	assert_shows(fd, "redirect 1 www 136\n", true);	/* main */
	assert_shows(fd, "host 1 10.0.0.1 2 in 1", true);
	assert_shows(fd, " table 1 web:80 8 up 1 check 1\n", true);
	health(3, 1);
	assert_shows(fd, " table 1 web:80 8 up 2 check 1\n", true);
	health(2, -1);
	health(3, 0);
	health(4, -1);
	assert_shows(fd, "redirect 1 www 2\n", true);
	close(fd);
}

static void
counts(void **state)
{
	const struct ctl_id four = { .id = 4 };
	int fd = greeted();
	struct ctl_header h;
	struct answer a;
	const void *body;
	unsigned seen = 0;

	(void)state;
	health(4, -1);
	ask(fd, CTL_SHOW_SUMMARY, NULL, 0);
	a = answered(fd);
	while ((body = next(&a, &h)) != NULL) {
		const struct ctl_host *host = body;

		if (h.type != CTL_HOST)
			continue;
		if (host->id != 4) {
			assert_int_equal(host->checks, 0);
			continue;
		}
		assert_int_equal(host->checks, 4);
		assert_int_equal(host->ups, 1);
		assert_int_equal(host->error, 9);
		assert_int_equal(host->left, 1);
		seen++;
	}
	assert_int_equal(seen, 1);
	free(a.data);
	/* once it is disabled nothing is known, whatever the board says yet */
	ask(fd, CTL_HOST_DISABLE, &four, sizeof(four));
	assert_string_equal(types(answered(fd)), "1");
	ask(fd, CTL_SHOW_SUMMARY, NULL, 0);
	a = answered(fd);
	while ((body = next(&a, &h)) != NULL) {
		const struct ctl_host *host = body;

		if (h.type == CTL_HOST)
			assert_true(host->checks == 0 && host->error == 0);
	}
	free(a.data);
	close(fd);
}

/* ---- orders ---- */

#define NAMED(n)	{ .id = CTL_NO_ID, .name = n }
#define NUMBER(n)	{ .id = n }

/* One after the other: what is asked, whether it succeeds, what the checks
 * are told (h1- is host 1 off), and a line that is shown then. */
static const struct {
	enum ctl_type	 type;
	struct ctl_id	 id;
	bool		 good;
	const char	*told, *line;
} orders[] = {
	{ CTL_HOST_DISABLE, NUMBER(2), true, "h2-", "host 2 10.0.0.2 1 in" },
	{ CTL_HOST_DISABLE, NUMBER(2), true, "", "host 2 10.0.0.2 1 in" },
	/* children follow, and may not be asked themselves */
	{ CTL_HOST_DISABLE, NUMBER(1), true, "h1-h3-h7-h12-",
	    "host 3 10.0.0.3 1 in" },
	{ CTL_HOST_ENABLE, NUMBER(3), false, "", "host 3 10.0.0.3 1 in" },
	{ CTL_HOST_ENABLE, NAMED("10.0.0.3"), false, "",
	    "host 3 10.0.0.3 1 in" },
	{ CTL_HOST_ENABLE, NUMBER(1), true, "h1+h3+h7+h12+",
	    "host 3 10.0.0.3 64 in" },
	/* by name: in all tables */
	{ CTL_HOST_DISABLE, NAMED("10.0.0.2"), true, "h6-h11-",
	    "host 2 10.0.0.2 1 in" },
	{ CTL_HOST_ENABLE, NAMED("10.0.0.2"), true, "h2+h6+h11+",
	    "host 2 10.0.0.2 64 in" },
	{ CTL_HOST_DISABLE, NUMBER(0), false, "", "end" },
	{ CTL_HOST_DISABLE, NUMBER(99), false, "", "end" },
	{ CTL_HOST_DISABLE, NAMED("10.0.0.4"), false, "", "end" },
	{ CTL_HOST_DISABLE, NAMED(""), false, "", "end" },
	/* a host without check: nobody has to be told, but they are */
	{ CTL_HOST_DISABLE, NUMBER(8), true, "h8-",
	    " table 4 plain:8080 8 up 1 check 0" },
	{ CTL_HOST_ENABLE, NUMBER(8), true, "h8+",
	    " table 4 plain:8080 8 up 2 check 0" },
	{ CTL_TABLE_DISABLE, NAMED("web:80"), true, "t1-",
	    " table 1 web:80 1 up 0 check 1\n table 2" },
	{ CTL_TABLE_DISABLE, NUMBER(1), true, "", "end" },
	{ CTL_TABLE_ENABLE, NUMBER(1), true, "t1+", "  host 1" },
	{ CTL_TABLE_ENABLE, NAMED("web"), false, "", "end" },
	{ CTL_TABLE_ENABLE, NUMBER(99), false, "", "end" },
	/* by the file off */
	{ CTL_TABLE_ENABLE, NAMED("off:80"), true, "t6+",
	    " table 6 off:80 16 up 0 check 1\n  host 13" },
	{ CTL_TABLE_DISABLE, NAMED("off:80"), true, "t6-",
	    " table 6 off:80 1 up 0" },
	{ CTL_REDIRECT_DISABLE, NAMED("www"), true, "t1-",
	    "redirect 1 www 1\nredirect 2" },
	{ CTL_REDIRECT_DISABLE, NUMBER(1), true, "", "end" },
	{ CTL_REDIRECT_ENABLE, NUMBER(1), true, "t1+",
	    "redirect 1 www 2\n statistics" },
	{ CTL_REDIRECT_ENABLE, NUMBER(2), true, "",
	    "redirect 2 idle 2\n statistics 2 0 60\n table 3 web:81 16" },
	{ CTL_REDIRECT_DISABLE, NUMBER(2), true, "t3-", "redirect 2 idle 1" },
	{ CTL_REDIRECT_ENABLE, NUMBER(3), false, "", "end" },
	{ CTL_REDIRECT_ENABLE, NAMED("one"), false, "", "end" },
};

static const char *
switches(void)
{
	static char text[256];
	struct rd_tell_switch s;
	size_t n = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < fake.ntold; i++) {
		assert_int_equal(fake.told[i].role, RD_HCE);
		assert_int_equal(fake.told[i].type, RD_SWITCH);
		assert_int_equal(fake.told[i].len, sizeof(s));
		memcpy(&s, fake.told[i].data, sizeof(s));
		n += (size_t)sprintf(text + n, "%c%u%c",
		    s.what == RD_SWITCH_HOST ? 'h' : 't', s.id,
		    s.on ? '+' : '-');
	}
	fake.ntold = 0;
	return text;
}

static void
ordered(void **state)
{
	int fd = greeted(), monitor = greeted();
	struct ctl_header h;
	struct answer a;

	(void)state;
	ask(monitor, CTL_NOTIFY, NULL, 0);
	assert_string_equal(types(answered(monitor)), "1");
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		const struct ctl_id *id;

		ask(fd, orders[i].type, &orders[i].id, sizeof(orders[i].id));
		a = answered(fd);
		assert_non_null(next(&a, &h));
		if ((h.type == CTL_OK) != orders[i].good)
			fail_msg("order %zu", i);
		assert_null(next(&a, &h));
		free(a.data);
		assert_string_equal(switches(), orders[i].told);
		assert_shows(fd, orders[i].line, true);
		/* who watches hears of what succeeded, by number and name */
		a = answered(monitor);
		id = next(&a, &h);
		assert_int_equal(id != NULL, orders[i].good);
		if (id != NULL) {
			assert_int_equal(h.type, orders[i].type);
			assert_int_equal(h.pid, 1);
			assert_int_not_equal(id->id, CTL_NO_ID);
			assert_string_equal(id->name, orders[i].id.name);
		}
		free(a.data);
	}
	close(fd);
	close(monitor);
}

/* Orders are the board's: they outlive a configuration, and this process. */
static void
orders_stay(void **state)
{
	static const char smaller[] =
	    "table <new> { 10.0.9.1 }\n"
	    "table <web> { 10.0.0.2 10.0.0.1 }\n"
	    "redirect new { listen on 192.0.2.9 port 80\n"
	    "	forward to <new> port 80 check tcp }\n"
	    "redirect www { listen on 192.0.2.1 port 80\n"
	    "	forward to <web> port 80 check tcp }\n";
	static const char family[] =
	    "table <web> { 10.0.0.2 10.0.9.9 parent 1 }\n"
	    "redirect www { listen on 192.0.2.1 port 80\n"
	    "	forward to <web> port 80 check tcp }\n";
	const struct ctl_id host = NUMBER(2), rdr = NAMED("www");
	struct diag *d = diag_new();
	struct compiled *c;
	int fd;

	(void)state;
	assert_string_equal(asked(CTL_HOST_DISABLE, &host, sizeof(host)),
	    "1");
	assert_string_equal(asked(CTL_REDIRECT_DISABLE, &rdr, sizeof(rdr)),
	    "1");
	assert_int_equal(fake_config(compiled(smaller)), 0);
	fd = greeted();
	assert_shows(fd, "redirect 2 www 1\nend", true);
	ask(fd, CTL_REDIRECT_ENABLE, &rdr, sizeof(rdr));
	assert_string_equal(types(answered(fd)), "1");
	assert_shows(fd, "redirect 2 www 2\n", true);
	assert_shows(fd, "  host 2 10.0.0.2 1 in 2", true);
	assert_shows(fd, "  host 3 10.0.0.1 64 in 2", true);
	/* one that is new and follows another is off with it */
	assert_int_equal(fake_config(compiled(family)), 0);
	assert_shows(fd, "  host 2 10.0.9.9 1 in 1 parent 1", true);
	assert_int_equal(fake_config(compiled(smaller)), 0);
	close(fd);
	turns(2);
	/* a new process in the place of this one */
	c = compiled_ref(fake_pfe->view->compiled);
	rd_pfe_ops.close(fake_pfe);
	fake_pfe = rd_pfe_ops.open(fake.ev, &fake);
	assert_non_null(fake_pfe);
	assert_int_equal(rd_pfe_ops.config(fake_pfe, c, d), 0);
	compiled_unref(c);
	diag_free(d);
	fd = greeted();
	assert_shows(fd, "  host 2 10.0.0.2 1 in 2", true);
	close(fd);
}

/* ---- what others are told, and say ---- */

static void
handed_on(void **state)
{
	const uint32_t on = 1;
	int monitor = greeted();

	(void)state;
	ask(monitor, CTL_NOTIFY, NULL, 0);
	assert_string_equal(types(answered(monitor)), "1");
	assert_string_equal(asked(CTL_POLL, NULL, 0), "1");
	assert_int_equal(fake.ntold, 1);
	assert_int_equal(fake.told[0].role, RD_HCE);
	assert_int_equal(fake.told[0].type, RD_POLL);
	assert_string_equal(asked(CTL_VERBOSE, &on, sizeof(on)), "1");
	assert_int_equal(fake.ntold, 2);
	assert_int_equal(fake.told[1].role, RD_PARENT);
	assert_int_equal(fake.told[1].type, RD_LOUD);
	assert_int_equal(fake.told[1].data[0], 1);
	assert_string_equal(types(answered(monitor)), "3");
	assert_string_equal(asked(CTL_SHUTDOWN, NULL, 0), "1");
	assert_int_equal(fake.ntold, 3);
	assert_int_equal(fake.told[2].role, RD_PARENT);
	assert_int_equal(fake.told[2].type, RD_STOP);
	close(monitor);
}

static uint64_t
reload_token(unsigned i, const char *path)
{
	struct rd_tell_reload r;

	assert_int_equal(fake.ntold, i + 1);
	assert_int_equal(fake.told[i].role, RD_PARENT);
	assert_int_equal(fake.told[i].type, RD_RELOAD);
	memcpy(&r, fake.told[i].data, sizeof(r));
	assert_string_equal(r.path, path);
	return r.token;
}

static void
verdict(uint64_t token, bool good)
{
	const struct rd_tell_verdict v = { .token = token, .good = good };

	fake_tell(RD_PARENT, 0, RD_RELOADED, &v, sizeof(v));
}

static void
reloads(void **state)
{
	static const char own[CTL_PATH], path[CTL_PATH] = "/etc/other.conf";
	static const char relative[CTL_PATH] = "other.conf";
	int fd = greeted(), other = greeted();
	uint64_t token;

	(void)state;
	ask(fd, CTL_RELOAD, own, sizeof(own));
	assert_string_equal(types(answered(fd)), "");	/* not yet */
	token = reload_token(0, "");
	/* another one is refused, another's verdict is not ours */
	ask(other, CTL_RELOAD, path, sizeof(path));
	assert_string_equal(types(answered(other)), "2");
	verdict(token + 1, true);
	assert_string_equal(types(answered(fd)), "");
	verdict(token, true);
	assert_string_equal(types(answered(fd)), "1");
	verdict(token, true);
	assert_string_equal(types(answered(fd)), "");
	/* the other file, which is bad */
	ask(other, CTL_RELOAD, path, sizeof(path));
	turns(2);
	verdict(reload_token(1, path), false);
	assert_string_equal(types(answered(other)), "2");
	ask(other, CTL_RELOAD, relative, sizeof(relative));
	assert_string_equal(types(answered(other)), "2");
	/* who asked does not wait: the reload goes on, and another is refused
	 * until it is over */
	ask(other, CTL_RELOAD, own, sizeof(own));
	turns(2);
	close(other);
	turns(3);
	token = reload_token(2, "");
	ask(fd, CTL_RELOAD, own, sizeof(own));
	assert_string_equal(types(answered(fd)), "2");
	verdict(token, false);
	ask(fd, CTL_RELOAD, own, sizeof(own));
	turns(2);
	verdict(reload_token(3, ""), true);
	assert_string_equal(types(answered(fd)), "1");
	/* asked again before it was answered */
	ask(fd, CTL_RELOAD, own, sizeof(own));
	ask(fd, CTL_POLL, NULL, 0);
	assert_string_equal(types(answered(fd)), "!");
	close(fd);
}

static void
events(void **state)
{
	struct rd_tell_host told = { .host = 2, .table = 1, .old = 0,
	    .now = 1 };
	int fd = greeted(), quiet = greeted();
	const struct ctl_status *s;
	struct ctl_header h;
	struct answer a;

	(void)state;
	ask(fd, CTL_NOTIFY, NULL, 0);
	assert_string_equal(types(answered(fd)), "1");
	ask(fd, CTL_NOTIFY, NULL, 0);
	assert_string_equal(types(answered(fd)), "2");
	fake_tell(RD_HCE, 0, RD_SYNC, NULL, 0);
	fake_tell(RD_HCE, 0, RD_HOST, &told, sizeof(told));
	a = answered(fd);
	(void)next(&a, &h);
	assert_int_equal(h.type, CTL_SYNC);
	assert_int_equal(h.length, 16);
	assert_int_equal(h.pid, 1);
	s = next(&a, &h);
	assert_int_equal(h.type, CTL_HOST_STATUS);
	assert_int_equal(s->id, 2);
	assert_int_equal(s->state, 1);
	assert_null(next(&a, &h));
	free(a.data);
	/* of no host, not from there, not that long */
	told.host = 99;
	fake_tell(RD_HCE, 0, RD_HOST, &told, sizeof(told));
	told.host = 2;
	fake_tell(RD_CA, 0, RD_HOST, &told, sizeof(told));
	fake_tell(RD_HCE, 0, RD_HOST, &told, sizeof(told) - 4);
	fake_tell(RD_HCE, 0, 63, &told, sizeof(told));
	assert_string_equal(types(answered(fd)), "");
	assert_string_equal(types(answered(quiet)), "");
	close(fd);
	close(quiet);
}

/* One that does not read is dropped, and others hear everything. */
static void
slow_monitor(void **state)
{
	const struct rd_tell_host told = { .host = 2, .table = 1, .now = 1 };
	int slow = greeted(), fd = greeted();
	struct answer a;

	(void)state;
	ask(slow, CTL_NOTIFY, NULL, 0);
	ask(fd, CTL_NOTIFY, NULL, 0);
	assert_string_equal(types(answered(fd)), "1");
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned k = 0; k < 1000; k++)
			fake_tell(RD_HCE, 0, RD_HOST, &told, sizeof(told));
		a = answered(fd);
		assert_false(a.over);
		assert_int_equal(a.len, 1000 * 24);
		free(a.data);
	}
	assert_int_equal(rd_ctl_clients(fake_pfe->ctl), 1);
	close(fd);
	close(slow);
}

static void
crowd(void **state)
{
	int fds[RD_CTL_CLIENTS];
	unsigned enough = 0;

	(void)state;
	for (unsigned i = 0; i < RD_CTL_CLIENTS; i++) {
		const char *text;

		fds[i] = greeted();
		ask(fds[i], CTL_NOTIFY, NULL, 0);
		text = types(answered(fds[i]));
		enough += strcmp(text, "1") == 0;
	}
	assert_int_equal(enough, RD_CTL_MONITORS);
	assert_int_equal(rd_ctl_clients(fake_pfe->ctl), RD_CTL_CLIENTS);
	fake_tell(RD_HCE, 0, RD_SYNC, NULL, 0);
	for (unsigned i = 0; i < RD_CTL_CLIENTS; i++) {
		assert_string_equal(types(answered(fds[i])),
		    i < RD_CTL_MONITORS ? "38" : "");
		close(fds[i]);
	}
	turns(3);
	assert_int_equal(rd_ctl_clients(fake_pfe->ctl), 0);
}

/* ---- workers ---- */

/* A worker says something of n sessions, or, why, of n that are over. */
static void
list(uint32_t worker, uint32_t token, bool why, uint32_t n, bool last)
{
	static _Alignas(8) uint8_t data[60000];
	const struct tell_list head = { .token = token, .n = n,
	    .last = last };
	size_t each = why ? sizeof(struct tell_why) :
	    sizeof(struct tell_session);

	memset(data, 0, sizeof(data));
	memcpy(data, &head, sizeof(head));
	for (uint32_t i = 0; i < n; i++) {
		struct tell_session s = { .id = i + 1, .worker = worker };
		struct tell_why y = { .id = i + 1, .worker = worker };

		memcpy(data + sizeof(head) + i * each, why ? (void *)&y :
		    (void *)&s, each);
	}
	fake_tell(RD_WORKER, worker, why ? TELL_WHY_LIST : TELL_SESSION_LIST,
	    data, sizeof(head) + n * each);
}

/* The token of the question that was asked i-th; of that worker. */
static uint32_t
question(unsigned i, uint32_t worker, unsigned type)
{
	struct tell_ask q;

	assert_int_equal(fake.ntold, i + 1);
	assert_int_equal(fake.told[i].role, RD_WORKER);
	assert_int_equal(fake.told[i].instance, worker);
	assert_int_equal(fake.told[i].type, type);
	memcpy(&q, fake.told[i].data, sizeof(q));
	assert_int_not_equal(q.token, 0);
	return q.token;
}

static void
sessions(void **state)
{
	int fd = greeted();
	uint32_t token, other;

	(void)state;
	/* nobody is there */
	ask(fd, CTL_SHOW_SESSIONS, NULL, 0);
	assert_string_equal(types(answered(fd)), "5");
	fake_seat(0, 7, BOARD_READY);
	fake_seat(1, 3, BOARD_RETIRING);
	fake_seat(2, 9, BOARD_STARTING);
	/* one after the other, by number; not those that are not there yet */
	ask(fd, CTL_SHOW_SESSIONS, NULL, 0);
	assert_string_equal(types(answered(fd)), "");
	token = question(0, 3, TELL_SESSIONS);
	list(3, token, false, 2, false);
	list(3, token, false, 1, true);
	list(3, token, false, 5, true);		/* has said its last word */
	assert_string_equal(types(answered(fd)), "10 10 10");
	other = question(1, 7, TELL_SESSIONS);
	assert_int_not_equal(token, other);
	list(3, other, false, 5, true);		/* not its turn */
	list(7, token, false, 5, true);		/* another question's */
	list(7, other, true, 1, true);		/* another kind */
	assert_string_equal(types(answered(fd)), "");
	list(7, other, false, 0, true);
	assert_string_equal(types(answered(fd)), "5");
	/* one that leaves is left out, what it said stays */
	ask(fd, CTL_SHOW_SESSIONS, NULL, 0);
	turns(3);
	list(3, question(2, 3, TELL_SESSIONS), false, 1, false);
	fake_seat(1, 0, BOARD_FREE);
	while (fake.ntold == 3)
		assert_int_equal(ev_turn(fake.ev, 1000), 0);
	list(7, question(3, 7, TELL_SESSIONS), false, 1, true);
	assert_string_equal(types(answered(fd)), "10 10 5");
	/* the asker leaves; asked again while it is answered */
	ask(fd, CTL_SHOW_SESSIONS, NULL, 0);
	turns(3);
	token = question(4, 7, TELL_SESSIONS);
	ask(fd, CTL_SHOW_SESSIONS, NULL, 0);
	assert_string_equal(types(answered(fd)), "!");
	list(7, token, false, 100, true);
	close(fd);
	turns(3);
}

static void
why(void **state)
{
	const struct ctl_why all = { 0 }, one = { .session = 5, .worker = 3,
	    .host = 2, .name = "10.0.0.2" };
	int fd = greeted();
	struct tell_ask_why q;

	(void)state;
	fake_seat(0, 7, BOARD_READY);
	fake_seat(1, 3, BOARD_READY);
	ask(fd, CTL_WHY, &all, sizeof(all));
	turns(3);
	list(3, question(0, 3, TELL_WHY), true, 2, true);
	turns(3);
	list(7, question(1, 7, TELL_WHY), true, 1, true);
	assert_string_equal(types(answered(fd)), "67 67 67 5");
	/* only that worker */
	ask(fd, CTL_WHY, &one, sizeof(one));
	turns(3);
	list(3, question(2, 3, TELL_WHY), true, 1, true);
	assert_string_equal(types(answered(fd)), "67 5");
	memcpy(&q, fake.told[2].data, sizeof(q));
	assert_int_equal(q.session, 5);
	assert_int_equal(q.worker, 3);
	assert_int_equal(q.host, 2);
	assert_string_equal(q.name, "10.0.0.2");
	close(fd);
}

/* A list from a worker that went wrong costs the client only what is bad. */
static void
sessions_bad(void **state)
{
	static _Alignas(8) uint8_t data[sizeof(struct tell_list) +
	    2 * sizeof(struct tell_session)];
	struct tell_list head = { .n = 2, .last = 1 };
	struct tell_session s = { .id = 1 };
	int fd = greeted();

	(void)state;
	fake_seat(0, 7, BOARD_READY);
	ask(fd, CTL_SHOW_SESSIONS, NULL, 0);
	turns(3);
	head.token = question(0, 7, TELL_SESSIONS);
	memset(s.tag, 'x', sizeof(s.tag));
	memcpy(data, &head, sizeof(head));
	memcpy(data + sizeof(head), &s, sizeof(s));
	s.tag[0] = '\0';
	memcpy(data + sizeof(head) + sizeof(s), &s, sizeof(s));
	fake_tell(RD_WORKER, 7, TELL_SESSION_LIST, data, sizeof(data) - 8);
	fake_tell(RD_WORKER, 7, TELL_SESSION_LIST, data, 8);
	assert_string_equal(types(answered(fd)), "");
	fake_tell(RD_WORKER, 7, TELL_SESSION_LIST, data, sizeof(data));
	assert_string_equal(types(answered(fd)), "10 5");
	close(fd);
}

/* ---- large answers ---- */

#define MANY	4000

static char *
many_hosts(void)
{
	char *text = malloc(MANY * 16 + 1024);
	size_t n;

	assert_non_null(text);
	n = (size_t)sprintf(text, "table <t> {\n");
	for (unsigned i = 0; i < MANY; i++)
		n += (size_t)sprintf(text + n, "10.0.%u.%u\n", i / 250,
		    i % 250 + 1);
	sprintf(text + n, "}\nredirect www { listen on 192.0.2.1 port 80\n"
	    "	forward to <t> port 80 check tcp }\n");
	return text;
}

/* However slowly it is read, it is there as a whole, and hardly anything of it
 * waits; a reload meanwhile does not change it, nor a new board. */
static void
large(void **state)
{
	char *text = many_hosts();
	struct compiled *c = compiled(text);
	const size_t whole = MANY * (16 + sizeof(struct ctl_host));
	int fd = greeted(), reader = greeted();
	static uint8_t bytes[8192];
	size_t got = 0;
	ssize_t n;

	(void)state;
	assert_int_equal(fake_config(c), 0);
	ask(fd, CTL_SHOW_SUMMARY, NULL, 0);
	ask(reader, CTL_TEXT, NULL, 0);
	turns(20);
	assert_int_equal(fake_config(compiled(config)), 0);
	assert_non_null(fake_pfe->views->next);
	rd_view_detach(fake_pfe->views, fake_pfe->view->head);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		got += (size_t)n;
		turns(2);
	}
	assert_true(got > whole && got < whole + 1024);
	got = 0;
	while ((n = read(reader, bytes, sizeof(bytes))) > 0) {
		got += (size_t)n;
		turns(2);
	}
	assert_true(got > MANY * 9);
	/* the old configuration goes with the last answer */
	assert_null(fake_pfe->views->next);
	free(text);
	close(fd);
	close(reader);
}

static void
text(void **state)
{
	const struct rd_conf *conf = fake_pfe->view->conf;
	int fd = greeted();
	struct answer a;
	struct ctl_header h;
	const struct ctl_request *r;
	const void *part;
	size_t at = 0;

	(void)state;
	ask(fd, CTL_TEXT, NULL, 0);
	a = answered(fd);
	r = next(&a, &h);
	assert_int_equal(h.type, CTL_REQUEST);
	assert_string_equal(r->file, "/r.conf");
	assert_string_equal(r->directory, "/where");
	assert_memory_equal(r->digest, conf->digest, sizeof(r->digest));
	assert_int_equal(r->nmacros, 1);
	assert_int_equal(r->length, 8);
	assert_memory_equal(r + 1, "a\0value", 8);
	while ((part = next(&a, &h)) != NULL && h.type == CTL_TEXT_PART) {
		size_t len = h.length - sizeof(h);

		assert_true(conf->text_len - at >= len);
		assert_memory_equal(part, conf->text + at, len);
		at += len;
	}
	assert_int_equal(at, conf->text_len);
	assert_int_equal(h.type, CTL_END);
	assert_null(next(&a, &h));
	free(a.data);
	close(fd);
}

/* ---- statistics ---- */

/* What relay `one' shows; all others show nothing. */
static struct ctl_statistics
counted(uint32_t id, unsigned rows)
{
	struct ctl_statistics found = { 0 };
	struct ctl_header h;
	struct answer a;
	const void *body;
	int fd = greeted();
	unsigned seen = 0;

	ask(fd, CTL_SHOW_SUMMARY, NULL, 0);
	a = answered(fd);
	while ((body = next(&a, &h)) != NULL) {
		const struct ctl_statistics *s = body;

		if (h.type != CTL_STATISTICS)
			continue;
		seen++;
		if (s->relay && s->id == id)
			found = *s;
		else
			assert_int_equal(s->total, 0);
	}
	assert_int_equal(seen, rows);
	free(a.data);
	close(fd);
	return found;
}

static void
statistics(void **state)
{
	static const char changed[] =
	    "table <plain> { 10.0.2.1 10.0.2.2 }\n"
	    "relay new { listen on 192.0.2.3 port 79\n"
	    "	forward to <plain> port 8080 }\n"
	    "relay one { listen on 192.0.2.3 port 80\n"
	    "	forward to <plain> port 8080 }\n";
	char name[BOARD_NAME];
	struct board_cell *cell;
	struct ctl_statistics s;
	int row;

	(void)state;
	/* a worker has accepted 7 of relay one */
	snprintf(name, sizeof(name), "%s", fake_pfe->stats.entries[2].counter);
	row = board_claim(&fake.board, BOARD_LISTENER, name, 0,
	    atomic_load(&fake.board.head->generation));
	assert_true(row >= 0);
	fake_seat(0, 1, BOARD_READY);
	cell = board_cell(&fake.board, 0, (unsigned)row);
	board_add(&cell->total, 7);
	assert_true(ev_timer_pending(&fake_pfe->tick));
	fake_pfe->tick.cb(fake_pfe->tick.ctx);
	board_add(&cell->total, 2);
	fake_pfe->tick.cb(fake_pfe->tick.ctx);
	s = counted(1, 3);
	assert_int_equal(s.total, 9);
	assert_int_equal(s.last, 2);
	assert_int_equal(s.last_hour, 9);
	assert_int_equal(s.average, 2);		/* (2 + 3) / 2 */
	/* the same relay by another number */
	assert_int_equal(fake_config(compiled(changed)), 0);
	s = counted(2, 2);
	assert_int_equal(s.total, 9);
	board_add(&cell->total, 1);
	fake_pfe->tick.cb(fake_pfe->tick.ctx);
	s = counted(2, 2);
	assert_int_equal(s.total, 10);
	assert_int_equal(s.last, 1);
}

int
main(void)
{
#define TEST(t)	cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(greetings),
		TEST(garbage),
		TEST(trickled),
		TEST(summary),
		TEST(states),
		TEST(counts),
		TEST(ordered),
		TEST(orders_stay),
		TEST(handed_on),
		TEST(reloads),
		TEST(events),
		TEST(slow_monitor),
		TEST(crowd),
		TEST(sessions),
		TEST(why),
		TEST(sessions_bad),
		TEST(large),
		TEST(text),
		TEST(statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
