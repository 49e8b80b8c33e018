/*
 * URLs as text (RFC 3986). Whatever is not clear is taken for a credential,
 * and whatever is not in a table is not permitted.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "url.h"

bool
url_is(const char *text)
{
	return strstr(text, "://") != NULL;
}

/* ---- parts ---- */

static const char *
authority_of(const char *url)
{
	const char *p = strstr(url, "://");

	return p == NULL ? NULL : p + 3;
}

/* The '@' that ends user and password; NULL: there are none. */
static const char *
credentials_end(const char *authority)
{
	size_t len = strcspn(authority, "/?#");
	const char *at = NULL, *colon;

	for (size_t i = 0; i < len; i++) {
		if (authority[i] == '@')
			at = authority + i;
	}
	if (at != NULL || *authority == '[')
		return at;
	/* a password with a slash that somebody forgot to encode */
	colon = memchr(authority, ':', len);
	if (colon == NULL || colon + 1 == authority + len ||
	    colon + 1 + strspn(colon + 1, "0123456789") == authority + len)
		return NULL;
	return strrchr(authority, '@');
}

const char *
url_show(const char *name, char buf[static URL_SHOWN])
{
	const char *authority = authority_of(name), *end;

	if (authority == NULL || (end = credentials_end(authority)) == NULL)
		return name;
	snprintf(buf, URL_SHOWN, "%.*s***%s", (int)(authority - name), name,
	    end);
	return buf;
}

size_t
url_directory(const char *url)
{
	const char *authority = authority_of(url), *path;
	size_t len;

	if (authority == NULL)
		return 0;
	path = authority + strcspn(authority, "/?#");
	if (*path != '/')
		return 0;
	len = strcspn(path, "?#");
	while (path[len - 1] != '/')
		len--;
	return (size_t)(path - url) + len;
}

char *
url_signature(const char *url)
{
	static const char suffix[] = ".sig";
	size_t path = strcspn(url, "?#"), len = strlen(url);
	char *to = malloc(len + sizeof suffix);

	if (to == NULL)
		return NULL;
	memcpy(to, url, path);
	memcpy(to + path, suffix, sizeof suffix - 1);
	memcpy(to + path + sizeof suffix - 1, url + path, len - path + 1);
	return to;
}

/* ---- schemes ---- */

static const struct scheme {
	const char	*name;
	bool		 here;		/* in a local file, too */
	bool		 plain;
	const char	*redirects[3];	/* where to */
} schemes[] = {
	{ "https", true,  false, { "https", NULL, NULL } },
	{ "http",  false, true,  { "https", "http", NULL } },
	{ "file",  true,  false, { NULL, NULL, NULL } },
	{ "ftp",   false, true,  { NULL, NULL, NULL } },
	{ "ftps",  false, false, { NULL, NULL, NULL } },
	{ "sftp",  false, false, { NULL, NULL, NULL } },
	{ "scp",   false, false, { NULL, NULL, NULL } },
};

const char *
url_scheme(const char *url, char buf[static URL_SCHEME])
{
	const char *end = strstr(url, "://");
	size_t n = 0;

	buf[0] = '\0';
	if (end == NULL || end - url >= URL_SCHEME)
		return buf;
	for (; url + n < end; n++) {
		unsigned char c = (unsigned char)url[n];

		if (!isalnum(c) && strchr("+-.", c) == NULL) {
			buf[0] = '\0';
			return buf;
		}
		buf[n] = (char)tolower(c);
	}
	buf[n] = '\0';
	return buf;
}

static const struct scheme *
scheme_find(const char *url)
{
	char name[URL_SCHEME];

	url_scheme(url, name);
	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
		if (strcmp(schemes[i].name, name) == 0)
			return &schemes[i];
	}
	return NULL;
}

bool
url_permitted(const char *url)
{
	return scheme_find(url) != NULL;
}

bool
url_permitted_here(const char *url)
{
	const struct scheme *s = scheme_find(url);

	return s != NULL && s->here;
}

bool
url_plain(const char *url)
{
	const struct scheme *s = scheme_find(url);

	return s != NULL && s->plain;
}

bool
url_redirect_permitted(const char *from, const char *to)
{
	const struct scheme *s = scheme_find(from);
	char name[URL_SCHEME];

	url_scheme(to, name);
	for (int i = 0; s != NULL && s->redirects[i] != NULL; i++) {
		if (strcmp(s->redirects[i], name) == 0)
			return true;
	}
	return false;
}
