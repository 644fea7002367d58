/* What one running agent consists of. */
#pragma once

#include "devices.h"
#include "journal.h"
#include "stream.h"
#include "trace.h"

typedef struct _AGENT {
    STREAM Stream;
    JOURNAL Journal;
    DEVICES Devices;
    TRACE Trace;
    UINT64 TickFrequency;
    UINT8 SessionId[16]; /* random, of this process */
    volatile LONG Quit;
} AGENT;
