/*
 * Facts in memory are as they are in a file: records, and the text they point
 * into. They stay in the order they came in; a table of hashes finds them.
 */
#include <sys/stat.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../misc/hash.h"
#include "../misc/source_seal.h"
#include "facts.h"
#include "program.h"

#define FACTS_MAGIC	UINT64_C(0x3173746361667073)
#define FACTS_VERSION	1u

#define COUNT_MAX	(1u << 22)
#define TEXT_MAX	(1u << 29)
/* A table half full never needs that many steps, unless somebody chose the
 * names for it. */
#define STEPS_MAX	2048u

#define NONE		UINT32_MAX

struct head {
	uint64_t	magic;
	uint32_t	version, count;
	uint64_t	text;		/* bytes behind the records */
	uint8_t		salt[FACTS_SALT];
};

/* Of texts the place in the text; 0, where a NUL is: none. */
struct record {
	uint8_t		kind, effect, secret, pad;
	uint32_t	row_kind, rank;
	uint32_t	name, option, value, usual, row, shown;
};

struct facts {
	uint8_t		 salt[FACTS_SALT];
	struct record	*records;
	uint32_t	 n, room;
	char		*text;
	size_t		 len, size;
	uint32_t	*table;		/* indexes of records; NONE: empty */
	size_t		 mask;
	int		 error;		/* errno of what went wrong */
};

/* ---- making one ---- */

static int
room_make(struct facts *f, size_t len)
{
	if (f->size - f->len < len) {
		size_t size = f->size;
		char *text;

		while (size - f->len < len)
			size *= 2;
		if (size > TEXT_MAX) {
			f->error = ENOMEM;
			return -1;
		}
		if ((text = realloc(f->text, size)) == NULL) {
			f->error = errno;
			return -1;
		}
		f->text = text;
		f->size = size;
	}
	if (f->n == f->room) {
		struct record *records;

		records = f->room >= COUNT_MAX ? NULL : realloc(f->records,
		    2 * f->room * sizeof(*records));
		if (records == NULL) {
			f->error = ENOMEM;
			return -1;
		}
		f->records = records;
		f->room *= 2;
	}
	return 0;
}

struct facts *
facts_new(const uint8_t salt[FACTS_SALT])
{
	struct facts *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->room = 64;
	f->size = 4096;
	f->records = calloc(f->room, sizeof(*f->records));
	f->text = malloc(f->size);
	if (f->records == NULL || f->text == NULL) {
		facts_free(f);
		errno = ENOMEM;
		return NULL;
	}
	memcpy(f->salt, salt, FACTS_SALT);
	f->text[f->len++] = '\0';
	return f;
}

void
facts_free(struct facts *f)
{
	if (f == NULL)
		return;
	free(f->records);
	free(f->text);
	free(f->table);
	free(f);
}

static uint32_t
text_add(struct facts *f, const char *text)
{
	uint32_t at = (uint32_t)f->len;
	size_t len;

	if (text == NULL)
		return 0;
	len = strlen(text) + 1;
	if (room_make(f, len) == -1)
		return 0;
	memcpy(f->text + f->len, text, len);
	f->len += len;
	return at;
}

void
facts_add(struct facts *f, const struct fact *fact)
{
	struct record r = { .kind = (uint8_t)fact->kind,
	    .effect = (uint8_t)fact->effect, .secret = fact->secret,
	    .row_kind = fact->row_kind };

	if (!fact->secret && fact->usual != NULL &&
	    strcmp(fact->usual, fact->value) == 0)
		return;
	if (fact->option == NULL)		/* settings have no order */
		r.rank = fact->rank;
	r.name = text_add(f, fact->name);
	r.option = text_add(f, fact->option);
	r.value = text_add(f, fact->value);
	r.usual = text_add(f, fact->usual);
	r.row = fact->row == fact->name ? r.name : text_add(f, fact->row);
	r.shown = text_add(f, fact->shown);
	if (f->error != 0 || room_make(f, 1) == -1)
		return;
	f->records[f->n++] = r;
}

void
facts_add_secret(struct facts *f, struct fact fact, const void *value,
    size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * HASH_SIZE + 1];
	uint8_t digest[HASH_SIZE];
	struct hash *h = hash_new();

	/* without a cryptographic hash it is at least the salt's, too, that
	   has to be known */
	hash_add(h, f->salt, FACTS_SALT);
	hash_add(h, value, len);
	hash_add(h, f->salt, FACTS_SALT);
	hash_end(h, digest);
	for (size_t i = 0; i < HASH_SIZE; i++) {
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 15];
	}
	text[2 * HASH_SIZE] = '\0';
	fact.secret = true;
	fact.value = text;
	facts_add(f, &fact);
}

void
facts_text(struct facts *f, const struct fact *base, const char *option,
    const char *value, const char *usual)
{
	struct fact fact = *base;

	fact.option = option;
	fact.value = value != NULL ? value : "none";
	fact.usual = usual != NULL ? usual : option != NULL ? "none" : NULL;
	facts_add(f, &fact);
}

void
facts_number(struct facts *f, const struct fact *base, const char *option,
    uint64_t value, uint64_t usual)
{
	char text[24], usually[24];

	if (option != NULL && value == usual)
		return;			/* of most settings */
	snprintf(text, sizeof(text), "%" PRIu64, value);
	snprintf(usually, sizeof(usually), "%" PRIu64, usual);
	facts_text(f, base, option, text, option != NULL ? usually : NULL);
}

void
facts_bool(struct facts *f, const struct fact *base, const char *option,
    bool value, bool usual)
{
	facts_text(f, base, option, value ? "yes" : "no",
	    option == NULL ? NULL : usual ? "yes" : "no");
}

void
facts_digest(struct facts *f, const struct fact *base, const char *option,
    const uint8_t digest[HASH_SIZE])
{
	char text[24];

	for (size_t i = 0; i < 8; i++)
		snprintf(text + 2 * i, sizeof(text) - 2 * i, "%02x",
		    digest[i]);
	facts_text(f, base, option, text, NULL);
}

/* ---- finding ---- */

static uint64_t
hash_text(uint64_t h, const char *text)
{
	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

static size_t
place_first(const struct facts *f, const struct facts *of,
    const struct record *r)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ r->kind;

	h = hash_text(h, of->text + r->name);
	if (r->option != 0)
		h = hash_text(h, of->text + r->option);
	h ^= h >> 29;
	return (size_t)(h * UINT64_C(0xbf58476d1ce4e5b9) >> 24) & f->mask;
}

static bool
same_text(const struct facts *a, uint32_t x, const struct facts *b,
    uint32_t y)
{
	return strcmp(a->text + x, b->text + y) == 0;
}

static bool
same_key(const struct facts *a, const struct record *x,
    const struct facts *b, const struct record *y)
{
	return x->kind == y->kind && same_text(a, x->name, b, y->name) &&
	    same_text(a, x->option, b, y->option);
}

/* The record of f with the key of r, which is of's. NULL: none; *at is where
 * it would stand, unless it took more than most steps: then SIZE_MAX. */
static struct record *
find(const struct facts *f, const struct facts *of, const struct record *r,
    size_t *at, size_t most)
{
	*at = place_first(f, of, r);
	for (size_t steps = 0; f->table[*at] != NONE; steps++) {
		struct record *found = &f->records[f->table[*at]];

		if (same_key(f, found, of, r))
			return found;
		if (steps == most) {
			*at = SIZE_MAX;
			return NULL;
		}
		*at = (*at + 1) & f->mask;
	}
	return NULL;
}

static const struct record *
lookup(const struct facts *f, const struct facts *of, const struct record *r)
{
	size_t at;

	return find(f, of, r, &at, SIZE_MAX);
}

static int
table_make(struct facts *f)
{
	size_t size = 16;

	while (size < 2 * (size_t)f->n)
		size *= 2;
	free(f->table);
	if ((f->table = malloc(size * sizeof(*f->table))) == NULL)
		return -1;
	for (size_t i = 0; i < size; i++)
		f->table[i] = NONE;
	f->mask = size - 1;
	return 0;
}

/* "NAME #2": written behind everything, the old one stays where it is. */
static int
name_again(struct facts *f, struct record *r, uint32_t name, unsigned again)
{
	size_t len = strlen(f->text + name);

	if (room_make(f, len + 16) == -1)
		return -1;
	r->name = (uint32_t)f->len;
	memcpy(f->text + f->len, f->text + name, len);
	f->len += len;
	f->len += (size_t)snprintf(f->text + f->len, 16, " #%u", again) + 1;
	return 0;
}

int
facts_end(struct facts *f)
{
	if (f->error != 0) {
		errno = f->error;
		return -1;
	}
	if (table_make(f) == -1)
		return -1;
	for (uint32_t i = 0; i < f->n; i++) {
		struct record *r = &f->records[i];
		uint32_t name = r->name;
		size_t at;

		for (unsigned again = 2; find(f, f, r, &at, SIZE_MAX) != NULL;
		    again++)
			if (name_again(f, r, name, again) == -1) {
				errno = f->error;
				return -1;
			}
		f->table[at] = i;
	}
	return 0;
}

const uint8_t *
facts_salt(const struct facts *f)
{
	return f->salt;
}

size_t
facts_count(const struct facts *f)
{
	return f->n;
}

/* It, or NULL and errno. */
static struct facts *
facts_ended(struct facts *f)
{
	int error;

	if (facts_end(f) == 0)
		return f;
	error = errno;
	facts_free(f);
	errno = error;
	return NULL;
}

struct facts *
facts_of(const struct program *program, const struct compiled *c,
    const uint8_t salt[FACTS_SALT])
{
	struct facts *f = facts_new(salt);

	if (f == NULL)
		return NULL;
	facts_broker(program, c, f);
	if (program->facts != NULL && c->worker != NULL)
		program->facts(c, f);
	return facts_ended(f);
}

/* ---- files ---- */

int
facts_save(const struct facts *f)
{
	struct head head = { .magic = FACTS_MAGIC, .version = FACTS_VERSION,
	    .count = f->n, .text = f->len };
	size_t records = f->n * sizeof(*f->records);
	size_t size = sizeof(head) + records + f->len;
	char *image = malloc(size);
	int fd, error;

	if (image == NULL)
		return -1;
	memcpy(head.salt, f->salt, FACTS_SALT);
	memcpy(image, &head, sizeof(head));
	memcpy(image + sizeof(head), f->records, records);
	memcpy(image + sizeof(head) + records, f->text, f->len);
	fd = seal_new("spawnd-facts", image, size);
	error = errno;
	free(image);
	errno = error;
	return fd;
}

static int
read_at(int fd, void *to, size_t len, size_t at)
{
	char *p = to;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EBADMSG;
		if (n <= 0)
			return -1;
		p += n;
		at += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static bool
head_good(const struct head *head, off_t size)
{
	if (head->magic != FACTS_MAGIC) {
		errno = EBADMSG;
		return false;
	}
	if (head->version != FACTS_VERSION) {
		errno = EPROTO;
		return false;
	}
	if (head->count > COUNT_MAX || head->text == 0 ||
	    head->text > TEXT_MAX || size < 0 || (uint64_t)size !=
	    sizeof(*head) + (uint64_t)head->count * sizeof(struct record) +
	    head->text) {
		errno = EBADMSG;
		return false;
	}
	return true;
}

/* ranks: the last one of each kind; things stand in their order. */
static bool
record_good(const struct facts *f, const struct record *r,
    uint32_t ranks[FACT_OPTION + 1])
{
	const uint32_t places[] = { r->name, r->option, r->value, r->usual,
	    r->row, r->shown };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (places[i] >= f->len)
			return false;
	if (r->kind > FACT_OPTION || (r->rank != 0 &&
	    (r->option != 0 || r->rank <= ranks[r->kind])))
		return false;
	if (r->rank != 0)
		ranks[r->kind] = r->rank;
	return r->effect <= EFFECT_RESTART && r->secret <= 1 &&
	    r->name != 0 && r->value != 0 && r->row_kind <= BOARD_LISTENER &&
	    (r->row_kind != 0) == (r->row != 0);
}

/* Who wrote it may mean harm: it is copied first, then looked at. */
static int
load(struct facts *f, int fd)
{
	uint32_t ranks[FACT_OPTION + 1] = { 0 };
	struct head head;
	struct stat st;
	size_t records, at;

	if (fstat(fd, &st) == -1 || read_at(fd, &head, sizeof(head), 0) == -1)
		return -1;
	if (!head_good(&head, st.st_size))
		return -1;
	memcpy(f->salt, head.salt, FACTS_SALT);
	f->n = f->room = head.count;
	f->len = f->size = (size_t)head.text;
	records = f->n * sizeof(*f->records);
	f->records = malloc(records + 1);
	f->text = malloc(f->size);
	if (f->records == NULL || f->text == NULL)
		return -1;
	if (read_at(fd, f->records, records, sizeof(head)) == -1 ||
	    read_at(fd, f->text, f->len, sizeof(head) + records) == -1 ||
	    table_make(f) == -1)
		return -1;
	errno = EBADMSG;
	if (f->text[0] != '\0' || f->text[f->len - 1] != '\0')
		return -1;
	for (uint32_t i = 0; i < f->n; i++) {
		struct record *r = &f->records[i];

		if (!record_good(f, r, ranks) ||
		    find(f, f, r, &at, STEPS_MAX) != NULL || at == SIZE_MAX)
			return -1;
		f->table[at] = i;
	}
	return 0;
}

struct facts *
facts_load(int fd)
{
	struct facts *f = calloc(1, sizeof(*f));
	int error;

	if (f == NULL || load(f, fd) == 0)
		return f;
	error = errno;
	facts_free(f);
	errno = error;
	return NULL;
}

/* ---- comparing ---- */

struct change {
	const struct record	*old, *new;	/* NULL: there is none */
	bool			 moved;		/* about the order of things,
						   not about them */
	/* to sort by */
	uint8_t			 kind;
	const char		*shown, *option;
};

struct compare {
	const struct facts	*old, *new;
	struct change		*changes;
	size_t			 n, room;
	uint32_t		*pairs;	/* by record of new: that of old */
	bool			*seen;	/* by record of old */
	bool			 failed;
};

/* In f the thing that this setting, of's, is one of. */
static const struct record *
thing_of(const struct facts *f, const struct facts *of,
    const struct record *r)
{
	struct record thing = *r;

	thing.option = 0;
	return lookup(f, of, &thing);
}

/* What it is called, now rather than before. */
static const char *
shown_as(const struct compare *c, const struct record *old,
    const struct record *new)
{
	const struct facts *f = new != NULL ? c->new : c->old;
	const struct record *r = new != NULL ? new : old;

	if (new == NULL && (new = thing_of(c->new, c->old, old)) != NULL) {
		f = c->new;
		r = new;
	}
	return f->text + (r->shown != 0 ? r->shown : r->name);
}

static void
change_add(struct compare *c, const struct record *old,
    const struct record *new, bool moved)
{
	const struct facts *f = new != NULL ? c->new : c->old;
	const struct record *key = new != NULL ? new : old;

	if (c->n == c->room) {
		size_t room = c->room == 0 ? 16 : 2 * c->room;
		struct change *more = realloc(c->changes,
		    room * sizeof(*more));

		if (more == NULL) {
			c->failed = true;
			return;
		}
		c->changes = more;
		c->room = room;
	}
	c->changes[c->n++] = (struct change){ old, new, moved, key->kind,
	    shown_as(c, old, new), f->text + key->option };
}

/* In of, and not in other. A setting only counts where the thing stays. */
static bool
one_sided(const struct facts *of, const struct record *r,
    const struct facts *other)
{
	return r->option == 0 || thing_of(other, of, r) != NULL ||
	    thing_of(of, of, r) == NULL;
}

static void
find_pairs(struct compare *c)
{
	for (uint32_t i = 0; i < c->new->n; i++) {
		const struct record *r = &c->new->records[i];
		const struct record *o = NULL;

		/* mostly nothing has moved */
		if (i < c->old->n && same_key(c->old, &c->old->records[i],
		    c->new, r))
			o = &c->old->records[i];
		else
			o = lookup(c->old, c->new, r);
		c->pairs[i] = o == NULL ? NONE :
		    (uint32_t)(o - c->old->records);
		if (o == NULL) {
			if (one_sided(c->new, r, c->old))
				change_add(c, NULL, r, false);
			continue;
		}
		c->seen[o - c->old->records] = true;
		if (o->secret != r->secret ||
		    !same_text(c->old, o->value, c->new, r->value))
			change_add(c, o, r, false);
	}
	for (uint32_t i = 0; i < c->old->n; i++)
		if (!c->seen[i] && one_sided(c->old, &c->old->records[i],
		    c->new))
			change_add(c, &c->old->records[i], NULL, false);
}

/*
 * Of things in both lists, where the order matters: what is not in a longest
 * run of those that stand in the same order has moved. tails and before are
 * room for as many records as there are in new.
 */
static void
find_moved(struct compare *c, enum fact_kind kind, uint32_t *tails,
    uint32_t *before)
{
	const struct record *old = c->old->records, *new = c->new->records;
	uint32_t length = 0, last;

#define RANK(i) old[c->pairs[i]].rank
	for (uint32_t i = 0; i < c->new->n; i++) {
		uint32_t low = 0, high = length;

		before[i] = NONE;
		if (new[i].kind != kind || new[i].rank == 0 ||
		    c->pairs[i] == NONE)
			continue;
		if (length == 0 || RANK(tails[length - 1]) < RANK(i))
			low = length;
		while (low < high) {
			uint32_t middle = low + (high - low) / 2;

			if (RANK(tails[middle]) < RANK(i))
				low = middle + 1;
			else
				high = middle;
		}
		before[i] = low == 0 ? NONE : tails[low - 1];
		tails[low] = i;
		length += low == length;
	}
	last = length == 0 ? NONE : tails[length - 1];
	for (uint32_t i = c->new->n; i-- > 0; ) {
		if (i == last)
			last = before[i];
		else if (new[i].kind == kind && new[i].rank != 0 &&
		    c->pairs[i] != NONE)
			change_add(c, &old[c->pairs[i]], &new[i], true);
	}
#undef RANK
}

struct view {
	struct fact	fact;
	char		text[16];
};

static const char *
text_of(const struct facts *f, uint32_t at)
{
	return at == 0 ? NULL : f->text + at;
}

static void
view_set(struct view *v, const struct facts *f, const struct record *r,
    bool moved)
{
	v->fact = (struct fact){ .kind = (enum fact_kind)r->kind,
	    .effect = (enum fact_effect)r->effect, .secret = r->secret != 0,
	    .row_kind = r->row_kind, .rank = r->rank,
	    .name = f->text + r->name, .option = text_of(f, r->option),
	    .value = f->text + r->value, .usual = text_of(f, r->usual),
	    .row = text_of(f, r->row), .shown = text_of(f, r->shown) };
	if (!moved)
		return;
	snprintf(v->text, sizeof(v->text), "%u", (unsigned)r->rank);
	v->fact.option = "position";
	v->fact.value = v->text;
	v->fact.usual = NULL;
	v->fact.secret = false;
}

/* The side that left a setting out has it with its usual value. */
static bool
view_usual(struct view *v, const struct view *other)
{
	if (other->fact.option == NULL || other->fact.usual == NULL)
		return false;
	*v = *other;
	v->fact.secret = false;
	v->fact.value = other->fact.usual;
	return true;
}

static void
change_tell(const struct compare *c, const struct change *ch,
    void (*change)(void *, const struct fact_change *), void *ctx)
{
	struct view old = { .text = "" }, new = { .text = "" };
	bool has_old = ch->old != NULL, has_new = ch->new != NULL;
	struct fact_change told;

	if (has_old)
		view_set(&old, c->old, ch->old, ch->moved);
	if (has_new)
		view_set(&new, c->new, ch->new, ch->moved);
	if (!has_old)
		has_old = view_usual(&old, &new);
	else if (!has_new)
		has_new = view_usual(&new, &old);
	old.fact.shown = new.fact.shown = ch->shown;
	told.old = has_old ? &old.fact : NULL;
	told.new = has_new ? &new.fact : NULL;
	change(ctx, &told);
}

static int
change_cmp(const void *pa, const void *pb)
{
	const struct change *a = pa, *b = pb;
	int order;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if ((order = strcmp(a->shown, b->shown)) == 0)
		order = strcmp(a->option, b->option);
	return order != 0 ? order : a->moved - b->moved;
}

static void
all_moved(struct compare *c)
{
	uint32_t *room = calloc(2 * (size_t)c->new->n + 1, sizeof(*room));

	if (room == NULL) {
		c->failed = true;
		return;
	}
	for (enum fact_kind kind = FACT_LISTENER; kind <= FACT_OPTION; kind++)
		find_moved(c, kind, room, room + c->new->n);
	free(room);
}

size_t
facts_compare(const struct facts *old, const struct facts *new,
    void (*change)(void *, const struct fact_change *), void *ctx)
{
	struct compare c = { .old = old, .new = new };
	size_t n;

	c.pairs = malloc((new->n + (size_t)1) * sizeof(*c.pairs));
	c.seen = calloc(old->n + (size_t)1, sizeof(*c.seen));
	if (c.pairs != NULL && c.seen != NULL) {
		find_pairs(&c);
		all_moved(&c);
	} else
		c.failed = true;
	if (c.n > 1)
		qsort(c.changes, c.n, sizeof(*c.changes), change_cmp);
	for (size_t i = 0; i < c.n && !c.failed && change != NULL; i++)
		change_tell(&c, &c.changes[i], change, ctx);
	n = c.failed ? FACTS_FAILED : c.n;
	free(c.changes);
	free(c.pairs);
	free(c.seen);
	return n;
}

enum fact_effect
facts_effect(const struct fact_change *ch)
{
	if (ch->old == NULL || ch->new == NULL)
		return ch->old == NULL ? ch->new->effect : ch->old->effect;
	return ch->old->effect > ch->new->effect ? ch->old->effect :
	    ch->new->effect;
}

/* ---- adopting ---- */

static void
record_copy(struct facts *to, const struct facts *f, const struct record *r)
{
	struct view v;

	view_set(&v, f, r, false);
	/* what is left out is so already */
	if (v.fact.usual != NULL && !v.fact.secret &&
	    strcmp(v.fact.usual, v.fact.value) == 0)
		return;
	facts_add(to, &v.fact);
}

struct facts *
facts_adopt(const struct facts *old, const struct facts *new)
{
	struct facts *f = facts_new(new->salt);

	if (f == NULL)
		return NULL;
	for (uint32_t i = 0; i < new->n; i++)
		if (new->records[i].effect != EFFECT_RESTART)
			record_copy(f, new, &new->records[i]);
	for (uint32_t i = 0; i < old->n; i++)
		if (old->records[i].effect == EFFECT_RESTART)
			record_copy(f, old, &old->records[i]);
	return facts_ended(f);
}
