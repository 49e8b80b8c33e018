/*
 * What the first bytes of a connection say about it. Pure.
 */
#ifndef TCPRELAY_HELLO_H
#define TCPRELAY_HELLO_H

#include <stddef.h>
#include <stdint.h>

enum hello {
	HELLO_MORE,		/* nothing yet */
	HELLO_TLS,		/* a TLS record of type handshake */
	HELLO_PLAIN
};

enum hello	 hello_look(const uint8_t *, size_t n);

#endif
