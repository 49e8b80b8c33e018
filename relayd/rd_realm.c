/*
 * Realms of routes: lines of a number and a name.
 */
#include <stdlib.h>
#include <string.h>

#include "rd_realm.h"

#define REALM_MAX	65535		/* half of the kernel's word */
#define BLANKS		" \t"

/* A line that ends with a newline or with the text. */
static bool
line_names(const char *line, const char *name, unsigned *realm)
{
	size_t len = strlen(name);
	unsigned long n;
	char *end;

	line += strspn(line, BLANKS);
	if (*line < '0' || *line > '9')
		return false;
	n = strtoul(line, &end, 0);
	line = end + strspn(end, BLANKS);
	if (line == end || n > REALM_MAX || strncmp(line, name, len) != 0 ||
	    strchr(BLANKS "\r\n#", line[len]) == NULL)
		return false;
	*realm = (unsigned)n;
	return true;
}

bool
rd_realm_find(struct source *source, const char *name, unsigned *realm)
{
	static const char *const files[] = { "/etc/iproute2/rt_realms",
	    "/usr/share/iproute2/rt_realms" };
	const char *text;
	size_t len;

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		/* there is a NUL behind it */
		if (source_file(source, SOURCE_TEXT, files[i], &text,
		    &len) == -1)
			continue;
		for (const char *p = text; p != NULL; p = strchr(p, '\n')) {
			if (*p == '\n')
				p++;
			if (line_names(p, name, realm))
				return true;
		}
	}
	return false;
}
