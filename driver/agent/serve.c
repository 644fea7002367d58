#include "serve.h"

#include "clock.h"
#include "memory.h"
#include "operations.h"
#include "port.h"

#define SERVE_BUFFER 65536
#define SERVE_LOOK_MS 1000

BOOLEAN NTAPI SystemFunction036(_Out_writes_bytes_(Size) void *Buffer, ULONG Size);

AGENT *ServeOpen(void)
{
    AGENT *Agent = MemoryAllocate(sizeof(*Agent));
    if (Agent != NULL) {
        JournalOpen(&Agent->Journal);
        DevicesOpen(&Agent->Devices);
        TraceOpen(&Agent->Trace);
        Agent->TickFrequency = ClockFrequency();
        SystemFunction036(Agent->SessionId, sizeof(Agent->SessionId));
    }
    return Agent;
}

void ServeClose(AGENT *Agent)
{
    TraceClose(&Agent->Trace); /* first: it needs its device, and its file must be complete */
    DevicesClose(&Agent->Devices);
}

void ServeStream(AGENT *Agent, STREAM *Stream)
{
    while (!Agent->Quit) {
        HSAGENT_FRAME_HEADER Header;
        const UINT8 *Payload;
        switch (StreamRead(Stream, &Header, &Payload)) {
        case FrameIncomplete: return;
        case FrameReady: RequestReceive(Agent, Stream, &Header, Payload); break;
        case FrameBadPayload: RequestRefuse(Agent, Stream, &Header, HsAgentProtocolBadPayload); break;
        case FrameTooLarge: RequestRefuse(Agent, Stream, &Header, HsAgentProtocolTooLarge); break;
        }
    }
    if (Agent->Ended != NULL) {
        SetEvent(Agent->Ended);
    }
}

/* What a thread that serves one stream needs. */
typedef struct _SERVE_CLIENT {
    AGENT *Agent;
    STREAM *Stream; /* of the pipe; NULL: Port is to be opened */
    PCWSTR Port;
} SERVE_CLIENT;

static DWORD WINAPI ServeThread(void *Context)
{
    SERVE_CLIENT *Client = Context;
    AGENT *Agent = Client->Agent;
    STREAM *Stream = Client->Port != NULL ? PortOpen(Client->Port, Agent->Ended) : Client->Stream;
    if (Stream != NULL) {
        ServeStream(Agent, Stream);
        StreamRelease(Stream);
    }
    if (Client->Port == NULL) {
        InterlockedDecrement(&Agent->Clients);
    }
    MemoryFree(Client);
    return 0;
}

/* Takes over the stream's reference. */
static BOOL ServeStart(AGENT *Agent, STREAM *Stream, PCWSTR Port)
{
    SERVE_CLIENT *Client = MemoryAllocate(sizeof(*Client));
    if (Client != NULL) {
        Client->Agent = Agent;
        Client->Stream = Stream;
        Client->Port = Port;
        if (RequestSpawn(ServeThread, Client)) {
            return TRUE;
        }
        MemoryFree(Client);
    }
    StreamRelease(Stream);
    return FALSE;
}

/* Only for who may administer this computer, and from nowhere else: that is what a pipe's default says. */
static HANDLE ServeCreatePipe(BOOL First)
{
    return CreateNamedPipeW(
        SERVE_PIPE, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | (First ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0),
        PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, PIPE_UNLIMITED_INSTANCES,
        SERVE_BUFFER, SERVE_BUFFER, 0, NULL);
}

/* Wait until a client has connected. FALSE when the agent ends, or the pipe does not work. */
static BOOL ServeConnect(HANDLE Pipe, OVERLAPPED *Overlapped, HANDLE Ended)
{
    HANDLE Handles[2] = {Overlapped->hEvent, Ended};
    DWORD Bytes;
    ResetEvent(Overlapped->hEvent);
    if (ConnectNamedPipe(Pipe, Overlapped) || GetLastError() == ERROR_PIPE_CONNECTED) {
        return TRUE;
    }
    if (GetLastError() != ERROR_IO_PENDING) {
        return FALSE;
    }
    if (WaitForMultipleObjects(2, Handles, FALSE, INFINITE) != WAIT_OBJECT_0) {
        CancelIoEx(Pipe, Overlapped);
        GetOverlappedResult(Pipe, Overlapped, &Bytes, TRUE);
        return FALSE;
    }
    return GetOverlappedResult(Pipe, Overlapped, &Bytes, FALSE);
}

typedef struct _SERVE_LISTENER {
    AGENT *Agent;
    HANDLE Pipe;
    OVERLAPPED Overlapped;
} SERVE_LISTENER;

static DWORD WINAPI ServeListen(void *Context)
{
    SERVE_LISTENER *Listener = Context;
    AGENT *Agent = Listener->Agent;
    while (Listener->Pipe != INVALID_HANDLE_VALUE && WaitForSingleObject(Agent->Ended, 0) == WAIT_TIMEOUT) {
        HANDLE Pipe = Listener->Pipe;
        STREAM *Stream = NULL;
        if (ServeConnect(Pipe, &Listener->Overlapped, Agent->Ended)) {
            Stream = StreamCreate(Pipe, Pipe, TRUE, Agent->Ended);
        }
        Listener->Pipe = ServeCreatePipe(FALSE);
        if (Stream == NULL) {
            CloseHandle(Pipe);
            continue;
        }
        InterlockedIncrement(&Agent->Clients);
        if (!ServeStart(Agent, Stream, NULL)) {
            InterlockedDecrement(&Agent->Clients);
        }
    }
    return 0;
}

/* Wait for the end; looks now and then whether anybody is there. */
static void ServeWait(AGENT *Agent, DWORD LingerMs)
{
    UINT64 LastSeen = GetTickCount64();
    while (WaitForSingleObject(Agent->Ended, LingerMs != 0 ? SERVE_LOOK_MS : INFINITE) == WAIT_TIMEOUT) {
        UINT64 Now = GetTickCount64();
        if (Agent->Clients != 0) {
            LastSeen = Now;
        } else if (Now - LastSeen >= LingerMs) {
            SetEvent(Agent->Ended);
        }
    }
}

DWORD ServeResident(PCWSTR Ports, HANDLE Ended, DWORD LingerMs)
{
    SERVE_LISTENER *Listener = MemoryAllocate(sizeof(*Listener));
    AGENT *Agent = ServeOpen();
    /* For the life of the process. Not the pipe's own first instance: Wine does not know of that. */
    HANDLE Mutex = CreateMutexW(NULL, FALSE, SERVE_MUTEX);
    if (Mutex == NULL || GetLastError() == ERROR_ALREADY_EXISTS) {
        return GetLastError();
    }
    if (Agent == NULL || Listener == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    Agent->Ended = Ended;
    Listener->Agent = Agent;
    Listener->Overlapped.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    Listener->Pipe = ServeCreatePipe(TRUE);
    if (Listener->Pipe == INVALID_HANDLE_VALUE || Listener->Overlapped.hEvent == NULL || !RequestSpawn(ServeListen, Listener)) {
        return GetLastError();
    }
    for (PCWSTR Port = Ports; *Port != 0; Port += lstrlenW(Port) + 1) {
        if (!ServeStart(Agent, NULL, Port)) {
            return GetLastError();
        }
    }
    ServeWait(Agent, LingerMs);
    ServeClose(Agent);
    return ERROR_SUCCESS;
}
