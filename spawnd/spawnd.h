/*
 * libspawnd: write a worker for the spawnd broker.
 *
 * A worker is a program that spawnd starts with one end of a socket pair as
 * descriptor 0. It says how many connections it can hold, receives accepted
 * descriptors, and reports when they have ended. See spawnd(3), and
 * sample/hello.c for a complete worker.
 *
 * Nothing here blocks. Functions that return int give 0 or -1 and errno
 * unless stated otherwise. A struct spawnd_worker is not thread-safe.
 */
#ifndef SPAWND_H
#define SPAWND_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the channel; give it to spawnd_worker_open. */
#define SPAWND_VERSION		1

/* flags of a connection */
#define SPAWND_HAPROXY		1u	/* may start with a PROXY header */
#define SPAWND_ACCOUNTING	2u	/* listener said flag = accounting */
#define SPAWND_TLS_PSK		4u	/* pre-shared keys are permitted */
#define SPAWND_TLS_AUTO		8u	/* TLS or plain: look at the first byte */

/* versions of a connection; 0: plain */
#define SPAWND_TLS_1_2		0x001u
#define SPAWND_TLS_1_3		0x002u
#define SPAWND_DTLS_1_0		0x100u
#define SPAWND_DTLS_1_2		0x200u
#define SPAWND_DTLS_1_3		0x400u

/* aaa of a connection */
#define SPAWND_AAA_NONE		0u
#define SPAWND_AAA_TACACS_TCP	1u
#define SPAWND_AAA_TACACS_TLS	2u
#define SPAWND_AAA_RADIUS_UDP	3u
#define SPAWND_AAA_RADIUS_TCP	4u
#define SPAWND_AAA_RADIUS_DTLS	5u
#define SPAWND_AAA_RADIUS_TLS	6u

/* reasons to give a connection back */
#define SPAWND_RETURN_ENDING	1u
#define SPAWND_RETURN_NOFD	2u
#define SPAWND_RETURN_RESOURCES	3u
#define SPAWND_RETURN_OLD	4u

/* One accepted connection, or one datagram with a connected socket. */
struct spawnd_conn {
	int		 fd;		/* the caller owns it */
	uint64_t	 id;		/* unique in the life of the service */
	uint64_t	 accepted;	/* CLOCK_MONOTONIC, ns */
	uint64_t	 handed;	/* the same, when the master passed it */
	uint32_t	 listener;	/* index in the configuration, for logs */
	uint32_t	 flags;		/* SPAWND_HAPROXY ... */
	uint32_t	 versions;	/* SPAWND_TLS_1_2 ..., 0: plain */
	uint32_t	 aaa;		/* SPAWND_AAA_* */
	uint16_t	 type;		/* SOCK_STREAM, SOCK_DGRAM ... */
	uint16_t	 protocol;	/* IPPROTO_TCP ..., 0 for UNIX */
	char		 realm[16];	/* zero padded, at most 15 used */
	struct sockaddr_storage peer;	/* ss_family 0: unknown */
	struct sockaddr_storage local;
	const void	*data;		/* datagram; valid until the next call */
	size_t		 len;
};

struct spawnd_worker;

/*
 * Start as a worker: checks SPAWND_WORKER in the environment and descriptor
 * 0, reads HELLO (waits for it, 10 s at the most), removes the variable.
 * NULL and errno: ENOTSOCK not started by spawnd, EPROTO wrong version or
 * nonce (the master gets the same as text; end with status 78).
 */
struct spawnd_worker *spawnd_worker_open(int version);

/* Descriptor to wait on for reading, level-triggered. */
int	 spawnd_worker_fd(const struct spawnd_worker *);

/* The worker can take connections now, max of them at a time (0: what the
 * descriptor limit allows, (limit - 10) / 2). */
int	 spawnd_worker_ready(struct spawnd_worker *, unsigned max);

/*
 * One message: 1 a connection was delivered (and acknowledged), 0 nothing
 * there now, 2 told to end when idle (connections no longer come; once), -1
 * the channel is lost (serve what there is, then end).
 */
int	 spawnd_worker_next(struct spawnd_worker *, struct spawnd_conn *);

/* Sends a keep-alive if one is due. Milliseconds until it must be called
 * again. */
int	 spawnd_worker_tick(struct spawnd_worker *);

/* n connections (or datagrams) have ended. */
int	 spawnd_worker_done(struct spawnd_worker *, unsigned n);
/* From now on at most n connections at a time; only lower than announced. */
int	 spawnd_worker_max(struct spawnd_worker *, unsigned n);
/* Give a connection back untouched; closes conn->fd without a trace on the
 * wire. reason is SPAWND_RETURN_*. The connection does not need a done. */
int	 spawnd_worker_return(struct spawnd_worker *, struct spawnd_conn *,
	    unsigned reason);
/* Take no more connections, serve what there is, then end. */
int	 spawnd_worker_dying(struct spawnd_worker *);
/* The configuration cannot be used: text of at most 4096 bytes. */
int	 spawnd_worker_bad_config(struct spawnd_worker *, const char *text);

/* Frees w and closes the channel. */
void	 spawnd_worker_close(struct spawnd_worker *);

/* Tokens of one section of a configuration file (3.1 to 3.4: includes,
 * aliases, environment). */
enum spawnd_token_kind {
	SPAWND_TOKEN_END,	/* of the section or file */
	SPAWND_TOKEN_WORD,	/* unquoted */
	SPAWND_TOKEN_STRING,	/* quoted, escapes and ${NAME} replaced */
	SPAWND_TOKEN_DELIM	/* = , { } ( ) [ ] ! && || */
};

struct spawnd_token {
	enum spawnd_token_kind	 kind;
	const char		*text;	/* valid until spawnd_conf_close */
	size_t			 len;
	const char		*file;
	unsigned		 line;	/* from 1 */
};

struct spawnd_conf_reader;

/*
 * Opens file (a path; from a worker also what the master handed over in its
 * place: /dev/fd/3 or ipc://KEY/LENGTH, EACCES from others) and finds the sections "id = NAME { }" with the given id; they are read one
 * after the other. NULL and errno; ENOENT also when there is no such section.
 */
struct spawnd_conf_reader *spawnd_conf_open(const char *file, const char *id);
/* 1 a token, 0 the end, -1 the file is wrong: token->text is the message,
 * file and line its place. */
int	 spawnd_conf_next(struct spawnd_conf_reader *, struct spawnd_token *);
void	 spawnd_conf_close(struct spawnd_conf_reader *);

#ifdef __cplusplus
}
#endif
#endif
