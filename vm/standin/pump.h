/* The agent behind a port of the machine: its standard input and output are the port's bytes. */
#pragma once

#include "guest.h"

#include <poll.h>

#define PUMP_BYTES 65536
#define PUMP_POLLS 3

typedef struct PUMP_BUFFER {
    size_t start, end;
    char bytes[PUMP_BYTES];
} PUMP_BUFFER;

/* One port, and the agent that serves it while there is one. */
typedef struct PUMP {
    const char *name; /* for the console, and of the log */
    int port;         /* -1: there is no such port */
    bool connected;   /* whether somebody on the host listens, as far as is known */
    int to, from;     /* the agent's standard input and output; -1: no agent */
    pid_t agent;
    unsigned starts;
    PUMP_BUFFER inward, outward;
} PUMP;

/* Take a port into use; the agent starts with PumpStart, or with the first byte that comes for it. */
void PumpOpen(PUMP *pump, const char *name, const char *port);

/* Start the agent when there is none. False, with errno, when that failed. */
bool PumpStart(PUMP *pump);

/* What to wait for: fills PUMP_POLLS entries (those of no use have a negative descriptor). */
void PumpPolls(PUMP *pump, struct pollfd *polls);

/* Move what can be moved, after a wait. */
void PumpRun(PUMP *pump, const struct pollfd *polls);

/* A child has ended; true when it was this pump's agent. The next byte that comes starts another. */
bool PumpChildEnded(PUMP *pump, pid_t pid, int status);

/* Somebody on the host has opened or closed a port. */
void PumpHostChanged(PUMP *pump);
