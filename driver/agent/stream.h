/* The byte stream to the client: one reader, any number of writers. */
#pragma once

#include "frame.h"
#include "portable.h"

typedef struct _STREAM {
    HANDLE Input;
    HANDLE Output;
    CRITICAL_SECTION WriteLock;
    UINT8 *Buffer;
    SIZE_T Start; /* of what has not been consumed */
    SIZE_T End;
} STREAM;

_Must_inspect_result_ BOOL StreamOpen(_Out_ STREAM *Stream, _In_ HANDLE Input, _In_ HANDLE Output);

/*
 * Block until a frame is there. FrameIncomplete means that the stream ended. Payload stays valid until the next call.
 */
_Must_inspect_result_ FRAME_RESULT StreamRead(_Inout_ STREAM *Stream, _Out_ HSAGENT_FRAME_HEADER *Header,
                                              _Out_ const UINT8 **Payload);

/* Write a whole frame. FALSE when the other end is gone. Any thread. */
BOOL StreamWrite(_Inout_ STREAM *Stream, _In_reads_bytes_(Size) const void *Data, UINT32 Size);
