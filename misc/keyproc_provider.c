/*
 * Keys that are elsewhere, as OpenSSL wants them: a provider whose keys know
 * their public half and ask for signatures. Only who names it gets here;
 * ordinary keys stay with the default provider.
 */
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "keyproc_lib.h"

#define PROPERTY	"provider=keyproc"
#define SIGNATURE	"KEYPROC"	/* nobody else's has this name */
#define PARAM_KEY	"keyproc-key"

/* What OpenSSL holds for us; owned by an EVP_PKEY. */
struct key {
	struct keyproc	*keys;		/* a reference */
	uint32_t	 index;
	EVP_PKEY	*public;	/* a reference */
};

/* ---- key management ---- */

static void *
key_new(void *provider)
{
	(void)provider;
	return calloc(1, sizeof(struct key));
}

static void
key_free(void *v)
{
	struct key *k = v;

	if (k == NULL)
		return;
	EVP_PKEY_free(k->public);
	keyproc_unref(k->keys);
	free(k);
}

static int
key_has(const void *v, int selection)
{
	(void)v;
	(void)selection;
	return 1;
}

static int
key_match(const void *a, const void *b, int selection)
{
	const struct key *x = a, *y = b;

	(void)selection;
	return x->public != NULL && y->public != NULL &&
	    EVP_PKEY_eq(x->public, y->public) == 1;
}

/* From keyproc_key() only: the pointer is to what it has. */
static int
key_import(void *v, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_KEY);
	struct key *k = v;
	const void *from = NULL;
	size_t size = 0;

	(void)selection;
	if (p == NULL || OSSL_PARAM_get_octet_ptr(p, &from, &size) != 1 ||
	    size != sizeof(*k) || k->public != NULL)
		return 0;
	memcpy(k, from, sizeof(*k));
	keyproc_ref(k->keys);
	EVP_PKEY_up_ref(k->public);
	return 1;
}

static const OSSL_PARAM *
key_import_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_ptr(PARAM_KEY, NULL, 0), OSSL_PARAM_END
	};

	(void)selection;
	return types;
}

/* There is nothing but the public half. */
static int
key_export(void *v, int selection, OSSL_CALLBACK *cb, void *arg)
{
	const struct key *k = v;

	(void)selection;
	return k->public != NULL &&
	    EVP_PKEY_export(k->public, EVP_PKEY_PUBLIC_KEY, cb, arg);
}

static const OSSL_PARAM *
key_export_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_END
	};

	(void)selection;
	return types;
}

static int
key_get_params(void *v, OSSL_PARAM params[])
{
	const struct key *k = v;

	return k->public != NULL && EVP_PKEY_get_params(k->public, params);
}

static const OSSL_PARAM *
key_gettable_params(void *provider)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL,
		    0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST,
		    NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_END
	};

	(void)provider;
	return types;
}

static const char *
key_operation_name(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? SIGNATURE : NULL;
}

/* ---- signatures ---- */

struct signing {
	struct key		*key;	/* its EVP_PKEY outlives us */
	enum keyproc_hash	 hash;
	enum keyproc_padding	 padding;
};

static void *
signing_new(void *provider, const char *properties)
{
	(void)provider;
	(void)properties;
	return calloc(1, sizeof(struct signing));
}

static void
signing_free(void *v)
{
	free(v);
}

static int
set_padding(struct signing *s, const OSSL_PARAM *p)
{
	int mode = 0;

	if (p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL) {
		if (strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0)
			mode = RSA_PKCS1_PSS_PADDING;
		else if (strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0)
			mode = RSA_PKCS1_PADDING;
	} else if (OSSL_PARAM_get_int(p, &mode) != 1)
		return 0;
	if (mode == RSA_PKCS1_PADDING && !EVP_PKEY_is_a(s->key->public,
	    "RSA-PSS"))
		s->padding = KEYPROC_PKCS1;
	else if (mode == RSA_PKCS1_PSS_PADDING)
		s->padding = KEYPROC_PSS;
	else
		return 0;
	return 1;
}

/* As TLS has it: as long as the hash. */
static int
set_salt(const OSSL_PARAM *p)
{
	int len = 0;

	if (p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL)
		return strcmp(p->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0;
	return OSSL_PARAM_get_int(p, &len) == 1 &&
	    len == RSA_PSS_SALTLEN_DIGEST;
}

static int
signing_set(void *v, const OSSL_PARAM params[])
{
	struct signing *s = v;
	const OSSL_PARAM *p;

	if (params == NULL)
		return 1;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	if (p != NULL && set_padding(s, p) != 1)
		return 0;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
	return p == NULL || set_salt(p);
}

static const OSSL_PARAM *
signing_settable(void *v, void *provider)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN,
		    NULL, 0),
		OSSL_PARAM_END
	};

	(void)v;
	(void)provider;
	return types;
}

static int
signing_init(void *v, const char *hash, void *key, const OSSL_PARAM params[])
{
	struct signing *s = v;

	if (key != NULL)
		s->key = key;
	if (s->key == NULL || s->key->public == NULL)
		return 0;
	s->hash = hash == NULL ? KEYPROC_NO_HASH : keyproc_hash_find(hash);
	if (s->hash == KEYPROC_HASHES)
		return 0;
	s->padding = KEYPROC_NO_PADDING;
	if (EVP_PKEY_is_a(s->key->public, "RSA"))
		s->padding = KEYPROC_PKCS1;
	else if (EVP_PKEY_is_a(s->key->public, "RSA-PSS"))
		s->padding = KEYPROC_PSS;
	return signing_set(s, params);
}

static int
signing_sign(void *v, unsigned char *signature, size_t *len, size_t room,
    const unsigned char *bytes, size_t n)
{
	const struct signing *s = v;
	struct keyproc_ask ask = { .key = s->key->index, .hash = s->hash,
	    .padding = s->padding, .bytes = bytes, .len = n,
	    .signature = signature, .room = room };
	int size = EVP_PKEY_get_size(s->key->public);

	if (size <= 0)
		return 0;
	if (signature == NULL) {
		*len = (size_t)size;
		return 1;
	}
	if (keyproc_ask(s->key->keys, &ask) == -1)
		return 0;
	*len = ask.got;
	return 1;
}

/* ---- the provider ---- */

/* Casts of functions are how OpenSSL has it; each is called as its number
 * says. */
#define FN(number, function)	{ number, (void (*)(void))function }

static const OSSL_DISPATCH key_functions[] = {
	FN(OSSL_FUNC_KEYMGMT_NEW, key_new),
	FN(OSSL_FUNC_KEYMGMT_FREE, key_free),
	FN(OSSL_FUNC_KEYMGMT_HAS, key_has),
	FN(OSSL_FUNC_KEYMGMT_MATCH, key_match),
	FN(OSSL_FUNC_KEYMGMT_IMPORT, key_import),
	FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),
	FN(OSSL_FUNC_KEYMGMT_EXPORT, key_export),
	FN(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_export_types),
	FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),
	FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params),
	FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, key_operation_name),
	{ 0, NULL }
};

static const OSSL_DISPATCH signature_functions[] = {
	FN(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
	FN(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
	FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
	FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_sign),
	FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set),
	FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
	{ 0, NULL }
};

static const OSSL_ALGORITHM key_types[] = {
	{ "RSA:rsaEncryption", PROPERTY, key_functions, "" },
	{ "RSA-PSS:RSASSA-PSS", PROPERTY, key_functions, "" },
	{ "EC:id-ecPublicKey", PROPERTY, key_functions, "" },
	{ "ED25519", PROPERTY, key_functions, "" },
	{ "ED448", PROPERTY, key_functions, "" },
	{ NULL, NULL, NULL, NULL }
};

static const OSSL_ALGORITHM signatures[] = {
	{ SIGNATURE, PROPERTY, signature_functions, "" },
	{ NULL, NULL, NULL, NULL }
};

static const OSSL_ALGORITHM *
provider_query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return key_types;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
	FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
	{ 0, NULL }
};

static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **provider)
{
	static int ours;

	(void)handle;
	(void)in;
	*out = provider_functions;
	*provider = &ours;
	return 1;
}

/* Once: ours is added, the default one stays the first choice of all. They
 * are held for the life of the process. */
static bool
provider_load(void)
{
	static OSSL_PROVIDER *others, *ours;

	if (ours != NULL)
		return true;
	if (others == NULL && (OSSL_PROVIDER_add_builtin(NULL, "keyproc",
	    provider_init) != 1 ||
	    (others = OSSL_PROVIDER_load(NULL, "default")) == NULL))
		return false;
	ours = OSSL_PROVIDER_load(NULL, "keyproc");
	return ours != NULL && EVP_set_default_properties(NULL,
	    EVP_default_properties_is_fips_enabled(NULL) ?
	    "fips=yes,?provider!=keyproc" : "?provider!=keyproc") == 1;
}

EVP_PKEY *
keyproc_key(struct keyproc *keys, uint32_t index, EVP_PKEY *public)
{
	struct key from = { .keys = keys, .index = index, .public = public };
	void *p = &from;
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_ptr(PARAM_KEY, NULL, sizeof(from)),
		OSSL_PARAM_END
	};
	const char *type = EVP_PKEY_get0_type_name(public);
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *key = NULL;

	params[0].data = &p;
	if (type != NULL && provider_load())
		ctx = EVP_PKEY_CTX_new_from_name(NULL, type, PROPERTY);
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}
