/* IOCTLs by a script: many, on several handles, some in flight at once, cancelled, or left when their handle is closed. */
#include "devices.h"
#include "operations.h"

#include <winternl.h>

#define SCRIPT_HANDLES 16
#define SCRIPT_SLOTS 64
#define SCRIPT_OUT_LIMIT (128u * 1024)
#define SCRIPT_CANCEL_MS 5000 /* a driver that takes longer to give up a cancelled request has hung */
#define SCRIPT_PATTERN 0xA5   /* an output buffer before the request */
#define SCRIPT_SHARE (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define SCRIPT_PENDING ((NTSTATUS)0x00000103)

NTSTATUS NTAPI NtCancelIoFileEx(HANDLE Handle, _In_opt_ PIO_STATUS_BLOCK Request, _Out_ PIO_STATUS_BLOCK Done);
NTSTATUS NTAPI NtReadFile(HANDLE Handle, HANDLE Event, PIO_APC_ROUTINE Apc, PVOID Context, PIO_STATUS_BLOCK Done, PVOID Buffer, ULONG Size,
                          PLARGE_INTEGER Offset, PULONG Key);
NTSTATUS NTAPI NtWriteFile(HANDLE Handle, HANDLE Event, PIO_APC_ROUTINE Apc, PVOID Context, PIO_STATUS_BLOCK Done, PVOID Buffer, ULONG Size,
                           PLARGE_INTEGER Offset, PULONG Key);
LONG NTAPI RtlGetLastNtStatus(void);

typedef struct _SCRIPT_RESULT {
    UINT32 Flags; /* HSAGENT_SCRIPT_... */
    UINT32 NtStatus;
    UINT32 Bytes; /* what the driver said */
    UINT32 Kept;
    UINT8 *Output; /* in the arena */
} SCRIPT_RESULT;

/* A request under way. */
typedef struct _SCRIPT_SLOT {
    IO_STATUS_BLOCK Done;
    HANDLE Event;
    HANDLE Handle;
    SCRIPT_RESULT *Result; /* NULL: free */
    UINT32 OutSize;
    UINT8 *Output;
} SCRIPT_SLOT;

typedef struct _SCRIPT {
    REQUEST *Request;
    PCWSTR Link;
    UINT32 TimeLimit;
    UINT32 Keep;
    BOOL Hung; /* a request will not end: its memory is not ours any more */
    HANDLE Handles[SCRIPT_HANDLES];
    SCRIPT_SLOT Slots[SCRIPT_SLOTS];
} SCRIPT;

typedef struct _SCRIPT_ITEM {
    UINT32 Action;
    UINT32 Slot;
    UINT32 Handle;
    UINT32 Code; /* access, of an open */
    UINT32 OutSize;
    UINT32 InSize;
    const UINT8 *In;
} SCRIPT_ITEM;

static void ScriptFinish(SCRIPT *Script, SCRIPT_SLOT *Slot)
{
    SCRIPT_RESULT *Result = Slot->Result;
    UINT32 Written = Slot->Done.Information < Slot->OutSize ? (UINT32)Slot->Done.Information : Slot->OutSize;
    UINT32 Kept = Written < Script->Keep ? Written : Script->Keep;
    Slot->Result = NULL;
    Result->Flags |= HSAGENT_SCRIPT_DONE;
    Result->NtStatus = (UINT32)Slot->Done.Status;
    Result->Bytes = (UINT32)Slot->Done.Information;
    for (UINT32 i = Written; i < Slot->OutSize; i++) {
        if (Slot->Output[i] != SCRIPT_PATTERN) {
            Result->Flags |= HSAGENT_SCRIPT_OVERRUN;
            break;
        }
    }
    if (Kept != 0 && (Result->Output = ArenaAllocate(&Script->Request->Arena, Kept)) != NULL) {
        memcpy(Result->Output, Slot->Output, Kept);
        Result->Kept = Kept;
    }
}

static void ScriptWait(SCRIPT *Script, SCRIPT_SLOT *Slot)
{
    IO_STATUS_BLOCK Ignored;
    if (Slot->Result == NULL) {
        return;
    }
    if (WaitForSingleObject(Slot->Event, Script->TimeLimit) != WAIT_OBJECT_0) {
        Slot->Result->Flags |= HSAGENT_SCRIPT_TIMED_OUT;
        NtCancelIoFileEx(Slot->Handle, &Slot->Done, &Ignored);
        if (WaitForSingleObject(Slot->Event, SCRIPT_CANCEL_MS) != WAIT_OBJECT_0) {
            Slot->Result->Flags |= HSAGENT_SCRIPT_HUNG;
            Slot->Result = NULL;
            Script->Hung = TRUE;
            return;
        }
    }
    ScriptFinish(Script, Slot);
}

/* FALSE: no memory. */
static BOOL ScriptBegin(SCRIPT *Script, SCRIPT_SLOT *Slot, const SCRIPT_ITEM *Item, SCRIPT_RESULT *Result)
{
    void *In = (void *)(ULONG_PTR)Item->In;
    NTSTATUS Status;
    ScriptWait(Script, Slot);
    if (Script->Hung) {
        return TRUE;
    }
    if (Slot->Event == NULL) {
        Slot->Event = CreateEventW(NULL, TRUE, FALSE, NULL);
        Slot->Output = ArenaAllocate(&Script->Request->Arena, SCRIPT_OUT_LIMIT);
        if (Slot->Event == NULL || Slot->Output == NULL) {
            return FALSE;
        }
    }
    memset(Slot->Output, SCRIPT_PATTERN, Item->OutSize);
    Slot->Handle = Script->Handles[Item->Handle % SCRIPT_HANDLES];
    Slot->OutSize = Item->OutSize;
    Slot->Result = Result;
    Slot->Done.Status = SCRIPT_PENDING;
    Slot->Done.Information = 0;
    ResetEvent(Slot->Event);
    if (Item->Action == HsAgentScriptRead) {
        LARGE_INTEGER Offset = {0};
        Status = NtReadFile(Slot->Handle, Slot->Event, NULL, NULL, &Slot->Done, Slot->Output, Item->OutSize, &Offset, NULL);
    } else if (Item->Action == HsAgentScriptWrite) {
        LARGE_INTEGER Offset = {0};
        Status = NtWriteFile(Slot->Handle, Slot->Event, NULL, NULL, &Slot->Done, In, Item->InSize, &Offset, NULL);
    } else {
        Status = NtDeviceIoControlFile(Slot->Handle, Slot->Event, NULL, NULL, &Slot->Done, Item->Code, In, Item->InSize, Slot->Output,
                                       Item->OutSize);
    }
    if (Status == SCRIPT_PENDING) {
        return TRUE;
    }
    if (Status < 0) { /* at once: neither event nor status block need to have been written */
        Slot->Done.Status = Status;
        Slot->Done.Information = 0;
    }
    ScriptFinish(Script, Slot);
    return TRUE;
}

static void ScriptOpen(SCRIPT *Script, const SCRIPT_ITEM *Item, SCRIPT_RESULT *Result)
{
    HANDLE *Handle = &Script->Handles[Item->Handle % SCRIPT_HANDLES];
    HANDLE Opened = CreateFileW(Script->Link, Item->Code, SCRIPT_SHARE, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    Result->Flags = HSAGENT_SCRIPT_DONE;
    if (Opened == INVALID_HANDLE_VALUE) {
        Result->NtStatus = (UINT32)RtlGetLastNtStatus();
        return;
    }
    if (*Handle != NULL) {
        CloseHandle(*Handle);
    }
    *Handle = Opened;
}

static void ScriptCancel(SCRIPT *Script, SCRIPT_SLOT *Slot, SCRIPT_RESULT *Result)
{
    IO_STATUS_BLOCK Ignored;
    Result->Flags = HSAGENT_SCRIPT_DONE;
    if (Slot->Result != NULL) {
        Result->NtStatus = (UINT32)NtCancelIoFileEx(Slot->Handle, &Slot->Done, &Ignored);
    }
    UNREFERENCED_PARAMETER(Script);
}

static BOOL ScriptRunItem(SCRIPT *Script, const SCRIPT_ITEM *Item, SCRIPT_RESULT *Result)
{
    SCRIPT_SLOT *Slot = &Script->Slots[Item->Slot % SCRIPT_SLOTS];
    HANDLE *Handle = &Script->Handles[Item->Handle % SCRIPT_HANDLES];
    Result->Flags = HSAGENT_SCRIPT_DONE;
    switch (Item->Action) {
    case HsAgentScriptCall:
    case HsAgentScriptBegin:
    case HsAgentScriptRead:
    case HsAgentScriptWrite:
        Result->Flags = 0;
        if (!ScriptBegin(Script, Slot, Item, Result)) {
            return FALSE;
        }
        if (Item->Action == HsAgentScriptCall) {
            ScriptWait(Script, Slot);
        }
        break;
    case HsAgentScriptWait: ScriptWait(Script, Slot); break;
    case HsAgentScriptCancel: ScriptCancel(Script, Slot, Result); break;
    case HsAgentScriptOpen: ScriptOpen(Script, Item, Result); break;
    case HsAgentScriptClose:
        if (*Handle != NULL) {
            CloseHandle(*Handle);
            *Handle = NULL;
        }
        break;
    default: Script->Request->In.Failed = TRUE; break;
    }
    return TRUE;
}

static void ScriptEnd(SCRIPT *Script)
{
    for (UINT32 i = 0; i < SCRIPT_SLOTS && !Script->Hung; i++) {
        ScriptWait(Script, &Script->Slots[i]);
    }
    if (Script->Hung) {
        Script->Request->Arena.Blocks = NULL; /* leaked on purpose: the kernel may still write there */
    }
    for (UINT32 i = 0; i < SCRIPT_HANDLES; i++) {
        if (Script->Handles[i] != NULL) {
            CloseHandle(Script->Handles[i]);
        }
    }
    for (UINT32 i = 0; i < SCRIPT_SLOTS; i++) {
        if (Script->Slots[i].Event != NULL && !Script->Hung) {
            CloseHandle(Script->Slots[i].Event);
        }
    }
}

static void ScriptReadItem(MESSAGE_READER *In, SCRIPT_ITEM *Item)
{
    Item->Action = ReadU32(In);
    Item->Slot = ReadU32(In);
    Item->Handle = ReadU32(In);
    Item->Code = ReadU32(In);
    Item->OutSize = ReadU32(In);
    Item->In = ReadBytes(In, &Item->InSize);
    if (Item->OutSize > SCRIPT_OUT_LIMIT) {
        In->Failed = TRUE;
    }
}

REQUEST_RESULT DeviceScript(REQUEST *Request)
{
    SCRIPT *Script = ArenaAllocate(&Request->Arena, sizeof(*Script));
    UINT32 Count;
    UINT32 Done = 0;
    SCRIPT_RESULT *Results;
    BOOL GoOn = TRUE;
    if (Script == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    Script->Request = Request;
    Script->Link = ReadText(&Request->In);
    Script->TimeLimit = ReadU32(&Request->In);
    Script->Keep = ReadU32(&Request->In);
    Count = ReadU32(&Request->In);
    if (Request->In.Failed || Count > HSAGENT_FRAME_LIMIT / 24) {
        return RequestFailProtocol(Request, HsAgentProtocolMalformed, "");
    }
    Results = ArenaAllocate(&Request->Arena, Count * sizeof(*Results));
    if (Results == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    while (Done < Count && GoOn && !Script->Hung) {
        SCRIPT_ITEM Item;
        ScriptReadItem(&Request->In, &Item);
        GoOn = !Request->In.Failed && ScriptRunItem(Script, &Item, &Results[Done]) && !Request->In.Failed;
        Done += GoOn ? 1 : 0;
    }
    ScriptEnd(Script);
    if (Request->In.Failed) {
        return RequestFailProtocol(Request, HsAgentProtocolMalformed, "");
    }
    if (!GoOn) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    WriteU32(&Request->Out, Done);
    for (UINT32 i = 0; i < Done; i++) {
        WriteU32(&Request->Out, Results[i].Flags);
        WriteU32(&Request->Out, Results[i].NtStatus);
        WriteU32(&Request->Out, Results[i].Bytes);
        WriteBytes(&Request->Out, Results[i].Output, Results[i].Kept);
    }
    return RequestDone;
}
