/*
 * Fetches one document by URL, waiting for it: only for processes that may
 * wait. The library for it is loaded when it is first needed, since it brings
 * three dozen others that no master and no worker has a use for.
 */
#ifndef MISC_FETCH_H
#define MISC_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sign.h"

/* What was fetched, or kept from an earlier time. Owned by who has it. */
struct document {
	char		*text;		/* with a NUL behind its end */
	size_t		 len;
	char		*etag, *modified;	/* as the server said; NULL */
	int64_t		 fetched;	/* time(2) */
	bool		 has_signature;
	uint8_t		 signature[SIGN_SIZE];
};

void	 document_clear(struct document *);

struct fetch_request {
	const char	*url;
	const char	*etag, *modified;	/* of what we have; NULL */
	size_t		 limit;		/* bytes; more is a failure */
	int		 timeout;	/* ms in all */
};

enum fetch_result {
	FETCH_OK,
	FETCH_SAME,		/* 304: what we have is right */
	FETCH_FAILED
};

#define FETCH_REASON	512	/* size of a text for what went wrong */

/*
 * Schemes, redirects, and verification as 8.3 says; proxies, SSL_CERT_FILE
 * and SSL_CERT_DIR from the environment. *d is empty unless FETCH_OK; reason
 * is set only if FETCH_FAILED.
 */
enum fetch_result fetch_document(const struct fetch_request *,
		    struct document *, char reason[static FETCH_REASON]);

#endif
