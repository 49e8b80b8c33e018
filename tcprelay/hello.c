/*
 * TLS or not, for listeners that take both (7.5): a TLS connection begins
 * with a record of type handshake, RFC 8446 5.1. One byte decides: whoever
 * waits for more of them would wait for ever with a client that has no more.
 */
#include "hello.h"

#define RECORD_HANDSHAKE	22

enum hello
hello_look(const uint8_t *p, size_t n)
{
	if (n == 0)
		return HELLO_MORE;
	return p[0] == RECORD_HANDSHAKE ? HELLO_TLS : HELLO_PLAIN;
}
