/*
 * TLS where the package was built without OpenSSL: whoever asks for it is
 * told so, nothing else is ever called.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls.h"

#define WITHOUT		"tls: built without TLS support"

bool
tls_available(void)
{
	return false;
}

bool
tls_ciphers_known(const char *list)
{
	(void)list;
	return false;
}

bool
tls_curves_known(const char *list, char *bad, size_t size)
{
	snprintf(bad, size, "%.*s", (int)strcspn(list, ",:"), list);
	return false;
}

struct tls_server *
tls_server_new(const struct tls_server_conf *conf,
    char error[static TLS_ERROR], int *error_index,
    char warning[static TLS_ERROR])
{
	(void)conf;
	*error_index = -1;
	warning[0] = '\0';
	snprintf(error, TLS_ERROR, WITHOUT);
	return NULL;
}

struct tls_server *
tls_server_ref(struct tls_server *s)
{
	return s;
}

void
tls_server_unref(struct tls_server *s)
{
	(void)s;
}

void
tls_server_tickets(struct tls_server *s, const struct tls_ticket_key *keys,
    unsigned n)
{
	(void)s;
	(void)keys;
	(void)n;
}

struct tls_client *
tls_client_new(const struct tls_client_conf *conf,
    char error[static TLS_ERROR])
{
	(void)conf;
	snprintf(error, TLS_ERROR, WITHOUT);
	return NULL;
}

void
tls_client_unref(struct tls_client *c)
{
	(void)c;
}

int
tls_keypair_check(const struct tls_keypair *k, char error[static TLS_ERROR],
    char warning[static TLS_ERROR])
{
	(void)k;
	warning[0] = '\0';
	snprintf(error, TLS_ERROR, WITHOUT);
	return -1;
}

int
stream_tls_accept(struct stream *s, struct tls_server *server,
    uint32_t versions, bool psk)
{
	(void)s;
	(void)server;
	(void)versions;
	(void)psk;
	errno = ENOTSUP;
	return -1;
}

int
stream_tls_connect(struct stream *s, struct tls_client *client)
{
	(void)s;
	(void)client;
	errno = ENOTSUP;
	return -1;
}

int
stream_tls_name(struct stream *s, const char *name)
{
	(void)s;
	(void)name;
	errno = ENOTSUP;
	return -1;
}

enum tls_step
stream_handshake(struct stream_env *e, struct stream *s)
{
	(void)e;
	(void)s;
	return TLS_FAILED;
}

const char *
stream_tls_reason(const struct stream *s)
{
	(void)s;
	return "built without TLS support";
}

void
stream_tls_notify(struct stream *s, void (*cb)(void *ctx), void *ctx)
{
	(void)s;
	(void)cb;
	(void)ctx;
}

const char *
stream_tls_text(const struct stream *s, char *buf, size_t size)
{
	(void)s;
	snprintf(buf, size, "-");
	return buf;
}

const char *
stream_tls_sni(const struct stream *s)
{
	(void)s;
	return NULL;
}

const char *
stream_tls_alpn(const struct stream *s, char *buf, size_t size)
{
	return stream_tls_text(s, buf, size);
}

bool
stream_tls_resumed(const struct stream *s)
{
	(void)s;
	return false;
}

const char *
stream_tls_peer(const struct stream *s, char *buf, size_t size)
{
	(void)s;
	(void)buf;
	(void)size;
	return NULL;
}

bool
stream_tls_unverified(const struct stream *s)
{
	(void)s;
	return false;
}

bool
stream_tls_closing(const struct stream *s)
{
	(void)s;
	return false;
}

void
tls_trim(void)
{
}
