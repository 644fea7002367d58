/* hsagent.exe: one small program in the guest that does what the harness asks for, and knows no particular driver. */
#include "agent_service.h"
#include "attach.h"
#include "memory.h"
#include "postmortem.h"
#include "serve.h"

#define EXIT_STREAM_ENDED 0
#define EXIT_USAGE 2
#define EXIT_NO_MEMORY 3
#define EXIT_FAILED 4

#define MAIN_LINGER_MS 60000 /* an agent that was started for a client stays so long without one */

static void MainSay(const char *Text)
{
    DWORD Written;
    WriteFile(GetStdHandle(STD_ERROR_HANDLE), Text, (DWORD)lstrlenA(Text), &Written, NULL);
}

/* The arguments behind the program's name. */
static PCWSTR MainArguments(void)
{
    PCWSTR At = GetCommandLineW();
    WCHAR End = L' ';
    if (*At == L'"') {
        End = L'"';
        At++;
    }
    while (*At != 0 && *At != End) {
        At++;
    }
    while (*At == L'"' || *At == L' ') {
        At++;
    }
    return At;
}

/* What follows an option and a space; NULL when the arguments do not begin with it. */
static PCWSTR MainAfter(PCWSTR Arguments, PCWSTR Option)
{
    while (*Option != 0 && *Arguments == *Option) {
        Arguments++;
        Option++;
    }
    return *Option == 0 && *Arguments == L' ' ? Arguments + 1 : NULL;
}

/* "--port NAME --port NAME" as names, each ended with NUL, an empty one at the end. NULL when it is anything else. */
static PWSTR MainPorts(PCWSTR Arguments)
{
    PWSTR Names = MemoryAllocate(((SIZE_T)lstrlenW(Arguments) + 2) * sizeof(WCHAR));
    PWSTR To = Names;
    while (Names != NULL && *Arguments != 0) {
        Arguments = MainAfter(Arguments, L"--port");
        if (Arguments == NULL || *Arguments == 0) {
            return NULL;
        }
        while (*Arguments != 0 && *Arguments != L' ') {
            *To++ = *Arguments++;
        }
        To++;
        while (*Arguments == L' ') {
            Arguments++;
        }
    }
    return Names;
}

static UINT MainFail(const char *Api, DWORD Error)
{
    char Text[512];
    DWORD_PTR Arguments[2] = {(DWORD_PTR)Api, Error};
    if (Error == ERROR_SUCCESS) {
        return EXIT_STREAM_ENDED;
    }
    FormatMessageA(FORMAT_MESSAGE_FROM_STRING | FORMAT_MESSAGE_ARGUMENT_ARRAY, "hsagent: %1 failed: Win32 error %2!u!%n", 0,
                   0, Text, sizeof(Text), (va_list *)Arguments);
    MainSay(Text);
    return EXIT_FAILED;
}

static UINT MainPipe(void)
{
    AGENT *Agent = ServeOpen();
    STREAM *Stream = StreamCreate(GetStdHandle(STD_INPUT_HANDLE), GetStdHandle(STD_OUTPUT_HANDLE), FALSE, NULL);
    if (Agent == NULL || Stream == NULL) {
        MainSay("hsagent: no memory\n");
        return EXIT_NO_MEMORY;
    }
    ServeStream(Agent, Stream);
    ServeClose(Agent);
    return EXIT_STREAM_ENDED;
}

/* The error is the exit code: who starts an agent for itself wants to know that another was quicker. */
static DWORD MainResident(PCWSTR Ports, DWORD LingerMs)
{
    HANDLE Ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    return Ended != NULL ? ServeResident(Ports, Ended, LingerMs) : GetLastError();
}

static UINT MainRun(void)
{
    PCWSTR Arguments = MainArguments();
    PCWSTR PostMortem = MainAfter(Arguments, L"--post-mortem");
    PCWSTR Dump = MainAfter(Arguments, L"--dump");
    PCWSTR Install = lstrcmpW(Arguments, L"--install") == 0 ? L"" : MainAfter(Arguments, L"--install");
    PWSTR Ports = MainPorts(Install != NULL ? Install : Arguments);
    const char *Api = "";
    DWORD Error;
    if (PostMortem != NULL) {
        return PostMortemRun(PostMortem);
    }
    if (Dump != NULL) {
        return MainFail("dumping a process that lives", PostMortemDump(Dump));
    }
    if (lstrcmpW(Arguments, L"--pipe") == 0) {
        return MainPipe();
    }
    if (lstrcmpW(Arguments, L"--attach") == 0) {
        Error = AttachRun(&Api);
        return MainFail(Api, Error);
    }
    if (lstrcmpW(Arguments, L"--resident") == 0) {
        return MainResident(L"", MAIN_LINGER_MS);
    }
    if (lstrcmpW(Arguments, L"--service") == 0) {
        return MainFail("StartServiceCtrlDispatcherW (only the service manager starts this)", AgentServiceRun());
    }
    if (lstrcmpW(Arguments, L"--uninstall") == 0) {
        Error = AgentServiceUninstall(&Api);
        return MainFail(Api, Error);
    }
    if (Install != NULL && Ports != NULL) {
        Error = AgentServiceInstall(*Ports != 0 ? Ports : AGENT_SERVICE_PORT L"\0", &Api);
        return MainFail(Api, Error);
    }
    if (Install == NULL && Ports != NULL && *Ports != 0) {
        return MainFail("to serve \\\\.\\pipe\\hotswap-agent (183: another agent does)", MainResident(Ports, 0));
    }
    MainSay("usage: hsagent --pipe\n  speaks the agent's protocol over standard input and output\n"
            "       hsagent --port NAME [--port NAME ...]\n  stays, and speaks it over ports and the local pipe: COM2, "
            "\\\\.\\Global\\org.hotswap.agent.0\n"
            "       hsagent --attach\n  joins standard input and output to the agent that stays, and starts one when there "
            "is none\n"
            "       hsagent --install [--port NAME ...] | --uninstall | --service\n  the same as a service\n"
            "       hsagent --post-mortem PID EVENT\n  writes crash-PID.dmp (registered as AeDebug's Debugger)\n"
            "       hsagent --dump MODULE\n  writes live-PID.dmp of the process that this module is loaded into\n");
    return EXIT_USAGE;
}

/* The entry point: there is no C runtime. */
DECLSPEC_NORETURN void WINAPI AgentEntry(void);

DECLSPEC_NORETURN void WINAPI AgentEntry(void)
{
    ExitProcess(MainRun());
}
