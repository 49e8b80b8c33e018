/*
 * The stand-alone broker: the program whose only role is to execute what its
 * configuration names.
 */
#include "program.h"

int
main(int argc, char **argv)
{
	static const struct program spawnd = {
		.name = "spawnd", .broker_only = true,
	};

	return spawnd_main(&spawnd, argc, argv);
}
