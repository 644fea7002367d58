/* Processes, and what is loaded in them and in the kernel. */
#include "operations.h"

#include <tlhelp32.h>

#define MODULES_KERNEL_CLASS 11 /* SystemModuleInformation */
#define MODULES_LENGTH_MISMATCH ((LONG)0xC0000004)

/* On Wine, kernel drivers are modules of these processes, and the kernel's own list does not show them. */
#define MODULES_WINE_DRIVER_HOST L"winedevice.exe"

typedef struct _MODULES_KERNEL_ENTRY {
    PVOID Section;
    PVOID MappedBase;
    PVOID ImageBase;
    ULONG ImageSize;
    ULONG Flags;
    USHORT LoadOrderIndex;
    USHORT InitOrderIndex;
    USHORT LoadCount;
    USHORT OffsetToFileName;
    UCHAR FullPathName[256]; /* ANSI */
} MODULES_KERNEL_ENTRY;

typedef struct _MODULES_KERNEL {
    ULONG Count;
    MODULES_KERNEL_ENTRY Entries[1];
} MODULES_KERNEL;

LONG NTAPI NtQuerySystemInformation(int Class, _Out_writes_bytes_(Size) void *Buffer, ULONG Size,
                                    _Out_opt_ ULONG *Needed);

REQUEST_RESULT ProcessList(REQUEST *Request)
{
    PROCESSENTRY32W *Entry;
    UINT32 CountAt = Request->Out.Used;
    UINT32 Count = 0;
    HANDLE Snapshot;
    OPERATION_ARGUMENTS_READ(Request);
    Entry = ArenaAllocate(&Request->Arena, sizeof(*Entry));
    if (Entry == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    Snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    if (Snapshot == INVALID_HANDLE_VALUE) {
        return RequestFail(Request, "CreateToolhelp32Snapshot", GetLastError());
    }
    WriteU32(&Request->Out, 0);
    Entry->dwSize = sizeof(*Entry);
    for (BOOL More = Process32FirstW(Snapshot, Entry); More; More = Process32NextW(Snapshot, Entry)) {
        WriteU32(&Request->Out, Entry->th32ProcessID);
        WriteU32(&Request->Out, Entry->th32ParentProcessID);
        WriteU32(&Request->Out, Entry->cntThreads);
        WriteText(&Request->Out, Entry->szExeFile);
        Count++;
    }
    CloseHandle(Snapshot);
    WritePatchU32(&Request->Out, CountAt, Count);
    return RequestDone;
}

/* Add the modules of one process; 0 or a Win32 error. */
static DWORD ModuleListProcess(REQUEST *Request, DWORD ProcessId, UINT32 *Count)
{
    MODULEENTRY32W *Entry = ArenaAllocate(&Request->Arena, sizeof(*Entry));
    HANDLE Snapshot = INVALID_HANDLE_VALUE;
    if (Entry == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    /* ERROR_BAD_LENGTH: the list changed meanwhile. Documented: try again. */
    for (int Try = 0; Try < 16 && Snapshot == INVALID_HANDLE_VALUE; Try++) {
        Snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPMODULE | TH32CS_SNAPMODULE32, ProcessId);
        if (Snapshot == INVALID_HANDLE_VALUE && GetLastError() != ERROR_BAD_LENGTH) {
            break;
        }
    }
    if (Snapshot == INVALID_HANDLE_VALUE) {
        return GetLastError();
    }
    Entry->dwSize = sizeof(*Entry);
    for (BOOL More = Module32FirstW(Snapshot, Entry); More; More = Module32NextW(Snapshot, Entry)) {
        WriteU32(&Request->Out, ProcessId);
        WriteText(&Request->Out, Entry->szModule);
        WriteText(&Request->Out, Entry->szExePath);
        WriteU64(&Request->Out, (UINT64)(ULONG_PTR)Entry->modBaseAddr);
        WriteU32(&Request->Out, Entry->modBaseSize);
        (*Count)++;
    }
    CloseHandle(Snapshot);
    return ERROR_SUCCESS;
}

static REQUEST_RESULT ModuleListWineKernel(REQUEST *Request, UINT32 *Count)
{
    PROCESSENTRY32W *Entry = ArenaAllocate(&Request->Arena, sizeof(*Entry));
    HANDLE Snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    if (Entry == NULL || Snapshot == INVALID_HANDLE_VALUE) {
        return RequestFail(Request, "CreateToolhelp32Snapshot", GetLastError());
    }
    Entry->dwSize = sizeof(*Entry);
    for (BOOL More = Process32FirstW(Snapshot, Entry); More; More = Process32NextW(Snapshot, Entry)) {
        if (lstrcmpiW(Entry->szExeFile, MODULES_WINE_DRIVER_HOST) == 0) {
            /* One that ends meanwhile has no modules any more: that is an answer, not an error. */
            ModuleListProcess(Request, Entry->th32ProcessID, Count);
        }
    }
    CloseHandle(Snapshot);
    return RequestDone;
}

static REQUEST_RESULT ModuleListKernel(REQUEST *Request, UINT32 *Count)
{
    ULONG Size = 64 * 1024;
    MODULES_KERNEL *Kernel = NULL;
    LONG Status = MODULES_LENGTH_MISMATCH;
    while (Status == MODULES_LENGTH_MISMATCH && Size <= HSAGENT_FRAME_LIMIT) {
        Kernel = ArenaAllocate(&Request->Arena, Size);
        if (Kernel == NULL) {
            return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
        }
        Status = NtQuerySystemInformation(MODULES_KERNEL_CLASS, Kernel, Size, NULL);
        Size *= 2;
    }
    if (Status < 0) {
        return RequestFailNt(Request, "NtQuerySystemInformation", (UINT32)Status);
    }
    for (ULONG i = 0; i < Kernel->Count; i++) {
        MODULES_KERNEL_ENTRY *Entry = &Kernel->Entries[i];
        const char *Path = (const char *)Entry->FullPathName;
        WriteU32(&Request->Out, 0);
        WriteAscii(&Request->Out, Path + Entry->OffsetToFileName);
        WriteAscii(&Request->Out, Path);
        WriteU64(&Request->Out, (UINT64)(ULONG_PTR)Entry->ImageBase);
        WriteU32(&Request->Out, Entry->ImageSize);
        (*Count)++;
    }
    return RequestDone;
}

REQUEST_RESULT ModuleList(REQUEST *Request)
{
    UINT32 ProcessId = ReadU32(&Request->In);
    UINT32 CountAt = Request->Out.Used;
    UINT32 Count = 0;
    REQUEST_RESULT Result = RequestDone;
    DWORD Error;
    OPERATION_ARGUMENTS_READ(Request);
    WriteU32(&Request->Out, 0);
    if (ProcessId != 0) {
        Error = ModuleListProcess(Request, ProcessId, &Count);
        if (Error != ERROR_SUCCESS) {
            Result = RequestFail(Request, "CreateToolhelp32Snapshot", Error);
        }
    } else if (GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL) {
        Result = ModuleListWineKernel(Request, &Count);
    } else {
        Result = ModuleListKernel(Request, &Count);
    }
    WritePatchU32(&Request->Out, CountAt, Count);
    return Result;
}
