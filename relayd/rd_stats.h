/*
 * Sessions per interval, hour and day, of relays and of redirects: from totals
 * that only grow, looked at once a minute. Knows no clock and no process.
 *
 * What has the same name after a reload goes on.
 */
#ifndef RELAYD_RD_STATS_H
#define RELAYD_RD_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../spawnd/board.h"

#define RD_STATS_INTERVAL	60u	/* s between ticks */

struct rd_stat {
	char	 name[BOARD_NAME];
	char	 counter[BOARD_NAME];	/* whose total it is */
	uint64_t seen;			/* of that total, so far */
	uint64_t ticks;
	/* to be shown */
	uint64_t total, last, last_hour, last_day;
	uint64_t average, average_hour, average_day;
};

/* Owned by whoever embeds it; zeroed before first use. */
struct rd_stats {
	struct rd_stat	*entries;	/* in the order they were adopted */
	size_t		 n;
};

/* What is to be counted: what it is called, what its total is that of, and
 * how much that is now. */
struct rd_stats_source {
	const char	*name, *counter;
	uint64_t	 total;
};

/*
 * From now on these: who has been there under that name is so again, others
 * begin at 0, and so does nobody's total that has another counter now. -1: no
 * memory, nothing has changed.
 */
int	 rd_stats_adopt(struct rd_stats *, const struct rd_stats_source *,
	    size_t n);
/* An interval is over; totals in the order of the sources. */
void	 rd_stats_tick(struct rd_stats *, const uint64_t *totals);
void	 rd_stats_clear(struct rd_stats *);

/*
 * Sessions of a listener so far: all workers, also those that have left. 0 if
 * the board has none of that name. false: figures are being moved; what was
 * known before (seen) is the better guess.
 */
bool	 rd_stats_total(const struct board *, const char *listener,
	    uint64_t *total);

#endif
