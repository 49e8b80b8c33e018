#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "environ.h"

/* sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3) */
static const char *const not_theirs[] = {
	"LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES",
	"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
};
#define NOT_THEIRS	(sizeof(not_theirs) / sizeof(*not_theirs))

static size_t
name_len(const char *var)
{
	return strcspn(var, "=");
}

static bool
is_theirs(const char *var)
{
	size_t len = name_len(var);

	for (size_t i = 0; i < NOT_THEIRS; i++)
		if (strncmp(var, not_theirs[i], len) == 0 &&
		    not_theirs[i][len] == '\0')
			return false;
	return true;
}

void
environ_scrub(void)
{
	for (size_t i = 0; i < NOT_THEIRS; i++)
		(void)unsetenv(not_theirs[i]);
}

static size_t
count(char *const *env)
{
	size_t n = 0;

	while (env[n] != NULL)
		n++;
	return n;
}

static void
put(char **env, size_t *n, char *var)
{
	size_t len = name_len(var), i = 0;

	while (i < *n && (strncmp(env[i], var, len) != 0 ||
	    name_len(env[i]) != len))
		i++;
	env[i] = var;
	if (i == *n)
		(*n)++;
}

void
environ_put(char **env, char *var)
{
	size_t n = count(env);

	put(env, &n, var);
	env[n] = NULL;
}

char **
environ_merge(char *const *base, struct source *src)
{
	char **over = source_environ(src), **env;
	size_t n = 0;

	env = calloc(count(base) + count(over) + 4, sizeof(*env));
	if (env == NULL)
		return NULL;
	for (; *base != NULL; base++)
		if (is_theirs(*base))
			env[n++] = (char *)*base;
	for (; *over != NULL; over++)
		put(env, &n, *over);
	return env;
}

const char *
environ_get(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env != NULL; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}
