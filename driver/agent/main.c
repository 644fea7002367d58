/* hsagent.exe: one small program in the guest that does what the harness asks for, and knows no particular driver. */
#include "operations.h"

#include "clock.h"
#include "memory.h"
#include "postmortem.h"

#define EXIT_STREAM_ENDED 0
#define EXIT_USAGE 2
#define EXIT_NO_MEMORY 3

BOOLEAN NTAPI SystemFunction036(_Out_writes_bytes_(Size) void *Buffer, ULONG Size);

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

/* Answer requests until the stream ends or somebody says quit. */
static void MainServe(AGENT *Agent)
{
    while (!Agent->Quit) {
        HSAGENT_FRAME_HEADER Header;
        const UINT8 *Payload;
        switch (StreamRead(&Agent->Stream, &Header, &Payload)) {
        case FrameIncomplete: return;
        case FrameReady: RequestReceive(Agent, &Header, Payload); break;
        case FrameBadPayload: RequestRefuse(Agent, &Header, HsAgentProtocolBadPayload); break;
        case FrameTooLarge: RequestRefuse(Agent, &Header, HsAgentProtocolTooLarge); break;
        }
    }
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

static UINT MainRun(void)
{
    AGENT *Agent;
    PCWSTR PostMortem = MainAfter(MainArguments(), L"--post-mortem");
    if (PostMortem != NULL) {
        return PostMortemRun(PostMortem);
    }
    if (lstrcmpW(MainArguments(), L"--pipe") != 0) {
        MainSay("usage: hsagent --pipe\n  speaks the agent's protocol over standard input and output\n"
                "       hsagent --post-mortem PID EVENT\n  writes crash-PID.dmp (registered as AeDebug's Debugger)\n");
        return EXIT_USAGE;
    }
    Agent = MemoryAllocate(sizeof(*Agent));
    if (Agent == NULL ||
        !StreamOpen(&Agent->Stream, GetStdHandle(STD_INPUT_HANDLE), GetStdHandle(STD_OUTPUT_HANDLE))) {
        MainSay("hsagent: no memory\n");
        return EXIT_NO_MEMORY;
    }
    JournalOpen(&Agent->Journal);
    DevicesOpen(&Agent->Devices);
    TraceOpen(&Agent->Trace);
    Agent->TickFrequency = ClockFrequency();
    SystemFunction036(Agent->SessionId, sizeof(Agent->SessionId));

    MainServe(Agent);

    TraceClose(&Agent->Trace); /* first: it needs its device, and its file must be complete */
    DevicesClose(&Agent->Devices);
    return EXIT_STREAM_ENDED;
}

/* The entry point: there is no C runtime. */
DECLSPEC_NORETURN void WINAPI AgentEntry(void);

DECLSPEC_NORETURN void WINAPI AgentEntry(void)
{
    ExitProcess(MainRun());
}
