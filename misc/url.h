/*
 * URLs as text: what may be fetched, where a redirect may lead, and how one
 * is shown. Fetches nothing.
 */
#ifndef MISC_URL_H
#define MISC_URL_H

#include <stdbool.h>
#include <stddef.h>

#define URL_SHOWN	1024	/* bytes of one in a message */

/* Whether a file name is one: it contains "://". */
bool	 url_is(const char *);
/* How any name, URL or path, is shown in messages, titles and files:
 * credentials are replaced by ***. Returns it if there are none, else buf,
 * where it is cut off if need be. */
const char *url_show(const char *, char buf[static URL_SHOWN]);

/* The scheme in lower case; "" if it is none or a long one. */
#define URL_SCHEME	16
const char *url_scheme(const char *, char buf[static URL_SCHEME]);
/* One of those of 8.3. */
bool	 url_permitted(const char *);
/* https or file: what a local file may include. */
bool	 url_permitted_here(const char *);
/* http or ftp: neither secret nor protected against changes. */
bool	 url_plain(const char *);
/* Never from https to something else, never into or out of other schemes. */
bool	 url_redirect_permitted(const char *from, const char *to);

/* How much of it is the directory: up to the last slash of the path. 0: it
 * has no path. */
size_t	 url_directory(const char *);
/* That of its detached signature. To be freed; NULL: no memory. */
char	*url_signature(const char *);

#endif
