/*
 * Which thing of one side is which of the other. Two of one name whose texts
 * differ have changed.
 */
#include <stdlib.h>
#include <string.h>

#include "rd_diff_impl.h"

void
diff_told(struct diff *d, const char *name, const char *option, const char *old,
    const char *new, enum rd_diff_effect effect)
{
	const struct rd_change c = { d->kind, name, option, old, new,
	    effect };

	d->result->changes++;
	d->change(d->ctx, &c);
}

static int
key_cmp(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

static int
like_cmp(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;

	return strcmp((*x)->like, (*y)->like);
}

/* Each with the one of the other side that compares equal, as far as both
 * have none yet. */
static void
pair(struct arena *arena, struct items *old, struct items *new,
    int (*cmp)(const void *, const void *))
{
	struct item **a = arena_array(arena, old->n + 1, sizeof(*a));
	struct item **b = arena_array(arena, new->n + 1, sizeof(*b));
	size_t na = 0, nb = 0, i = 0, j = 0;

	for (size_t k = 0; k < old->n; k++)
		if (old->list[k].other == NULL)
			a[na++] = &old->list[k];
	for (size_t k = 0; k < new->n; k++)
		if (new->list[k].other == NULL)
			b[nb++] = &new->list[k];
	qsort(a, na, sizeof(*a), cmp);
	qsort(b, nb, sizeof(*b), cmp);
	while (i < na && j < nb) {
		int c = cmp(&a[i], &b[j]);

		if (c == 0) {
			a[i]->other = b[j];
			b[j]->other = a[i];
		}
		i += c <= 0;
		j += c >= 0;
	}
}

static bool
table_checked(const struct rd_table *t)
{
	return t->check.kind != RD_CHECK_NONE && !t->disabled;
}

/* A child is not checked, and neither is who has no check. */
static bool
host_checked(const struct item *i)
{
	const struct seat *seat = i->object;

	return table_checked(seat->table) && seat->host->parent == 0;
}

/* Of what was not there before. */
static enum rd_diff_effect
fresh_effect(struct diff *d, const struct item *i)
{
	if (d->kind != RD_DIFF_HOST)
		return diff_kinds[d->kind].effect;
	if (!host_checked(i))
		return RD_EFFECT_NOW;
	d->result->checked++;
	return RD_EFFECT_CHECKED;
}

/* Of an aspect that is another one. */
static enum rd_diff_effect
aspect_effect(const struct diff *d, const struct aspect *a,
    const struct item *new)
{
	if (a->effect == RD_EFFECT_CHECKED && d->kind == RD_DIFF_TABLE &&
	    !table_checked(new->object))
		return RD_EFFECT_NOW;
	return a->effect;
}

static void
both(struct diff *d, const struct item *old, const struct item *new)
{
	const struct diff_kind *k = &diff_kinds[d->kind];
	struct rd_diff_count *count = &d->result->of[d->kind];
	size_t n = 0;

	for (size_t i = 0; i < k->naspects; i++) {
		const char *a = k->aspects[i].text(&d->old, old->object);
		const char *b = k->aspects[i].text(&d->new, new->object);

		a = a != NULL ? a : "";
		b = b != NULL ? b : "";
		if (strcmp(a, b) == 0)
			continue;
		diff_told(d, new->name, k->aspects[i].option, a, b,
		    aspect_effect(d, &k->aspects[i], new));
		n++;
	}
	if (d->kind == RD_DIFF_PROTOCOL)
		n += diff_statements(d, new->name, old->object, new->object);
	count->changed += n > 0;
	count->kept++;
	count->renumbered += old->id != new->id;
}

/* The same host of the same table, to be asked something else: what was found
 * about it counts no more. The table has told that. */
static void
host_anew(struct diff *d, const struct item *old, const struct item *new)
{
	d->result->checked += host_checked(new);
	d->result->of[d->kind].renumbered += old->id != new->id;
}

static void
compare(struct diff *d)
{
	const struct diff_kind *k = &diff_kinds[d->kind];
	struct rd_diff_count *count = &d->result->of[d->kind];
	struct items old = k->list(&d->old), new = k->list(&d->new);

	pair(d->arena, &old, &new, key_cmp);
	/* those that are left may only be checked in another way */
	if (d->kind == RD_DIFF_HOST)
		pair(d->arena, &old, &new, like_cmp);
	for (size_t i = 0; i < new.n; i++) {
		const struct item *n = &new.list[i];

		if (n->other == NULL) {
			diff_told(d, n->name, NULL, NULL, n->name,
			    fresh_effect(d, n));
			count->added++;
		} else if (strcmp(n->key, n->other->key) == 0)
			both(d, n->other, n);
		else
			host_anew(d, n->other, n);
	}
	for (size_t i = 0; i < old.n; i++) {
		if (old.list[i].other != NULL)
			continue;
		diff_told(d, old.list[i].name, NULL, old.list[i].name, NULL,
		    k->effect);
		count->removed++;
	}
}

bool
rd_diff(const struct rd_conf *old, const struct rd_conf *new,
    void (*change)(void *, const struct rd_change *), void *ctx,
    struct rd_diff *result)
{
	struct arena *arena = arena_new();
	struct diff d = { .old = { old, arena }, .new = { new, arena },
	    .arena = arena, .change = change, .ctx = ctx,
	    .result = result };

	*result = (struct rd_diff){ 0 };
	if (arena == NULL)
		return false;
	for (int k = 0; k < RD_DIFF_KINDS; k++) {
		d.kind = (enum rd_diff_kind)k;
		compare(&d);
	}
	arena_free(arena);
	return true;
}
