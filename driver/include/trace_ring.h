/*
 * How a driver hands its trace ring to whoever drains it: whole ETW events, in the order in which they were
 * reserved, so that the drainer needs to know neither the driver nor its events.
 *
 * Output of the drain IOCTL: one TRACE_RING_CHUNK, then Entries entries. An entry is a TRACE_RING_ENTRY and
 * then an EVENT_HEADER event exactly as an .etl buffer holds it (80-byte header, type EVENT64, raw ticks of
 * KeQueryPerformanceCounter, extended items PROV_TRAITS and EVENT_SCHEMA_TL, user data). Both are padded so that
 * the next entry starts on an 8-byte boundary. Ticks never run backwards within a ring.
 */
#pragma once

typedef struct _TRACE_RING_CHUNK {
    ULONG Bytes;            /* of this header and all entries */
    ULONG Entries;
    ULONG64 EventsWritten;  /* since the driver started */
    ULONG64 EventsDropped;  /* since the driver started: the ring was full */
    ULONG64 TickFrequency;
    ULONG Remaining;        /* events in the ring that did not fit into this chunk */
    ULONG Reserved;
} TRACE_RING_CHUNK;

typedef struct _TRACE_RING_ENTRY {
    ULONG Bytes;            /* of this entry: header, event, padding */
    USHORT Processor;
    USHORT Reserved;
} TRACE_RING_ENTRY;
