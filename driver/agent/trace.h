/* The trace session: a thread drains a driver's trace ring into an .etl file. One at a time. */
#pragma once

#include "devices.h"
#include "etl_writer.h"
#include "portable.h"

typedef struct _TRACE {
    CRITICAL_SECTION Lock;      /* of all that follows; the thread holds it while it writes */
    CRITICAL_SECTION StartStop; /* one start or stop at a time */
    HANDLE Thread;              /* NULL = no session */
    HANDLE StopEvent;
    HANDLE Device;
    IOCTL *Ioctl; /* with the event IoEvent; NULL once the driver keeps it, and the chunk, for good */
    HANDLE IoEvent;
    HANDLE File;
    UINT8 *Chunk;
    UINT32 ChunkBytes;
    UINT32 DrainCode;
    UINT32 IntervalMs;
    UINT32 FlushMs;
    BOOL Running;
    UINT64 Owner; /* nonce of the client that started it */
    UINT64 Drains;
    UINT32 ErrorDomain; /* HSAGENT_ERROR_DOMAIN; 0 = none */
    UINT32 ErrorCode;
    const char *ErrorApi;
    PWSTR Path;
    ETL_STATISTICS Statistics; /* of the last session once it has ended */
    ETL_WRITER *Writer;
} TRACE;

void TraceOpen(_Out_ TRACE *Trace);
/* Stop the session if there is one, and finish its file. */
void TraceClose(_Inout_ TRACE *Trace);
/* The same with the session of this client. */
void TraceRelease(_Inout_ TRACE *Trace, UINT64 Owner);
