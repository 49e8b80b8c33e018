/*
 * Values of JSON (RFC 8259), written to a stream.
 */
#ifndef MISC_JSON_H
#define MISC_JSON_H

#include <stdio.h>

/* A string with its quotes; text that is not UTF-8 has U+FFFD in place of the
 * bad bytes. NULL is null. */
void	 json_string(FILE *, const char *);

#endif
