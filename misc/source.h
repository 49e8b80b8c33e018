/*
 * The bundle: everything a configuration is made from. The compiler asks the
 * outside world through it and nothing else. The process that gathers
 * (master, -P) records each answer; a process that replays gets the same
 * answers from a sealed memory file and never opens anything itself, so the
 * same bundle gives the same configuration, or the same errors, anywhere.
 */
#ifndef MISC_SOURCE_H
#define MISC_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net.h"

struct source;

enum source_kind {
	SOURCE_TEXT,		/* configuration text */
	SOURCE_CERT,		/* certificate, authorities: public */
	SOURCE_SECRET,		/* PSK file: travels apart */
	SOURCE_KEY		/* private key: a secret that workers need not
				   have */
};

/* Gathers from the system. environ_base: the environment the service was
 * started with (NULL-terminated, copied). */
struct source	*source_gather(char *const *environ_base);
/* Knows only what source_add gave it and refuses the rest: tests, fuzzing. */
struct source	*source_empty(void);
void		 source_add(struct source *, enum source_kind,
		    const char *name, const void *data, size_t len);
/* Replays from descriptors made by source_save; secrets_fd may be -1. The
 * descriptors stay the caller's. NULL and errno; EBADMSG: not a bundle. */
struct source	*source_replay(int bundle_fd, int secrets_fd);
void		 source_free(struct source *);	/* secrets are cleansed */
/* Sealed, read-only memory files (unlinked shared memory elsewhere).
 * *secrets_fd is -1 when there are none. */
int		 source_save(const struct source *, int *bundle_fd,
		    int *secrets_fd);
/* A text in such a file, for a child; read-only as far as the system can. */
int		 source_text_file(const char *text, size_t len);
/* Secrets again, but without private keys: for who has a key process. */
int		 source_save_shared(const struct source *, int *secrets_fd);

/*
 * The bytes of a file. Recorded once, whichever way it ends: -1 and errno as
 * it was when gathered. *data stays valid as long as the source and has a
 * NUL behind its end. TEXT of 16 MB at the most (EFBIG). Directories are
 * EISDIR. open(2) is without O_NONBLOCK surprises: only regular files and
 * character devices or pipes given by /dev/fd. A "certificate" with a private
 * key in the same file is kept as a secret, whatever kind was asked for.
 */
int		 source_file(struct source *, enum source_kind,
		    const char *name, const char **data, size_t *len);
/*
 * Of a file that may be, or hold, a private key: what those learn of it who
 * are not given it. Its certificates in PEM, nothing else; and a digest of
 * all of it, so that they notice a change. -1 and errno as source_file.
 */
int		 source_public(struct source *, const char *name,
		    const char **data, size_t *len);
int		 source_file_digest(struct source *, const char *name,
		    uint8_t digest[32]);
/*
 * The bytes of a configuration document, by path or URL (url.h). key: a file
 * of public keys, one of which must have signed what comes by URL, else NULL.
 * A source that gathers fetches only after source_fetches(). -1: why is what
 * source_failure() says.
 */
int		 source_document(struct source *, const char *name,
		    const char *key, const char **data, size_t *len);
/* "cannot read 'F': REASON" or "cannot fetch URL: REASON", of the
 * source_document() that just failed, errno unchanged. */
#define SOURCE_FAILURE	2048
const char	*source_failure(const struct source *, const char *name,
		    char buf[static SOURCE_FAILURE]);

struct document;

/* How documents are fetched. */
struct source_fetching {
	/* what was fetched before: conditional requests. Stays valid as long
	   as the source; NULL */
	const struct source	*previous;
	/* fills the document with the copy kept from better times, for use
	   when it cannot be fetched; false and a reason. NULL: none */
	bool			(*copy)(void *ctx, const char *url,
				    struct document *, char *why,
				    size_t size);
	void			*ctx;
};

/* From now on URLs are fetched, which waits. Before anything is asked. */
void		 source_fetches(struct source *,
		    const struct source_fetching *);
/* Fetches all that the previous source has by URL. 1: one of them is not as
 * it was, 0: all are, -1: *failed could not be fetched. */
int		 source_fetch_again(struct source *, const char **failed);

/* What is known of a document that came by URL. Points into the source. */
struct source_meta {
	const char	*etag, *modified;	/* as the server said; NULL */
	const char	*key;		/* file of keys it was held to; NULL */
	const char	*warning;	/* to be told; NULL */
	const uint8_t	*signature;	/* SIGN_SIZE bytes; NULL */
	int64_t		 fetched;	/* time(2) */
	bool		 copy;		/* it is the copy */
};

/* false: that did not come by URL. */
bool		 source_meta(const struct source *, const char *url,
		    struct source_meta *);
/* One URL of the bundle after the other, NULL first and last. */
const char	*source_url_next(const struct source *, const char *url);

/* The inode's mode and owner as gathered with source_file; for "readable by
 * others". */
int		 source_mode(struct source *, const char *name, mode_t *,
		    uid_t *);
/* Where the text of a file came from, for carets in diagnostics; NULL. */
const char	*source_text(const struct source *, const char *name,
		    size_t *len);

/* Matches of a pattern, sorted, NULL-terminated, owned by the source; an
 * empty list when nothing matches. braces: expand {a,b} as well. */
char *const	*source_glob(struct source *, const char *pattern,
		    bool braces);

/*
 * Two readers of a configuration have an environment each. The worker's
 * begins with what the master's own section set (it inherits that) and gets
 * the rest by reading the same file.
 */
enum source_reader { SOURCE_MASTER, SOURCE_WORKER };

/* Who reads from now on; SOURCE_MASTER at first. */
void		 source_reader(struct source *, enum source_reader);
/* Drops all that source_setenv did. */
void		 source_env_reset(struct source *);
/* Environment as the reader sees it: base, then source_setenv. NULL: unset. */
const char	*source_getenv(struct source *, const char *name);
/* inherited: the worker has it from its start. */
void		 source_setenv(struct source *, const char *name,
		    const char *value, bool inherited);
/* The environment a worker starts with, NULL-terminated, owned by the source;
 * valid until the next call. */
char		**source_environ(struct source *);
/* The part of it that the configuration sets, whatever it was gathered
 * with; valid until the next call of either. */
char		**source_settings(struct source *);

/* Recorded look-ups; -1: unknown (or not resolvable). */
int		 source_user(struct source *, const char *name, uid_t *,
		    gid_t *);
int		 source_group(struct source *, const char *name, gid_t *);
int		 source_service(struct source *, const char *name,
		    const char *transport, unsigned *port);
/* All addresses of a host name. Number of them, 0 unknown; may block, which
 * is why workers never gather. */
int		 source_host(struct source *, const char *name,
		    struct net_addr **);
/*
 * All addresses of a network interface, or of the interfaces of a group: IPv4
 * in interface order, then IPv6, local ones with their scope. On Linux the
 * one group is "egress", interfaces with a default route of either family; on
 * systems with groups it is theirs. Number of them, 0 unknown (or without
 * addresses).
 */
int		 source_interface(struct source *, const char *name,
		    struct net_addr **);
/*
 * The number of an interface that is given by name or number, for what stands
 * behind '%'; 0: there is none. Its name is shown by those, too, who may not
 * ask the system (net_scope_learn).
 */
uint32_t	 source_scope(struct source *, const char *name);
/* Of the protocols database; -1: unknown. */
int		 source_protocol(struct source *, const char *name,
		    int *number);
/* As the database calls it ("tcp" for "TCP"); NULL: unknown. */
const char	*source_protocol_name(struct source *, const char *name);
bool		 source_executable(struct source *, const char *path);
/* Whether both names lead to the same file. */
bool		 source_same(struct source *, const char *, const char *);
/* Whether the system has something: "sctp". */
bool		 source_have(struct source *, const char *what);
const char	*source_platform(struct source *);	/* of exec's %o */

/* SHA-256 with OpenSSL, else four keyless 64-bit hashes (agreement, not
 * security), of all that is public in the bundle. */
void		 source_digest(const struct source *, uint8_t digest[32]);

#endif
