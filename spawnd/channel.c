/*
 * The channel's messages: what is well-formed, and putting them on the wire.
 * What a message means is decided by those who receive it.
 */
#include <sys/uio.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../misc/log.h"
#include "../misc/msg.h"
#include "channel.h"

#define SIZE(type)	((uint32_t)sizeof(struct type))
#define BAD_CONFIG_MAX	4096
#define DATAGRAM_MAX	65507
#define TICKETS_MAX	5

static_assert(CHANNEL_BATCH <= MSG_FDS, "a batch is one message");
static_assert(sizeof(struct channel_header) + sizeof(struct channel_batch) +
    CHANNEL_BATCH * sizeof(struct channel_record) <= CHANNEL_MAX, "batch");
static_assert(sizeof(struct channel_header) + sizeof(struct channel_record) +
    4 + DATAGRAM_MAX <= CHANNEL_MAX, "datagram");

const struct channel_form channel_forms[CHANNEL_TYPES] = {
	/* name, least payload, descriptors, from master, worker, feature */
	[CHANNEL_DONE] = { "DONE", SIZE(channel_count), 0, 0,
	    false, true, 0 },
	[CHANNEL_KEEPALIVE] = { "KEEPALIVE", 0, 0, 0, false, true, 0 },
	[CHANNEL_MAY_DIE] = { "MAY-DIE", 0, 0, 0, true, false, 0 },
	[CHANNEL_DYING] = { "DYING", 0, 0, 0, false, true, 0 },
	[CHANNEL_BAD_CONFIG] = { "BAD-CONFIG", 0, 0, 0, false, true, 0 },
	[CHANNEL_MAX_USERS] = { "MAX", SIZE(channel_count), 0, 0,
	    false, true, 0 },
	[CHANNEL_ACCEPT] = { "ACCEPT", SIZE(channel_record), 1, 1,
	    true, false, 0 },
	[CHANNEL_UDPDATA] = { "UDPDATA", SIZE(channel_record) + 4, 1, 1,
	    true, false, 0 },
	[CHANNEL_READY] = { "READY", CHANNEL_READY_PLAIN, 0, 0,
	    false, true, 0 },
	[CHANNEL_TAKEN] = { "TAKEN", SIZE(channel_id), 0, 0,
	    false, true, 0 },
	[CHANNEL_PING] = { "PING", SIZE(channel_ping), 0, 0,
	    true, false, 0 },
	[CHANNEL_PONG] = { "PONG", SIZE(channel_ping), 0, 0,
	    false, true, 0 },
	[CHANNEL_HELLO] = { "HELLO", SIZE(channel_hello), 0, 0,
	    true, true, 0 },
	[CHANNEL_BATCHED] = { "BATCH", SIZE(channel_batch), 1, CHANNEL_BATCH,
	    true, false, FEATURE_BATCH },
	[CHANNEL_RETURN] = { "RETURN", SIZE(channel_return), 0, 0,
	    false, true, 0 },
	[CHANNEL_LEND] = { "LEND", SIZE(channel_lend), 1, 1,
	    true, false, FEATURE_LEND },
	[CHANNEL_REVOKE] = { "REVOKE", SIZE(channel_listener), 0, 0,
	    true, false, FEATURE_LEND },
	[CHANNEL_REVOKED] = { "REVOKED", SIZE(channel_listener), 0, 0,
	    false, true, FEATURE_LEND },
	/* also the hint of a worker in overload that a place is free, which
	 * with the board no DONE tells */
	[CHANNEL_LOOK] = { "LOOK", 0, 0, 0, false, true, FEATURE_BOARD },
	[CHANNEL_CONFIG] = { "CONFIG", SIZE(channel_config), 1, 2,
	    true, false, FEATURE_CONFIG },
	[CHANNEL_COMMIT] = { "COMMIT", SIZE(channel_generation), 0, 0,
	    true, false, FEATURE_CONFIG },
	[CHANNEL_TICKETS] = { "TICKETS", SIZE(channel_tickets) +
	    SIZE(ticket_key), 0, 0, true, false, FEATURE_TICKETS },
	[CHANNEL_BOARD] = { "BOARD", SIZE(channel_board), 1, 1,
	    true, false, FEATURE_BOARD },
	[CHANNEL_POLICY] = { "POLICY", SIZE(channel_generation), 1, 1,
	    true, false, FEATURE_CONFIG },
	[CHANNEL_KEYS] = { "KEYS", SIZE(channel_generation), 1, 1,
	    true, false, FEATURE_CONFIG },
	[CHANNEL_TELL] = { "TELL", SIZE(channel_tell), 0, 1,
	    true, true, FEATURE_CONFIG },
	[CHANNEL_LOGFILE] = { "LOGFILE", SIZE(channel_logfile), 1, 1,
	    true, false, FEATURE_CONFIG },
};

static uint32_t
channel_u32(const uint8_t *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof(n));
	return n;
}

/*
 * How many descriptors a message of a known type with enough payload has to
 * bring; BATCH and CONFIG say it themselves.
 */
static unsigned
channel_want(enum channel_type type, const uint8_t *payload)
{
	if (type == CHANNEL_BATCHED)
		return channel_u32(payload);
	if (type == CHANNEL_CONFIG)
		return (channel_u32(payload + offsetof(struct channel_config,
		    flags)) & 1) != 0 ? 2 : 1;
	return channel_forms[type].fds_min;
}

/* What the least payload does not say; payload has at least that. */
static const char *
channel_check_body(enum channel_type type, const uint8_t *p, size_t len,
    uint32_t features)
{
	struct channel_board board;
	uint32_t n;

	switch (type) {
	case CHANNEL_BAD_CONFIG:
		if (len > BAD_CONFIG_MAX)
			return "text too long";
		return memchr(p, 0, len) != NULL ? "NUL in the text" : NULL;
	case CHANNEL_UDPDATA:
		n = channel_u32(p + sizeof(struct channel_record));
		if (n > DATAGRAM_MAX)
			return "datagram too long";
		return len - sizeof(struct channel_record) - 4 < n ?
		    "short payload" : NULL;
	case CHANNEL_READY:
		return (features & FEATURE_CONFIG) != 0 &&
		    len < sizeof(struct channel_ready) ?
		    "short payload" : NULL;
	case CHANNEL_BATCHED:
		n = channel_u32(p);
		if (n == 0 || n > CHANNEL_BATCH)
			return "number of records out of range";
		return (len - sizeof(struct channel_batch)) /
		    sizeof(struct channel_record) < n ? "short payload" : NULL;
	case CHANNEL_TICKETS:
		n = channel_u32(p);
		if (n == 0 || n > TICKETS_MAX)
			return "number of keys out of range";
		return (len - sizeof(struct channel_tickets)) /
		    sizeof(struct ticket_key) < n ? "short payload" : NULL;
	case CHANNEL_BOARD:
		memcpy(&board, p, sizeof(board));
		return board.column >= board.columns ?
		    "column out of range" : NULL;
	default:
		/* Everything else is as its form says. */
		return NULL;
	}
}

const char *
channel_check(const void *data, size_t len, unsigned nfds, bool from_master,
    uint32_t features)
{
	const struct channel_form *f;
	const uint8_t *payload = (const uint8_t *)data +
	    sizeof(struct channel_header);
	struct channel_header h;
	const char *why;

	if (len < sizeof(h))
		return "no header";
	memcpy(&h, data, sizeof(h));
	if (h.magic != CHANNEL_MAGIC)
		return "wrong magic number";
	if (h.version != SPAWND_VERSION)
		return "another version of the channel";
	if (h.type >= CHANNEL_TYPES || channel_forms[h.type].name == NULL)
		return "unknown type";
	f = &channel_forms[h.type];
	if (from_master ? !f->from_master : !f->from_worker)
		return "wrong direction";
	if ((f->feature & features) != f->feature)
		return "not agreed";
	if (h.length > len - sizeof(h) || h.length < f->min)
		return "short payload";
	why = channel_check_body(h.type, payload, h.length, features);
	if (why != NULL)
		return why;
	if (nfds < channel_want(h.type, payload) &&
	    h.type != CHANNEL_BATCHED && h.type != CHANNEL_ACCEPT &&
	    h.type != CHANNEL_UDPDATA)
		return "too few descriptors";
	return NULL;
}

int
channel_send(struct channel *ch, enum channel_type type, const void *a,
    size_t alen, const void *b, size_t blen, const int *fds, unsigned nfds)
{
	struct channel_header h = { .magic = CHANNEL_MAGIC,
	    .version = SPAWND_VERSION, .type = (uint16_t)type,
	    .length = (uint32_t)(alen + blen), .sequence = ch->sent + 1 };
	struct iovec iov[3] = {
		{ .iov_base = &h, .iov_len = sizeof(h) },
		{ .iov_base = (void *)(uintptr_t)a, .iov_len = alen },
		{ .iov_base = (void *)(uintptr_t)b, .iov_len = blen },
	};

	if (alen > CHANNEL_MAX || blen > CHANNEL_MAX ||
	    alen + blen > CHANNEL_MAX - sizeof(h)) {
		errno = EMSGSIZE;
		return -1;
	}
	if (msg_send(ch->fd, iov, b == NULL ? (a == NULL ? 1 : 2) : 3, fds,
	    nfds) == -1)
		return -1;
	ch->sent++;
	return 0;
}

static uint64_t
channel_clock(void)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	    (uint64_t)ts.tv_nsec;
}

/* The other end may be hostile: it does not get to fill the log. */
static void
channel_complain(const struct channel *ch, const char *what, const char *why,
    bool ignored)
{
	static struct log_limit limit;
	unsigned held = 0;

	if (log_allow(&limit, channel_clock(), UINT64_C(10000000000), 5,
	    &held))
		log_warn("channel: %s from the %s: %s%s (%u held back)",
		    what, ch->master ? "worker" : "master", why,
		    ignored ? ", ignored" : "", held);
}

static void
channel_drop(struct channel_message *m, unsigned keep)
{
	while (m->nfds > keep)
		close(m->fds[--m->nfds]);
}

enum channel_result
channel_recv(struct channel *ch, void *buf, struct channel_message *m)
{
	struct channel_header h;
	const char *why;
	char number[16];
	int cut;
	ssize_t n;

	n = msg_recv(ch->fd, buf, CHANNEL_MAX, m->fds, &m->nfds, &cut);
	if (n == -1 && (errno == EAGAIN || errno == ENOBUFS ||
	    errno == ENOMEM))
		return CHANNEL_NOTHING;
	if (n <= 0)
		return CHANNEL_CLOSED;
	why = channel_check(buf, (size_t)n, m->nfds, !ch->master,
	    ch->features);
	memset(&h, 0, sizeof(h));
	memcpy(&h, buf, (size_t)n < sizeof(h) ? (size_t)n : sizeof(h));
	if (why != NULL) {
		snprintf(number, sizeof(number), "%u", (unsigned)h.type);
		channel_complain(ch, h.type < CHANNEL_TYPES &&
		    channel_forms[h.type].name != NULL ?
		    channel_forms[h.type].name : number, why, true);
		channel_drop(m, 0);
		/* It counts all the same, or the next one is a gap. */
		if (h.magic == CHANNEL_MAGIC && h.sequence == ch->seen + 1)
			ch->seen++;
		return CHANNEL_IGNORED;
	}
	if (h.sequence != ch->seen + 1)
		channel_complain(ch, channel_forms[h.type].name,
		    "messages before it are missing", false);
	ch->seen = h.sequence;
	m->type = h.type;
	m->payload = (const uint8_t *)buf + sizeof(h);
	m->len = h.length;
	channel_drop(m, h.type == CHANNEL_TELL ?
	    channel_forms[h.type].fds_max : channel_want(h.type,
	    m->payload));
	return CHANNEL_GOT;
}

void
channel_env_print(char text[static CHANNEL_ENV_MAX],
    const uint8_t nonce[static 8])
{
	int at = snprintf(text, CHANNEL_ENV_MAX, "%d:", SPAWND_VERSION);

	for (int i = 0; i < 8; i++)
		at += snprintf(text + at, (size_t)(CHANNEL_ENV_MAX - at),
		    "%02x", nonce[i]);
}

static int
channel_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
channel_env_parse(const char *text, unsigned *version,
    uint8_t nonce[static 8])
{
	*version = 0;
	if (*text == ':')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (*version > 65535)
			return false;
		*version = *version * 10 + (unsigned)(*text - '0');
	}
	if (*text++ != ':')
		return false;
	for (int i = 0; i < 8; i++, text += 2) {
		int high = channel_hex(text[0]), low;

		if (high == -1 || (low = channel_hex(text[1])) == -1)
			return false;
		nonce[i] = (uint8_t)(high << 4 | low);
	}
	return *text == '\0';
}

void
channel_pack(struct channel_record *r, const struct spawnd_conn *c)
{
	static_assert(sizeof(r->peer) >= sizeof(c->peer), "peer");

	memset(r, 0, sizeof(*r));
	r->id = c->id;
	r->accepted = c->accepted;
	r->handed = c->handed;
	r->listener = c->listener;
	r->flags = c->flags;
	r->versions = c->versions;
	r->aaa = c->aaa;
	r->type = c->type;
	r->protocol = c->protocol;
	memcpy(r->realm, c->realm, sizeof(r->realm));
	memcpy(r->peer, &c->peer, sizeof(c->peer));
	memcpy(r->local, &c->local, sizeof(c->local));
}

void
channel_unpack(struct spawnd_conn *c, const struct channel_record *r)
{
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->id = r->id;
	c->accepted = r->accepted;
	c->handed = r->handed;
	c->listener = r->listener;
	c->flags = r->flags;
	c->versions = r->versions;
	c->aaa = r->aaa;
	c->type = r->type;
	c->protocol = r->protocol;
	/* at most 15 are used, whatever the sender thinks */
	memcpy(c->realm, r->realm, sizeof(c->realm) - 1);
	memcpy(&c->peer, r->peer, sizeof(c->peer));
	memcpy(&c->local, r->local, sizeof(c->local));
}
