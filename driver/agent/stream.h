/* The byte stream to a client: one reader, any number of writers. */
#pragma once

#include "frame.h"
#include "portable.h"

/*
 * Counted: answers may outlive whoever reads the requests. A port never ends: nobody may listen at its other end for a
 * while, and then what is written is given up. Any other stream ends when its other end is gone.
 */
typedef struct _STREAM {
    HANDLE Input;
    HANDLE Output;
    HANDLE ReadEvent; /* NULL: the handles are synchronous */
    HANDLE WriteEvent;
    HANDLE Stop; /* ends every wait; NULL: none does */
    PCWSTR Port; /* its name; NULL: this is no port */
    BOOL Serial; /* a port that cannot tell whether somebody listens */
    volatile LONG Nobody; /* listens at the port */
    volatile LONG References;
    CRITICAL_SECTION WriteLock;
    UINT8 *Buffer;
    SIZE_T Start; /* of what has not been consumed */
    SIZE_T End;
} STREAM;

typedef enum _STREAM_READ {
    StreamReadSome = 0,
    StreamReadPause = 1, /* of a port: nobody listens, or nothing came for a while */
    StreamReadEnd = 2
} STREAM_READ;

/* A stream over two handles of its own, with one reference. NULL when there is no memory; the handles stay open then. */
_Must_inspect_result_ STREAM *StreamCreate(_In_ HANDLE Input, _In_ HANDLE Output, BOOL Overlapped,
                                           _In_opt_ HANDLE Stop);

void StreamKeep(_Inout_ STREAM *Stream);
/* With the last reference the handles are closed. */
void StreamRelease(_Inout_opt_ STREAM *Stream);

/*
 * Block until a frame is there. FrameIncomplete means that the stream ended. Payload stays valid until the next call.
 * A frame of which the rest does not come is FrameBadPayload, as one that arrived damaged.
 */
_Must_inspect_result_ FRAME_RESULT StreamRead(_Inout_ STREAM *Stream, _Out_ HSAGENT_FRAME_HEADER *Header,
                                              _Out_ const UINT8 **Payload);

/* Block until some bytes are there. Of a serial port: until all of them are, or the line is quiet. */
_Must_inspect_result_ STREAM_READ StreamTake(_Inout_ STREAM *Stream, _Out_writes_bytes_(Size) void *Data, DWORD Size,
                                             _Out_ DWORD *Taken);

/* Write a whole frame. FALSE when the other end is gone, or takes nothing any more. Any thread. */
BOOL StreamWrite(_Inout_ STREAM *Stream, _In_reads_bytes_(Size) const void *Data, UINT32 Size);
