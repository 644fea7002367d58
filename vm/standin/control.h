/*
 * The host's requests to the guest outside Windows, over a port of their own. A request is a line, its words separated by
 * blanks (in words % and blanks and what is not printable are %XX), a reply as well:
 *
 *     ID VERB ARGUMENT...          ID ok VALUE...          ID error WORDS
 *
 * `put` is followed by as many bytes as its last argument says. `watch` is answered when the process has ended. What the
 * host sends a request into one connection for is forgotten when the connection ends.
 */
#pragma once

#include "guest.h"
#include "pump.h"

#define CONTROL_WATCHES 32

/* Take the control port into use; pumps are those that `agent` speaks of, ended by one without a name. */
void ControlOpen(const char *port, PUMP *pumps);

/* What to wait for: fills at most 1 + CONTROL_WATCHES entries, returns how many. */
unsigned ControlPolls(struct pollfd *polls);

/* Answer what has come, after a wait. */
void ControlRun(const struct pollfd *polls);

/* Somebody on the host has opened or closed a port. */
void ControlHostChanged(void);
