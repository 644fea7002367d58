/*
 * Writes an .etl file (reference "etl", section 5) from chunks of a trace ring (trace_ring.h): one buffer of 64 KiB
 * for each processor, so that time never runs backwards within a processor. Pure: the bytes go out through a sink.
 *
 * A file that was not closed is readable, too: whatever was flushed is there, EndTime is 0.
 */
#pragma once

#include "portable.h"

#include "../include/trace_ring.h"

#define ETL_BUFFER_SIZE 65536
#define ETL_PROCESSORS 256
#define ETL_NAME_CHARS 1024 /* of the session's and the file's name; the rest is cut */

/* What the writer returns beside the sink's own errors. Win32 codes. */
#define ETL_OK 0
#define ETL_INVALID_DATA 13  /* ERROR_INVALID_DATA: the chunk is not one */
#define ETL_NO_MEMORY 8      /* ERROR_NOT_ENOUGH_MEMORY */

typedef struct _ETL_SINK {
    void *Context;
    uint32_t (*WriteAt)(void *Context, uint64_t Offset, const void *Data, uint32_t Size); /* 0 or an error */
    void *(*Allocate)(size_t Size);
    void (*Free)(void *Block);
} ETL_SINK;

typedef struct _ETL_SESSION {
    const uint16_t *Name; /* UTF-16, ends with NUL */
    const uint16_t *FileName;
    uint64_t StartTick;
    uint64_t StartTime; /* FILETIME at StartTick */
    uint64_t BootTime;  /* FILETIME */
    uint64_t TickFrequency;
    uint32_t Processors;
    uint32_t OsBuild;
    uint32_t CpuMegahertz;
    uint32_t ProcessId;
    uint32_t ThreadId;
    uint8_t TimeZone[172]; /* TIME_ZONE_INFORMATION */
} ETL_SESSION;

typedef struct _ETL_STATISTICS {
    uint64_t Events;        /* in the file's buffers, the log-file header not counted */
    uint64_t EventsDropped; /* by the driver, since it started */
    uint64_t EventsWritten; /* by the driver into its ring, since it started */
    uint64_t Rejected;      /* entries that are no event or are too large for a buffer */
    uint64_t OutOfOrder;    /* events whose tick is before that of the one before on their processor */
    uint64_t Buffers;       /* written, the header's included */
    uint64_t FileBytes;
    uint64_t TickFrequency;
    uint32_t Remaining;     /* in the ring after the last chunk */
} ETL_STATISTICS;

typedef struct _ETL_PROCESSOR {
    uint8_t *Buffer;
    uint32_t Used; /* 0 = nothing but the header's room */
    uint64_t LastTick;
} ETL_PROCESSOR;

typedef struct _ETL_WRITER {
    ETL_SINK Sink;
    ETL_STATISTICS Statistics;
    uint8_t *Header; /* buffer 0, written again at each flush */
    uint64_t FileSize;
    uint64_t Sequence;
    uint32_t Error; /* first error of the sink: nothing is written behind it */
    ETL_PROCESSOR Processors[ETL_PROCESSORS];
} ETL_WRITER;

/* Write the header buffer. The writer must be zeroed. */
_Must_inspect_result_ uint32_t EtlOpen(_Inout_ ETL_WRITER *Writer, _In_ const ETL_SINK *Sink,
                                       _In_ const ETL_SESSION *Session);

/* The tick of the first event of a chunk; 0 when it has none. */
uint64_t EtlFirstTick(_In_reads_bytes_(Size) const void *Chunk, uint32_t Size);

/* Take the output of one drain IOCTL. Now = ticks, for the buffers that get full. */
_Must_inspect_result_ uint32_t EtlFeed(_Inout_ ETL_WRITER *Writer, _In_reads_bytes_(Size) const void *Chunk,
                                       uint32_t Size, uint64_t Now);

/* Write out every buffer that holds something. */
_Must_inspect_result_ uint32_t EtlFlush(_Inout_ ETL_WRITER *Writer, uint64_t Now);

/* Flush, mark the last buffer, complete the header, free all memory. EndTime is a FILETIME. */
_Must_inspect_result_ uint32_t EtlClose(_Inout_ ETL_WRITER *Writer, uint64_t Now, uint64_t EndTime);
