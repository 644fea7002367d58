/* Run a program, take what it writes, end it and its children when the time is up. */
#include "clock.h"
#include "operations.h"

#define PROGRAM_CHUNK 16384
#define PROGRAM_GRACE_MS 500 /* after the end: its output may still be in the pipe, or a child may hold the pipe */

typedef struct _PROGRAM_PIPE {
    HANDLE Read;  /* overlapped; NULL once it has ended */
    HANDLE Write; /* the program's */
    OVERLAPPED Overlapped;
    UINT8 *Chunk;
    MESSAGE_WRITER Taken; /* behind the room for a frame header, which is not used */
} PROGRAM_PIPE;

typedef struct _PROGRAM {
    REQUEST *Request;
    UINT32 OutputLimit; /* bytes of each stream that are kept */
    BOOL Cut;
    HANDLE Job;
    HANDLE NullInput;
    PROCESS_INFORMATION Process;
    PROGRAM_PIPE Pipes[2]; /* standard output, standard error */
} PROGRAM;

/* Named, since anonymous pipes cannot be read overlapped. */
static BOOL ProgramOpenPipe(PROGRAM *Program, PROGRAM_PIPE *Pipe, UINT32 Which)
{
    static volatile LONG Last;
    SECURITY_ATTRIBUTES Inherit = {.nLength = sizeof(Inherit), .bInheritHandle = TRUE};
    DWORD_PTR Arguments[3];
    WCHAR Name[64];
    Arguments[0] = GetCurrentProcessId();
    Arguments[1] = (DWORD_PTR)InterlockedIncrement(&Last);
    Arguments[2] = Which;
    FormatMessageW(FORMAT_MESSAGE_FROM_STRING | FORMAT_MESSAGE_ARGUMENT_ARRAY, L"\\\\.\\pipe\\hsagent-%1!u!-%2!u!-%3!u!",
                   0, 0, Name, 64, (va_list *)Arguments);
    Pipe->Chunk = ArenaAllocate(&Program->Request->Arena, PROGRAM_CHUNK);
    Pipe->Overlapped.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (Pipe->Chunk == NULL || Pipe->Overlapped.hEvent == NULL) {
        return FALSE;
    }
    WriteReset(&Pipe->Taken);
    Pipe->Read = CreateNamedPipeW(Name, PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
                                  PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS, 1, 0, 65536, 0, NULL);
    if (Pipe->Read == INVALID_HANDLE_VALUE) {
        Pipe->Read = NULL;
        return FALSE;
    }
    Pipe->Write = CreateFileW(Name, GENERIC_WRITE, 0, &Inherit, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (Pipe->Write == INVALID_HANDLE_VALUE) {
        Pipe->Write = NULL;
        return FALSE;
    }
    return TRUE;
}

static void ProgramKeep(PROGRAM *Program, PROGRAM_PIPE *Pipe, DWORD Bytes)
{
    UINT32 Room = Program->OutputLimit - (Pipe->Taken.Used - HSAGENT_FRAME_HEADER_SIZE);
    UINT8 *At;
    if (Bytes > Room) {
        Program->Cut = TRUE;
        Bytes = Room;
    }
    At = WriteRoom(&Pipe->Taken, Bytes);
    if (At != NULL) {
        memcpy(At, Pipe->Chunk, Bytes);
    }
}

static void ProgramEndPipe(PROGRAM_PIPE *Pipe)
{
    CloseHandle(Pipe->Read);
    Pipe->Read = NULL;
}

/* Start the next read. What is there at once signals the event, too. */
static void ProgramReadOn(PROGRAM_PIPE *Pipe)
{
    if (!ReadFile(Pipe->Read, Pipe->Chunk, PROGRAM_CHUNK, NULL, &Pipe->Overlapped) &&
        GetLastError() != ERROR_IO_PENDING) {
        ProgramEndPipe(Pipe);
    }
}

static void ProgramTake(PROGRAM *Program, PROGRAM_PIPE *Pipe)
{
    DWORD Bytes = 0;
    if (!GetOverlappedResult(Pipe->Read, &Pipe->Overlapped, &Bytes, FALSE)) {
        ProgramEndPipe(Pipe); /* ERROR_BROKEN_PIPE: every writer is gone */
        return;
    }
    ProgramKeep(Program, Pipe, Bytes);
    ProgramReadOn(Pipe);
}

/* The program is born in a job, so that it and its children end with the agent, at whatever moment that dies. */
static BOOL ProgramOpenJob(PROGRAM *Program)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION Limits = {
        .BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE};
    Program->Job = CreateJobObjectW(NULL, NULL);
    return Program->Job != NULL &&
           SetInformationJobObject(Program->Job, JobObjectExtendedLimitInformation, &Limits, sizeof(Limits));
}

/* CreateProcessW with these three handles inherited and no other: the stream to the client must not leak. */
static BOOL ProgramCreate(PROGRAM *Program, PWSTR CommandLine, PCWSTR Folder, const char **Api)
{
    STARTUPINFOEXW Startup = {.StartupInfo.cb = sizeof(Startup)};
    SECURITY_ATTRIBUTES Inherit = {.nLength = sizeof(Inherit), .bInheritHandle = TRUE};
    HANDLE Handles[3];
    SIZE_T ListSize = 0;
    BOOL Ok;
    *Api = "CreateFileW (NUL)";
    Program->NullInput = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &Inherit, OPEN_EXISTING,
                                     0, NULL);
    if (Program->NullInput == INVALID_HANDLE_VALUE) {
        Program->NullInput = NULL;
        return FALSE;
    }
    Handles[0] = Program->NullInput;
    Handles[1] = Program->Pipes[0].Write;
    Handles[2] = Program->Pipes[1].Write;
    Startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    Startup.StartupInfo.hStdInput = Handles[0];
    Startup.StartupInfo.hStdOutput = Handles[1];
    Startup.StartupInfo.hStdError = Handles[2];
    *Api = "UpdateProcThreadAttribute";
    InitializeProcThreadAttributeList(NULL, 2, 0, &ListSize);
    Startup.lpAttributeList = ArenaAllocate(&Program->Request->Arena, ListSize);
    if (Startup.lpAttributeList == NULL ||
        !InitializeProcThreadAttributeList(Startup.lpAttributeList, 2, 0, &ListSize) ||
        !UpdateProcThreadAttribute(Startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, Handles,
                                   sizeof(Handles), NULL, NULL) ||
        !UpdateProcThreadAttribute(Startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, &Program->Job,
                                   sizeof(Program->Job), NULL, NULL)) {
        return FALSE;
    }
    *Api = "CreateProcessW";
    Ok = CreateProcessW(NULL, CommandLine, NULL, NULL, TRUE,
                        CREATE_NO_WINDOW | EXTENDED_STARTUPINFO_PRESENT, NULL,
                        *Folder != 0 ? Folder : NULL, &Startup.StartupInfo, &Program->Process);
    DeleteProcThreadAttributeList(Startup.lpAttributeList);
    return Ok;
}

/* Take output until the program has ended and both pipes have, or the time is up. TRUE when it has ended. */
static BOOL ProgramWatch(PROGRAM *Program, UINT64 Until)
{
    BOOL Ended = FALSE;
    for (;;) {
        HANDLE Handles[3];
        PROGRAM_PIPE *Pipes[3];
        DWORD Count = 0;
        DWORD Woken;
        UINT64 Now = GetTickCount64();
        for (int i = 0; i < 2; i++) {
            if (Program->Pipes[i].Read != NULL) {
                Pipes[Count] = &Program->Pipes[i];
                Handles[Count++] = Program->Pipes[i].Overlapped.hEvent;
            }
        }
        if (!Ended) {
            Pipes[Count] = NULL;
            Handles[Count++] = Program->Process.hProcess;
        }
        if (Count == 0) {
            return Ended;
        }
        Woken = WaitForMultipleObjects(Count, Handles, FALSE, Now < Until ? (DWORD)(Until - Now) : 0);
        if (Woken >= Count) {
            return Ended;
        }
        if (Pipes[Woken] != NULL) {
            ProgramTake(Program, Pipes[Woken]);
        } else {
            Ended = TRUE;
            Now = GetTickCount64();
            Until = Until < Now + PROGRAM_GRACE_MS ? Until : Now + PROGRAM_GRACE_MS;
        }
    }
}

static void ProgramFree(PROGRAM *Program)
{
    for (int i = 0; i < 2; i++) {
        PROGRAM_PIPE *Pipe = &Program->Pipes[i];
        if (Pipe->Read != NULL) {
            DWORD Bytes;
            CancelIoEx(Pipe->Read, &Pipe->Overlapped);
            GetOverlappedResult(Pipe->Read, &Pipe->Overlapped, &Bytes, TRUE);
            CloseHandle(Pipe->Read);
        }
        if (Pipe->Write != NULL) {
            CloseHandle(Pipe->Write);
        }
        if (Pipe->Overlapped.hEvent != NULL) {
            CloseHandle(Pipe->Overlapped.hEvent);
        }
        MemoryFree(Pipe->Taken.Data);
    }
    if (Program->NullInput != NULL) {
        CloseHandle(Program->NullInput);
    }
    if (Program->Process.hProcess != NULL) {
        CloseHandle(Program->Process.hThread);
        CloseHandle(Program->Process.hProcess);
    }
    if (Program->Job != NULL) {
        CloseHandle(Program->Job);
    }
}

static REQUEST_RESULT ProgramRunOne(PROGRAM *Program, PWSTR CommandLine, PCWSTR Folder, UINT32 TimeLimit)
{
    MESSAGE_WRITER *Out = &Program->Request->Out;
    const char *Api;
    DWORD ExitCode = 0;
    BOOL Ended;
    UINT64 Begin, End;
    if (!ProgramOpenPipe(Program, &Program->Pipes[0], 0) || !ProgramOpenPipe(Program, &Program->Pipes[1], 1)) {
        return RequestFail(Program->Request, "CreateNamedPipeW", GetLastError());
    }
    if (!ProgramOpenJob(Program)) {
        return RequestFail(Program->Request, "CreateJobObjectW", GetLastError());
    }
    Begin = ClockTicks();
    if (!ProgramCreate(Program, CommandLine, Folder, &Api)) {
        return RequestFail(Program->Request, Api, GetLastError());
    }
    for (int i = 0; i < 2; i++) {
        CloseHandle(Program->Pipes[i].Write); /* the program's copies are the last ones */
        Program->Pipes[i].Write = NULL;
        ProgramReadOn(&Program->Pipes[i]);
    }
    Ended = ProgramWatch(Program, GetTickCount64() + (TimeLimit != 0 ? TimeLimit : MAXLONG));
    if (!Ended) {
        TerminateJobObject(Program->Job, ERROR_TIMEOUT);
        ProgramWatch(Program, GetTickCount64() + PROGRAM_GRACE_MS);
    }
    End = ClockTicks();
    GetExitCodeProcess(Program->Process.hProcess, &ExitCode);
    WriteU32(Out, Ended ? 0 : 1);
    WriteU32(Out, ExitCode);
    WriteU64(Out, Begin);
    WriteU64(Out, End);
    WriteU32(Out, Program->Cut ? 1 : 0);
    for (int i = 0; i < 2; i++) {
        MESSAGE_WRITER *Taken = &Program->Pipes[i].Taken;
        WriteBytes(Out, Taken->Data + HSAGENT_FRAME_HEADER_SIZE, Taken->Used - HSAGENT_FRAME_HEADER_SIZE);
    }
    return RequestDone;
}

REQUEST_RESULT ProgramRun(REQUEST *Request)
{
    PCWSTR CommandLine = ReadText(&Request->In);
    PCWSTR Folder = ReadText(&Request->In);
    UINT32 TimeLimit = ReadU32(&Request->In);
    UINT32 OutputLimit = ReadU32(&Request->In);
    SIZE_T Size = ((SIZE_T)lstrlenW(CommandLine) + 1) * sizeof(WCHAR);
    PROGRAM *Program;
    PWSTR Copy;
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    Program = ArenaAllocate(&Request->Arena, sizeof(*Program));
    Copy = ArenaAllocate(&Request->Arena, Size); /* CreateProcessW writes into it */
    if (Program == NULL || Copy == NULL) {
        return RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    }
    memcpy(Copy, CommandLine, Size);
    Program->Request = Request;
    Program->OutputLimit = OutputLimit < HSAGENT_FRAME_LIMIT / 4 ? OutputLimit : HSAGENT_FRAME_LIMIT / 4;
    Result = ProgramRunOne(Program, Copy, Folder, TimeLimit);
    ProgramFree(Program);
    return Result;
}
