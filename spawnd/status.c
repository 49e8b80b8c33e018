/*
 * The figures of 2.7 as log lines.
 */
#include "../misc/log.h"
#include "figures.h"
#include "master.h"
#include "seats.h"
#include "status.h"

static void
line_log(const struct figure *figures, const void *object)
{
	struct log_item items[FIGURES_MAX];
	unsigned n = 0;

	for (const struct figure *f = figures; f->name != NULL; f++, n++) {
		const char *text = figure_text(f, object);
		uint64_t number = text == NULL ? figure_number(f, object) : 0;

		items[n] = (struct log_item){ f->name, text != NULL ?
		    LOG_TEXT : number == FIGURE_UNKNOWN ? LOG_ABSENT :
		    LOG_NUMBER, text, number };
	}
	log_items("status", "status", items, n);
}

void
status_log(struct master *m)
{
	struct figures *f;

	if (m->seats == NULL)
		return;			/* no memory: said at the start */
	seats_show(m);
	if ((f = figures_take(&m->seats->board, ev_now(m->ev))) == NULL)
		return;
	for (size_t i = 0; i < f->nworkers; i++)
		line_log(worker_figures, &f->workers[i]);
	for (size_t i = 0; i < f->ndestinations; i++)
		line_log(destination_figures, &f->destinations[i]);
	figures_free(f);
}
