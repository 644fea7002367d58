#pragma once

#include "portable.h"

/* QueryPerformanceCounter: the one clock of all latencies and traces. */
UINT64 ClockTicks(void);
UINT64 ClockFrequency(void);
/* FILETIME: 100 ns since 1601, UTC. */
UINT64 ClockSystemTime(void);
