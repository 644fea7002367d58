#include "stream.h"

#include "memory.h"
#include "port.h"

#define STREAM_CAPACITY (HSAGENT_FRAME_HEADER_SIZE + HSAGENT_FRAME_LIMIT + 65536)

STREAM *StreamCreate(HANDLE Input, HANDLE Output, BOOL Overlapped, HANDLE Stop)
{
    STREAM *Stream = MemoryAllocate(sizeof(*Stream));
    if (Stream == NULL) {
        return NULL;
    }
    Stream->Buffer = MemoryAllocate(STREAM_CAPACITY);
    if (Overlapped) {
        Stream->ReadEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
        Stream->WriteEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    }
    if (Stream->Buffer == NULL || (Overlapped && (Stream->ReadEvent == NULL || Stream->WriteEvent == NULL))) {
        if (Stream->ReadEvent != NULL) {
            CloseHandle(Stream->ReadEvent);
        }
        MemoryFree(Stream->Buffer);
        MemoryFree(Stream);
        return NULL;
    }
    Stream->Input = Input;
    Stream->Output = Output;
    Stream->Stop = Stop;
    Stream->References = 1;
    InitializeCriticalSection(&Stream->WriteLock);
    return Stream;
}

void StreamKeep(STREAM *Stream)
{
    InterlockedIncrement(&Stream->References);
}

void StreamRelease(STREAM *Stream)
{
    if (Stream == NULL || InterlockedDecrement(&Stream->References) != 0) {
        return;
    }
    if (Stream->Output != Stream->Input) {
        CloseHandle(Stream->Output);
    }
    CloseHandle(Stream->Input);
    if (Stream->ReadEvent != NULL) {
        CloseHandle(Stream->ReadEvent);
        CloseHandle(Stream->WriteEvent);
    }
    DeleteCriticalSection(&Stream->WriteLock);
    MemoryFree(Stream->Buffer);
    MemoryFree(Stream);
}

/* Wait for an operation that was started on an overlapped handle. FALSE with GetLastError when it failed or was stopped. */
static BOOL StreamFinish(STREAM *Stream, HANDLE Handle, OVERLAPPED *Overlapped, DWORD Milliseconds, DWORD *Bytes)
{
    HANDLE Handles[2] = {Overlapped->hEvent, Stream->Stop};
    if (GetLastError() != ERROR_IO_PENDING) {
        return FALSE;
    }
    if (WaitForMultipleObjects(Stream->Stop != NULL ? 2 : 1, Handles, FALSE, Milliseconds) != WAIT_OBJECT_0) {
        CancelIoEx(Handle, Overlapped);
    }
    return GetOverlappedResult(Handle, Overlapped, Bytes, TRUE);
}

static BOOL StreamReadHandle(STREAM *Stream, void *Data, DWORD Size, DWORD *Bytes)
{
    OVERLAPPED Overlapped = {.hEvent = Stream->ReadEvent};
    *Bytes = 0;
    if (Stream->ReadEvent == NULL) {
        return ReadFile(Stream->Input, Data, Size, Bytes, NULL);
    }
    if (ReadFile(Stream->Input, Data, Size, NULL, &Overlapped)) {
        return GetOverlappedResult(Stream->Input, &Overlapped, Bytes, TRUE);
    }
    return StreamFinish(Stream, Stream->Input, &Overlapped, INFINITE, Bytes);
}

static BOOL StreamWriteHandle(STREAM *Stream, const void *Data, DWORD Size, DWORD *Bytes)
{
    OVERLAPPED Overlapped = {.hEvent = Stream->WriteEvent};
    *Bytes = 0;
    if (Stream->WriteEvent == NULL) {
        return WriteFile(Stream->Output, Data, Size, Bytes, NULL);
    }
    if (WriteFile(Stream->Output, Data, Size, NULL, &Overlapped)) {
        return GetOverlappedResult(Stream->Output, &Overlapped, Bytes, TRUE);
    }
    return StreamFinish(Stream, Stream->Output, &Overlapped, Stream->Port != NULL ? PORT_WRITE_MS : INFINITE, Bytes);
}

STREAM_READ StreamTake(STREAM *Stream, void *Data, DWORD Size, DWORD *Taken)
{
    BOOL Ok = StreamReadHandle(Stream, Data, Size, Taken);
    DWORD Error = Ok ? ERROR_SUCCESS : GetLastError();
    if (*Taken != 0) {
        InterlockedExchange(&Stream->Nobody, FALSE);
        return StreamReadSome;
    }
    if (Stream->Stop != NULL && WaitForSingleObject(Stream->Stop, 0) == WAIT_OBJECT_0) {
        return StreamReadEnd;
    }
    if (Stream->Port == NULL) {
        return StreamReadEnd;
    }
    return PortPause(Stream, Error) ? StreamReadPause : StreamReadEnd;
}

/* How much to ask for. A serial port gives what is asked for or waits: there, just what completes a header or a frame. */
static DWORD StreamWanted(const STREAM *Stream, const HSAGENT_FRAME_HEADER *Header)
{
    SIZE_T Held = Stream->End - Stream->Start;
    if (!Stream->Serial) {
        return (DWORD)(STREAM_CAPACITY - Stream->End);
    }
    return (DWORD)(Held < sizeof(*Header) ? sizeof(*Header) - Held : sizeof(*Header) + Header->Length - Held);
}

FRAME_RESULT StreamRead(STREAM *Stream, HSAGENT_FRAME_HEADER *Header, const UINT8 **Payload)
{
    for (;;) {
        SIZE_T Skip, Consumed;
        DWORD Read;
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
        switch (StreamTake(Stream, Stream->Buffer + Stream->End, StreamWanted(Stream, Header), &Read)) {
        case StreamReadSome: Stream->End += Read; break;
        case StreamReadEnd: return FrameIncomplete;
        case StreamReadPause:
            /* The rest of what is held does not come: whoever sends next begins anew. */
            if (Stream->End - Stream->Start >= sizeof(*Header)) {
                *Payload = Stream->Buffer + Stream->Start + sizeof(*Header);
                Stream->Start += sizeof(*Header);
                return FrameBadPayload;
            }
            Stream->Start = Stream->End = 0;
            break;
        }
    }
}

BOOL StreamWrite(STREAM *Stream, const void *Data, UINT32 Size)
{
    const UINT8 *At = Data;
    UINT64 GiveUp = GetTickCount64() + PORT_WRITE_MS;
    BOOL Ok = TRUE;
    EnterCriticalSection(&Stream->WriteLock);
    while (Size != 0 && Ok) {
        DWORD Written;
        DWORD Chunk = Stream->Port != NULL && Size > PORT_CHUNK ? PORT_CHUNK : Size;
        BOOL Done = !Stream->Nobody && StreamWriteHandle(Stream, At, Chunk, &Written);
        if (Done && Written != 0) {
            At += Written;
            Size -= Written;
            GiveUp = GetTickCount64() + PORT_WRITE_MS;
        } else {
            Ok = Stream->Port != NULL && PortRetryWrite(Stream, GiveUp);
        }
    }
    LeaveCriticalSection(&Stream->WriteLock);
    return Ok;
}
