/*
 * Single values and what is wrong with them: numbers, lengths of texts, ports
 * (1.11), addresses and prefixes (1.14), paths (1.10).
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rd_build_impl.h"

#define PORT_MAX	65535

/* ---- numbers ---- */

static const struct {
	int64_t		 min, max;
	const char	*text;		/* what is said below and above */
	bool		 open;		/* above it, it is only too large */
} limits[] = {
	[RD_MIN_INTERVAL] = { 1, INT_MAX / 1000,
	    "interval must be at least 1 second", true },
	[RD_MIN_TIMEOUT] = { 0, INT_MAX,
	    "timeout must not be negative", true },
	[RD_RANGE_PREFORK] = { 1, 32,
	    "prefork must be between 1 and 32", false },
	[RD_MIN_RETRY] = { 0, INT_MAX,
	    "retry must not be negative", true },
	[RD_MIN_PARENT] = { 0, INT_MAX,
	    "parent must not be negative", true },
	[RD_RANGE_PRIORITY] = { 0, 63,
	    "priority must be between 0 and 63", false },
	[RD_RANGE_HOST_TTL] = { 0, 255,
	    "ip ttl must be between 0 and 255", false },
	[RD_RANGE_CODE] = { 100, 999,
	    "HTTP status code must be between 100 and 999", false },
	[RD_RANGE_SESSION] = { 0, INT_MAX,
	    "session timeout must be between 0 and 2147483647", false },
	[RD_RANGE_RELAY_SESSION] = { 1, INT_MAX,
	    "session timeout must be between 1 and 2147483647", false },
	[RD_RANGE_HEADERLEN] = { 0, 131072,
	    "headerlen must be between 0 and 131072", false },
	[RD_RANGE_BACKLOG] = { 0, 512,
	    "backlog must be between 0 and 512", false },
	[RD_MIN_BUFFER] = { 0, INT_MAX,
	    "socket buffer must not be negative", true },
	[RD_RANGE_TTL] = { 0, 255,
	    "ttl must be between 0 and 255", false },
	[RD_RANGE_MINTTL] = { 0, 255,
	    "minttl must be between 0 and 255", false },
	[RD_RANGE_STRIP] = { 0, INT_MAX,
	    "number of components must be between 0 and 2147483647", false },
	[RD_RANGE_RTABLE] = { 0, 255,
	    "rtable must be between 0 and 255", false },
};

bool
rd_number_take(struct rd_build *b, enum rd_limit limit,
    const struct rd_number *n, unsigned *value)
{
	bool above = n->value > limits[limit].max;

	if (above && limits[limit].open) {
		rd_error(b, &n->place, "number %" PRId64 " is out of range",
		    n->value);
		return false;
	}
	if (above || n->value < limits[limit].min) {
		rd_error(b, &n->place, "%s", limits[limit].text);
		return false;
	}
	*value = (unsigned)n->value;
	return true;
}

/* ---- lengths ---- */

static const struct {
	size_t		 max;
	const char	*what;
	bool		 shown;
} lengths[] = {
	[RD_LEN_CONTEXT] = { 31, "agentx context", false },
	[RD_LEN_AGENTX] = { 103, "agentx path", false },
	[RD_LEN_HOST] = { RD_HOST_NAME, "host name", false },
	[RD_LEN_GROUP] = { 15, "group name", false },
	[RD_LEN_EXPECT] = { 255, "expect pattern", false },
	[RD_LEN_SCRIPT] = { 1023, "script path", false },
	[RD_LEN_INTERFACE] = { 15, "interface name", false },
	[RD_LEN_REDIRECT] = { 31, "redirect name", true },
	[RD_LEN_RELAY] = { 255, "relay name", true },
	[RD_LEN_PROTOCOL] = { 63, "protocol name", true },
	[RD_LEN_ROUTER] = { 255, "router name", true },
	[RD_LEN_TAG] = { RD_TAG_NAME, "tag", false },
	[RD_LEN_TAGGED] = { RD_TAG_NAME, "tagged", false },
	[RD_LEN_LABEL] = { RD_LABEL, "label", false },
	[RD_LEN_RTLABEL] = { 31, "route label", false },
	[RD_LEN_CIPHERS] = { 767, "cipher list", false },
	[RD_LEN_CURVES] = { 127, "curve list", false },
	[RD_LEN_CA_FILE] = { 1023, "ca file", false },
	[RD_LEN_CA_CERT] = { 1023, "ca cert", false },
	[RD_LEN_CA_KEY] = { 1023, "ca key", false },
	[RD_LEN_CLIENT_CA] = { 1023, "client ca", false },
	[RD_LEN_KEYPAIR] = { 1023, "keypair name", false },
	[RD_LEN_KEYPAIR_FILE] = { 1023, "keypair path", false },
};

bool
rd_length_ok(struct rd_build *b, enum rd_length length,
    const struct rd_word *w)
{
	const char *what = lengths[length].what;
	size_t max = lengths[length].max;

	if (strlen(w->text) <= max)
		return true;
	if (lengths[length].shown)
		rd_error(b, &w->place, "%s \"%s\" is longer than %zu bytes",
		    what, w->text, max);
	else
		rd_error(b, &w->place, "%s is longer than %zu bytes", what,
		    max);
	return false;
}

/* ---- ports ---- */

enum port_result { PORT_OK, PORT_RANGE, PORT_UNKNOWN };

static enum port_result
port_read(struct rd_build *b, const char *text, unsigned *port)
{
	size_t digits = strspn(text, "0123456789");

	if (digits > 0 && text[digits] == '\0') {
		*port = 0;
		for (const char *p = text; *p != '\0'; p++) {
			*port = *port * 10 + (unsigned)(*p - '0');
			if (*port > PORT_MAX)
				return PORT_RANGE;
		}
		return *port == 0 ? PORT_RANGE : PORT_OK;
	}
	if (source_service(b->source, text, "tcp", port) == 0 ||
	    source_service(b->source, text, "udp", port) == 0)
		return PORT_OK;
	return PORT_UNKNOWN;
}

static bool
port_number(struct rd_build *b, const struct rd_number *n, unsigned *port)
{
	if (n->value < 1 || n->value > PORT_MAX) {
		rd_error(b, &n->place, "port must be between 1 and 65535");
		return false;
	}
	*port = (unsigned)n->value;
	return true;
}

static bool
port_word(struct rd_build *b, const struct rd_word *w, unsigned *port)
{
	switch (port_read(b, w->text, port)) {
	case PORT_OK:
		return true;
	case PORT_RANGE:
		rd_error(b, &w->place, "port must be between 1 and 65535");
		return false;
	case PORT_UNKNOWN:
		break;
	}
	rd_error(b, &w->place, "unknown service name \"%s\"", w->text);
	return false;
}

bool
rd_port_take(struct rd_build *b, const struct rd_port *p, unsigned *port)
{
	if (p->is_number)
		return port_number(b, &p->number, port);
	if (strchr(p->word.text, ':') != NULL) {
		rd_error(b, &p->word.place,
		    "a single port is required here");
		return false;
	}
	return port_word(b, &p->word, port);
}

bool
rd_port_range(struct rd_build *b, const struct rd_port *p, unsigned *low,
    unsigned *high)
{
	const char *colon;
	enum port_result first, second;
	const char *a, *z;

	if (p->is_number || (colon = strchr(p->word.text, ':')) == NULL) {
		if (!rd_port_take(b, p, low))
			return false;
		*high = *low;
		return true;
	}
	a = arena_strndup(b->arena, p->word.text,
	    (size_t)(colon - p->word.text));
	z = colon + 1;
	first = *a == '\0' ? PORT_RANGE : port_read(b, a, low);
	second = *z == '\0' ? PORT_RANGE : port_read(b, z, high);
	if (first == PORT_UNKNOWN || second == PORT_UNKNOWN) {
		rd_error(b, &p->word.place, "unknown service name \"%s\"",
		    first == PORT_UNKNOWN ? a : z);
		return false;
	}
	if (first == PORT_RANGE || second == PORT_RANGE || *low > *high) {
		rd_error(b, &p->word.place, "port range %s is not valid",
		    p->word.text);
		return false;
	}
	return true;
}

/* ---- addresses ---- */

/*
 * Without the prefix that tells the families apart elsewhere. Only the process
 * that gathers asks the system for interfaces: others may not be able to.
 */
bool
rd_numeric(struct rd_build *b, const char *text, struct net_addr *addr)
{
	const char *percent = strchr(text, '%');
	uint32_t scope;

	if (strncmp(text, "inet", 4) == 0)
		return false;
	if (percent == NULL)
		return net_parse_ip(text, addr);
	scope = source_scope(b->source, percent + 1);
	if (scope == 0 || !net_parse_ip(arena_strndup(b->arena, text,
	    (size_t)(percent - text)), addr) ||
	    addr->sa.sa_family != AF_INET6)
		return false;
	addr->in6.sin6_scope_id = scope;
	return true;
}

/*
 * "10.1" and "0x7f.1" are addresses to the resolver, and not those that were
 * meant: no name ends like that.
 */
static bool
like_address(const char *text)
{
	const char *dot = strrchr(text, '.');
	const char *label = dot == NULL ? text : dot + 1;

	return strncasecmp(label, "0x", 2) == 0 ||
	    label[strspn(label, "0123456789")] == '\0';
}

size_t
rd_addresses(struct rd_build *b, const char *text,
    const struct net_addr **addrs, bool *by_name)
{
	struct net_addr *found, one;
	int n;

	*by_name = false;
	if (rd_numeric(b, text, &one)) {
		found = arena_alloc(b->arena, sizeof *found);
		*found = one;
		*addrs = found;
		return 1;
	}
	n = source_interface(b->source, text, &found);
	if (n <= 0 && !like_address(text)) {
		n = source_host(b->source, text, &found);
		*by_name = n > 0;
	}
	*addrs = found;
	return n > 0 ? (size_t)n : 0;
}

bool
rd_address_take(struct rd_build *b, const struct rd_word *w,
    const char *what, struct net_addr *addr, bool *by_name)
{
	const struct net_addr *found;
	char shown[NET_TEXT];
	size_t n = rd_addresses(b, w->text, &found, by_name);

	if (n == 0) {
		rd_error(b, &w->place, "cannot resolve %s \"%s\"", what,
		    w->text);
		return false;
	}
	if (n > 1)
		rd_warn(b, &w->place, "\"%s\" resolves to more than 1 "
		    "address, using %s", w->text,
		    net_ip_text(&found[0], shown));
	*addr = found[0];
	return true;
}

static void
bits_clear(uint8_t *p, unsigned bits, unsigned width)
{
	for (unsigned i = bits; i < width; i++)
		p[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
}

bool
rd_prefix_take(struct rd_build *b, const struct rd_word *w,
    const struct rd_number *bits, struct rd_prefix *prefix)
{
	unsigned width;
	bool by_name;

	if (!rd_address_take(b, w, "host", &prefix->addr, &by_name))
		return false;
	width = prefix->addr.sa.sa_family == AF_INET6 ? 128 : 32;
	prefix->bits = width;
	if (!bits->given)
		return true;
	if (bits->value < 0 || bits->value > width) {
		rd_error(b, &bits->place,
		    "prefix length must be between 0 and %u", width);
		return false;
	}
	prefix->bits = (unsigned)bits->value;
	if (width == 32)
		bits_clear((uint8_t *)&prefix->addr.in.sin_addr,
		    prefix->bits, width);
	else
		bits_clear(prefix->addr.in6.sin6_addr.s6_addr, prefix->bits,
		    width);
	return true;
}

/* ---- paths ---- */

const char *
rd_path(struct rd_build *b, const char *path)
{
	if (path[0] == '/' || b->request->directory == NULL)
		return path;
	return arena_printf(b->arena, "%s/%s", b->request->directory, path);
}

const char *
rd_path_near(struct rd_build *b, const struct diag_place *place,
    const char *path)
{
	const char *slash = strrchr(place->file, '/');

	if (path[0] == '/')
		return path;
	if (slash == NULL)
		return rd_path(b, path);
	return rd_path(b, arena_printf(b->arena, "%.*s/%s",
	    (int)(slash - place->file), place->file, path));
}

static bool
named(const char *const *names, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], path) == 0)
			return true;
	}
	return false;
}

void
rd_file_named(struct rd_build *b, const char *path)
{
	if (named(b->files, b->nfiles, path))
		return;
	b->files = rd_grow(b, b->files, b->nfiles, sizeof *b->files);
	b->files[b->nfiles++] = path;
}

void
rd_key_named(struct rd_build *b, const char *path)
{
	if (named(b->keys, b->nkeys, path))
		return;
	b->keys = rd_grow(b, b->keys, b->nkeys, sizeof *b->keys);
	b->keys[b->nkeys++] = path;
}
