/*
 * What the start of a program shares with the master.
 */
#ifndef SPAWND_START_H
#define SPAWND_START_H

/* An error of the start: logged, and on standard error in any case. */
void	 start_err(const char *, ...) __attribute__((format(printf, 1, 2)));

#endif
