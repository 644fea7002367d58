#include "postmortem.h"

#include "minidump.h"

#include <tlhelp32.h>

#define POST_MORTEM_MS 10000 /* a process whose exception does not come again within this is dumped as it is */
#define POST_MORTEM_PATH_CHARS 300

static PCWSTR PostMortemNumber(PCWSTR At, UINT64 *Number)
{
    *Number = 0;
    while (*At == L' ') {
        At++;
    }
    while (*At >= L'0' && *At <= L'9') {
        *Number = *Number * 10 + (UINT64)(*At++ - L'0');
    }
    return At;
}

/* KIND-PID.dmp in the folder of this program. */
static void PostMortemPath(PCWSTR Kind, DWORD ProcessId, WCHAR *Path)
{
    WCHAR Digits[16];
    WCHAR *At = Digits + ARRAYSIZE(Digits) - 1;
    DWORD Length = GetModuleFileNameW(NULL, Path, POST_MORTEM_PATH_CHARS - 32);
    while (Length > 0 && Path[Length - 1] != L'\\') {
        Length--;
    }
    Path[Length] = 0;
    *At = 0;
    do {
        *--At = (WCHAR)(L'0' + ProcessId % 10);
        ProcessId /= 10;
    } while (ProcessId != 0);
    lstrcatW(Path, Kind);
    lstrcatW(Path, L"-");
    lstrcatW(Path, At);
    lstrcatW(Path, L".dmp");
}

/* Let the process go on until the exception that nobody handled comes again, as a second chance. */
static BOOL PostMortemWait(HANDLE Event, MINIDUMP_CAUSE *Cause)
{
    DEBUG_EVENT Debug;
    UINT64 End = GetTickCount64() + POST_MORTEM_MS;
    UINT64 Now;
    BOOL Told = FALSE;
    while ((Now = GetTickCount64()) < End && WaitForDebugEvent(&Debug, (DWORD)(End - Now))) {
        DWORD Continue = DBG_CONTINUE;
        if (Debug.dwDebugEventCode == EXIT_PROCESS_DEBUG_EVENT) {
            return FALSE;
        }
        if (Debug.dwDebugEventCode == CREATE_PROCESS_DEBUG_EVENT || Debug.dwDebugEventCode == LOAD_DLL_DEBUG_EVENT) {
            HANDLE File = Debug.dwDebugEventCode == LOAD_DLL_DEBUG_EVENT ? Debug.u.LoadDll.hFile : Debug.u.CreateProcessInfo.hFile;
            if (File != NULL) {
                CloseHandle(File);
            }
        }
        if (Debug.dwDebugEventCode == EXCEPTION_DEBUG_EVENT) {
            const EXCEPTION_RECORD *Record = &Debug.u.Exception.ExceptionRecord;
            if (!Debug.u.Exception.dwFirstChance) {
                Cause->ThreadId = Debug.dwThreadId;
                Cause->Record = *Record;
                return TRUE;
            }
            if (Record->ExceptionCode != (DWORD)EXCEPTION_BREAKPOINT) {
                Continue = DBG_EXCEPTION_NOT_HANDLED;
            } else if (!Told) { /* the one of our attaching: from here on every exception comes to us */
                Told = TRUE;
                SetEvent(Event);
            }
        }
        ContinueDebugEvent(Debug.dwProcessId, Debug.dwThreadId, Continue);
    }
    return TRUE;
}

DWORD PostMortemRun(PCWSTR Arguments)
{
    static WCHAR Path[POST_MORTEM_PATH_CHARS];
    MINIDUMP_CAUSE Cause = {0};
    UINT64 ProcessId;
    UINT64 Event;
    DWORD Error = ERROR_SUCCESS;
    HANDLE Process;
    Arguments = PostMortemNumber(Arguments, &ProcessId);
    PostMortemNumber(Arguments, &Event);
    Process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, (DWORD)ProcessId);
    if (Process == NULL || !DebugActiveProcess((DWORD)ProcessId)) {
        Error = GetLastError();
    } else if (PostMortemWait((HANDLE)(ULONG_PTR)Event, &Cause)) {
        PostMortemPath(L"crash", (DWORD)ProcessId, Path);
        Error = MinidumpWrite(Process, (DWORD)ProcessId, &Cause, Path);
    }
    if (Process != NULL) {
        TerminateProcess(Process, Cause.Record.ExceptionCode);
    }
    SetEvent((HANDLE)(ULONG_PTR)Event);
    return Error;
}

static BOOL PostMortemHas(DWORD ProcessId, PCWSTR Module)
{
    static MODULEENTRY32W Entry; /* one thread; a frame stays under a page */
    HANDLE Snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPMODULE, ProcessId);
    BOOL Found = FALSE;
    if (Snapshot == INVALID_HANDLE_VALUE) {
        return FALSE;
    }
    Entry.dwSize = sizeof(Entry);
    for (BOOL More = Module32FirstW(Snapshot, &Entry); More && !Found; More = Module32NextW(Snapshot, &Entry)) {
        Found = lstrcmpiW(Entry.szModule, Module) == 0;
    }
    CloseHandle(Snapshot);
    return Found;
}

static DWORD PostMortemLive(DWORD ProcessId)
{
    static WCHAR Path[POST_MORTEM_PATH_CHARS];
    MINIDUMP_CAUSE None = {0};
    DWORD Error;
    HANDLE Process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, ProcessId);
    if (Process == NULL) {
        return GetLastError();
    }
    PostMortemPath(L"live", ProcessId, Path);
    Error = MinidumpWrite(Process, ProcessId, &None, Path);
    CloseHandle(Process);
    return Error;
}

DWORD PostMortemDump(PCWSTR Module)
{
    PROCESSENTRY32W Entry = {.dwSize = sizeof(Entry)};
    HANDLE Snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    DWORD Error = ERROR_NOT_FOUND;
    if (Snapshot == INVALID_HANDLE_VALUE) {
        return GetLastError();
    }
    for (BOOL More = Process32FirstW(Snapshot, &Entry); More && Error == ERROR_NOT_FOUND; More = Process32NextW(Snapshot, &Entry)) {
        if (PostMortemHas(Entry.th32ProcessID, Module)) {
            Error = PostMortemLive(Entry.th32ProcessID);
        }
    }
    CloseHandle(Snapshot);
    return Error;
}
