/* The layout is that of minidumpapiset.h (Windows SDK), stated here because mingw-w64 has it in no header that stands alone. */
#include "minidump.h"

#include "memory.h"

#include <tlhelp32.h>

#define DUMP_SIGNATURE 0x504D444D /* "MDMP" */
#define DUMP_VERSION 0xA793
#define DUMP_CAPACITY (8u * 1024 * 1024)
#define DUMP_STACK_FAULTING (128u * 1024)
#define DUMP_STACK_OTHERS (8u * 1024)
#define DUMP_RED_ZONE 128 /* below the stack pointer: what a callee that has just returned left there */
#define DUMP_THREADS 1024
#define DUMP_MODULES 256
#define DUMP_NAME_CHARS 260
#define DUMP_CODEVIEW_BYTES 512

enum { DumpThreads = 3, DumpModules = 4, DumpMemory = 5, DumpException = 6, DumpSystem = 7, DumpStreams = 5 };

#pragma pack(push, 4)
typedef struct _DUMP_LOCATION {
    UINT32 Size;
    UINT32 At;
} DUMP_LOCATION;

typedef struct _DUMP_HEADER {
    UINT32 Signature, Version, Streams, DirectoryAt, CheckSum, Time;
    UINT64 Flags;
} DUMP_HEADER;

typedef struct _DUMP_DIRECTORY {
    UINT32 Type;
    DUMP_LOCATION Where;
} DUMP_DIRECTORY;

typedef struct _DUMP_RANGE {
    UINT64 Start;
    DUMP_LOCATION Memory;
} DUMP_RANGE;

typedef struct _DUMP_THREAD {
    UINT32 Id, Suspends, PriorityClass, Priority;
    UINT64 Teb;
    DUMP_RANGE Stack;
    DUMP_LOCATION Context;
} DUMP_THREAD;

typedef struct _DUMP_MODULE {
    UINT64 Base;
    UINT32 Size, CheckSum, Time, NameAt;
    UINT32 FileVersion[13];
    DUMP_LOCATION CodeView, Misc;
    UINT64 Reserved[2];
} DUMP_MODULE;

typedef struct _DUMP_EXCEPTION {
    UINT32 ThreadId, Align;
    UINT32 Code, Flags;
    UINT64 Inner, Address;
    UINT32 Parameters, Align2;
    UINT64 Information[EXCEPTION_MAXIMUM_PARAMETERS];
    DUMP_LOCATION Context;
} DUMP_EXCEPTION;

typedef struct _DUMP_SYSTEM {
    UINT16 Architecture, Level, Revision;
    UINT8 Processors, Product;
    UINT32 Major, Minor, Build, Platform, ServicePackAt;
    UINT16 Suite, Reserved;
    UINT64 Features[2];
    UINT32 Reserved2;
} DUMP_SYSTEM;
#pragma pack(pop)

typedef struct _DUMP {
    HANDLE Process;
    UINT8 *Data;
    UINT32 Used;
    DUMP_LOCATION FaultingContext;
    DUMP_DIRECTORY Directory[DumpStreams];
    UINT32 Streams;
    UINT32 Ranges; /* in RangeList */
    DUMP_RANGE RangeList[DUMP_THREADS];
    DUMP_THREAD ThreadList[DUMP_THREADS];
    DUMP_MODULE ModuleList[DUMP_MODULES];
} DUMP;

typedef struct _DUMP_THREAD_INFORMATION {
    LONG ExitStatus;
    PVOID Teb;
    PVOID ClientId[2];
    ULONG_PTR Affinity;
    LONG Priority, BasePriority;
} DUMP_THREAD_INFORMATION;

LONG NTAPI NtQueryInformationThread(HANDLE Thread, int Class, _Out_writes_bytes_(Size) void *Buffer, ULONG Size, _Out_opt_ ULONG *Needed);
LONG NTAPI RtlGetVersion(_Inout_ RTL_OSVERSIONINFOW *Version);

/* Room in the file, aligned to 16; NULL when it is full. */
static void *DumpRoom(DUMP *Dump, UINT32 Size, DUMP_LOCATION *Where)
{
    UINT32 At = (Dump->Used + 15) & ~15u;
    Where->Size = 0;
    Where->At = 0;
    if (Size > DUMP_CAPACITY || At > DUMP_CAPACITY - Size) {
        return NULL;
    }
    Dump->Used = At + Size;
    Where->Size = Size;
    Where->At = At;
    return Dump->Data + At;
}

/* Data, or an array behind its count (CountBytes 4 or 0). */
static void DumpStream(DUMP *Dump, UINT32 Type, const void *Data, UINT32 Size, UINT32 Count, UINT32 CountBytes)
{
    DUMP_DIRECTORY *Entry = &Dump->Directory[Dump->Streams];
    UINT8 *Room = DumpRoom(Dump, Size + CountBytes, &Entry->Where);
    if (Room != NULL) {
        memcpy(Room, &Count, CountBytes);
        memcpy(Room + CountBytes, Data, Size);
        Entry->Type = Type;
        Dump->Streams++;
    }
}

/* As much of the target's memory as can be read, page by page: a stack may end early. */
static UINT32 DumpRead(DUMP *Dump, UINT64 Address, void *To, UINT32 Size)
{
    UINT32 Done = 0;
    while (Done < Size) {
        UINT32 Part = 4096 - (UINT32)((Address + Done) & 4095);
        SIZE_T Read = 0;
        Part = Part < Size - Done ? Part : Size - Done;
        if (!ReadProcessMemory(Dump->Process, (void *)(ULONG_PTR)(Address + Done), (UINT8 *)To + Done, Part, &Read) || Read != Part) {
            break;
        }
        Done += Part;
    }
    return Done;
}

static void DumpStack(DUMP *Dump, DUMP_THREAD *Thread, UINT64 StackPointer, UINT32 Limit)
{
    UINT64 Begin = StackPointer > DUMP_RED_ZONE ? (StackPointer - DUMP_RED_ZONE) & ~15ull : 0;
    UINT64 Base = Begin + Limit;
    NT_TIB Tib;
    UINT32 Room = Limit;
    DUMP_LOCATION Where;
    void *To;
    if (Thread->Teb != 0 && DumpRead(Dump, Thread->Teb, &Tib, sizeof(Tib)) == sizeof(Tib)) {
        Base = (UINT64)(ULONG_PTR)Tib.StackBase;
    }
    if (Base > Begin && Base - Begin < Limit) {
        Room = (UINT32)(Base - Begin);
    }
    To = DumpRoom(Dump, Room, &Where);
    if (To == NULL) {
        return;
    }
    Where.Size = DumpRead(Dump, Begin, To, Room);
    Dump->Used -= Room - Where.Size;
    Thread->Stack.Start = Begin;
    Thread->Stack.Memory = Where;
    Dump->RangeList[Dump->Ranges++] = Thread->Stack;
}

static void DumpThread(DUMP *Dump, DUMP_THREAD *Thread, BOOL Faulting)
{
    DUMP_THREAD_INFORMATION Information = {0};
    HANDLE Handle = OpenThread(THREAD_GET_CONTEXT | THREAD_QUERY_INFORMATION | THREAD_SUSPEND_RESUME, FALSE, Thread->Id);
    CONTEXT *Context;
    BOOL Suspended;
    if (Handle == NULL) {
        return;
    }
    if (NtQueryInformationThread(Handle, 0, &Information, sizeof(Information), NULL) >= 0) {
        Thread->Teb = (UINT64)(ULONG_PTR)Information.Teb;
    }
    Context = DumpRoom(Dump, sizeof(*Context), &Thread->Context);
    if (Context != NULL) {
        memset(Context, 0, sizeof(*Context));
        Context->ContextFlags = CONTEXT_CONTROL | CONTEXT_INTEGER | CONTEXT_SEGMENTS;
        /* One that no debugger holds may run: its registers and its stack belong to one moment. */
        Suspended = SuspendThread(Handle) != (DWORD)-1;
        if (GetThreadContext(Handle, Context)) {
            if (Faulting) {
                Dump->FaultingContext = Thread->Context;
            }
            DumpStack(Dump, Thread, Context->Rsp, Faulting ? DUMP_STACK_FAULTING : DUMP_STACK_OTHERS);
        }
        if (Suspended) {
            ResumeThread(Handle);
        }
    }
    CloseHandle(Handle);
}

static void DumpAllThreads(DUMP *Dump, DWORD ProcessId, DWORD Faulting)
{
    THREADENTRY32 Entry = {.dwSize = sizeof(Entry)};
    HANDLE Snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
    UINT32 Count = 0;
    if (Snapshot == INVALID_HANDLE_VALUE) {
        return;
    }
    /* The one that matters first, should the file become full. */
    if (Faulting != 0) {
        Dump->ThreadList[0].Id = Faulting;
        DumpThread(Dump, &Dump->ThreadList[Count++], TRUE);
    }
    for (BOOL More = Thread32First(Snapshot, &Entry); More && Count < DUMP_THREADS; More = Thread32Next(Snapshot, &Entry)) {
        if (Entry.th32OwnerProcessID == ProcessId && Entry.th32ThreadID != Faulting) {
            Dump->ThreadList[Count].Id = Entry.th32ThreadID;
            DumpThread(Dump, &Dump->ThreadList[Count++], FALSE);
        }
    }
    CloseHandle(Snapshot);
    DumpStream(Dump, DumpThreads, Dump->ThreadList, Count * sizeof(DUMP_THREAD), Count, 4);
}

static UINT32 DumpText(DUMP *Dump, PCWSTR Text)
{
    UINT32 Bytes = (UINT32)lstrlenW(Text) * sizeof(WCHAR);
    DUMP_LOCATION Where;
    UINT8 *Room = DumpRoom(Dump, 4 + Bytes + sizeof(WCHAR), &Where);
    if (Room != NULL) {
        memcpy(Room, &Bytes, 4);
        memcpy(Room + 4, Text, Bytes + sizeof(WCHAR));
    }
    return Where.At;
}

/* Time stamp, check sum, and the record that names the .pdb, from the image in the target's memory. */
static void DumpImage(DUMP *Dump, DUMP_MODULE *Module)
{
    IMAGE_DOS_HEADER Dos;
    IMAGE_NT_HEADERS64 Nt;
    IMAGE_DEBUG_DIRECTORY Debug;
    const IMAGE_DATA_DIRECTORY *Where = &Nt.OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_DEBUG];
    if (DumpRead(Dump, Module->Base, &Dos, sizeof(Dos)) != sizeof(Dos) || Dos.e_magic != IMAGE_DOS_SIGNATURE ||
        DumpRead(Dump, Module->Base + (UINT32)Dos.e_lfanew, &Nt, sizeof(Nt)) != sizeof(Nt) || Nt.Signature != IMAGE_NT_SIGNATURE) {
        return;
    }
    Module->Time = Nt.FileHeader.TimeDateStamp;
    Module->CheckSum = Nt.OptionalHeader.CheckSum;
    for (UINT32 At = 0; At + sizeof(Debug) <= Where->Size; At += sizeof(Debug)) {
        if (DumpRead(Dump, Module->Base + Where->VirtualAddress + At, &Debug, sizeof(Debug)) != sizeof(Debug)) {
            return;
        }
        if (Debug.Type == IMAGE_DEBUG_TYPE_CODEVIEW && Debug.SizeOfData <= DUMP_CODEVIEW_BYTES) {
            void *Room = DumpRoom(Dump, Debug.SizeOfData, &Module->CodeView);
            if (Room != NULL) {
                Module->CodeView.Size = DumpRead(Dump, Module->Base + Debug.AddressOfRawData, Room, Debug.SizeOfData);
            }
            return;
        }
    }
}

static void DumpAllModules(DUMP *Dump, DWORD ProcessId)
{
    static MODULEENTRY32W Entry; /* one thread; a frame stays under a page */
    HANDLE Snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPMODULE, ProcessId);
    UINT32 Count = 0;
    if (Snapshot == INVALID_HANDLE_VALUE) {
        return;
    }
    Entry.dwSize = sizeof(Entry);
    for (BOOL More = Module32FirstW(Snapshot, &Entry); More && Count < DUMP_MODULES; More = Module32NextW(Snapshot, &Entry)) {
        DUMP_MODULE *Module = &Dump->ModuleList[Count++];
        Module->Base = (UINT64)(ULONG_PTR)Entry.modBaseAddr;
        Module->Size = Entry.modBaseSize;
        Module->NameAt = DumpText(Dump, Entry.szExePath[0] != 0 ? Entry.szExePath : Entry.szModule);
        DumpImage(Dump, Module);
    }
    CloseHandle(Snapshot);
    DumpStream(Dump, DumpModules, Dump->ModuleList, Count * sizeof(DUMP_MODULE), Count, 4);
}

static void DumpCause(DUMP *Dump, const MINIDUMP_CAUSE *Cause)
{
    const EXCEPTION_RECORD *Record = &Cause->Record;
    DUMP_EXCEPTION Exception = {0};
    Exception.ThreadId = Cause->ThreadId;
    Exception.Code = Record->ExceptionCode;
    Exception.Flags = Record->ExceptionFlags;
    Exception.Address = (UINT64)(ULONG_PTR)Record->ExceptionAddress;
    Exception.Parameters = Record->NumberParameters < EXCEPTION_MAXIMUM_PARAMETERS ? Record->NumberParameters : EXCEPTION_MAXIMUM_PARAMETERS;
    for (UINT32 i = 0; i < Exception.Parameters; i++) {
        Exception.Information[i] = Record->ExceptionInformation[i];
    }
    Exception.Context = Dump->FaultingContext;
    DumpStream(Dump, DumpException, &Exception, sizeof(Exception), 0, 0);
}

static void DumpSystemFacts(DUMP *Dump)
{
    RTL_OSVERSIONINFOW Version = {.dwOSVersionInfoSize = sizeof(Version)};
    SYSTEM_INFO Facts;
    DUMP_SYSTEM System = {0};
    RtlGetVersion(&Version);
    GetSystemInfo(&Facts);
    System.Architecture = Facts.wProcessorArchitecture;
    System.Level = Facts.wProcessorLevel;
    System.Revision = Facts.wProcessorRevision;
    System.Processors = (UINT8)Facts.dwNumberOfProcessors;
    System.Product = 1; /* VER_NT_WORKSTATION */
    System.Major = Version.dwMajorVersion;
    System.Minor = Version.dwMinorVersion;
    System.Build = Version.dwBuildNumber;
    System.Platform = VER_PLATFORM_WIN32_NT;
    System.ServicePackAt = DumpText(Dump, L"");
    DumpStream(Dump, DumpSystem, &System, sizeof(System), 0, 0);
}

static DWORD DumpSave(const DUMP *Dump, PCWSTR Path)
{
    static WCHAR Part[DUMP_NAME_CHARS];
    DWORD Error = ERROR_SUCCESS;
    DWORD Written;
    HANDLE File;
    if (lstrlenW(Path) + 6 > DUMP_NAME_CHARS) {
        return ERROR_FILENAME_EXCED_RANGE;
    }
    lstrcpyW(Part, Path);
    lstrcatW(Part, L".part");
    File = CreateFileW(Part, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    if (File == INVALID_HANDLE_VALUE) {
        return GetLastError();
    }
    if (!WriteFile(File, Dump->Data, Dump->Used, &Written, NULL)) {
        Error = GetLastError();
    } else if (Written != Dump->Used) {
        Error = ERROR_DISK_FULL;
    }
    CloseHandle(File);
    if (Error == ERROR_SUCCESS && !MoveFileExW(Part, Path, MOVEFILE_REPLACE_EXISTING)) {
        Error = GetLastError();
    }
    if (Error != ERROR_SUCCESS) {
        DeleteFileW(Part);
    }
    return Error;
}

DWORD MinidumpWrite(HANDLE Process, DWORD ProcessId, const MINIDUMP_CAUSE *Cause, PCWSTR Path)
{
    DUMP *Dump = MemoryAllocate(sizeof(*Dump));
    DUMP_HEADER *Header;
    DWORD Error;
    if (Dump == NULL || (Dump->Data = MemoryAllocate(DUMP_CAPACITY)) == NULL) {
        MemoryFree(Dump);
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    Dump->Process = Process;
    Dump->Used = sizeof(DUMP_HEADER) + sizeof(Dump->Directory);
    DumpSystemFacts(Dump);
    DumpAllModules(Dump, ProcessId);
    DumpAllThreads(Dump, ProcessId, Cause->ThreadId);
    if (Cause->ThreadId != 0) {
        DumpCause(Dump, Cause);
    }
    DumpStream(Dump, DumpMemory, Dump->RangeList, Dump->Ranges * sizeof(DUMP_RANGE), Dump->Ranges, 4);
    Header = (DUMP_HEADER *)Dump->Data;
    Header->Signature = DUMP_SIGNATURE;
    Header->Version = DUMP_VERSION;
    Header->Streams = Dump->Streams;
    Header->DirectoryAt = sizeof(*Header);
    memcpy(Dump->Data + sizeof(*Header), Dump->Directory, sizeof(Dump->Directory));
    Error = DumpSave(Dump, Path);
    MemoryFree(Dump->Data);
    MemoryFree(Dump);
    return Error;
}
