/* Payloads: reading a request's and writing a reply's, as protocol.h lays them out. */
#pragma once

#include "memory.h"
#include "protocol.h"

typedef struct _MESSAGE_READER {
    const UINT8 *At;
    const UINT8 *End;
    ARENA *Arena; /* of the texts */
    BOOL Failed;  /* it was too short, or a text was not UTF-8; every later read gives 0 */
} MESSAGE_READER;

UINT32 ReadU32(_Inout_ MESSAGE_READER *Reader);
UINT64 ReadU64(_Inout_ MESSAGE_READER *Reader);
const UINT8 *ReadBytes(_Inout_ MESSAGE_READER *Reader, _Out_ UINT32 *Size);
/* Never NULL; ends with NUL. */
PCWSTR ReadText(_Inout_ MESSAGE_READER *Reader);
/* Whether all was there and nothing is left. */
BOOL ReadComplete(_In_ const MESSAGE_READER *Reader);

/* Grows as needed; Data starts with room for the frame header. */
typedef struct _MESSAGE_WRITER {
    UINT8 *Data;
    UINT32 Used;
    UINT32 Capacity;
    BOOL Failed; /* no memory, or over HSAGENT_FRAME_LIMIT */
} MESSAGE_WRITER;

void WriteReset(_Inout_ MESSAGE_WRITER *Writer);
/* Room for Size bytes that the caller fills; NULL when Failed. */
UINT8 *WriteRoom(_Inout_ MESSAGE_WRITER *Writer, UINT32 Size);
void WriteU32(_Inout_ MESSAGE_WRITER *Writer, UINT32 Value);
void WriteU64(_Inout_ MESSAGE_WRITER *Writer, UINT64 Value);
void WriteBytes(_Inout_ MESSAGE_WRITER *Writer, _In_reads_bytes_(Size) const void *Data, UINT32 Size);
void WriteText(_Inout_ MESSAGE_WRITER *Writer, _In_ PCWSTR Text);
void WriteAscii(_Inout_ MESSAGE_WRITER *Writer, _In_ const char *Text);
/* Overwrite a u32 that was written at this offset (a count that is known only at the end). */
void WritePatchU32(_Inout_ MESSAGE_WRITER *Writer, UINT32 Offset, UINT32 Value);
