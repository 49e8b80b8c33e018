#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "self.h"

/* Where systems keep a link to the running program. */
static const char *const links[] = {
	"/proc/self/exe", "/proc/curproc/file", "/proc/self/path/a.out",
};

static const char *
path_search(const char *name, char *buf, size_t size)
{
	const char *path = getenv("PATH"), *end;

	for (; path != NULL && *path != '\0'; path = *end != '\0' ? end + 1 :
	    end) {
		end = strchr(path, ':');
		if (end == NULL)
			end = path + strlen(path);
		snprintf(buf, size, "%.*s/%s", (int)(end - path), path, name);
		if (access(buf, X_OK) == 0)
			return buf;
	}
	snprintf(buf, size, "%s", name);
	return buf;
}

const char *
self_path(const char *argv0, char *buf, size_t size)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		ssize_t n = readlink(links[i], buf, size - 1);

		if (n <= 0 || (size_t)n >= size - 1)
			continue;
		buf[n] = '\0';
		return buf;
	}
	if (strchr(argv0, '/') == NULL)
		return path_search(argv0, buf, size);
	snprintf(buf, size, "%s", argv0);
	return buf;
}
