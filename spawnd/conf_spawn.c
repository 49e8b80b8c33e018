/*
 * The spawn block (3.10).
 */
#include <stdio.h>
#include <string.h>

#include "features.h"
#include "../misc/ipc.h"
#include "../misc/str.h"
#include "parse.h"

#define EXEC_MAX	1024

/* %o, %O and %% of a program's path; NULL: reported. */
static const char *
cookies_replace(struct kw_reader *r, const char *text)
{
	char path[EXEC_MAX + 1];
	struct str s;

	str_init(&s, path, sizeof path);
	for (; *text != '\0'; text++) {
		if (*text != '%') {
			str_add(&s, "%c", *text);
			continue;
		}
		switch (*++text) {
		case 'o':
			str_add(&s, "%s", source_platform(r->source));
			break;
		case 'O':
			str_add(&s, "%s", SPAWND_PLATFORM);
			break;
		case '%':
			str_add(&s, "%%");
			break;
		default:
			kw_bad_value(r, "unknown conversion '%%%.1s'", text);
			return NULL;
		}
	}
	if (s.len == EXEC_MAX) {
		kw_bad_value(r, "longer than %d bytes", EXEC_MAX - 1);
		return NULL;
	}
	return arena_strdup(r->arena, path);
}

static void
exec_read(struct kw_reader *r, void *object)
{
	struct broker_build *b = object;
	const char *path;

	kw_equals(r);
	b->exec.place = r->tok.place;
	if (!kw_has_value(r) ||
	    (path = cookies_replace(r, r->tok.text)) == NULL)
		return;
	if (!source_executable(r->source, path)) {
		kw_bad_value(r, "'%.200s' is not executable", path);
		return;
	}
	b->exec.text = path;
	kw_next(r);
}

/* Whether it is a URL that must be signed is decided where it is named. */
static void
config_read(struct kw_reader *r, void *object)
{
	struct broker_build *b = object;

	kw_equals(r);
	if ((b->config.text = kw_text(r)) == NULL)
		return;
	b->config.place = r->tok.place;
	b->config_key = lex_key(r->lex);
	kw_next(r);
}

/* The least of a pair; whether it was given matters when it is too large. */
static void
least_read(struct kw_reader *r, unsigned *least, uint64_t max, bool *given,
    struct diag_place *place)
{
	uint64_t value;

	*place = r->place;
	kw_equals(r);
	if (!kw_number(r, KW_KIND_INT, 0, max, &value))
		return;
	*least = (unsigned)value;
	*given = true;
	kw_next(r);
}

#define INSTANCES_MAX	4096
#define USERS_MAX	1000000

static void
instances_min_read(struct kw_reader *r, void *object)
{
	struct broker_build *b = object;

	least_read(r, &b->instances_min, INSTANCES_MAX, &b->instances_given,
	    &b->instances_place);
}

static void
users_min_read(struct kw_reader *r, void *object)
{
	struct broker_build *b = object;

	least_read(r, &b->users_min, USERS_MAX, &b->users_given,
	    &b->users_place);
}

#define BUILD	struct broker_build

const struct kw spawn_kw[] = {
	KW_CALL("include", kw_include),
	KW_CALL("exec", exec_read),
	KW_TEXT("id", BUILD, id),
	KW_CALL("config", config_read),
	KW_CALL("instances|servers min", instances_min_read),
	KW_INT("instances|servers max", BUILD, instances_max, 1,
	    INSTANCES_MAX),
	KW_CALL("instances|servers minimum", instances_min_read),
	KW_INT("instances|servers maximum", BUILD, instances_max, 1,
	    INSTANCES_MAX),
	KW_CALL("users min", users_min_read),
	KW_INT("users max", BUILD, users_max, 1, USERS_MAX),
	KW_CALL("users minimum", users_min_read),
	KW_INT("users maximum", BUILD, users_max, 1, USERS_MAX),
	KW_USER("userid|user", BUILD, owner),
	KW_GROUP("groupid|group", BUILD, owner),
	KW_END
};

/* Those whose values need nothing else go to where they stay. */
const struct kw spawn_conf_kw[] = {
	KW_TEXT("working directory", struct spawnd_conf, spawn.directory),
	KW_INT("ipc key", struct spawnd_conf, spawn.ipc_key, 0, 2147483647),
	KW_SECONDS("sticky cache period|timeout", struct spawnd_conf,
	    sticky.period, 0, 31536000),
	KW_INT("sticky cache size", struct spawnd_conf, sticky.size, 1,
	    10 * 1024 * 1024),
	KW_END
};

void
spawn_read(struct kw_reader *r, void *object)
{
	struct broker_build *b = object;
	struct kw_block block = { .sets = { { spawn_kw, b },
	    { spawn_conf_kw, b->conf } }, .nsets = 2 };

	if (!b->spawned)
		b->spawn_place = r->place;
	b->spawned = true;
	(void)kw_block(r, &block, true);
}

static unsigned
least_fit(struct parse *p, const char *what, unsigned min, unsigned max,
    bool given, const struct diag_place *place)
{
	if (min <= max)
		return min;
	if (given)
		diag_warn(p->r.diag, place,
		    "%s min: %u is above the maximum, reduced to %u", what,
		    min, max);
	return max;
}

void
spawn_end(struct parse *p, struct broker_build *b)
{
	struct spawn_conf *s = &b->conf->spawn;

	if (s->ipc_key > 0 && !ipc_available())
		diag_error(p->r.diag, &b->spawn_place, "ipc key: this build "
		    "has no System V shared memory");
	s->instances_max = b->instances_max;
	s->instances_min = least_fit(p, "instances", b->instances_min,
	    b->instances_max, b->instances_given, &b->instances_place);
	s->users_max = b->users_max;
	s->users_min = least_fit(p, "users", b->users_min, b->users_max,
	    b->users_given, &b->users_place);
	s->uid = b->owner.has_uid ? b->owner.uid : (uid_t)-1;
	s->gid = b->owner.has_gid ? b->owner.gid :
	    b->owner.has_users_gid ? b->owner.users_gid : (gid_t)-1;
	s->user = b->owner.user;
}
