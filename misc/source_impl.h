/*
 * What the parts of the bundle share. Nothing outside source*.c includes
 * this.
 */
#ifndef MISC_SOURCE_IMPL_H
#define MISC_SOURCE_IMPL_H

#include "cleanse.h"
#include "pool.h"
#include "source.h"

enum record_kind { RECORD_FILE, RECORD_GLOB, RECORD_ENV, RECORD_USER,
    RECORD_GROUP, RECORD_SERVICE, RECORD_HOST, RECORD_EXEC, RECORD_SAME,
    RECORD_HAVE, RECORD_PLATFORM, RECORD_PUBLIC, RECORD_DIGEST,
    RECORD_META, RECORD_INTERFACE, RECORD_PROTOCOL, RECORD_SCOPE, RECORD_KINDS };

/* One answer, in the source's list in the order of asking. */
struct record {
	struct record	*next, *bucket;
	const char	*name;
	const char	*data;		/* with a NUL behind its end */
	size_t		 len;
	void		*parsed;	/* glob: char **, host: net_addr [] */
	uint32_t	 kind, sub;	/* sub: enum source_kind of a file */
	int32_t		 error;		/* errno; 0: data is the answer */
	uint32_t	 mode, uid;
	bool		 owned;		/* data comes from malloc */
	bool		 absent;	/* a secret, and we have no secrets */
};

/* A variable that the configuration set. */
struct setting {
	struct setting		*next;
	char			*name, *value;
	enum source_reader	 reader;
	bool			 inherited;
};

/* A stretch of memory that records point into. */
struct map {
	char	*p;
	size_t	 len;
	bool	 mapped, secret;
};

struct source {
	struct arena		*arena;
	struct record		*first, **last;
	struct record		**table;	/* by kind and name */
	size_t			 nrecords, room; /* room: a power of 2 */
	struct setting		*settings, **last_setting;
	char			**base;		/* environment, copied */
	char			**environ;	/* as last handed out */
	enum source_reader	 reader;
	bool			 gathers;
	struct map		 maps[2];

	/* The record of a URL, fetched if r is NULL, and held to the key.
	   NULL: this source fetches nothing, and who links it needs no
	   library for it. */
	struct record		*(*fetch)(struct source *, struct record *r,
				    const char *url, const char *key);
	struct source_fetching	 fetching;
	int64_t			 fetch_end;	/* ms, monotonic; 0: not yet */
	const char		*reason;	/* of the last failure */
};

/* An address on record: of a host, of an interface. */
struct source_ip {
	uint32_t	family, scope;
	uint8_t		ip[16];
};

/* The answer to that question, if it is known. */
struct record	*source_record_find(const struct source *, enum record_kind,
		    const char *name);
struct record	*source_record_new(struct source *, enum record_kind,
		    const char *name);
/* The answer, copied. */
void		 source_record_set(struct source *, struct record *,
		    const void *, size_t);
/*
 * What is on record, else a new record to be filled in; NULL if nobody may
 * be asked. *fresh tells which.
 */
struct record	*source_record_get(struct source *, enum record_kind,
		    const char *name, bool *fresh);
/* A document that cannot be had, and the reason for source_failure(). */
struct record	*source_record_fail(struct source *, const char *url,
		    const char *reason);
/* The answer as addresses, port 0; their number. */
int		 source_ips(struct source *, struct record *,
		    struct net_addr **);
struct document;

/* What is known of a document, in the place of what was known before. */
void		 source_meta_set(struct source *, const char *url,
		    const struct document *, const char *key,
		    const char *warning, bool copy);

#endif
