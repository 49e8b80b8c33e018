/*
 * TLS: whether names of ciphers and curves mean something to the library.
 */
#include <openssl/err.h>

#include <stdio.h>
#include <string.h>

#include "tls_lib.h"

#define NAME_SIZE	64		/* no curve has a longer name */
#define NAME_BYTES	"abcdefghijklmnopqrstuvwxyz" \
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

bool
tls_ciphers_known(const char *list)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	bool known;

	known = ctx != NULL && SSL_CTX_set_cipher_list(ctx, list) == 1;
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return known;
}

/* Only a name: newer libraries give signs before it a meaning. */
static bool
curve_known(SSL_CTX *ctx, const char *at, size_t len)
{
	char name[NAME_SIZE];

	if (len == 0 || len >= sizeof name)
		return false;
	memcpy(name, at, len);
	name[len] = '\0';
	return strspn(name, NAME_BYTES) == len &&
	    SSL_CTX_set1_groups_list(ctx, name) == 1;
}

bool
tls_curves_known(const char *list, char *bad, size_t size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	bool known = ctx != NULL;
	size_t len = 0;

	if (size > 0)
		bad[0] = '\0';
	for (const char *p = list; known; p += len + 1) {
		len = strcspn(p, ",:");
		known = curve_known(ctx, p, len);
		if (!known)
			snprintf(bad, size, "%.*s", (int)len, p);
		if (p[len] == '\0')
			break;
	}
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return known;
}
