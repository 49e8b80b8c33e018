#include <stdio.h>

#include "../misc/net.h"
#include "conf.h"
#include "rows.h"

/* Whatever makes two listeners different ones for a reload stands here. */
const char *
rows_listener(const struct listener_conf *l, char name[static BOARD_NAME])
{
	char text[NET_TEXT];
	int n;

	if (l == NULL)
		n = snprintf(name, BOARD_NAME, "inherited");
	else if (l->addr.len == 0)
		n = snprintf(name, BOARD_NAME, "name/%s", l->name);
	else if (l->addr.sa.sa_family == AF_UNIX)
		n = snprintf(name, BOARD_NAME, "unix/%d/%s", l->type,
		    net_text(&l->addr, text));
	else
		n = snprintf(name, BOARD_NAME, "ip/%d/%d/%s/%d/%s", l->type,
		    l->protocol, net_text(&l->addr, text), l->v6only,
		    l->vrf != NULL ? l->vrf : "");
	/* cut short it could be another's */
	if (n < 0 || n >= BOARD_NAME)
		name[0] = '\0';
	return name;
}

void
rows_listeners(const struct spawnd_conf *c, struct board *b,
    uint32_t generation)
{
	char name[BOARD_NAME], text[NET_TEXT];

	for (size_t i = 0; i < c->nlisteners; i++) {
		const struct listener_conf *l = &c->listeners[i];
		int row;

		if (*rows_listener(l, name) == '\0' || (row = board_claim(b,
		    BOARD_LISTENER, name, 0, generation)) == -1)
			continue;
		if (board_row(b, (unsigned)row)->text[0] == '\0')
			board_describe(b, (unsigned)row, l->index, l->name,
			    net_text(&l->addr, text));
	}
}
