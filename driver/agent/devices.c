#include "devices.h"

#include "operations.h"

/* So long the reader's thread waits for an IOCTL; then a thread of its own does. */
#define DEVICE_INLINE_MS 5

void DevicesOpen(DEVICES *Devices)
{
    InitializeCriticalSection(&Devices->Lock);
}

/* With the lock held. */
static void DeviceDrop(DEVICE *Device)
{
    if (--Device->References == 0) {
        CloseHandle(Device->Handle);
        memset(Device, 0, sizeof(*Device));
    }
}

static void DevicesCloseSome(DEVICES *Devices, BOOL All, UINT64 Owner)
{
    EnterCriticalSection(&Devices->Lock);
    for (UINT32 i = 0; i < DEVICES_LIMIT; i++) {
        DEVICE *Device = &Devices->Devices[i];
        if (Device->Id != 0 && !Device->Closed && (All || Device->Owner == Owner)) {
            Device->Closed = TRUE;
            CancelIoEx(Device->Handle, NULL);
            DeviceDrop(Device);
        }
    }
    LeaveCriticalSection(&Devices->Lock);
}

void DevicesClose(DEVICES *Devices)
{
    DevicesCloseSome(Devices, TRUE, 0);
}

void DevicesRelease(DEVICES *Devices, UINT64 Owner)
{
    DevicesCloseSome(Devices, FALSE, Owner);
}

static DEVICE *DeviceAcquire(DEVICES *Devices, UINT64 Id)
{
    DEVICE *Found = NULL;
    EnterCriticalSection(&Devices->Lock);
    for (UINT32 i = 0; i < DEVICES_LIMIT && Id != 0; i++) {
        DEVICE *Device = &Devices->Devices[i];
        if (Device->Id == Id && !Device->Closed) {
            Device->References++;
            Found = Device;
        }
    }
    LeaveCriticalSection(&Devices->Lock);
    return Found;
}

/* An event for one IOCTL. The last one used is kept: making one costs as much as the IOCTL itself. */
static HANDLE DeviceTakeEvent(DEVICES *Devices)
{
    HANDLE Event = InterlockedExchangePointer(&Devices->SpareEvent, NULL);
    return Event != NULL ? Event : CreateEventW(NULL, TRUE, FALSE, NULL);
}

static void DeviceReturnEvent(DEVICES *Devices, HANDLE Event)
{
    Event = InterlockedExchangePointer(&Devices->SpareEvent, Event);
    if (Event != NULL) {
        CloseHandle(Event);
    }
}

static void DeviceRelease(DEVICES *Devices, DEVICE *Device)
{
    EnterCriticalSection(&Devices->Lock);
    DeviceDrop(Device);
    LeaveCriticalSection(&Devices->Lock);
}

REQUEST_RESULT DeviceOpen(REQUEST *Request)
{
    DEVICES *Devices = &Request->Agent->Devices;
    DEVICE *Free = NULL;
    PCWSTR Link = ReadText(&Request->In);
    UINT32 Access = ReadU32(&Request->In);
    UINT32 Share = ReadU32(&Request->In);
    HANDLE Handle;
    OPERATION_ARGUMENTS_READ(Request);
    Handle = CreateFileW(Link, Access, Share, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    if (Handle == INVALID_HANDLE_VALUE) {
        return RequestFail(Request, "CreateFileW", GetLastError());
    }
    EnterCriticalSection(&Devices->Lock);
    for (UINT32 i = 0; i < DEVICES_LIMIT && Free == NULL; i++) {
        if (Devices->Devices[i].Id == 0) {
            Free = &Devices->Devices[i];
            Free->Id = ++Devices->LastId;
            Free->Owner = Request->Nonce;
            Free->Handle = Handle;
            Free->References = 1;
            WriteU64(&Request->Out, Free->Id);
        }
    }
    LeaveCriticalSection(&Devices->Lock);
    if (Free == NULL) {
        CloseHandle(Handle);
        return RequestFailDetail(Request, "open", ERROR_TOO_MANY_OPEN_FILES, "the agent keeps 64 devices open at most");
    }
    return RequestDone;
}

static REQUEST_RESULT DeviceUnknown(REQUEST *Request)
{
    return RequestFailDetail(Request, "handle", ERROR_INVALID_HANDLE, "not open, or closed already");
}

REQUEST_RESULT DeviceClose(REQUEST *Request)
{
    DEVICES *Devices = &Request->Agent->Devices;
    UINT64 Id = ReadU64(&Request->In);
    DEVICE *Device;
    OPERATION_ARGUMENTS_READ(Request);
    Device = DeviceAcquire(Devices, Id);
    if (Device == NULL) {
        return DeviceUnknown(Request);
    }
    EnterCriticalSection(&Devices->Lock);
    if (!Device->Closed) {
        Device->Closed = TRUE;
        CancelIoEx(Device->Handle, NULL);
        DeviceDrop(Device);
    }
    DeviceDrop(Device);
    LeaveCriticalSection(&Devices->Lock);
    return RequestDone;
}

/* An IOCTL request under way. Lives in the request's arena. */
typedef struct _DEVICE_CALL {
    REQUEST *Request;
    DEVICE *Device;
    DEVICE_IO *InFlight;
    UINT32 TimeLimit; /* ms; 0 = none */
    UINT32 OutSize;
    UINT32 ReplyAt; /* where in the reply the ticks and the output are */
    UINT8 *Output;
    IOCTL Ioctl;
} DEVICE_CALL;

static REQUEST_RESULT DeviceFail(REQUEST *Request, const IOCTL_RESULT *Result)
{
    const char *Detail = Result->Abandoned ? "the time limit ran out, and the driver did not give the IRP back"
                         : Result->TimedOut ? "the time limit ran out, and the IOCTL was cancelled"
                                            : "";
    RequestFailDetail(Request, "DeviceIoControl", Result->Error, Detail);
    Request->ErrorNtStatus = Result->NtStatus;
    return RequestFailed;
}

/* The IOCTL is done: write the reply and let go of everything but the request. */
static REQUEST_RESULT DeviceFinish(DEVICE_CALL *Call)
{
    REQUEST *Request = Call->Request;
    DEVICES *Devices = &Request->Agent->Devices;
    const IOCTL_RESULT *Result = &Call->Ioctl.Result;
    UINT32 Bytes = Result->Bytes < Call->OutSize ? Result->Bytes : Call->OutSize;
    EnterCriticalSection(&Devices->Lock);
    if (Call->InFlight != NULL) {
        memset(Call->InFlight, 0, sizeof(*Call->InFlight));
    }
    LeaveCriticalSection(&Devices->Lock);
    if (Result->Abandoned) {
        /* The kernel may still write to output, input and OVERLAPPED: leave them, and the device, where they are. */
        memset(&Request->Out, 0, sizeof(Request->Out));
        Request->Arena.Blocks = NULL;
        return DeviceFail(Request, Result);
    }
    DeviceReturnEvent(Devices, Call->Ioctl.Overlapped.hEvent);
    DeviceRelease(Devices, Call->Device);
    if (Result->Error != ERROR_SUCCESS) {
        return DeviceFail(Request, Result);
    }
    memcpy(Request->Out.Data + Call->ReplyAt, &Result->Begin, 8);
    memcpy(Request->Out.Data + Call->ReplyAt + 8, &Result->End, 8);
    WritePatchU32(&Request->Out, Call->ReplyAt + 16, Bytes);
    Request->Out.Used -= Call->OutSize - Bytes;
    return RequestDone;
}

static DWORD WINAPI DeviceWaitThread(void *Context)
{
    DEVICE_CALL *Call = Context;
    if (!IoctlWait(&Call->Ioctl, Call->TimeLimit != 0 ? Call->TimeLimit : INFINITE)) {
        IoctlCancel(&Call->Ioctl);
    }
    RequestComplete(Call->Request, DeviceFinish(Call));
    return 0;
}

static DEVICE_IO *DeviceNoteInFlight(DEVICE_CALL *Call)
{
    DEVICES *Devices = &Call->Request->Agent->Devices;
    DEVICE_IO *Found = NULL;
    EnterCriticalSection(&Devices->Lock);
    for (UINT32 i = 0; i < DEVICE_IO_LIMIT && Found == NULL; i++) {
        if (Devices->InFlight[i].RequestId == 0) {
            Found = &Devices->InFlight[i];
            Found->Nonce = Call->Request->Nonce;
            Found->RequestId = Call->Request->Id;
            Found->Handle = Call->Ioctl.Handle;
            Found->Overlapped = &Call->Ioctl.Overlapped;
        }
    }
    LeaveCriticalSection(&Devices->Lock);
    return Found;
}

REQUEST_RESULT DeviceIoctl(REQUEST *Request)
{
    UINT64 Id = ReadU64(&Request->In);
    UINT32 Code = ReadU32(&Request->In);
    UINT32 OutSize = ReadU32(&Request->In);
    UINT32 TimeLimit = ReadU32(&Request->In);
    UINT32 InSize;
    const UINT8 *In = ReadBytes(&Request->In, &InSize);
    HANDLE Event;
    DEVICE_CALL *Call;
    BOOL Done;
    OPERATION_ARGUMENTS_READ(Request);
    Call = ArenaAllocate(&Request->Arena, sizeof(*Call));
    if (Call == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    Call->Request = Request;
    Call->TimeLimit = TimeLimit;
    Call->OutSize = OutSize;
    Call->ReplyAt = Request->Out.Used;
    WriteU64(&Request->Out, 0);
    WriteU64(&Request->Out, 0);
    WriteU32(&Request->Out, 0);
    Call->Output = WriteRoom(&Request->Out, OutSize); /* the driver's output goes straight into the reply */
    if (Call->Output == NULL) {
        return RequestFailProtocol(Request, HsAgentProtocolTooLarge, "the output does not fit into one frame");
    }
    Call->Device = DeviceAcquire(&Request->Agent->Devices, Id);
    if (Call->Device == NULL) {
        return DeviceUnknown(Request);
    }
    Event = DeviceTakeEvent(&Request->Agent->Devices);
    if (Event == NULL) {
        DeviceRelease(&Request->Agent->Devices, Call->Device);
        return RequestFail(Request, "CreateEventW", GetLastError());
    }
    Done = IoctlStart(&Call->Ioctl, Call->Device->Handle, Event, Code, In, InSize, Call->Output, OutSize);
    if (!Done && (Request->Flags & HSAGENT_FLAG_ASYNC) == 0) {
        Done = IoctlWait(&Call->Ioctl, DEVICE_INLINE_MS);
    }
    if (Done) {
        return DeviceFinish(Call);
    }
    Call->InFlight = DeviceNoteInFlight(Call);
    if (Call->InFlight == NULL || !RequestSpawn(DeviceWaitThread, Call)) {
        IoctlCancel(&Call->Ioctl); /* too many at once: 256 */
        return DeviceFinish(Call);
    }
    return RequestDeferred;
}

REQUEST_RESULT DeviceIoctlCancel(REQUEST *Request)
{
    DEVICES *Devices = &Request->Agent->Devices;
    UINT64 Id = ReadU64(&Request->In);
    UINT32 Asked = 0;
    OPERATION_ARGUMENTS_READ(Request);
    EnterCriticalSection(&Devices->Lock);
    for (UINT32 i = 0; i < DEVICE_IO_LIMIT && Id != 0; i++) {
        DEVICE_IO *Io = &Devices->InFlight[i];
        if (Io->RequestId == Id && Io->Nonce == Request->Nonce && CancelIoEx(Io->Handle, Io->Overlapped)) {
            Asked = 1;
        }
    }
    LeaveCriticalSection(&Devices->Lock);
    WriteU32(&Request->Out, Asked);
    return RequestDone;
}

/* One IOCTL of a batch. FALSE when the batch must end, since its memory is not ours any more. */
static BOOL DeviceBatchOne(REQUEST *Request, HANDLE Handle, HANDLE Event, UINT32 TimeLimit, UINT32 *Error)
{
    MESSAGE_WRITER *Out = &Request->Out;
    UINT32 Code = ReadU32(&Request->In);
    UINT32 OutSize = ReadU32(&Request->In);
    UINT32 InSize;
    UINT32 Bytes;
    const UINT8 *In = ReadBytes(&Request->In, &InSize);
    UINT8 *Output = OutSize <= HSAGENT_FRAME_LIMIT ? ArenaAllocate(&Request->Arena, OutSize) : NULL;
    IOCTL *Ioctl = ArenaAllocate(&Request->Arena, sizeof(*Ioctl));
    *Error = ERROR_SUCCESS;
    if (Request->In.Failed || Output == NULL || Ioctl == NULL) {
        Request->In.Failed = TRUE;
        return FALSE;
    }
    if (!IoctlStart(Ioctl, Handle, Event, Code, In, InSize, Output, OutSize) &&
        !IoctlWait(Ioctl, TimeLimit != 0 ? TimeLimit : INFINITE)) {
        IoctlCancel(Ioctl);
    }
    *Error = Ioctl->Result.Error;
    Bytes = Ioctl->Result.Bytes < OutSize ? Ioctl->Result.Bytes : OutSize;
    WriteU32(Out, Ioctl->Result.Error);
    WriteU32(Out, Ioctl->Result.NtStatus);
    WriteU64(Out, Ioctl->Result.Begin);
    WriteU64(Out, Ioctl->Result.End);
    WriteBytes(Out, Output, Bytes);
    if (Ioctl->Result.Abandoned) {
        Request->Arena.Blocks = NULL; /* leaked on purpose: the kernel may still write there */
        return FALSE;
    }
    return TRUE;
}

REQUEST_RESULT DeviceIoctlBatch(REQUEST *Request)
{
    DEVICES *Devices = &Request->Agent->Devices;
    UINT64 Id = ReadU64(&Request->In);
    UINT32 Flags = ReadU32(&Request->In);
    UINT32 TimeLimit = ReadU32(&Request->In);
    UINT32 Count = ReadU32(&Request->In);
    UINT32 CountAt = Request->Out.Used;
    UINT32 Done = 0;
    UINT32 Error = ERROR_SUCCESS;
    BOOL GoOn = TRUE;
    DEVICE *Device;
    HANDLE Event;
    if (Request->In.Failed) {
        return RequestFailProtocol(Request, HsAgentProtocolMalformed, "");
    }
    Device = DeviceAcquire(Devices, Id);
    if (Device == NULL) {
        return DeviceUnknown(Request);
    }
    Event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (Event == NULL) {
        DeviceRelease(Devices, Device);
        return RequestFail(Request, "CreateEventW", GetLastError());
    }
    WriteU32(&Request->Out, 0);
    while (GoOn && Done < Count && !Request->Out.Failed) {
        GoOn = DeviceBatchOne(Request, Device->Handle, Event, TimeLimit, &Error);
        if (Request->In.Failed) {
            break;
        }
        Done++;
        GoOn = GoOn && (Error == ERROR_SUCCESS || (Flags & HSAGENT_BATCH_STOP_ON_ERROR) == 0);
    }
    WritePatchU32(&Request->Out, CountAt, Done);
    CloseHandle(Event);
    DeviceRelease(Devices, Device);
    return Request->In.Failed ? RequestFailProtocol(Request, HsAgentProtocolMalformed, "") : RequestDone;
}
