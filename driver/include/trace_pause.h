/*
 * Pause points: a thread that writes a trace event stops right after it has written it, until it is released. The event is
 * in the ring before. Every event of a driver is one, above PASSIVE_LEVEL and on threads that dispatch requests none is.
 * Off, which is when nothing is armed, it costs one look at a flag.
 */
#pragma once

#define TRACE_PAUSE_MAX_ARMS 32
#define TRACE_PAUSE_MAX_WAITING 32

typedef struct _TRACE_PAUSE_ARM {
    ULONG64 EventMask;      /* bit i: event i of the driver's list, counted from 0 */
    ULONG Key;              /* first field of the event's payload, e.g. the worker; 0 = any */
    ULONG Nth;              /* the Nth such event from now on, once; 0 = every one */
} TRACE_PAUSE_ARM;

typedef struct _TRACE_PAUSE_ARMED {
    ULONG ArmId;            /* 1.. */
} TRACE_PAUSE_ARMED;

typedef struct _TRACE_PAUSE_WAIT {
    ULONG64 Arrivals;       /* complete as soon as more threads than these have arrived since the driver started */
} TRACE_PAUSE_WAIT;

typedef struct _TRACE_PAUSE_RELEASE {
    ULONG ArmId;            /* 0 = of any arm */
    ULONG ThreadId;         /* 0 = all threads */
} TRACE_PAUSE_RELEASE;

typedef struct _TRACE_PAUSED {
    ULONG ArmId;
    ULONG ThreadId;
    ULONG Event;
    ULONG Key;
    ULONG64 Arrival;        /* 1 for the first thread that ever arrived */
} TRACE_PAUSED;

typedef struct _TRACE_PAUSE_STATE {
    ULONG64 Arrivals;       /* since the driver started */
    ULONG Arms;             /* still armed */
    ULONG WaitingCount;     /* threads that are stopped now, in the order in which they arrived */
    TRACE_PAUSED Waiting[TRACE_PAUSE_MAX_WAITING];
} TRACE_PAUSE_STATE;
