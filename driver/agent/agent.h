/* What one running agent consists of. */
#pragma once

#include "devices.h"
#include "journal.h"
#include "trace.h"

typedef struct _AGENT {
    JOURNAL Journal;
    DEVICES Devices;
    TRACE Trace;
    UINT64 TickFrequency;
    UINT8 SessionId[16]; /* random, of this process; new when the guest is named anew */
    volatile LONG Quit; /* somebody asked for the end */
    HANDLE Ended;       /* set when the agent shall end, whoever decides it; NULL where the one stream decides */
    volatile LONG Clients; /* of the local pipe, at present */
} AGENT;
