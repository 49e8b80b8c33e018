/*
 * What HTTP checks say and how they judge the answer, while it comes. Nothing
 * of it is kept but a line: the size of an answer does not matter. Pure.
 */
#ifndef TCPRELAY_CHECK_HTTP_H
#define TCPRELAY_CHECK_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../misc/digest.h"
#include "../misc/pool.h"
#include "host.h"

#define CHECK_HTTP_LINE	128	/* of a head, as far as it is looked at */

enum check_http_at {
	HTTP_AT_HEAD,
	HTTP_AT_LENGTH,		/* body of known length */
	HTTP_AT_REST,		/* body that the end of the stream ends */
	HTTP_AT_SIZE,		/* of a chunk */
	HTTP_AT_EXTENSION,	/* behind it */
	HTTP_AT_CHUNK,
	HTTP_AT_CHUNK_END,
	HTTP_AT_END,
	HTTP_AT_BROKEN		/* framing that makes no sense */
};

struct check_http {
	enum check_http_at	 at;
	struct digest		 digest;
	uint64_t		 left;		/* of the body or chunk */
	bool			 length, chunked, wrong;
	uint8_t			 blank;		/* of CR LF CR LF, so far */
	uint8_t			 digits;	/* of a chunk's size */
	uint16_t		 len;
	uint8_t			 line[CHECK_HTTP_LINE];
};

/* The request: HEAD for a code, GET for a digest; host NULL: HTTP/1.0. */
char	*check_http_request(struct arena *, const char *method,
	    const char *path, const char *host, const char *agent);

void	 check_http_code_start(struct check_http *);
/* true: the status line is complete, check_http_code() can tell. */
bool	 check_http_code_take(struct check_http *, const uint8_t *, size_t);
/* Of what is there. *code is that of the answer if it is another one, or 0. */
enum host_error check_http_code(const struct check_http *, unsigned want,
	    unsigned *code);

/* want has 40 digits (SHA-1) or 32 (MD5). */
void	 check_http_digest_start(struct check_http *, const char *want);
/* true: the body is complete, or will never be. */
bool	 check_http_digest_take(struct check_http *, const uint8_t *, size_t);
enum host_error check_http_digest(struct check_http *, const char *want);

#endif
