/*
 * Fetching with libcurl. Redirects are followed here, one request each, so
 * that each is judged by where it comes from and no credential goes to
 * another host.
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "features.h"
#include "fetch.h"
#include "url.h"

#define CONNECT_TIMEOUT	5000L	/* ms */
#define REDIRECTS	5
#define TAG_MAX		512	/* bytes of ETag and Last-Modified */

/* ---- the library ---- */

#define FUNCTIONS(F)							\
	F(global_init) F(easy_init) F(easy_cleanup) F(easy_setopt)	\
	F(easy_perform) F(easy_getinfo) F(easy_strerror)		\
	F(slist_append) F(slist_free_all)

static struct {
	bool	 tried;
	char	 error[FETCH_REASON];	/* "": it is there */
#define MEMBER(name) __typeof__(&curl_##name) name;
	FUNCTIONS(MEMBER)
#undef MEMBER
} lib;

static const char *const lib_names[] = {
#ifdef __APPLE__
	"libcurl.4.dylib",
#endif
	"libcurl.so.4", "libcurl.so",
};

/* An object pointer is what dlsym has; POSIX lets it be a function's. */
static bool
symbol_load(void *library, const char *name, void *to, size_t size)
{
	void *p = dlsym(library, name);

	if (p == NULL) {
		snprintf(lib.error, sizeof lib.error,
		    "libcurl has no '%s'", name);
		return false;
	}
	memcpy(to, &p, size);
	return true;
}

static void
library_load(void)
{
	void *library = NULL;

	for (size_t i = 0; library == NULL &&
	    i < sizeof lib_names / sizeof lib_names[0]; i++) {
		library = dlopen(lib_names[i], RTLD_NOW | RTLD_LOCAL);
		if (library == NULL && i == 0)
			snprintf(lib.error, sizeof lib.error,
			    "libcurl cannot be loaded: %s", dlerror());
	}
	if (library == NULL)
		return;
	lib.error[0] = '\0';
#define LOAD(name)							\
	if (!symbol_load(library, "curl_" #name, &lib.name,		\
	    sizeof lib.name))						\
		return;
	FUNCTIONS(LOAD)
#undef LOAD
	if (lib.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		snprintf(lib.error, sizeof lib.error,
		    "libcurl cannot be used");
}

/* ---- one request ---- */

/* Lives for one request; text, etag and modified go to the document. */
struct transfer {
	const struct fetch_request	*request;
	CURL				*easy;
	char				*text;
	size_t				 len, room;
	bool				 too_large, no_memory;
	char				*etag, *modified;
	char				 error[CURL_ERROR_SIZE];
};

static size_t
body_cb(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t more = size * n;		/* libcurl: never above 16 kB */

	if (more > t->request->limit - t->len) {
		t->too_large = true;
		return 0;
	}
	if (t->len + more + 1 > t->room) {
		size_t room = (t->len + more + 1) * 2;
		char *text = realloc(t->text, room);

		if (text == NULL) {
			t->no_memory = true;
			return 0;
		}
		t->text = text;
		t->room = room;
	}
	memcpy(t->text + t->len, data, more);
	t->len += more;
	t->text[t->len] = '\0';
	return more;
}

/* What is sent back one day must be a line of text. */
static char *
tag_copy(const char *p, size_t len)
{
	while (len > 0 && (*p == ' ' || *p == '\t')) {
		p++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", p[len - 1]) != NULL)
		len--;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)p[i] < ' ' || (unsigned char)p[i] > '~')
			return NULL;
	}
	return len == 0 || len > TAG_MAX ? NULL : strndup(p, len);
}

static void
tag_take(char **tag, const char *name, const char *line, size_t len)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0)
		return;
	free(*tag);
	*tag = tag_copy(line + n, len - n);
}

/* Every answer on the way begins with its own status line. */
static size_t
header_cb(char *line, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * n;

	if (len > 5 && strncasecmp(line, "HTTP/", 5) == 0) {
		free(t->etag);
		free(t->modified);
		t->etag = t->modified = NULL;
	}
	tag_take(&t->etag, "ETag:", line, len);
	tag_take(&t->modified, "Last-Modified:", line, len);
	return len;
}

static bool
header_add(struct curl_slist **list, const char *name, const char *value)
{
	char line[TAG_MAX + 64];
	struct curl_slist *more;

	if (value == NULL || strlen(value) > TAG_MAX)
		return true;
	snprintf(line, sizeof line, "%s: %s", name, value);
	if ((more = lib.slist_append(*list, line)) == NULL)
		return false;
	*list = more;
	return true;
}

/* Host keys are verified, or nothing is fetched; the library without a file
 * would not look at all. */
static void
known_hosts(CURL *e)
{
	const char *home = getenv("HOME");
	char path[1024];

	snprintf(path, sizeof path, "%s%s", home != NULL ? home : "/etc/ssh",
	    home != NULL ? "/.ssh/known_hosts" : "/ssh_known_hosts");
	lib.easy_setopt(e, CURLOPT_SSH_KNOWNHOSTS, path);
}

static void
options_set(struct transfer *t, const char *url, int timeout,
    struct curl_slist *headers)
{
	const char *ca_file = getenv("SSL_CERT_FILE");
	const char *ca_dir = getenv("SSL_CERT_DIR");
	char scheme[URL_SCHEME];
	CURL *e = t->easy;

	lib.easy_setopt(e, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
	lib.easy_setopt(e, CURLOPT_PROTOCOLS_STR, url_scheme(url, scheme));
#else
	(void)scheme;
	lib.easy_setopt(e, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTPS |
	    CURLPROTO_HTTP | CURLPROTO_FILE | CURLPROTO_FTP |
	    CURLPROTO_FTPS | CURLPROTO_SFTP | CURLPROTO_SCP));
#endif
	lib.easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	lib.easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT);
	lib.easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)timeout);
	lib.easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	lib.easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	lib.easy_setopt(e, CURLOPT_FAILONERROR, 1L);
	lib.easy_setopt(e, CURLOPT_USERAGENT, "spawnd/" PACKAGE_VERSION);
	lib.easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	lib.easy_setopt(e, CURLOPT_WRITEFUNCTION, body_cb);
	lib.easy_setopt(e, CURLOPT_WRITEDATA, t);
	lib.easy_setopt(e, CURLOPT_HEADERFUNCTION, header_cb);
	lib.easy_setopt(e, CURLOPT_HEADERDATA, t);
	lib.easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* no waiting for a name server that will not answer */
	lib.easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
	/* The library by itself takes what it was built with. */
	if (ca_file != NULL)
		lib.easy_setopt(e, CURLOPT_CAINFO, ca_file);
	if (ca_dir != NULL)
		lib.easy_setopt(e, CURLOPT_CAPATH, ca_dir);
	known_hosts(e);
}

static void
reason_set(const struct transfer *t, CURLcode code, long status,
    char reason[static FETCH_REASON])
{
	char number[32];

	if (t->too_large) {
		snprintf(reason, FETCH_REASON, "larger than %zu %s",
		    t->request->limit < 1024 * 1024 ? t->request->limit :
		    t->request->limit / (1024 * 1024),
		    t->request->limit < 1024 * 1024 ? "bytes" : "MB");
		return;
	}
	if (t->no_memory) {
		snprintf(reason, FETCH_REASON, "out of memory");
		return;
	}
	snprintf(reason, FETCH_REASON, "%s", code == CURLE_OK ?
	    "unexpected answer" : t->error[0] != '\0' ? t->error :
	    lib.easy_strerror(code));
	snprintf(number, sizeof number, "%ld", status);
	if (status > 0 && strstr(reason, number) == NULL) {
		size_t len = strlen(reason);

		snprintf(reason + len, FETCH_REASON - len,
		    " (status %ld)", status);
	}
}

enum answer { ANSWER_DOCUMENT, ANSWER_SAME, ANSWER_ELSEWHERE, ANSWER_FAILED };

/* What it means that the request ended so. *elsewhere is to be freed. */
static enum answer
answer_read(struct transfer *t, const char *url, CURLcode code,
    char **elsewhere, char reason[static FETCH_REASON])
{
	const struct fetch_request *r = t->request;
	bool http = strncasecmp(url, "http", 4) == 0;
	char *to = NULL;
	long status = 0;

	lib.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK && (!http || status == 200))
		return ANSWER_DOCUMENT;
	if (code == CURLE_OK && status == 304 &&
	    (r->etag != NULL || r->modified != NULL))
		return ANSWER_SAME;
	if (code == CURLE_OK && status >= 300 && status < 400)
		lib.easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &to);
	if (to == NULL) {
		reason_set(t, code, http ? status : 0, reason);
		return ANSWER_FAILED;
	}
	if (!url_redirect_permitted(url, to)) {
		char shown[URL_SHOWN];

		snprintf(reason, FETCH_REASON,
		    "redirect to '%.300s' not permitted (status %ld)",
		    url_show(to, shown), status);
		return ANSWER_FAILED;
	}
	if ((*elsewhere = strdup(to)) != NULL)
		return ANSWER_ELSEWHERE;
	snprintf(reason, FETCH_REASON, "out of memory");
	return ANSWER_FAILED;
}

static void
document_take(struct transfer *t, struct document *d)
{
	d->text = t->text != NULL ? t->text : strdup("");
	d->len = t->len;
	d->etag = t->etag;
	d->modified = t->modified;
	d->fetched = time(NULL);
	t->text = t->etag = t->modified = NULL;
}

static enum answer
request_once(const struct fetch_request *r, const char *url, int timeout,
    struct document *d, char **elsewhere, char reason[static FETCH_REASON])
{
	struct transfer t = { .request = r, .easy = lib.easy_init() };
	struct curl_slist *headers = NULL;
	enum answer answer = ANSWER_FAILED;

	if (t.easy == NULL ||
	    !header_add(&headers, "If-None-Match", r->etag) ||
	    !header_add(&headers, "If-Modified-Since", r->modified)) {
		snprintf(reason, FETCH_REASON, "out of memory");
	} else {
		options_set(&t, url, timeout, headers);
		answer = answer_read(&t, url, lib.easy_perform(t.easy),
		    elsewhere, reason);
	}
	if (answer == ANSWER_DOCUMENT)
		document_take(&t, d);
	free(t.text);
	free(t.etag);
	free(t.modified);
	lib.slist_free_all(headers);
	if (t.easy != NULL)
		lib.easy_cleanup(t.easy);
	return answer;
}

/* ---- all of them ---- */

static int64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0: libcurl would take that for no limit at all. */
static int
time_left(int64_t end)
{
	int64_t left = end - clock_ms();

	return left < 1 ? 1 : (int)left;
}

static enum fetch_result
fetch_follow(const struct fetch_request *r, struct document *d,
    char reason[static FETCH_REASON])
{
	int64_t end = clock_ms() + r->timeout;
	char *url = strdup(r->url), *next = NULL;
	enum answer answer = ANSWER_ELSEWHERE;

	snprintf(reason, FETCH_REASON, "more than %d redirects", REDIRECTS);
	for (int i = 0; url != NULL && i <= REDIRECTS; i++) {
		answer = request_once(r, url, time_left(end), d, &next,
		    reason);
		if (answer != ANSWER_ELSEWHERE)
			break;
		free(url);
		url = next;
	}
	free(url);
	switch (answer) {
	case ANSWER_DOCUMENT:
		return FETCH_OK;
	case ANSWER_SAME:
		return FETCH_SAME;
	case ANSWER_ELSEWHERE:
	case ANSWER_FAILED:
		break;
	}
	return FETCH_FAILED;
}

enum fetch_result
fetch_document(const struct fetch_request *r, struct document *d,
    char reason[static FETCH_REASON])
{
	char scheme[URL_SCHEME];
	enum fetch_result result;

	*d = (struct document){ .len = 0 };
	if (!url_permitted(r->url)) {
		snprintf(reason, FETCH_REASON, "scheme '%s' not permitted",
		    url_scheme(r->url, scheme));
		return FETCH_FAILED;
	}
	if (!lib.tried) {
		lib.tried = true;
		library_load();
	}
	if (lib.error[0] != '\0') {
		snprintf(reason, FETCH_REASON, "%s", lib.error);
		return FETCH_FAILED;
	}
	result = fetch_follow(r, d, reason);
	if (result == FETCH_OK && d->text == NULL) {
		document_clear(d);
		snprintf(reason, FETCH_REASON, "out of memory");
		return FETCH_FAILED;
	}
	return result;
}
