/*
 * Encoding of RFC 2741, sections 5 and 6. A reader that meets its end says
 * so once, at the end: every value read after it is 0.
 */
#include <stdlib.h>
#include <string.h>

#include "agentx.h"

#define VERSION		1
#define INTERNET	4		/* 1.3.6.1, which may be left out */

/* ---- integers ---- */

static uint32_t
u32(const uint8_t *p, bool big)
{
	return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3] : (uint32_t)p[3] << 24 |
	    (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void
u32_put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* ---- in ---- */

enum agentx_result
agentx_header(const uint8_t *p, size_t len, struct agentx_header *h)
{
	bool big;

	if (len < AGENTX_HEADER)
		return AGENTX_MORE;
	big = (p[2] & AGENTX_BIG) != 0;
	h->type = p[1];
	h->flags = p[2];
	h->session = u32(p + 4, big);
	h->transaction = u32(p + 8, big);
	h->packet = u32(p + 12, big);
	h->length = u32(p + 16, big);
	if (p[0] != VERSION || h->length % 4 != 0 ||
	    h->length > AGENTX_MESSAGE - AGENTX_HEADER)
		return AGENTX_BAD;
	return len - AGENTX_HEADER < h->length ? AGENTX_MORE : AGENTX_WHOLE;
}

struct agentx_in
agentx_in(const struct agentx_header *h, const uint8_t *body)
{
	return (struct agentx_in){ .at = body, .end = body + h->length,
	    .big = (h->flags & AGENTX_BIG) != 0 };
}

/* The next n bytes, or NULL. */
static const uint8_t *
in_take(struct agentx_in *in, size_t n)
{
	const uint8_t *p = in->at;

	if (in->bad || n > (size_t)(in->end - in->at)) {
		in->bad = true;
		return NULL;
	}
	in->at += n;
	return p;
}

uint8_t
agentx_in_u8(struct agentx_in *in)
{
	const uint8_t *p = in_take(in, 1);

	return p != NULL ? *p : 0;
}

uint16_t
agentx_in_u16(struct agentx_in *in)
{
	const uint8_t *p = in_take(in, 2);

	if (p == NULL)
		return 0;
	return in->big ? (uint16_t)(p[0] << 8 | p[1]) :
	    (uint16_t)(p[1] << 8 | p[0]);
}

uint32_t
agentx_in_u32(struct agentx_in *in)
{
	const uint8_t *p = in_take(in, 4);

	return p != NULL ? u32(p, in->big) : 0;
}

void
agentx_in_oid(struct agentx_in *in, struct agentx_oid *oid)
{
	static const uint32_t internet[INTERNET] = { 1, 3, 6, 1 };
	uint8_t n = agentx_in_u8(in), prefix = agentx_in_u8(in);

	oid->n = 0;
	oid->include = agentx_in_u8(in) != 0;
	(void)agentx_in_u8(in);
	if (prefix != 0) {
		memcpy(oid->sub, internet, sizeof(internet));
		oid->sub[INTERNET] = prefix;
		oid->n = INTERNET + 1;
	}
	if (n > AGENTX_SUBIDS - oid->n)
		in->bad = true;
	for (; n > 0 && !in->bad; n--)
		oid->sub[oid->n++] = agentx_in_u32(in);
}

const uint8_t *
agentx_in_string(struct agentx_in *in, size_t *len)
{
	uint32_t n = agentx_in_u32(in);

	*len = n;
	if (n > AGENTX_MESSAGE) {
		in->bad = true;
		return NULL;
	}
	return in_take(in, ((size_t)n + 3) / 4 * 4);
}

/* ---- out ---- */

void
agentx_out_clear(struct agentx_out *out)
{
	free(out->data);
	*out = (struct agentx_out){ 0 };
}

static uint8_t *
out_room(struct agentx_out *out, size_t n)
{
	uint8_t *data;
	size_t room = out->room > 0 ? out->room : 4096;

	if (out->failed)
		return NULL;
	while (room - out->len < n)
		room *= 2;
	if (room != out->room) {
		if ((data = realloc(out->data, room)) == NULL) {
			out->failed = true;
			return NULL;
		}
		out->data = data;
		out->room = room;
	}
	out->len += n;
	return out->data + out->len - n;
}

void
agentx_out_u8(struct agentx_out *out, uint8_t v)
{
	uint8_t *p = out_room(out, 1);

	if (p != NULL)
		*p = v;
}

void
agentx_out_u16(struct agentx_out *out, uint16_t v)
{
	agentx_out_u8(out, (uint8_t)(v >> 8));
	agentx_out_u8(out, (uint8_t)v);
}

void
agentx_out_u32(struct agentx_out *out, uint32_t v)
{
	uint8_t *p = out_room(out, 4);

	if (p != NULL)
		u32_put(p, v);
}

size_t
agentx_out_begin(struct agentx_out *out, const struct agentx_header *h)
{
	size_t place = out->len;

	agentx_out_u8(out, VERSION);
	agentx_out_u8(out, h->type);
	agentx_out_u8(out, (uint8_t)(h->flags | AGENTX_BIG));
	agentx_out_u8(out, 0);
	agentx_out_u32(out, h->session);
	agentx_out_u32(out, h->transaction);
	agentx_out_u32(out, h->packet);
	agentx_out_u32(out, 0);
	return place;
}

void
agentx_out_end(struct agentx_out *out, size_t place)
{
	if (!out->failed)
		u32_put(out->data + place + 16,
		    (uint32_t)(out->len - place - AGENTX_HEADER));
}

void
agentx_out_oid(struct agentx_out *out, const struct agentx_oid *oid)
{
	agentx_out_u8(out, (uint8_t)oid->n);
	agentx_out_u8(out, 0);
	agentx_out_u8(out, oid->include);
	agentx_out_u8(out, 0);
	for (uint32_t i = 0; i < oid->n; i++)
		agentx_out_u32(out, oid->sub[i]);
}

void
agentx_out_string(struct agentx_out *out, const void *bytes, size_t len)
{
	size_t padded = (len + 3) / 4 * 4;
	uint8_t *p;

	agentx_out_u32(out, (uint32_t)len);
	if (len == 0 || (p = out_room(out, padded)) == NULL)
		return;
	memcpy(p, bytes, len);
	memset(p + len, 0, padded - len);
}

void
agentx_out_binding(struct agentx_out *out, const struct agentx_oid *name,
    const struct agentx_value *v)
{
	struct agentx_oid plain = *name;

	plain.include = false;
	agentx_out_u16(out, (uint16_t)v->kind);
	agentx_out_u16(out, 0);
	agentx_out_oid(out, &plain);
	switch (v->kind) {
	case AGENTX_INTEGER:
	case AGENTX_GAUGE:
	case AGENTX_TICKS:
		agentx_out_u32(out, (uint32_t)v->number);
		break;
	case AGENTX_COUNTER64:
		agentx_out_u32(out, (uint32_t)(v->number >> 32));
		agentx_out_u32(out, (uint32_t)v->number);
		break;
	case AGENTX_STRING:
		agentx_out_string(out, v->bytes, v->len);
		break;
	case AGENTX_OID:
		agentx_out_oid(out, v->oid);
		break;
	case AGENTX_NO_OBJECT:
	case AGENTX_NO_INSTANCE:
	case AGENTX_END_OF_VIEW:
		break;
	}
}

int
agentx_oid_cmp(const struct agentx_oid *a, const struct agentx_oid *b)
{
	for (uint32_t i = 0; i < a->n && i < b->n; i++)
		if (a->sub[i] != b->sub[i])
			return a->sub[i] < b->sub[i] ? -1 : 1;
	return a->n == b->n ? 0 : a->n < b->n ? -1 : 1;
}
