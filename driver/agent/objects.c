/* Directories of the object manager: which devices and links there are. */
#include "operations.h"

#include <winternl.h>

#define OBJECTS_ACCESS 0x0001 /* DIRECTORY_QUERY, SYMBOLIC_LINK_QUERY */
#define OBJECTS_BYTES 8192
#define OBJECTS_TARGET_BYTES 2048
#define OBJECTS_NO_MORE ((NTSTATUS)0x8000001A)
#define OBJECTS_LINK L"SymbolicLink"

typedef struct _OBJECTS_ENTRY { /* OBJECT_DIRECTORY_INFORMATION */
    UNICODE_STRING Name;
    UNICODE_STRING Type;
} OBJECTS_ENTRY;

NTSTATUS NTAPI NtOpenDirectoryObject(_Out_ PHANDLE Handle, ACCESS_MASK Access, _In_ POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtQueryDirectoryObject(HANDLE Handle, _Out_writes_bytes_(Bytes) PVOID Buffer, ULONG Bytes, BOOLEAN Single, BOOLEAN Restart,
                                      _Inout_ PULONG Context, _Out_opt_ PULONG Returned);
NTSTATUS NTAPI NtOpenSymbolicLinkObject(_Out_ PHANDLE Handle, ACCESS_MASK Access, _In_ POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtQuerySymbolicLinkObject(HANDLE Handle, _Inout_ PUNICODE_STRING Target, _Out_opt_ PULONG Returned);

/* Empty when it is no link any more. */
static PCWSTR ObjectsTarget(HANDLE Directory, PUNICODE_STRING Name, _Out_writes_bytes_(OBJECTS_TARGET_BYTES) WCHAR *Buffer)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Target;
    NTSTATUS Status;
    HANDLE Link;

    InitializeObjectAttributes(&Attributes, Name, OBJ_CASE_INSENSITIVE, Directory, NULL);
    if (NtOpenSymbolicLinkObject(&Link, OBJECTS_ACCESS, &Attributes) < 0) {
        return L"";
    }
    Target.Buffer = Buffer;
    Target.Length = 0;
    Target.MaximumLength = OBJECTS_TARGET_BYTES - sizeof(WCHAR);
    Status = NtQuerySymbolicLinkObject(Link, &Target, NULL);
    NtClose(Link);
    Buffer[Status < 0 ? 0 : Target.Length / sizeof(WCHAR)] = 0;
    return Buffer;
}

REQUEST_RESULT ObjectList(REQUEST *Request)
{
    PCWSTR Path = ReadText(&Request->In);
    UINT32 CountAt = Request->Out.Used;
    UINT32 Count = 0;
    OBJECT_ATTRIBUTES Attributes;
    OBJECTS_ENTRY *Entry;
    WCHAR *Target;
    UNICODE_STRING Name;
    ULONG Context = 0;
    NTSTATUS Status;
    HANDLE Directory;
    OPERATION_ARGUMENTS_READ(Request);
    Entry = ArenaAllocate(&Request->Arena, OBJECTS_BYTES);
    Target = ArenaAllocate(&Request->Arena, OBJECTS_TARGET_BYTES);
    if (Entry == NULL || Target == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NtOpenDirectoryObject(&Directory, OBJECTS_ACCESS, &Attributes);
    if (Status < 0) {
        return RequestFailNt(Request, "NtOpenDirectoryObject", (UINT32)Status);
    }
    WriteU32(&Request->Out, 0);
    for (;;) {
        Status = NtQueryDirectoryObject(Directory, Entry, OBJECTS_BYTES, TRUE, Count == 0, &Context, NULL);
        if (Status < 0) {
            break;
        }
        /* Both texts end with NUL. */
        WriteText(&Request->Out, Entry->Name.Buffer);
        WriteText(&Request->Out, Entry->Type.Buffer);
        WriteText(&Request->Out, lstrcmpW(Entry->Type.Buffer, OBJECTS_LINK) == 0 ? ObjectsTarget(Directory, &Entry->Name, Target) : L"");
        Count++;
    }
    NtClose(Directory);
    if (Status != OBJECTS_NO_MORE) {
        return RequestFailNt(Request, "NtQueryDirectoryObject", (UINT32)Status);
    }
    WritePatchU32(&Request->Out, CountAt, Count);
    return RequestDone;
}
