/* What goes wrong on purpose, for tests of what the host makes of it. All return 0, or an errno. */
#pragma once

#include "guest.h"

/* Let nothing else run any more: a thread of the highest priority spins on each processor. Interrupts still come. */
int FaultHang(void);

/* Take all space of a disk but so many bytes, by a file there. Removing the file gives it back. */
int FaultFill(const char *path, unsigned long long leave);

/* Write a text into a file that there is: a switch of the kernel. */
int FaultSet(const char *path, const char *text);

/* Send a signal to this very process; nothing when it is gone. */
int FaultSignal(pid_t pid, uint64_t started, int number);
