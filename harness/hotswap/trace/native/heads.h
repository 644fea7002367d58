/* What the header of an event says, as the scan hands it on. */
#pragma once

#include "kernel.h"

#define NO_ID 0xFFFFFFFFu

enum { HsUntimed = 1, HsBad = 2 };

/* What the header of an event says. HEAD_DTYPE in scan.py is the same. */
typedef struct HS_HEAD {
    int64_t tick;
    int64_t offset;
    uint64_t keyword;
    uint32_t pid; /* NO_ID: none */
    uint32_t tid;
    int32_t kind;
    uint32_t buffer;
    uint16_t size;
    uint16_t payload; /* from the event's offset on */
    uint8_t level;
    uint8_t opcode;
    uint8_t flags; /* HsUntimed: `tick` is a neighbour's; HsBad: items or options that are not whole */
    uint8_t type;
} HS_HEAD;
