/*
 * AgentX, RFC 2741, the half of a subagent: bytes to messages and back. Pure:
 * no socket, no session, no MIB.
 *
 * Integers go out in network order; what comes says itself which it has.
 */
#ifndef RELAYD_AGENTX_H
#define RELAYD_AGENTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENTX_HEADER	20u
#define AGENTX_SUBIDS	128u
#define AGENTX_MESSAGE	65536u		/* longest one that is taken */

enum agentx_type {
	AGENTX_OPEN = 1, AGENTX_CLOSE, AGENTX_REGISTER, AGENTX_UNREGISTER,
	AGENTX_GET, AGENTX_GET_NEXT, AGENTX_GET_BULK, AGENTX_TEST_SET,
	AGENTX_COMMIT_SET, AGENTX_UNDO_SET, AGENTX_CLEANUP_SET,
	AGENTX_NOTIFY, AGENTX_PING, AGENTX_RESPONSE = 18
};

/* Header flags, RFC 2741 6.1. */
#define AGENTX_CONTEXT	0x08u
#define AGENTX_BIG	0x10u		/* network byte order */

/* res.error, 6.2.16 */
enum { AGENTX_NO_ERROR = 0, AGENTX_GEN_ERR = 5, AGENTX_COMMIT_FAILED = 14,
    AGENTX_UNDO_FAILED = 15, AGENTX_NOT_WRITABLE = 17,
    AGENTX_PARSE_ERROR = 266 };

enum agentx_kind {
	AGENTX_INTEGER = 2, AGENTX_STRING = 4, AGENTX_OID = 6,
	AGENTX_GAUGE = 66, AGENTX_TICKS = 67, AGENTX_COUNTER64 = 70,
	AGENTX_NO_OBJECT = 128, AGENTX_NO_INSTANCE = 129,
	AGENTX_END_OF_VIEW = 130
};

struct agentx_header {
	uint8_t		 type, flags;
	uint32_t	 session, transaction, packet;
	uint32_t	 length;	/* of what follows */
};

struct agentx_oid {
	uint32_t	 n;
	bool		 include;	/* of a range: itself, too */
	uint32_t	 sub[AGENTX_SUBIDS];
};

struct agentx_value {
	enum agentx_kind kind;
	uint64_t	 number;
	const void	*bytes;		/* AGENTX_STRING */
	size_t		 len;
	const struct agentx_oid *oid;	/* AGENTX_OID */
};

/* ---- what came ---- */

enum agentx_result { AGENTX_MORE, AGENTX_WHOLE, AGENTX_BAD };

/* Is there a message at the beginning of that? */
enum agentx_result	 agentx_header(const uint8_t *, size_t,
			    struct agentx_header *);

/* Reads the rest of one; bad, once it does not fit, and for ever. */
struct agentx_in {
	const uint8_t	*at, *end;
	bool		 big, bad;
};

struct agentx_in	 agentx_in(const struct agentx_header *,
			    const uint8_t *body);
uint8_t			 agentx_in_u8(struct agentx_in *);
uint16_t		 agentx_in_u16(struct agentx_in *);
uint32_t		 agentx_in_u32(struct agentx_in *);
void			 agentx_in_oid(struct agentx_in *,
			    struct agentx_oid *);
/* NULL if bad. */
const uint8_t		*agentx_in_string(struct agentx_in *, size_t *len);

/* ---- what goes ---- */

/* Grows as needed; failed: no memory. Owned by who clears it. */
struct agentx_out {
	uint8_t		*data;
	size_t		 len, room;
	bool		 failed;
};

void			 agentx_out_clear(struct agentx_out *);
/* A message begins; its place is for agentx_out_end(). */
size_t			 agentx_out_begin(struct agentx_out *,
			    const struct agentx_header *);
void			 agentx_out_end(struct agentx_out *, size_t place);
void			 agentx_out_u8(struct agentx_out *, uint8_t);
void			 agentx_out_u16(struct agentx_out *, uint16_t);
void			 agentx_out_u32(struct agentx_out *, uint32_t);
void			 agentx_out_oid(struct agentx_out *,
			    const struct agentx_oid *);
void			 agentx_out_string(struct agentx_out *, const void *,
			    size_t);
void			 agentx_out_binding(struct agentx_out *,
			    const struct agentx_oid *,
			    const struct agentx_value *);

/* As memcmp(), by sub-identifiers; include does not count. */
int			 agentx_oid_cmp(const struct agentx_oid *,
			    const struct agentx_oid *);

#endif
