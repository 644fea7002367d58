/* Processes of the guest: started here, and seen in /proc. */
#pragma once

#include "guest.h"

/*
 * Start a program in a session of its own. in, out: what becomes its standard input and output (negative: nothing).
 * What it writes to standard error, and to standard output when that is nothing, goes to `log`.
 * Returns its process id, negative (errno) when it could not be started.
 */
pid_t ProcessStart(const char *const argv[], int in, int out, const char *log);

/* As ProcessStart, and wait for its end: the exit code, 128 + signal, or negative errno. */
int ProcessRun(const char *const argv[], const char *log);

/* The time it was started, in clock ticks (proc(5), field 22); 0 when there is none, or only its zombie. */
uint64_t ProcessStarted(pid_t pid);

/* Calls `each` for every process that is no kernel thread and no zombie. */
void ProcessEach(void (*each)(void *context, pid_t pid, uint64_t started, const char *name), void *context);
