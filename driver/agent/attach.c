#include "attach.h"

#include "memory.h"
#include "serve.h"

#define ATTACH_CHUNK 65536
#define ATTACH_START_MS 30000
#define ATTACH_LOOK_MS 20

static HANDLE AttachOpen(void)
{
    /* Identification: whoever made the pipe may know who comes, and not act as him. */
    HANDLE Pipe = CreateFileW(SERVE_PIPE, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                              FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    return Pipe != INVALID_HANDLE_VALUE ? Pipe : NULL;
}

/*
 * Start the agent that stays: with no handle of ours, and outside the job of the session that started us, which would end
 * it. A job that forbids that keeps it.
 */
static BOOL AttachStart(HANDLE *Process)
{
    static const WCHAR Option[] = L"\" --resident";
    const DWORD Room = MAX_PATH;
    STARTUPINFOW Startup = {.cb = sizeof(Startup)};
    PROCESS_INFORMATION Information;
    DWORD Flags = DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP;
    WCHAR CommandLine[MAX_PATH + 32];
    DWORD Length;
    CommandLine[0] = L'"';
    Length = GetModuleFileNameW(NULL, CommandLine + 1, Room);
    if (Length == 0 || Length >= Room) {
        return FALSE;
    }
    memcpy(CommandLine + 1 + Length, Option, sizeof(Option));
    if (!CreateProcessW(NULL, CommandLine, NULL, NULL, FALSE, Flags | CREATE_BREAKAWAY_FROM_JOB, NULL, NULL, &Startup,
                        &Information) &&
        !CreateProcessW(NULL, CommandLine, NULL, NULL, FALSE, Flags, NULL, NULL, &Startup, &Information)) {
        return FALSE;
    }
    CloseHandle(Information.hThread);
    *Process = Information.hProcess;
    return TRUE;
}

/* The pipe of the agent that stays. NULL with GetLastError. */
static HANDLE AttachConnect(const char **Api)
{
    UINT64 Until = GetTickCount64() + ATTACH_START_MS;
    HANDLE Process = NULL;
    HANDLE Pipe;
    DWORD Error = ERROR_SUCCESS;
    *Api = "CreateFileW (\\\\.\\pipe\\hotswap-agent)";
    for (;;) {
        Pipe = AttachOpen();
        if (Pipe != NULL) {
            break;
        }
        Error = GetLastError();
        if (Error == ERROR_PIPE_BUSY && GetTickCount64() < Until) {
            WaitNamedPipeW(SERVE_PIPE, ATTACH_LOOK_MS);
            continue;
        }
        if (Error != ERROR_FILE_NOT_FOUND || GetTickCount64() >= Until) {
            break;
        }
        if (Process == NULL && !AttachStart(&Process)) {
            *Api = "CreateProcessW (hsagent --resident)";
            Error = GetLastError();
            break;
        }
        /* One that ends at once has found that another was quicker. */
        if (WaitForSingleObject(Process, ATTACH_LOOK_MS) == WAIT_OBJECT_0) {
            DWORD Code = 0;
            GetExitCodeProcess(Process, &Code);
            if (Code != ERROR_ALREADY_EXISTS) {
                *Api = "hsagent --resident";
                Error = Code;
                break;
            }
        }
    }
    if (Process != NULL) {
        CloseHandle(Process);
    }
    SetLastError(Error);
    return Pipe;
}

static DWORD WINAPI AttachForward(void *Context)
{
    STREAM *Stream = Context;
    HANDLE Input = GetStdHandle(STD_INPUT_HANDLE);
    UINT8 *Buffer = MemoryAllocate(ATTACH_CHUNK);
    DWORD Bytes = 0;
    while (Buffer != NULL && ReadFile(Input, Buffer, ATTACH_CHUNK, &Bytes, NULL) && Bytes != 0) {
        if (!StreamWrite(Stream, Buffer, Bytes)) {
            ExitProcess(ERROR_BROKEN_PIPE);
        }
    }
    ExitProcess(ERROR_SUCCESS);
}

DWORD AttachRun(const char **Api)
{
    HANDLE Output = GetStdHandle(STD_OUTPUT_HANDLE);
    UINT8 *Buffer = MemoryAllocate(ATTACH_CHUNK);
    HANDLE Pipe = AttachConnect(Api);
    STREAM *Stream;
    HANDLE Thread;
    if (Pipe == NULL) {
        return GetLastError();
    }
    *Api = "CreateThread";
    Stream = StreamCreate(Pipe, Pipe, TRUE, NULL);
    Thread = Stream != NULL && Buffer != NULL ? CreateThread(NULL, 0, AttachForward, Stream, 0, NULL) : NULL;
    if (Thread == NULL) {
        return ERROR_NOT_ENOUGH_MEMORY;
    }
    for (;;) {
        DWORD Bytes, Written;
        if (StreamTake(Stream, Buffer, ATTACH_CHUNK, &Bytes) != StreamReadSome) {
            *Api = "ReadFile (\\\\.\\pipe\\hotswap-agent, the agent has ended)";
            return ERROR_BROKEN_PIPE;
        }
        for (DWORD Done = 0; Done < Bytes; Done += Written) {
            if (!WriteFile(Output, Buffer + Done, Bytes - Done, &Written, NULL) || Written == 0) {
                return ERROR_SUCCESS; /* the client is gone */
            }
        }
    }
}
