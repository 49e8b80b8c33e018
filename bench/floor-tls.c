/*
 * The floor of bench/ for TLS: the least a relay that ends TLS with OpenSSL
 * does, an SSL object kept per session. Records of one turn are gathered into
 * one send, one ticket is given, idle objects have no buffers.
 *
 * It is as bare as floor.c, and as useless otherwise.
 *
 *	floor-tls LISTEN-PORT DESTINATION-PORT PEM	both on 127.0.0.1
 */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define COPY_SIZE	(256 * 1024)
#define SEAL_SIZE	(COPY_SIZE + 64 * 1024)	/* with the records' overhead */
#define EVENTS_MAX	256
#define UNKNOWN		UINT32_MAX		/* to epoll */

/* What a short write left. Owned by the session while there is any. */
struct rest {
	char		*data;
	size_t		 len;
	size_t		 sent;
};

/* Side 0 is the client, side 1 the destination. Freed at the end of a turn. */
struct session {
	struct session	*next;
	SSL		*ssl;
	struct rest	 rest[2];		/* for that side */
	int		 fd[2];
	uint32_t	 interest[2];
	bool		 eof[2];		/* from that side */
	bool		 dead;
};

static int		 ep;
static int		 listener;
static struct sockaddr_in destination;
static SSL_CTX		*ctx;
static BIO		*bio;			/* one: it keeps no state */
static struct session	*dead;

/* Shared by all sessions: empty between two events. */
static char		*plain;
static char		*sealed;
static size_t		 sealed_len;
static char		*input;
static size_t		 input_len, input_read;

/* OpenSSL's view of the two buffers. */

static int
bio_write(BIO *b, const char *p, int len)
{
	(void)b;
	if (sealed_len + (size_t)len > SEAL_SIZE)
		return -1;
	memcpy(sealed + sealed_len, p, (size_t)len);
	sealed_len += (size_t)len;
	return len;
}

static int
bio_read(BIO *b, char *p, int len)
{
	size_t n = input_len - input_read;

	BIO_clear_retry_flags(b);
	if (n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	if (n > (size_t)len)
		n = (size_t)len;
	memcpy(p, input + input_read, n);
	input_read += n;
	return (int)n;
}

static long
bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static void
session_close(struct session *s)
{
	int i;

	if (s->dead)
		return;
	s->dead = true;
	for (i = 0; i < 2; i++) {
		if (s->fd[i] != -1)
			close(s->fd[i]);
		free(s->rest[i].data);
	}
	SSL_free(s->ssl);
	s->next = dead;
	dead = s;
}

static void
session_want(struct session *s, int side, uint32_t interest)
{
	struct epoll_event ev = { .events = interest };
	int op;

	if (s->fd[side] == -1 || s->interest[side] == interest)
		return;
	op = s->interest[side] == UNKNOWN ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	ev.data.u64 = (uint64_t)(uintptr_t)s | (uint64_t)side;
	if (epoll_ctl(ep, op, s->fd[side], &ev) == -1)
		err(1, "epoll_ctl");
	s->interest[side] = interest;
}

static void
session_interest(struct session *s)
{
	int i;

	for (i = 0; i < 2; i++)
		session_want(s, i,
		    (s->eof[i] || s->rest[!i].len > 0 ? 0 : EPOLLIN) |
		    (s->rest[i].len > 0 ? EPOLLOUT : 0));
}

/* Send, keep what does not go. False: the session is gone. */
static bool
session_send(struct session *s, int side, const char *p, size_t len)
{
	struct rest *r = &s->rest[side];
	ssize_t n = 0;

	if (len == 0)
		return true;
	if (r->len == 0) {
		n = send(s->fd[side], p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == (ssize_t)len)
			return true;
		if (n == -1 && errno != EAGAIN && errno != EINTR) {
			session_close(s);
			return false;
		}
		if (n == -1)
			n = 0;
	}
	len -= (size_t)n;
	if ((r->data = realloc(r->data, r->len + len)) == NULL)
		err(1, NULL);
	memcpy(r->data + r->len, p + n, len);
	r->len += len;
	return true;
}

static bool
session_resend(struct session *s, int side)
{
	struct rest *r = &s->rest[side];
	ssize_t n;

	n = send(s->fd[side], r->data + r->sent, r->len - r->sent,
	    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return true;
		session_close(s);
		return false;
	}
	r->sent += (size_t)n;
	if (r->sent < r->len)
		return true;
	free(r->data);
	memset(r, 0, sizeof(*r));
	if (s->eof[!side])
		shutdown(s->fd[side], SHUT_WR);
	return true;
}

/* One send for all records of this event. */
static bool
session_flush(struct session *s)
{
	size_t len = sealed_len;

	sealed_len = 0;
	return session_send(s, 0, sealed, len);
}

static bool
session_end(struct session *s, int side)
{
	s->eof[side] = true;
	if (side == 1) {
		SSL_shutdown(s->ssl);
		if (!session_flush(s))
			return false;
	}
	if (s->eof[!side] && s->rest[0].len == 0 && s->rest[1].len == 0) {
		session_close(s);
		return false;
	}
	if (s->rest[!side].len == 0)
		shutdown(s->fd[!side], SHUT_WR);
	return true;
}

static bool
session_connect(struct session *s)
{
	int fd, one = 1;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd != -1)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->fd[1] = fd;
	if (fd == -1 || (connect(fd, (struct sockaddr *)&destination,
	    sizeof(destination)) == -1 && errno != EINPROGRESS)) {
		session_close(s);
		return false;
	}
	return true;
}

/* Records that came, opened and passed on. */
static bool
client_open(struct session *s, bool *end)
{
	size_t len = 0;
	int n;

	while ((n = SSL_read(s->ssl, plain + len, (int)(COPY_SIZE - len))) > 0)
		if ((len += (size_t)n) == COPY_SIZE) {
			if (!session_send(s, 1, plain, len))
				return false;
			len = 0;
		}
	if (!session_flush(s) || !session_send(s, 1, plain, len))
		return false;
	switch (SSL_get_error(s->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return true;
	case SSL_ERROR_ZERO_RETURN:
		*end = true;
		return true;
	default:
		session_close(s);
		return false;
	}
}

static bool
client_step(struct session *s)
{
	bool end = false;
	ssize_t n;
	int r;

	n = recv(s->fd[0], input, COPY_SIZE, MSG_DONTWAIT);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return true;
		session_close(s);
		return false;
	}
	ERR_clear_error();
	input_read = 0;
	input_len = (size_t)n;
	if (!SSL_is_init_finished(s->ssl)) {
		r = SSL_do_handshake(s->ssl);
		if (!session_flush(s))
			return false;
		if (n == 0 || (r != 1 && SSL_get_error(s->ssl, r) !=
		    SSL_ERROR_WANT_READ)) {
			session_close(s);
			return false;
		}
		if (r != 1)
			return true;
	}
	if (s->fd[1] == -1 && !session_connect(s))
		return false;
	if (n > 0 && !client_open(s, &end))
		return false;
	return n == 0 || end ? session_end(s, 0) : true;
}

static bool
server_step(struct session *s)
{
	ssize_t n;

	n = recv(s->fd[1], plain, COPY_SIZE, MSG_DONTWAIT);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return true;
		session_close(s);
		return false;
	}
	if (n == 0)
		return session_end(s, 1);
	ERR_clear_error();
	if (SSL_write(s->ssl, plain, (int)n) != n) {
		session_close(s);
		return false;
	}
	return session_flush(s);
}

static void
session_event(struct session *s, int side, uint32_t events)
{
	if (s->dead)
		return;
	if ((events & EPOLLOUT) && s->rest[side].len > 0 &&
	    !session_resend(s, side))
		return;
	if ((events & EPOLLIN) && !s->eof[side] && s->rest[!side].len == 0 &&
	    !(side == 0 ? client_step(s) : server_step(s)))
		return;
	if (((events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN)) ||
	    (s->eof[0] && s->eof[1] && s->rest[0].len + s->rest[1].len == 0)) {
		session_close(s);
		return;
	}
	session_interest(s);
}

static void
listener_event(void)
{
	struct session *s;
	int fd;

	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return;
	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    (s->ssl = SSL_new(ctx)) == NULL)
		err(1, NULL);
	BIO_up_ref(bio);
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_accept_state(s->ssl);
	s->fd[0] = fd;
	s->fd[1] = -1;
	s->interest[0] = s->interest[1] = UNKNOWN;
	/* The first flight is seldom there already, but it may be. */
	if (client_step(s))
		session_interest(s);
}

static void
listener_open(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int one = 1;

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener == -1)
		err(1, "socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(listener, 4096) == -1)
		err(1, "port %d", port);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) == -1)
		err(1, "epoll_ctl");
}

static void
tls_init(const char *pem)
{
	BIO_METHOD *method;

	if ((ctx = SSL_CTX_new(TLS_server_method())) == NULL ||
	    SSL_CTX_use_certificate_chain_file(ctx, pem) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, pem, SSL_FILETYPE_PEM) != 1)
		errx(1, "%s: no certificate and key", pem);
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	if ((method = BIO_meth_new(BIO_get_new_index() |
	    BIO_TYPE_SOURCE_SINK, "turn")) == NULL)
		errx(1, "no memory");
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_ctrl(method, bio_ctrl);
	if ((bio = BIO_new(method)) == NULL)
		errx(1, "no memory");
	BIO_set_init(bio, 1);
}

static void
turn(void)
{
	struct epoll_event ev[EVENTS_MAX];
	struct session *s;
	int i, n;

	if ((n = epoll_wait(ep, ev, EVENTS_MAX, -1)) == -1 && errno != EINTR)
		err(1, "epoll_wait");
	for (i = 0; i < n; i++) {
		if (ev[i].data.u64 == 0)
			listener_event();
		else
			session_event(
			    (struct session *)(uintptr_t)(ev[i].data.u64 & ~1UL),
			    (int)(ev[i].data.u64 & 1), ev[i].events);
	}
	while ((s = dead) != NULL) {
		dead = s->next;
		free(s);
	}
}

int
main(int argc, char **argv)
{
	struct rlimit rl;

	if (argc != 4)
		errx(64, "usage: floor-tls LISTEN-PORT DESTINATION-PORT PEM");
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	destination.sin_family = AF_INET;
	destination.sin_port = htons((uint16_t)atoi(argv[2]));
	destination.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if ((plain = malloc(COPY_SIZE)) == NULL ||
	    (sealed = malloc(SEAL_SIZE)) == NULL ||
	    (input = malloc(COPY_SIZE)) == NULL)
		err(1, NULL);
	tls_init(argv[3]);
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll_create1");
	listener_open(atoi(argv[1]));
	for (;;)
		turn();
}
