#include "stream.h"

#include "memory.h"

#define STREAM_CAPACITY (HSAGENT_FRAME_HEADER_SIZE + HSAGENT_FRAME_LIMIT + 65536)

BOOL StreamOpen(STREAM *Stream, HANDLE Input, HANDLE Output)
{
    Stream->Input = Input;
    Stream->Output = Output;
    Stream->Start = 0;
    Stream->End = 0;
    Stream->Buffer = MemoryAllocate(STREAM_CAPACITY);
    InitializeCriticalSection(&Stream->WriteLock);
    return Stream->Buffer != NULL;
}

FRAME_RESULT StreamRead(STREAM *Stream, HSAGENT_FRAME_HEADER *Header, const UINT8 **Payload)
{
    for (;;) {
        SIZE_T Skip, Consumed;
        DWORD Read = 0;
        FRAME_RESULT Result =
            FrameScan(Stream->Buffer + Stream->Start, Stream->End - Stream->Start, &Skip, &Consumed, Header);
        if (Result != FrameIncomplete) {
            *Payload = Stream->Buffer + Stream->Start + Skip + sizeof(*Header);
            Stream->Start += Consumed;
            return Result;
        }
        Stream->Start += Skip;
        if (Stream->Start == Stream->End) {
            Stream->Start = Stream->End = 0;
        } else if (STREAM_CAPACITY - Stream->Start < HSAGENT_FRAME_HEADER_SIZE + HSAGENT_FRAME_LIMIT) {
            /* What is held is shorter than one frame: at the front, a whole frame fits. */
            memmove(Stream->Buffer, Stream->Buffer + Stream->Start, Stream->End - Stream->Start);
            Stream->End -= Stream->Start;
            Stream->Start = 0;
        }
        if (!ReadFile(Stream->Input, Stream->Buffer + Stream->End, (DWORD)(STREAM_CAPACITY - Stream->End), &Read,
                      NULL) ||
            Read == 0) {
            return FrameIncomplete;
        }
        Stream->End += Read;
    }
}

BOOL StreamWrite(STREAM *Stream, const void *Data, UINT32 Size)
{
    const UINT8 *At = Data;
    BOOL Ok = TRUE;
    EnterCriticalSection(&Stream->WriteLock);
    while (Size != 0) {
        DWORD Written = 0;
        Ok = WriteFile(Stream->Output, At, Size, &Written, NULL) && Written != 0;
        if (!Ok) {
            break;
        }
        At += Written;
        Size -= Written;
    }
    LeaveCriticalSection(&Stream->WriteLock);
    return Ok;
}
