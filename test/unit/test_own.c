/*
 * An own worker's process against a master played by the test: the real
 * own_main() in a process of its own, with an engine that does what the first
 * byte of a connection says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "misc/log.h"
#include "misc/msg.h"
#include "spawnd/own.h"
#include "spawnd/parse.h"
#include "spawnd/worker.h"

#define WAIT	10000	/* ms, before a test is given up */
#define ALL	(FEATURE_BATCH | FEATURE_BOARD | FEATURE_TICKETS | \
		FEATURE_CONFIG | FEATURE_LEND)
#define COLUMN	2

/* ---- a language of two words */

struct config {
	unsigned idle, retire;
};

static const struct kw section_kw[] = {
	KW_INT("idle", struct config, idle, 1, 99),
	KW_INT("retire", struct config, retire, 1, 999),
	KW_END
};

static void *
section_begin_test(struct parse *p)
{
	return arena_alloc(p->r.arena, sizeof(struct config));
}

static void
section_body(struct parse *p, void *object)
{
	struct kw_block block = { .sets = { { common_kw, p->common },
	    { section_kw, object } }, .nsets = 2 };

	(void)kw_block(&p->r, &block, false);
}

static void
section_end(struct parse *p, void *object, const struct spawnd_conf *broker,
    const struct diag_place *place)
{
	(void)p;
	(void)object;
	(void)broker;
	(void)place;
}

static void
section_print(const void *object, FILE *fp)
{
	const struct config *c = object;

	fprintf(fp, "idle %u retire %u\n", c->idle, c->retire);
}

static const struct conf_section section = {
	.begin = section_begin_test,
	.body = section_body,
	.end = section_end,
	.print = section_print,
};

static unsigned
row_count(const struct compiled *c)
{
	(void)c;
	return 1;
}

static void
rows(const struct compiled *c, struct board *b, uint32_t generation)
{
	(void)c;
	(void)board_claim(b, BOARD_DESTINATION, "one", 1, generation);
}

/* ---- the engine */

struct worker {
	struct ev	*ev;
	struct own	*own;
	uint32_t	 generation, next;
	unsigned	 tickets;
};

static struct worker engine;

static struct worker *
engine_open(struct ev *ev, struct own *own)
{
	engine.ev = ev;
	engine.own = own;
	return own_board(own) == NULL ? NULL : &engine;
}

static int
engine_prepare(struct worker *w, struct compiled *c, struct diag *d)
{
	const struct config *config = c->worker;

	assert_int_not_equal(board_find(own_board(w->own), BOARD_DESTINATION,
	    "one"), -1);
	if (config->retire == 666) {
		diag_error(d, NULL, "not with 666");
		return -1;
	}
	w->next = c->generation;
	return 0;
}

static void
engine_commit(struct worker *w)
{
	w->generation = w->next;
}

static void
engine_forget(struct worker *w)
{
	w->next = 0;
}

static void
engine_end(void *ctx, int fd)
{
	struct worker *w = ctx;

	ev_close(w->ev, fd);
	own_done(w->own, 1);
}

static const struct ev_ops engine_ops = { .readable = engine_end,
    .hangup = engine_end, .error = engine_end };

/* k: keep until the client closes, r: return, x: retire; others end now */
static void
engine_conn(struct worker *w, const struct spawnd_conn *c, unsigned n)
{
	for (; n > 0; n--, c++) {
		char order = 0, text[64];
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		int len;

		/* A real engine would not wait. */
		(void)poll(&p, 1, WAIT);
		(void)!recv(c->fd, &order, 1, MSG_PEEK);
		if (order == 'r') {
			own_return(w->own, c, SPAWND_RETURN_RESOURCES);
			continue;
		}
		(void)!read(c->fd, &order, 1);
		len = snprintf(text, sizeof(text), "%u %u %u %u %d\n",
		    w->generation, c->listener, w->tickets,
		    own_use(w->own), own_shared(w->own,
		    own_copy(w->own, c)));
		(void)!write(c->fd, text, (size_t)len);
		if (order == 'x')
			own_retire(w->own);
		if (order == 'k' || order == 'x') {
			if (ev_add(w->ev, c->fd, &engine_ops, w, EV_READ) ==
			    -1)
				abort();
		} else {
			engine_end(w, c->fd);
		}
	}
}

static void
engine_tickets(struct worker *w, const struct ticket_key *keys, unsigned n)
{
	w->tickets = n * 100 + keys[n - 1].name[0];
}

static void
engine_nothing(struct worker *w)
{
	(void)w;
}

static const struct worker_ops engine_worker = {
	.open = engine_open,
	.prepare = engine_prepare,
	.commit = engine_commit,
	.forget = engine_forget,
	.conn = engine_conn,
	.tickets = engine_tickets,
	.drain = engine_nothing,
	.status = engine_nothing,
	.kill = engine_nothing,
	.close = engine_nothing,
};

static const struct program program = {
	.name = "test",
	.features = "",
	.section = &section,
	.rows = rows,
	.row_count = row_count,
	.worker = &engine_worker,
};

/* ---- the master */

static const char *self;
static char file[64];

struct master {
	pid_t		 pid;
	struct channel	 ch;
	struct board	 board;
	alignas(8) uint8_t buf[CHANNEL_MAX];
	struct channel_message m;
	uint64_t	 ids;
};

static const uint8_t nonce[8] = { 9, 8, 7, 6, 5, 4, 3, 2 };

static void
write_config(const char *path, const char *acl, const char *relay)
{
	FILE *fp = fopen(path, "w");

	assert_non_null(fp);
	fprintf(fp, "id = spawnd {\n"
	    "\tlisten = { port = 7 accept = workers realm = red }\n"
	    "\tlisten = { address = 127.0.0.1 port = 9 accept = workers }\n"
	    "\tspawn = { users min = 2 users max = 4 }\n%s}\n"
	    "id = test {\n%s}\n", acl, relay);
	assert_int_equal(fclose(fp), 0);
}

static void
master_send(struct master *m, enum channel_type type, const void *p,
    size_t len, const int *fds, unsigned nfds)
{
	assert_int_equal(channel_send(&m->ch, type, p, len, NULL, 0, fds,
	    nfds), 0);
}

static void
master_expect(struct master *m, enum channel_type type)
{
	enum channel_result got = CHANNEL_NOTHING;

	for (int i = 0; i < 50 && got == CHANNEL_NOTHING; i++) {
		struct pollfd p = { .fd = m->ch.fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, WAIT), 1);
		got = channel_recv(&m->ch, m->buf, &m->m);
	}
	assert_int_equal(got, CHANNEL_GOT);
	assert_int_equal(m->m.type, type);
}

/* Nothing is to be read for a moment. */
static void
master_silent(struct master *m)
{
	struct pollfd p = { .fd = m->ch.fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 150), 0);
}

static void
master_start(struct master *m, uint32_t features, const uint8_t *build)
{
	struct channel_hello h;
	char env[CHANNEL_ENV_MAX];
	int fds[2];

	memset(m, 0, sizeof(*m));
	assert_int_equal(board_open(&m->board, 4, 16), 0);
	assert_int_equal(msg_pair(fds, 0), 0);
	channel_env_print(env, nonce);
	m->pid = fork();
	if (m->pid == 0) {
		dup2(fds[1], 0);
		setenv(CHANNEL_ENV, env, 1);
		alarm(2 * WAIT / 1000);
		execl(self, self, file, "test", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	m->ch.fd = fds[0];
	m->ch.master = true;
	memset(&h, 0, sizeof(h));
	memcpy(h.nonce, nonce, sizeof(nonce));
	memcpy(h.build, build, sizeof(h.build));
	h.generation = 3;
	h.worker = 11;
	h.features = features;
	master_send(m, CHANNEL_HELLO, &h, sizeof(h), NULL, 0);
}

static void
master_agree(struct master *m, uint32_t offered, uint32_t want)
{
	struct channel_hello h;

	master_start(m, offered, channel_build);
	master_expect(m, CHANNEL_HELLO);
	memcpy(&h, m->m.payload, sizeof(h));
	assert_memory_equal(h.nonce, nonce, sizeof(nonce));
	assert_memory_equal(h.build, channel_build, sizeof(h.build));
	assert_int_equal(h.features, want);
	m->ch.features = want;
	if ((want & FEATURE_BOARD) != 0) {
		struct channel_board b = { .column = COLUMN, .columns = 4,
		    .size = m->board.size };

		master_send(m, CHANNEL_BOARD, &b, sizeof(b), &m->board.fd, 1);
	}
}

/* Compiles file and sends it as that generation. */
static void
master_config(struct master *m, uint32_t generation, uint8_t digest[32])
{
	struct { struct channel_config head; char tail[1024]; } msg;
	struct conf_request r = { .program = &program, .file = file,
	    .worker_id = "test", .argv0 = "test", .self = self };
	struct source *s = source_gather((char *const []){ NULL });
	struct diag *d = diag_new();
	struct compiled *c = conf_compile(&r, s, d);
	int fds[2] = { -1, -1 };
	size_t tail;

	if (c == NULL)
		diag_print(d, stderr, s, false);
	assert_non_null(c);
	assert_int_equal(source_save(c->source, &fds[0], &fds[1]), 0);
	memset(&msg, 0, sizeof(msg));
	msg.head.generation = generation;
	msg.head.flags = fds[1] != -1;
	memcpy(msg.head.digest, c->digest, sizeof(msg.head.digest));
	memcpy(digest, c->digest, 32);
	c->generation = generation;
	rows(c, &m->board, generation);
	tail = own_request_pack(msg.tail, sizeof(msg.tail), &r);
	assert_true(tail > 0);
	master_send(m, CHANNEL_CONFIG, &msg, sizeof(msg.head) + tail, fds,
	    fds[1] != -1 ? 2 : 1);
	close(fds[0]);
	if (fds[1] != -1)
		close(fds[1]);
	compiled_unref(c);
	diag_free(d);
}

static void
expect_ready(struct master *m, uint32_t generation, const uint8_t *digest)
{
	struct channel_ready r;

	master_expect(m, CHANNEL_READY);
	memset(&r, 0, sizeof(r));
	memcpy(&r, m->m.payload, m->m.len);
	assert_memory_equal(r.nonce, nonce, sizeof(nonce));
	assert_int_equal(r.generation, generation);
	assert_in_range(r.count, 1, 1048576);
	assert_int_equal(m->m.len, digest != NULL ? 48 : 16);
	if (digest != NULL)
		assert_memory_equal(r.digest, digest, 32);
}

/* An own worker, READY with everything, generation 3. */
static void
master_ready(struct master *m)
{
	uint8_t digest[32];

	write_config(file, "", "");
	master_agree(m, ALL | 1024, ALL);
	master_config(m, 3, digest);
	expect_ready(m, 3, digest);
	atomic_store(&board_seat(&m->board, COLUMN)->max, 4);
	atomic_store(&board_seat(&m->board, COLUMN)->state, BOARD_READY);
}

static void
record_make(struct master *m, struct channel_record *r, int age)
{
	struct spawnd_conn c;

	memset(&c, 0, sizeof(c));
	c.id = ++m->ids;
	c.handed = worker_clock() - (uint64_t)age * UINT64_C(1000000000);
	c.listener = 1;
	c.type = SOCK_STREAM;
	channel_pack(r, &c);
}

static int
pair_make(char order, int *theirs)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    fds), 0);
	assert_int_equal(write(fds[0], &order, 1), 1);
	*theirs = fds[1];
	return fds[0];
}

/* n connections in one BATCH with nfds descriptors; our ends to ours. */
static void
master_batch(struct master *m, const char *orders, unsigned nfds, int age,
    int *ours)
{
	struct { struct channel_batch head; struct channel_record r[64]; } b;
	unsigned n = (unsigned)strlen(orders);
	int fds[64] = { 0 };

	memset(&b.head, 0, sizeof(b.head));
	b.head.n = n;
	for (unsigned i = 0; i < n; i++) {
		record_make(m, &b.r[i], age);
		ours[i] = pair_make(orders[i], &fds[i]);
	}
	master_send(m, CHANNEL_BATCHED, &b, sizeof(b.head) +
	    n * sizeof(b.r[0]), fds, nfds);
	board_add(&board_seat(&m->board, COLUMN)->given, n);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void
expect_text(int fd, const char *want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char text[128];
	ssize_t n;

	assert_int_equal(poll(&p, 1, WAIT), 1);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, want);
}

static void
expect_return(struct master *m, uint64_t id, uint32_t reason)
{
	struct channel_return r;
	uint64_t got;

	master_expect(m, CHANNEL_RETURN);
	memcpy(&r, m->m.payload, sizeof(r));
	memcpy(&got, r.id, sizeof(got));
	assert_int_equal(got, id);
	assert_int_equal(r.reason, reason);
}

/* Until the cell has that value. */
static void
expect_cell(const _Atomic uint64_t *cell, uint64_t want)
{
	for (int i = 0; i < WAIT && board_get(cell) != want; i++)
		poll(NULL, 0, 1);
	assert_int_equal(board_get(cell), want);
}

static int
master_wait(struct master *m)
{
	int status;

	assert_int_equal(waitpid(m->pid, &status, 0), m->pid);
	if (m->ch.fd != -1)
		close(m->ch.fd);
	board_close(&m->board);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
master_dismiss(struct master *m)
{
	master_send(m, CHANNEL_MAY_DIE, NULL, 0, NULL, 0);
	return master_wait(m);
}

/* ---- the tests */

static void
test_batches(void **state)
{
	const struct board_column *c;
	struct master m;
	int fds[64];
	char many[65];

	(void)state;
	master_ready(&m);
	c = board_column(&m.board, COLUMN);
	assert_int_equal(board_get(&c->generation), 3);
	master_batch(&m, "dkd", 3, 0, fds);
	for (int i = 0; i < 3; i++)
		expect_text(fds[i], i == 2 ? "3 1 0 2 1\n" :
		    i == 1 ? "3 1 0 2 1\n" : "3 1 0 3 1\n");
	expect_cell(&c->finished, 2);
	assert_int_equal(board_get(&c->taken), 3);
	assert_int_equal(board_use(&m.board, COLUMN), 1);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	expect_cell(&c->finished, 3);
	/* neither TAKEN nor DONE by message */
	master_silent(&m);
	/* the longest */
	memset(many, 'd', 64);
	many[64] = '\0';
	master_batch(&m, many, 64, 0, fds);
	expect_cell(&c->finished, 67);
	for (int i = 0; i < 64; i++)
		close(fds[i]);
	/* fewer descriptors than records */
	master_batch(&m, "ddd", 2, 0, fds);
	expect_return(&m, m.ids, SPAWND_RETURN_NOFD);
	expect_cell(&c->taken, 70);
	expect_cell(&c->finished, 69);
	assert_int_equal(board_get(&c->returned), 1);
	/* too old */
	master_batch(&m, "dd", 2, 21, fds);
	expect_return(&m, m.ids - 1, SPAWND_RETURN_OLD);
	expect_return(&m, m.ids, SPAWND_RETURN_OLD);
	expect_cell(&c->taken, 72);
	assert_int_equal(board_get(&c->returned), 3);
	/* what the engine gives back */
	master_batch(&m, "rd", 2, 0, fds);
	expect_return(&m, m.ids - 1, SPAWND_RETURN_RESOURCES);
	expect_cell(&c->finished, 70);
	expect_cell(&c->returned, 4);
	assert_int_equal(board_use(&m.board, COLUMN), 0);
	master_silent(&m);
	assert_int_equal(master_dismiss(&m), 0);
}

static void
test_messages(void **state)
{
	struct { uint32_t n; struct ticket_key keys[2]; } tickets;
	struct channel_message *got;
	struct board_seat *seat;
	struct master m;
	int fds[2];

	(void)state;
	master_ready(&m);
	master_send(&m, CHANNEL_PING, "12345678", 8, NULL, 0);
	master_expect(&m, CHANNEL_PONG);
	got = &m.m;
	assert_memory_equal(got->payload, "12345678", 8);
	memset(&tickets, 0, sizeof(tickets));
	tickets.n = 2;
	tickets.keys[1].name[0] = 5;
	master_send(&m, CHANNEL_TICKETS, &tickets, sizeof(tickets), NULL, 0);
	master_batch(&m, "d", 1, 0, fds);
	expect_text(fds[0], "3 1 205 1 1\n");
	close(fds[0]);
	/* a datagram counts, and no more */
	struct { struct channel_record r; uint32_t len; } udp;

	memset(&udp, 0, sizeof(udp));
	record_make(&m, &udp.r, 0);
	master_send(&m, CHANNEL_UDPDATA, &udp, 324, &(int){ 0 }, 1);
	expect_cell(&board_column(&m.board, COLUMN)->finished, 2);
	/* in overload an end is told, once per round */
	atomic_store(&m.board.head->overload, 1);
	master_batch(&m, "dd", 2, 0, fds);
	master_expect(&m, CHANNEL_LOOK);
	atomic_store(&m.board.head->overload, 0);
	master_batch(&m, "d", 1, 0, fds);
	master_silent(&m);
	/* a master that rests is told of the next change, once per rest */
	seat = board_seat(&m.board, COLUMN);
	for (uint32_t rest = 1; rest <= 2; rest++) {
		atomic_store(&seat->rest, rest);
		master_batch(&m, "d", 1, 0, fds);
		master_expect(&m, CHANNEL_LOOK);
		master_batch(&m, "d", 1, 0, fds);
		master_silent(&m);
	}
	atomic_store(&seat->rest, 0);
	/* what it has let go of is nobody else's, but for its children */
	atomic_store(&seat->released, m.ids);
	master_batch(&m, "d", 1, 0, fds);
	expect_text(fds[0], "3 1 205 1 1\n");
	atomic_store(&seat->released, m.ids + 1);
	master_batch(&m, "d", 1, 0, fds);
	expect_text(fds[0], "3 1 205 1 0\n");
	atomic_store(&seat->forked, m.ids + 1);
	atomic_store(&seat->released, m.ids + 1);
	master_batch(&m, "d", 1, 0, fds);
	expect_text(fds[0], "3 1 205 1 1\n");
	atomic_store(&seat->released, 0);
	/* retirement */
	master_batch(&m, "x", 1, 0, fds);
	master_expect(&m, CHANNEL_DYING);
	expect_text(fds[0], "3 1 205 1 1\n");
	/* one that was under way is served */
	master_batch(&m, "d", 1, 0, &fds[1]);
	expect_text(fds[1], "3 1 205 2 1\n");
	close(fds[0]);
	assert_int_equal(master_wait(&m), 0);
}

static void
test_reload(void **state)
{
	struct channel_generation g = { 4 };
	uint8_t digest[32];
	struct master m;
	int fds[2];

	(void)state;
	master_ready(&m);
	master_batch(&m, "k", 1, 0, fds);
	expect_text(fds[0], "3 1 0 1 1\n");
	write_config(file, "", "\tidle = 77\n");
	master_config(&m, 4, digest);
	expect_ready(&m, 4, digest);
	/* still the old one, until COMMIT */
	master_batch(&m, "d", 1, 0, &fds[1]);
	expect_text(fds[1], "3 1 0 2 1\n");
	close(fds[1]);
	master_send(&m, CHANNEL_COMMIT, &g, sizeof(g), NULL, 0);
	master_batch(&m, "d", 1, 0, &fds[1]);
	expect_text(fds[1], "4 1 0 2 1\n");
	close(fds[1]);
	assert_int_equal(board_get(&board_column(&m.board, COLUMN)->
	    generation), 4);
	/* one the engine cannot use changes nothing */
	write_config(file, "", "\tretire = 666\n");
	master_config(&m, 5, digest);
	master_expect(&m, CHANNEL_BAD_CONFIG);
	assert_int_equal(m.m.len, strlen("not with 666"));
	assert_memory_equal(m.m.payload, "not with 666", m.m.len);
	/* a COMMIT of the running one drops what was prepared */
	write_config(file, "", "\tidle = 78\n");
	master_config(&m, 6, digest);
	expect_ready(&m, 6, digest);
	master_send(&m, CHANNEL_COMMIT, &g, sizeof(g), NULL, 0);
	g.generation = 6;
	master_send(&m, CHANNEL_COMMIT, &g, sizeof(g), NULL, 0);
	master_batch(&m, "d", 1, 0, &fds[1]);
	expect_text(fds[1], "4 1 0 2 1\n");
	close(fds[1]);
	close(fds[0]);
	assert_int_equal(master_dismiss(&m), 0);
}

/* A bundle that is none, or does not compile. */
static void
test_bad_bundle(void **state)
{
	struct { struct channel_config head; } msg;
	struct master m;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	write_config(file, "", "");
	master_agree(&m, ALL, ALL);
	memset(&msg, 0, sizeof(msg));
	msg.head.generation = 3;
	master_send(&m, CHANNEL_CONFIG, &msg, sizeof(msg), &null, 1);
	master_expect(&m, CHANNEL_BAD_CONFIG);
	assert_int_equal(master_wait(&m), 78);
	close(null);
}

static int
listen_socket(struct sockaddr_in *sin)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	socklen_t len = sizeof(*sin);

	memset(sin, 0, sizeof(*sin));
	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)sin, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)sin, &len), 0);
	return fd;
}

static int
client(const struct sockaddr_in *sin, char order)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)sin,
	    sizeof(*sin)), 0);
	assert_int_equal(write(fd, &order, 1), 1);
	return fd;
}

static void
lend(struct master *m, uint32_t generation, uint32_t listener, int fd)
{
	struct channel_lend l = { generation, listener };

	master_send(m, CHANNEL_LEND, &l, sizeof(l), &fd, 1);
}

static void
expect_revoked(struct master *m, uint32_t listener)
{
	struct channel_listener l;

	master_expect(m, CHANNEL_REVOKED);
	memcpy(&l, m->m.payload, sizeof(l));
	assert_int_equal(l.listener, listener);
}

static void
test_lent(void **state)
{
	struct channel_listener zero = { 0 };
	const struct board_column *c;
	struct sockaddr_in sin;
	struct master m;
	int fd = listen_socket(&sin), clients[6];

	(void)state;
	master_ready(&m);
	c = board_column(&m.board, COLUMN);
	lend(&m, 3, 7, fd);		/* no such listener */
	expect_revoked(&m, 7);
	lend(&m, 2, 0, fd);		/* no such configuration */
	expect_revoked(&m, 0);
	lend(&m, 3, 0, fd);
	clients[0] = client(&sin, 'k');
	expect_text(clients[0], "3 0 0 1 0\n");
	clients[1] = client(&sin, 'k');
	expect_text(clients[1], "3 0 0 2 0\n");
	master_silent(&m);
	/* users min is 2, users max 4 */
	clients[2] = client(&sin, 'k');
	master_expect(&m, CHANNEL_LOOK);
	clients[3] = client(&sin, 'k');
	master_expect(&m, CHANNEL_LOOK);
	expect_cell(&c->accepted, 4);
	/* at the maximum nobody accepts */
	clients[4] = client(&sin, 'd');
	master_silent(&m);
	assert_int_equal(board_get(&c->accepted), 4);
	close(clients[3]);
	master_expect(&m, CHANNEL_LOOK);
	expect_text(clients[4], "3 0 0 4 0\n");
	/* a worker that is not eligible leaves it alone */
	expect_cell(&c->finished, 2);
	atomic_store(&board_seat(&m.board, COLUMN)->state, BOARD_SUSPECTED);
	clients[5] = client(&sin, 'd');
	poll(NULL, 0, 150);
	expect_cell(&c->accepted, 5);
	atomic_store(&board_seat(&m.board, COLUMN)->state, BOARD_READY);
	expect_cell(&c->accepted, 6);
	for (int i = 0; i < 6; i++)
		if (i != 3)
			close(clients[i]);
	expect_cell(&c->finished, 6);
	while (poll(&(struct pollfd){ .fd = m.ch.fd, .events = POLLIN }, 1,
	    100) == 1)
		master_expect(&m, CHANNEL_LOOK);
	/* given up when asked; the socket lives on */
	master_send(&m, CHANNEL_REVOKE, &zero, sizeof(zero), NULL, 0);
	expect_revoked(&m, 0);
	clients[0] = client(&sin, 'd');
	poll(NULL, 0, 100);
	assert_int_equal(board_get(&c->accepted), 6);
	clients[1] = accept(fd, NULL, NULL);
	assert_int_not_equal(clients[1], -1);
	close(clients[0]);
	close(clients[1]);
	close(fd);
	assert_int_equal(master_dismiss(&m), 0);
}

/* The worker applies the list of the configuration itself. */
static void
test_lent_acl(void **state)
{
	const struct board_column *c;
	uint8_t digest[32];
	struct sockaddr_in sin;
	struct master m;
	int fd = listen_socket(&sin), one;
	char byte;

	(void)state;
	write_config(file, "\tdeny 127.0.0.0/8\n\tpermit ::/0\n", "");
	master_agree(&m, ALL, ALL);
	master_config(&m, 3, digest);
	expect_ready(&m, 3, digest);
	atomic_store(&board_seat(&m.board, COLUMN)->max, 4);
	atomic_store(&board_seat(&m.board, COLUMN)->state, BOARD_READY);
	c = board_column(&m.board, COLUMN);
	lend(&m, 3, 1, fd);
	one = client(&sin, 'd');
	assert_true(read(one, &byte, 1) <= 0);
	close(one);
	expect_cell(&c->refused, 1);
	assert_int_equal(board_get(&c->accepted), 0);
	close(fd);
	assert_int_equal(master_dismiss(&m), 0);
}

static void
test_signals(void **state)
{
	static const int signals[] = { SIGHUP, SIGTERM, SIGINT };
	struct sockaddr_in sin;
	struct master m;
	int fd = listen_socket(&sin), fds[1];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		master_ready(&m);
		kill(m.pid, SIGUSR1);
		kill(m.pid, SIGUSR2);
		kill(m.pid, SIGPIPE);
		lend(&m, 3, 0, fd);
		master_batch(&m, "k", 1, 0, fds);
		expect_text(fds[0], "3 1 0 1 1\n");
		kill(m.pid, signals[i]);
		master_expect(&m, CHANNEL_DYING);
		poll(NULL, 0, 50);
		assert_int_equal(waitpid(m.pid, NULL, WNOHANG), 0);
		close(fds[0]);
		assert_int_equal(master_wait(&m), 0);
	}
	/* the second SIGTERM ends it at once */
	master_ready(&m);
	master_batch(&m, "k", 1, 0, fds);
	expect_text(fds[0], "3 1 0 1 1\n");
	kill(m.pid, SIGTERM);
	master_expect(&m, CHANNEL_DYING);
	kill(m.pid, SIGTERM);
	assert_int_equal(master_wait(&m), 0);
	close(fds[0]);
	close(fd);
}

static void
test_master_lost(void **state)
{
	struct master m;
	int fds[1];

	(void)state;
	master_ready(&m);
	master_batch(&m, "k", 1, 0, fds);
	expect_text(fds[0], "3 1 0 1 1\n");
	/* given without being sent: it must not wait for that for ever */
	board_add(&board_seat(&m.board, COLUMN)->given, 5);
	close(m.ch.fd);
	m.ch.fd = -1;
	poll(NULL, 0, 50);
	assert_int_equal(waitpid(m.pid, NULL, WNOHANG), 0);
	close(fds[0]);
	assert_int_equal(master_wait(&m), 0);
	/* with nothing to serve it ends at once */
	master_ready(&m);
	close(m.ch.fd);
	m.ch.fd = -1;
	assert_int_equal(master_wait(&m), 0);
}

/* Behind the stand-alone broker of the same build: it reads the file. */
static void
test_broker(void **state)
{
	struct master m;
	int fds[2];

	(void)state;
	write_config(file, "", "");
	master_agree(&m, FEATURE_BATCH | FEATURE_BOARD | FEATURE_TICKETS,
	    FEATURE_BATCH | FEATURE_BOARD | FEATURE_TICKETS);
	expect_ready(&m, 3, NULL);
	master_batch(&m, "dd", 2, 0, fds);
	expect_text(fds[0], "3 1 0 2 1\n");
	expect_cell(&board_column(&m.board, COLUMN)->finished, 2);
	assert_int_equal(board_get(&board_column(&m.board, COLUMN)->taken),
	    2);
	assert_int_equal(master_dismiss(&m), 0);
	/* and says what is wrong with it */
	write_config(file, "", "\tidle = forever\n");
	master_agree(&m, FEATURE_BATCH, FEATURE_BATCH);
	master_expect(&m, CHANNEL_BAD_CONFIG);
	assert_int_equal(master_wait(&m), 78);
}

/* A master of another build: the plain channel, counts by message. */
static void
test_plain(void **state)
{
	static const uint8_t other[16] = { 1 };
	struct channel_count count;
	struct channel_record r;
	struct master m;
	int fd, theirs;
	uint64_t id;

	(void)state;
	write_config(file, "", "");
	master_start(&m, ALL, other);
	expect_ready(&m, 3, NULL);
	record_make(&m, &r, 0);
	fd = pair_make('d', &theirs);
	master_send(&m, CHANNEL_ACCEPT, &r, sizeof(r), &theirs, 1);
	close(theirs);
	master_expect(&m, CHANNEL_TAKEN);
	memcpy(&id, m.m.payload, sizeof(id));
	assert_int_equal(id, m.ids);
	expect_text(fd, "3 1 0 1 1\n");
	master_expect(&m, CHANNEL_DONE);
	memcpy(&count, m.m.payload, sizeof(count));
	assert_int_equal(count.count, 1);
	close(fd);
	record_make(&m, &r, 21);
	fd = pair_make('d', &theirs);
	master_send(&m, CHANNEL_ACCEPT, &r, sizeof(r), &theirs, 1);
	close(theirs);
	expect_return(&m, m.ids, SPAWND_RETURN_OLD);
	close(fd);
	assert_int_equal(master_dismiss(&m), 0);
}

static void
test_tail(void **state)
{
	struct conf_request r = { .file = "/etc/x", .broker_id = NULL,
	    .worker_id = "w", .argv0 = "a", .self = NULL,
	    .extra = "e" }, got;
	char buf[64];
	size_t n = own_request_pack(buf, sizeof(buf), &r);

	(void)state;
	assert_int_equal(n, 7 + 1 + 2 + 2 + 1 + 2);
	memset(&got, 0, sizeof(got));
	assert_true(own_request_unpack(&got, buf, n));
	assert_string_equal(got.file, "/etc/x");
	assert_null(got.broker_id);
	assert_string_equal(got.worker_id, "w");
	assert_string_equal(got.argv0, "a");
	assert_null(got.self);
	assert_string_equal(got.extra, "e");
	for (size_t i = 0; i < n; i++) {
		assert_false(own_request_unpack(&got, buf, i));
		assert_int_equal(own_request_pack(buf, i, &r), 0);
	}
}

static int
setup(void **state)
{
	int fd;

	(void)state;
	strcpy(file, "/tmp/test_own.XXXXXX");
	fd = mkstemp(file);
	return fd == -1 ? -1 : close(fd);
}

static int
teardown(void **state)
{
	(void)state;
	return unlink(file);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_bad_bundle),
		cmocka_unit_test(test_lent),
		cmocka_unit_test(test_lent_acl),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_master_lost),
		cmocka_unit_test(test_broker),
		cmocka_unit_test(test_plain),
	};

	log_open("test_own");
	if (argc == 3 && own_is_worker())
		return own_main(&program, argc, argv);
	self = argv[0];
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
