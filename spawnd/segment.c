/*
 * The key is the same over reloads, so that the text changes under it. A
 * worker reads it once, while it starts; nobody else may be in that state
 * with another text.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../misc/ipc.h"
#include "../misc/log.h"
#include "master.h"
#include "proc.h"
#include "segment.h"

static const struct spawn_conf *
spawn_of(const struct loaded *conf)
{
	return &conf->conf->broker.spawn;
}

static struct segment *
segment_find(struct master *m, unsigned key)
{
	for (int i = 0; i < SEGMENTS; i++)
		if (m->segments[i].there && m->segments[i].key == key)
			return &m->segments[i];
	return NULL;
}

static void
segment_remove(struct segment *s)
{
	if (s->there)
		ipc_remove(s->id);
	s->there = false;
}

/* Of all that makes a segment what it is. */
static void
digest_of(const struct loaded *conf, uint8_t digest[static HASH_SIZE])
{
	const struct spawn_conf *c = spawn_of(conf);
	struct hash *h = hash_new();

	hash_add(h, &c->uid, sizeof(c->uid));
	hash_add(h, &c->gid, sizeof(c->gid));
	hash_add(h, c->text, c->text_len);
	hash_end(h, digest);
}

static bool
segment_make(struct segment *s, const struct loaded *conf,
    uint32_t generation)
{
	const struct spawn_conf *c = spawn_of(conf);

	segment_remove(s);
	s->key = c->ipc_key;
	s->generation = generation;
	digest_of(conf, s->digest);
	s->id = ipc_create(c->ipc_key, c->text, c->text_len, c->uid, c->gid);
	s->there = s->id != -1;
	return s->there;
}

bool
segment_prepare(struct master *m, const struct loaded *conf,
    uint32_t generation, char *error, size_t size)
{
	struct segment *s = m->segments;
	unsigned key = spawn_of(conf)->ipc_key;

	if (key == 0 || segment_find(m, key) != NULL)
		return true;
	while (s->there)
		s++;			/* one of two is free */
	if (segment_make(s, conf, generation))
		return true;
	if (errno == EEXIST)
		snprintf(error, size, "ipc key %u in use", key);
	else
		snprintf(error, size, "ipc key %u: %s", key, strerror(errno));
	return false;
}

/* A worker of that generation has perhaps not read it yet. */
static bool
somebody_reads(const struct master *m, uint32_t generation)
{
	for (const struct proc *p = m->oldest; p != NULL; p = p->newer)
		if (p->state == PROC_STARTING && !p->killed &&
		    p->generation == generation)
			return true;
	return false;
}

bool
segment_show(struct master *m, const struct loaded *conf,
    uint32_t generation)
{
	unsigned key = spawn_of(conf)->ipc_key;
	struct segment *s = key == 0 ? NULL : segment_find(m, key);
	static struct log_limit limit;
	uint8_t digest[HASH_SIZE];
	unsigned held = 0;

	if (key == 0)
		return true;
	if (s == NULL) {
		/* it could not be made anew, by whatever ill luck */
		for (s = m->segments; s->there; s++)
			;
	} else {
		digest_of(conf, digest);
		if (memcmp(digest, s->digest, sizeof(digest)) == 0)
			return true;
		if (somebody_reads(m, s->generation))
			return false;
	}
	if (segment_make(s, conf, generation))
		return true;
	if (log_allow(&limit, ev_now(m->ev), 10 * EV_SECOND, 1, &held))
		log_err("ipc key %u%s%s", key, errno == EEXIST ? " in use" :
		    ": ", errno == EEXIST ? "" : strerror(errno));
	return false;
}

void
segment_settle(struct master *m)
{
	unsigned key = spawn_of(&m->conf)->ipc_key;

	for (int i = 0; i < SEGMENTS; i++)
		if (m->segments[i].key != key)
			segment_remove(&m->segments[i]);
	(void)segment_show(m, &m->conf, m->generation);
}

void
segment_resume(struct master *m)
{
	segment_close(m);
	(void)segment_show(m, &m->conf, m->generation);
}

void
segment_close(struct master *m)
{
	for (int i = 0; i < SEGMENTS; i++)
		segment_remove(&m->segments[i]);
}
