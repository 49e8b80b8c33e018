/*
 * Connections that come over the channel: served only once the master knows
 * what it has to, given back when they cannot or must not be served.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "own_process.h"

void
process_refuse(struct process *p, uint64_t id, uint32_t reason)
{
	struct channel_return r = { .reason = reason };

	memcpy(r.id, &id, sizeof(r.id));
	process_send(p, CHANNEL_RETURN, &r, sizeof(r));
}

/*
 * Whether the master knows what it has to before the held connections are
 * touched: that others come back, and without a board that these are taken.
 */
static bool
process_vouched(struct process *p)
{
	struct channel_id id;

	if (p->lost)
		return true;
	if ((p->nrefused > 0 || !p->board_shared) &&
	    !worker_flushed(p->link))
		return false;
	for (; !p->board_shared && p->ntold < p->nconns; p->ntold++) {
		memcpy(id.id, &p->conns[p->ntold].id, sizeof(id.id));
		if (channel_send(&p->link->ch, CHANNEL_TAKEN, &id, sizeof(id),
		    NULL, 0, NULL, 0) == -1 &&
		    (errno == EAGAIN || errno == ENOMEM))
			return false;
	}
	return true;
}

void
process_deliver(struct process *p)
{
	unsigned n = p->nconns, refused = p->nrefused;

	p->holding = !process_vouched(p);
	process_interest(p);
	if (p->holding)
		return;
	p->nconns = p->ntold = p->nrefused = 0;
	if (refused > 0)
		own_refused(&p->own, refused);
	if (n > 0)
		own_take(&p->own, p->conns, n);
}

/* Those under way for too long are not read: the master may have given them
 * to another worker. What was announced as taken is ours. */
void
process_age(struct process *p, uint64_t now)
{
	unsigned kept = p->ntold;

	for (unsigned i = p->ntold; i < p->nconns; i++) {
		if (worker_old(&p->conns[i], now)) {
			process_refuse(p, p->conns[i].id, SPAWND_RETURN_OLD);
			close(p->conns[i].fd);
			p->nrefused++;
		} else {
			p->conns[kept++] = p->conns[i];
		}
	}
	p->nconns = kept;
}

static void
process_conns(struct process *p, struct channel_message *m,
    const uint8_t *records, unsigned n)
{
	struct channel_record record;

	p->nconns = p->ntold = p->nrefused = 0;
	for (unsigned i = 0; i < n; i++) {
		struct spawnd_conn *c = &p->conns[p->nconns];

		memcpy(&record, records + i * sizeof(record), sizeof(record));
		if (i >= m->nfds || p->own.worker == NULL) {
			process_refuse(p, record.id, SPAWND_RETURN_NOFD);
			p->nrefused++;
			continue;
		}
		channel_unpack(c, &record);
		c->fd = m->fds[i];
		m->fds[i] = -1;
		p->nconns++;
	}
	process_age(p, ev_clock(p->own.ev));
	process_deliver(p);
}

void
process_accept(struct process *p, struct channel_message *m)
{
	process_conns(p, m, m->payload, 1);
}

void
process_batch(struct process *p, struct channel_message *m)
{
	uint32_t n;

	memcpy(&n, m->payload, sizeof(n));
	process_conns(p, m, m->payload + sizeof(struct channel_batch), n);
}

/* A relay of byte streams has no use for it, but it counts. */
void
process_udpdata(struct process *p, struct channel_message *m)
{
	struct channel_record record;
	struct channel_id id;

	if (!p->warned_udp)
		log_warn("datagrams are not for this program, ignored");
	p->warned_udp = true;
	if (p->board_shared) {
		board_add(&p->own.users->finished, 1);
		board_add(&p->own.users->taken, 1);
		return;
	}
	memcpy(&record, m->payload, sizeof(record));
	memcpy(id.id, &record.id, sizeof(id.id));
	process_send(p, CHANNEL_TAKEN, &id, sizeof(id));
	(void)spawnd_worker_done(p->link, 1);
	process_interest(p);
}
