#include "trace.h"

#include "clock.h"
#include "operations.h"

#define TRACE_DRAIN_MS 5000       /* a drain IOCTL that takes longer has failed */
#define TRACE_LAST_DRAINS_MS 5000 /* at stop: a ring that does not run empty within this is left so */
#define TRACE_CHUNK_LEAST 65536
#define TRACE_CHUNK_MOST (16 * 1024 * 1024)
#define TRACE_INTERVAL_MOST 1000

LONG NTAPI RtlGetVersion(_Inout_ RTL_OSVERSIONINFOW *Version);

void TraceOpen(TRACE *Trace)
{
    InitializeCriticalSection(&Trace->Lock);
    InitializeCriticalSection(&Trace->StartStop);
}

static uint32_t TraceWriteAt(void *Context, uint64_t Offset, const void *Data, uint32_t Size)
{
    TRACE *Trace = Context;
    LARGE_INTEGER Position = {.QuadPart = (LONGLONG)Offset};
    DWORD Written = 0;
    if (!SetFilePointerEx(Trace->File, Position, NULL, FILE_BEGIN) ||
        !WriteFile(Trace->File, Data, Size, &Written, NULL)) {
        return GetLastError();
    }
    return Written == Size ? ETL_OK : ERROR_DISK_FULL;
}

/* Note an error of a session; the first one stays. Always FALSE. */
static BOOL TraceNoteError(TRACE *Trace, const char *Api, UINT32 Win32Error)
{
    EnterCriticalSection(&Trace->Lock);
    if (Trace->ErrorCode == 0) {
        Trace->ErrorDomain = HsAgentDomainWin32;
        Trace->ErrorCode = Win32Error;
        Trace->ErrorApi = Api;
    }
    LeaveCriticalSection(&Trace->Lock);
    return FALSE;
}

/* One drain IOCTL, its output in Chunk. */
static BOOL TraceDrain(TRACE *Trace, UINT32 *Bytes)
{
    IOCTL *Ioctl = Trace->Ioctl;
    if (!IoctlStart(Ioctl, Trace->Device, Trace->IoEvent, Trace->DrainCode, NULL, 0, Trace->Chunk,
                    Trace->ChunkBytes) &&
        !IoctlWait(Ioctl, TRACE_DRAIN_MS)) {
        IoctlCancel(Ioctl);
    }
    /* The driver is what is tested: it may say that it has written more than there is room for. */
    *Bytes = Ioctl->Result.Bytes < Trace->ChunkBytes ? Ioctl->Result.Bytes : Trace->ChunkBytes;
    if (Ioctl->Result.Error == ERROR_SUCCESS) {
        return TRUE;
    }
    TraceNoteError(Trace, "DeviceIoControl (drain)", Ioctl->Result.Error);
    if (Ioctl->Result.Abandoned) {
        Trace->Ioctl = NULL; /* leaked on purpose: the kernel may still write there */
        Trace->Chunk = NULL;
    }
    return FALSE;
}

static BOOL TraceFeed(TRACE *Trace, UINT32 Bytes)
{
    UINT32 Error;
    EnterCriticalSection(&Trace->Lock);
    Trace->Drains++;
    Error = EtlFeed(Trace->Writer, Trace->Chunk, Bytes, ClockTicks());
    LeaveCriticalSection(&Trace->Lock);
    return Error == ETL_OK ||
           TraceNoteError(Trace, Error == ETL_INVALID_DATA ? "trace ring chunk" : "WriteFile (etl)", Error);
}

static BOOL TraceFlush(TRACE *Trace)
{
    UINT32 Error;
    EnterCriticalSection(&Trace->Lock);
    Error = EtlFlush(Trace->Writer, ClockTicks());
    LeaveCriticalSection(&Trace->Lock);
    return Error == ETL_OK || TraceNoteError(Trace, "WriteFile (etl)", Error);
}

/* Finish the file with what is there and let go of the device. */
static void TraceFinish(TRACE *Trace)
{
    UINT32 Error;
    EnterCriticalSection(&Trace->Lock);
    Error = EtlClose(Trace->Writer, ClockTicks(), ClockSystemTime());
    if (Error != ETL_OK) {
        TraceNoteError(Trace, "WriteFile (etl)", Error);
    }
    Trace->Statistics = Trace->Writer->Statistics;
    MemoryFree(Trace->Writer);
    Trace->Writer = NULL;
    CloseHandle(Trace->File);
    CloseHandle(Trace->Device);
    MemoryFree(Trace->Chunk);
    Trace->Chunk = NULL;
    Trace->Running = FALSE;
    LeaveCriticalSection(&Trace->Lock);
}

static DWORD WINAPI TraceThread(void *Context)
{
    TRACE *Trace = Context;
    UINT64 LastFlush = GetTickCount64();
    UINT64 StopAt = 0;
    BOOL More = FALSE;
    SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_ABOVE_NORMAL);
    for (;;) {
        UINT32 Bytes;
        UINT64 Now;
        BOOL Stopping = WaitForSingleObject(Trace->StopEvent, More ? 0 : Trace->IntervalMs) == WAIT_OBJECT_0;
        if (!TraceDrain(Trace, &Bytes) || !TraceFeed(Trace, Bytes)) {
            break;
        }
        More = Trace->Writer->Statistics.Remaining != 0;
        Now = GetTickCount64();
        if (Stopping) {
            StopAt = StopAt != 0 ? StopAt : Now + TRACE_LAST_DRAINS_MS;
            if (!More || Now > StopAt) {
                break;
            }
        }
        if (Now - LastFlush >= Trace->FlushMs) {
            LastFlush = Now;
            if (!TraceFlush(Trace)) {
                break;
            }
        }
    }
    TraceFinish(Trace);
    return 0;
}

/* Never 0: with clock type QPC nobody needs it, but readers divide by it. */
static UINT32 TraceProcessorMegahertz(void)
{
    DWORD Megahertz = 0;
    DWORD Size = sizeof(Megahertz);
    RegGetValueW(HKEY_LOCAL_MACHINE, L"HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0", L"~MHz", RRF_RT_REG_DWORD,
                 NULL, &Megahertz, &Size);
    return Megahertz != 0 ? Megahertz : 1;
}

/* Write the header, so that no event of the first chunk lies before the session's start, and then those events. */
static BOOL TraceOpenWriter(TRACE *Trace, PCWSTR Name, UINT32 Bytes)
{
    ETL_SINK Sink = {.Context = Trace, .WriteAt = TraceWriteAt, .Allocate = MemoryAllocate, .Free = MemoryFree};
    RTL_OSVERSIONINFOW Version = {.dwOSVersionInfoSize = sizeof(Version)};
    TRACE_RING_CHUNK Head = {0};
    ETL_SESSION Session = {0};
    SYSTEM_INFO System;
    TIME_ZONE_INFORMATION Zone;
    UINT64 Now = ClockTicks();
    UINT64 Time = ClockSystemTime();
    UINT64 First = EtlFirstTick(Trace->Chunk, Bytes);
    UINT32 Error;
    if (Bytes < sizeof(Head)) {
        return TraceNoteError(Trace, "trace ring chunk", ERROR_INVALID_DATA);
    }
    memcpy(&Head, Trace->Chunk, sizeof(Head));
    RtlGetVersion(&Version);
    GetSystemInfo(&System);
    memset(&Zone, 0, sizeof(Zone));
    GetTimeZoneInformation(&Zone);
    memcpy(Session.TimeZone, &Zone, sizeof(Session.TimeZone));
    Session.Name = (const uint16_t *)Name;
    Session.FileName = (const uint16_t *)Trace->Path;
    Session.TickFrequency = Head.TickFrequency != 0 ? Head.TickFrequency : ClockFrequency();
    Session.StartTick = First != 0 && First < Now ? First : Now;
    Session.StartTime = Time - ((Now - Session.StartTick) / Session.TickFrequency * 10000000 +
                                (Now - Session.StartTick) % Session.TickFrequency * 10000000 / Session.TickFrequency);
    Session.BootTime = Time - GetTickCount64() * 10000;
    Session.Processors = System.dwNumberOfProcessors;
    Session.OsBuild = Version.dwBuildNumber;
    Session.CpuMegahertz = TraceProcessorMegahertz();
    Session.ProcessId = GetCurrentProcessId();
    Session.ThreadId = GetCurrentThreadId();
    Error = EtlOpen(Trace->Writer, &Sink, &Session);
    if (Error != ETL_OK) {
        return TraceNoteError(Trace, "WriteFile (etl)", Error);
    }
    return TraceFeed(Trace, Bytes);
}

/* Forget the last session, whose thread has ended. */
static void TraceReset(TRACE *Trace)
{
    if (Trace->Thread != NULL) {
        WaitForSingleObject(Trace->Thread, INFINITE);
        CloseHandle(Trace->Thread);
        Trace->Thread = NULL;
    }
    EnterCriticalSection(&Trace->Lock);
    memset(&Trace->Statistics, 0, sizeof(Trace->Statistics));
    Trace->Drains = 0;
    Trace->ErrorDomain = 0;
    Trace->ErrorCode = 0;
    Trace->ErrorApi = "";
    MemoryFree(Trace->Path);
    Trace->Path = NULL;
    LeaveCriticalSection(&Trace->Lock);
}

/* File, device, first drain, header, thread; each is undone when a later one fails. The error is noted. */
static BOOL TraceBegin(TRACE *Trace, PCWSTR Link, PCWSTR Name)
{
    UINT32 Bytes;
    if (Trace->StopEvent == NULL) {
        Trace->StopEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
        Trace->IoEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    }
    ResetEvent(Trace->StopEvent);
    if (Trace->Ioctl == NULL) {
        Trace->Ioctl = MemoryAllocate(sizeof(*Trace->Ioctl));
    }
    Trace->Chunk = MemoryAllocate(Trace->ChunkBytes);
    Trace->Writer = MemoryAllocate(sizeof(*Trace->Writer));
    if (Trace->StopEvent == NULL || Trace->IoEvent == NULL || Trace->Ioctl == NULL || Trace->Chunk == NULL ||
        Trace->Writer == NULL) {
        TraceNoteError(Trace, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
        goto NoMemory;
    }
    Trace->Device = CreateFileW(Link, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    if (Trace->Device == INVALID_HANDLE_VALUE) {
        TraceNoteError(Trace, "CreateFileW (device)", GetLastError());
        goto NoMemory;
    }
    /* Before the first drain: what is drained and cannot be written is lost. */
    Trace->File = CreateFileW(Trace->Path, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, CREATE_ALWAYS,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    if (Trace->File == INVALID_HANDLE_VALUE) {
        TraceNoteError(Trace, "CreateFileW (etl)", GetLastError());
        goto NoFile;
    }
    if (!TraceDrain(Trace, &Bytes) || !TraceOpenWriter(Trace, Name, Bytes)) {
        goto NoWriter;
    }
    Trace->Running = TRUE;
    Trace->Thread = CreateThread(NULL, 256 * 1024, TraceThread, Trace, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (Trace->Thread != NULL) {
        return TRUE;
    }
    Trace->Running = FALSE;
    TraceNoteError(Trace, "CreateThread", GetLastError());
NoWriter:
    if (Trace->Writer->Header != NULL) {
        TraceNoteError(Trace, "WriteFile (etl)", EtlClose(Trace->Writer, 0, 0));
    }
    CloseHandle(Trace->File);
    DeleteFileW(Trace->Path);
NoFile:
    CloseHandle(Trace->Device);
NoMemory:
    MemoryFree(Trace->Writer);
    MemoryFree(Trace->Chunk);
    Trace->Writer = NULL;
    Trace->Chunk = NULL;
    return FALSE;
}

static void TraceWriteState(TRACE *Trace, MESSAGE_WRITER *Out)
{
    const ETL_STATISTICS *Statistics;
    EnterCriticalSection(&Trace->Lock);
    Statistics = Trace->Writer != NULL ? &Trace->Writer->Statistics : &Trace->Statistics;
    WriteU32(Out, Trace->Running ? 1 : 0);
    WriteU64(Out, Statistics->Events);
    WriteU64(Out, Statistics->EventsDropped);
    WriteU64(Out, Statistics->Rejected);
    WriteU64(Out, Statistics->OutOfOrder);
    WriteU64(Out, Statistics->Buffers);
    WriteU64(Out, Statistics->FileBytes);
    WriteU64(Out, Trace->Drains);
    WriteU64(Out, Statistics->EventsWritten);
    WriteU64(Out, Statistics->TickFrequency);
    WriteU32(Out, Statistics->Remaining);
    WriteU32(Out, Trace->ErrorDomain);
    WriteU32(Out, Trace->ErrorCode);
    WriteAscii(Out, Trace->ErrorApi != NULL ? Trace->ErrorApi : "");
    WriteText(Out, Trace->Path != NULL ? Trace->Path : L"");
    LeaveCriticalSection(&Trace->Lock);
}

static UINT32 TraceLimit(UINT32 Value, UINT32 Least, UINT32 Most)
{
    return Value < Least ? Least : Value > Most ? Most : Value;
}

static REQUEST_RESULT TraceStartLocked(REQUEST *Request, PCWSTR Link, PCWSTR Path, PCWSTR Name, UINT32 DrainCode,
                                       UINT32 IntervalMs, UINT32 ChunkBytes, UINT32 FlushMs)
{
    TRACE *Trace = &Request->Agent->Trace;
    SIZE_T PathBytes = ((SIZE_T)lstrlenW(Path) + 1) * sizeof(WCHAR);
    if (Trace->Running) {
        return RequestFailDetail(Request, "trace", ERROR_ALREADY_EXISTS, "a session is running: stop it first");
    }
    TraceReset(Trace);
    Trace->Path = MemoryAllocate(PathBytes);
    if (Trace->Path == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    memcpy(Trace->Path, Path, PathBytes);
    Trace->Owner = Request->Nonce;
    Trace->DrainCode = DrainCode;
    Trace->IntervalMs = TraceLimit(IntervalMs, 1, TRACE_INTERVAL_MOST);
    Trace->ChunkBytes = TraceLimit(ChunkBytes, TRACE_CHUNK_LEAST, TRACE_CHUNK_MOST);
    Trace->FlushMs = TraceLimit(FlushMs, 1, TRACE_INTERVAL_MOST);
    if (!TraceBegin(Trace, Link, Name)) {
        return RequestFail(Request, Trace->ErrorApi, Trace->ErrorCode);
    }
    TraceWriteState(Trace, &Request->Out);
    return RequestDone;
}

REQUEST_RESULT TraceStart(REQUEST *Request)
{
    TRACE *Trace = &Request->Agent->Trace;
    PCWSTR Link = ReadText(&Request->In);
    UINT32 DrainCode = ReadU32(&Request->In);
    PCWSTR Path = ReadText(&Request->In);
    PCWSTR Name = ReadText(&Request->In);
    UINT32 IntervalMs = ReadU32(&Request->In);
    UINT32 ChunkBytes = ReadU32(&Request->In);
    UINT32 FlushMs = ReadU32(&Request->In);
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    EnterCriticalSection(&Trace->StartStop);
    Result = TraceStartLocked(Request, Link, Path, Name, DrainCode, IntervalMs, ChunkBytes, FlushMs);
    LeaveCriticalSection(&Trace->StartStop);
    return Result;
}

REQUEST_RESULT TraceStatus(REQUEST *Request)
{
    OPERATION_ARGUMENTS_READ(Request);
    TraceWriteState(&Request->Agent->Trace, &Request->Out);
    return RequestDone;
}

void TraceClose(TRACE *Trace)
{
    EnterCriticalSection(&Trace->StartStop);
    if (Trace->Thread != NULL) {
        SetEvent(Trace->StopEvent);
        WaitForSingleObject(Trace->Thread, INFINITE); /* every wait in there has a limit */
        CloseHandle(Trace->Thread);
        Trace->Thread = NULL;
    }
    LeaveCriticalSection(&Trace->StartStop);
}

void TraceRelease(TRACE *Trace, UINT64 Owner)
{
    if (Trace->Owner == Owner) {
        TraceClose(Trace);
    }
}

REQUEST_RESULT TraceStop(REQUEST *Request)
{
    TRACE *Trace = &Request->Agent->Trace;
    OPERATION_ARGUMENTS_READ(Request);
    if (Trace->Path == NULL) {
        return RequestFailDetail(Request, "trace", ERROR_NOT_FOUND, "no session was started");
    }
    TraceClose(Trace);
    TraceWriteState(Trace, &Request->Out);
    return RequestDone;
}
