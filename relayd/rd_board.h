/*
 * What tables, hosts, redirects and relays are called on the board. The same
 * name: the same thing for a reload, whose state and counters go on.
 */
#ifndef RELAYD_RD_BOARD_H
#define RELAYD_RD_BOARD_H

#include <stdint.h>

#include "../spawnd/board.h"
#include "rd_conf.h"

/*
 * A host: table name with its port, definition of the check, address, and a
 * number where all of that occurs several times. A table: its name, and the
 * number of those of that name before it. A redirect: its name. Returns name.
 */
const char	*rd_board_host(const struct rd_conf *, const struct rd_table *,
		    const struct rd_host *, char name[static BOARD_NAME]);
/* What rd_board_host() has to know of each host: once, by the compiler. */
void		 rd_board_number(struct rd_conf *);
const char	*rd_board_table(const struct rd_conf *,
		    const struct rd_table *, char name[static BOARD_NAME]);
const char	*rd_board_redirect(const struct rd_redirect *,
		    char name[static BOARD_NAME]);

/* program.rows, program.row_count */
struct compiled;
void		 rd_board_rows(const struct compiled *, struct board *,
		    uint32_t generation);
unsigned	 rd_board_row_count(const struct compiled *);

#endif
