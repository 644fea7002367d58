#include "request.h"

#include "operations.h"

static REQUEST_HANDLER *RequestFindHandler(UINT16 Op)
{
    switch (Op) {
    case HsAgentOpHello: return HelloRun;
    case HsAgentOpPing: return ClockPing;
    case HsAgentOpClock: return ClockSample;
    case HsAgentOpJournal: return HelloJournal;
    case HsAgentOpQuit: return HelloQuit;
    case HsAgentOpRelease: return HelloRelease;
    case HsAgentOpIdentify: return HelloIdentify;
    case HsAgentOpFileWrite: return FileWrite;
    case HsAgentOpFileCommit: return FileCommit;
    case HsAgentOpFileDiscard: return FileDiscard;
    case HsAgentOpFileRead: return FileRead;
    case HsAgentOpFileHash: return FileHash;
    case HsAgentOpFileStat: return FileStat;
    case HsAgentOpFileRemove: return FileRemove;
    case HsAgentOpFileCopy: return FileCopy;
    case HsAgentOpServiceCreate: return ServiceCreate;
    case HsAgentOpServiceStart: return ServiceStart;
    case HsAgentOpServiceStop: return ServiceStop;
    case HsAgentOpServiceDelete: return ServiceDelete;
    case HsAgentOpServiceQuery: return ServiceQuery;
    case HsAgentOpOpen: return DeviceOpen;
    case HsAgentOpClose: return DeviceClose;
    case HsAgentOpIoctl: return DeviceIoctl;
    case HsAgentOpIoctlCancel: return DeviceIoctlCancel;
    case HsAgentOpIoctlBatch: return DeviceIoctlBatch;
    case HsAgentOpScript: return DeviceScript;
    case HsAgentOpTraceStart: return TraceStart;
    case HsAgentOpTraceStatus: return TraceStatus;
    case HsAgentOpTraceStop: return TraceStop;
    case HsAgentOpProcesses: return ProcessList;
    case HsAgentOpModules: return ModuleList;
    case HsAgentOpObjects: return ObjectList;
    case HsAgentOpRun: return ProgramRun;
    default: return NULL;
    }
}

/* Runs in the reader's thread whatever the flags say: it starts its I/O in order and waits in a thread by itself. */
static BOOL RequestDefersItself(UINT16 Op)
{
    return Op == HsAgentOpIoctl;
}

REQUEST_RESULT RequestFail(REQUEST *Request, const char *Api, UINT32 Win32Error)
{
    return RequestFailDetail(Request, Api, Win32Error, "");
}

REQUEST_RESULT RequestFailDetail(REQUEST *Request, const char *Api, UINT32 Win32Error, const char *Detail)
{
    Request->ErrorDomain = HsAgentDomainWin32;
    Request->ErrorCode = Win32Error;
    Request->ErrorApi = Api;
    Request->ErrorDetail = Detail;
    return RequestFailed;
}

REQUEST_RESULT RequestFailNt(REQUEST *Request, const char *Api, UINT32 NtStatus)
{
    RequestFail(Request, Api, NtStatus);
    Request->ErrorDomain = HsAgentDomainNtStatus;
    Request->ErrorNtStatus = NtStatus;
    return RequestFailed;
}

REQUEST_RESULT RequestFailProtocol(REQUEST *Request, HSAGENT_PROTOCOL_ERROR Error, const char *Detail)
{
    RequestFailDetail(Request, "", (UINT32)Error, Detail);
    Request->ErrorDomain = HsAgentDomainProtocol;
    return RequestFailed;
}

static void RequestWriteError(REQUEST *Request)
{
    WriteReset(&Request->Out);
    WriteU32(&Request->Out, Request->ErrorDomain);
    WriteU32(&Request->Out, Request->ErrorCode);
    WriteU32(&Request->Out, Request->ErrorNtStatus);
    WriteAscii(&Request->Out, Request->ErrorApi);
    WriteAscii(&Request->Out, Request->ErrorDetail != NULL ? Request->ErrorDetail : "");
}

/* Write the answer to whoever asked last, and keep it. */
static void RequestAnswer(REQUEST *Request)
{
    MESSAGE_WRITER *Out = &Request->Out;
    STREAM *Stream = Request->Stream;
    StreamKeep(Stream);
    while (Stream != NULL) {
        STREAM *Told = Stream;
        StreamWrite(Told, Out->Data, Out->Used);
        Stream = JournalEnd(&Request->Agent->Journal, Request->Nonce, Request->Id, Told, Out->Data, Out->Used);
        StreamRelease(Told);
    }
}

void RequestComplete(REQUEST *Request, REQUEST_RESULT Result)
{
    MESSAGE_WRITER *Out = &Request->Out;
    if (Result == RequestDone && Out->Failed) {
        Result = RequestFailProtocol(Request, HsAgentProtocolTooLarge, "the reply does not fit into one frame");
    }
    if (Result == RequestFailed) {
        RequestWriteError(Request);
    }
    if (!Out->Failed) {
        HSAGENT_FRAME_HEADER *Header = (HSAGENT_FRAME_HEADER *)Out->Data;
        Header->Nonce = Request->Nonce;
        Header->Id = Request->Id;
        Header->Op = Request->Op;
        Header->Flags = (UINT16)(HSAGENT_FLAG_REPLY | (Result == RequestFailed ? HSAGENT_FLAG_ERROR : 0));
        FrameSeal(Header, Out->Used - HSAGENT_FRAME_HEADER_SIZE);
    }
    if (Request->Journaled && !Out->Failed) {
        RequestAnswer(Request);
    } else {
        if (!Out->Failed) {
            StreamWrite(Request->Stream, Out->Data, Out->Used);
        }
        MemoryFree(Out->Data);
    }
    ArenaFree(&Request->Arena);
    StreamRelease(Request->Stream);
    MemoryFree(Request);
}

static REQUEST *RequestCreate(AGENT *Agent, STREAM *Stream, const HSAGENT_FRAME_HEADER *Header)
{
    REQUEST *Request = MemoryAllocate(sizeof(*Request));
    if (Request != NULL) {
        Request->Agent = Agent;
        Request->Stream = Stream;
        StreamKeep(Stream);
        Request->Nonce = Header->Nonce;
        Request->Id = Header->Id;
        Request->Op = Header->Op;
        Request->Flags = Header->Flags;
        Request->ErrorApi = "";
        Request->In.Arena = &Request->Arena;
        WriteReset(&Request->Out);
    }
    return Request;
}

static void RequestRun(REQUEST *Request)
{
    REQUEST_HANDLER *Handler = RequestFindHandler(Request->Op);
    REQUEST_RESULT Result = Handler != NULL ? Handler(Request)
                                            : RequestFailProtocol(Request, HsAgentProtocolUnknownOp, "");
    if (Result != RequestDeferred) {
        RequestComplete(Request, Result);
    }
}

static DWORD WINAPI RequestThread(void *Context)
{
    RequestRun(Context);
    return 0;
}

BOOL RequestSpawn(LPTHREAD_START_ROUTINE Routine, void *Context)
{
    HANDLE Thread = CreateThread(NULL, 256 * 1024, Routine, Context, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (Thread == NULL) {
        return FALSE;
    }
    CloseHandle(Thread);
    return TRUE;
}

void RequestRefuse(AGENT *Agent, STREAM *Stream, const HSAGENT_FRAME_HEADER *Header, HSAGENT_PROTOCOL_ERROR Error)
{
    REQUEST *Request = RequestCreate(Agent, Stream, Header);
    if (Request != NULL) {
        RequestComplete(Request, RequestFailProtocol(Request, Error, ""));
    }
}

static void RequestReplay(STREAM *Stream, UINT8 *Frame, UINT32 Size)
{
    HSAGENT_FRAME_HEADER *Header = (HSAGENT_FRAME_HEADER *)Frame;
    Header->Flags |= HSAGENT_FLAG_REPLAYED;
    FrameSeal(Header, Size - HSAGENT_FRAME_HEADER_SIZE);
    StreamWrite(Stream, Frame, Size);
    MemoryFree(Frame);
}

void RequestReceive(AGENT *Agent, STREAM *Stream, const HSAGENT_FRAME_HEADER *Header, const UINT8 *Payload)
{
    REQUEST *Request;
    UINT8 *Copy;
    UINT8 *Frame;
    UINT32 Size;
    BOOL Busy;
    if (Header->Flags & HSAGENT_FLAG_REPLY) {
        return; /* an echo */
    }
    switch (JournalBegin(&Agent->Journal, Header->Nonce, Header->Id, Stream, &Frame, &Size, &Busy)) {
    case HsAgentJournalDone: RequestReplay(Stream, Frame, Size); return;
    case HsAgentJournalRunning: return;
    case HsAgentJournalGone: RequestRefuse(Agent, Stream, Header, HsAgentProtocolAnswerGone); return;
    case HsAgentJournalUnknown: break;
    }
    if (Busy) {
        RequestRefuse(Agent, Stream, Header, HsAgentProtocolBusy);
        return;
    }
    Request = RequestCreate(Agent, Stream, Header);
    if (Request == NULL) {
        return; /* no memory for as much as an answer: the client's deadline will tell */
    }
    Request->Journaled = TRUE;
    /* The payload outlives the stream's buffer, since the request may outlive this call. */
    Copy = ArenaAllocate(&Request->Arena, Header->Length);
    if (Copy == NULL) {
        RequestComplete(Request, RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY));
        return;
    }
    memcpy(Copy, Payload, Header->Length);
    Request->In.At = Copy;
    Request->In.End = Copy + Header->Length;
    if ((Header->Flags & HSAGENT_FLAG_ASYNC) != 0 && !RequestDefersItself(Header->Op)) {
        if (!RequestSpawn(RequestThread, Request)) {
            RequestComplete(Request, RequestFail(Request, "CreateThread", GetLastError()));
        }
        return;
    }
    RequestRun(Request);
}
