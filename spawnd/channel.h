/*
 * The channel between master and worker: formats (5.9). Integers in host
 * order. Both halves include this and nothing else describes a message.
 */
#ifndef SPAWND_CHANNEL_H
#define SPAWND_CHANNEL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "spawnd.h"

#define CHANNEL_MAGIC	0x53504E44u
#define CHANNEL_MAX	66560		/* bytes of the longest message */
#define CHANNEL_BATCH	64		/* most records in one BATCH */

enum channel_type {
	CHANNEL_DONE = 0, CHANNEL_KEEPALIVE = 1, CHANNEL_MAY_DIE = 2,
	CHANNEL_DYING = 3, CHANNEL_BAD_CONFIG = 4, CHANNEL_MAX_USERS = 5,
	CHANNEL_ACCEPT = 6, CHANNEL_UDPDATA = 7,
	CHANNEL_READY = 16, CHANNEL_TAKEN = 17, CHANNEL_PING = 18,
	CHANNEL_PONG = 19, CHANNEL_HELLO = 20, CHANNEL_BATCHED = 21,
	CHANNEL_RETURN = 22, CHANNEL_LEND = 23, CHANNEL_REVOKE = 24,
	CHANNEL_REVOKED = 25, CHANNEL_LOOK = 26, CHANNEL_CONFIG = 27,
	CHANNEL_COMMIT = 28, CHANNEL_TICKETS = 29, CHANNEL_BOARD = 30,
	CHANNEL_POLICY = 31, CHANNEL_KEYS = 32, CHANNEL_LOGFILE = 33,
	CHANNEL_TELL = 34,
	CHANNEL_TYPES = 35
};

/* features of HELLO */
#define FEATURE_BATCH	1u
#define FEATURE_BOARD	2u
#define FEATURE_TICKETS	4u
#define FEATURE_CONFIG	8u	/* needs BOARD */
#define FEATURE_LEND	16u	/* needs CONFIG */

struct channel_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t length;	/* bytes after the header */
	uint32_t sequence;	/* per sender, from 1 */
};

/* connection as it travels */
struct channel_record {
	uint64_t id, accepted, handed;
	uint32_t listener, flags, versions, aaa;
	uint16_t type, protocol;
	char	 realm[16];
	uint32_t reserved;
	uint8_t	 peer[128], local[128];		/* sockaddr_storage */
};
static_assert(sizeof(struct channel_header) == 16, "header");
static_assert(sizeof(struct channel_record) == 320, "record");
static_assert(offsetof(struct channel_record, realm) == 44, "record");
static_assert(offsetof(struct channel_record, peer) == 64, "record");

struct channel_count { uint32_t count; };		/* DONE, MAX */
struct channel_ready {			/* nonce is split: no padding */
	uint8_t nonce[8]; uint32_t generation, count;
	uint8_t digest[32];		/* only with FEATURE_CONFIG */
};
struct channel_id { uint8_t id[8]; };			/* TAKEN */
struct channel_ping { uint8_t number[8]; };
struct channel_hello {
	uint8_t nonce[8]; uint32_t generation, features;
	uint8_t build[16]; uint32_t worker, zero;
};
struct channel_return { uint8_t id[8]; uint32_t reason; };
struct channel_batch { uint32_t n, zero; };		/* then n records */
struct channel_lend { uint32_t generation, listener; };
struct channel_listener { uint32_t listener; };		/* REVOKE, REVOKED */
/* CONFIG: behind it the tail of own_request_pack(), own.h */
#define CONFIG_SECRETS	1u	/* the second descriptor */
#define CONFIG_KEYED	2u	/* private keys are not in it: KEYS comes */
struct channel_config { uint32_t generation, flags; uint8_t digest[32]; };
struct channel_generation { uint32_t generation; };  /* COMMIT POLICY KEYS */
struct ticket_key { uint8_t name[16], key[32], auth[32]; };
struct channel_tickets { uint32_t n; };			/* then n keys */
struct channel_board { uint32_t column, columns; uint64_t size; };
/* KEYS to a role: its other end is this worker's. */
struct channel_keys { uint32_t generation, worker; };
/* TELL: to whom, and when it arrives from whom; then the data (role.h). Of
 * type 0 the master says to everybody whether debug lines are wanted. */
struct channel_tell { uint32_t role, instance, type, zero; };
struct channel_verbose { uint32_t on; };
struct channel_logfile { uint32_t kind; };	/* 1 log, 2 debug */
static_assert(sizeof(struct channel_ready) == 48, "ready");
static_assert(sizeof(struct channel_hello) == 40, "hello");
static_assert(sizeof(struct channel_return) == 12, "return");
static_assert(sizeof(struct channel_config) == 40, "config");
static_assert(sizeof(struct channel_board) == 16, "board");
static_assert(sizeof(struct ticket_key) == 80, "ticket");
static_assert(sizeof(struct channel_tell) == 16, "tell");

#define CHANNEL_READY_PLAIN	16	/* READY without digest */

/* The 16 bytes that all programs of one build share (build_id.c, generated). */
extern const uint8_t channel_build[16];

/* What a well-formed message looks like, indexed by type. */
struct channel_form {
	const char	*name;		/* NULL: unknown type */
	uint32_t	 min;		/* least payload */
	uint8_t		 fds_min, fds_max;
	bool		 from_master, from_worker;
	uint32_t	 feature;	/* 0: plain channel */
};
extern const struct channel_form channel_forms[CHANNEL_TYPES];

/* One end of a channel. */
struct channel {
	int		 fd;
	uint32_t	 sent, seen;	/* sequences */
	uint32_t	 features;	/* agreed */
	bool		 master;	/* we are the master */
};

/* Payload gathered from two parts (b may be NULL). -1, EAGAIN when full. */
int	 channel_send(struct channel *, enum channel_type, const void *a,
	    size_t alen, const void *b, size_t blen, const int *fds,
	    unsigned nfds);

enum channel_result { CHANNEL_GOT, CHANNEL_NOTHING, CHANNEL_CLOSED,
    CHANNEL_IGNORED };

struct channel_message {
	enum channel_type type;
	const uint8_t	*payload;	/* in buf, aligned to 8 */
	size_t		 len;
	int		 fds[64];
	unsigned	 nfds;		/* the receiver owns them */
};

/*
 * One message into buf (CHANNEL_MAX bytes, 8-aligned). Malformed ones are
 * logged (rate limited), their descriptors closed, and IGNORED returned,
 * except BATCH, ACCEPT and UDPDATA with too few descriptors: those are GOT.
 */
enum channel_result channel_recv(struct channel *, void *buf,
	    struct channel_message *);
/* Pure: what channel_recv checks; len bytes starting with the header. NULL:
 * well-formed, else the reason. */
const char *channel_check(const void *data, size_t len, unsigned nfds,
	    bool from_master, uint32_t features);

/* The value of SPAWND_WORKER: "1:" and the nonce, each byte as two hexadecimal
 * digits, the first byte first. */
#define CHANNEL_ENV	"SPAWND_WORKER"
#define CHANNEL_ENV_MAX	32
void	 channel_env_print(char text[static CHANNEL_ENV_MAX],
	    const uint8_t nonce[static 8]);
/* false: not of that form. *version may be another one than ours. */
bool	 channel_env_parse(const char *text, unsigned *version,
	    uint8_t nonce[static 8]);

void	 channel_pack(struct channel_record *, const struct spawnd_conn *);
void	 channel_unpack(struct spawnd_conn *, const struct channel_record *);

#endif
