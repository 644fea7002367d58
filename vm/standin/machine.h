/* What makes one guest another than its twin: clock, random numbers, name, network address, keys; and its end. */
#pragma once

#include "guest.h"

/* Nanoseconds since 1970, or since the start of the machine. */
unsigned long long MachineClock(bool monotonic);

/* All below: 0, or an errno. */

int MachineSetClock(unsigned long long nanoseconds);

/* Mix a seed (hex digits) into the kernel's random numbers, count it as such, and let all of them depend on it. */
int MachineSeed(const char *hex);

int MachineName(const char *name);

/* Give the network card this hardware address and IPv4 address (with a network of 24 bits). */
int MachineAddress(const char *hardware, const char *address);

/* Start sshd with the keys that were put; one that runs already takes them over. */
int MachineStartSsh(void);

/* End the machine: `power-off`, `reset` or `panic`. Returns for any other word. */
void MachineEnd(const char *how);
