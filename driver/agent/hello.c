/* Who the agent is, and which guest it runs in. */
#include "clock.h"
#include "operations.h"

#define HELLO_BOOT_KEY L"SOFTWARE\\HotSwapAgentBoot"
#define HELLO_BOOT_MUTEX L"Global\\HotSwapAgentBoot"

/* RtlGenRandom under the only name that advapi32 exports. */
BOOLEAN NTAPI SystemFunction036(_Out_writes_bytes_(Size) void *Buffer, ULONG Size);
LONG NTAPI RtlGetVersion(_Inout_ RTL_OSVERSIONINFOW *Version);

/* Random bytes that a process keeps in stock were drawn before a fork, and are the same in all its twins. */
static void HelloForgetRandom(void)
{
    UINT8 Stale[2048];
    SystemFunction036(Stale, sizeof(Stale));
}

static void HelloRandomId(UINT8 *Id)
{
    SystemFunction036(Id, 16);
    Id[7] = (UINT8)((Id[7] & 0x0F) | 0x40); /* a version 4 GUID, in memory order */
    Id[8] = (UINT8)((Id[8] & 0x3F) | 0x80);
}

/* The boot id lives in a volatile key: it outlives an agent, and not a boot. Renew: a new one, whatever there was. */
static LSTATUS HelloReadBootId(UINT8 *BootId, BOOL Renew)
{
    HKEY Key;
    DWORD Size = 16;
    DWORD Type = 0;
    LSTATUS Status = RegCreateKeyExW(HKEY_LOCAL_MACHINE, HELLO_BOOT_KEY, 0, NULL, REG_OPTION_VOLATILE,
                                     KEY_QUERY_VALUE | KEY_SET_VALUE, NULL, &Key, NULL);
    if (Status != ERROR_SUCCESS) {
        return Status;
    }
    Status = Renew ? ERROR_FILE_NOT_FOUND : RegQueryValueExW(Key, L"BootId", NULL, &Type, BootId, &Size);
    if (Status == ERROR_FILE_NOT_FOUND) {
        HelloRandomId(BootId);
        Status = RegSetValueExW(Key, L"BootId", 0, REG_BINARY, BootId, 16);
    } else if (Status == ERROR_SUCCESS && (Type != REG_BINARY || Size != 16)) {
        Status = ERROR_INVALID_DATA;
    }
    RegCloseKey(Key);
    return Status;
}

/* One agent of several in this guest at a time. FALSE, with the request failed, when the registry refuses. */
static BOOL HelloBootId(REQUEST *Request, UINT8 *BootId, BOOL Renew)
{
    LSTATUS Status;
    HANDLE Mutex = CreateMutexW(NULL, FALSE, HELLO_BOOT_MUTEX);
    if (Mutex != NULL) {
        WaitForSingleObject(Mutex, 5000);
    }
    Status = HelloReadBootId(BootId, Renew);
    if (Mutex != NULL) {
        ReleaseMutex(Mutex);
        CloseHandle(Mutex);
    }
    if (Status != ERROR_SUCCESS) {
        RequestFailDetail(Request, "RegCreateKeyExW", (UINT32)Status,
                          "boot id in HKLM\\SOFTWARE\\HotSwapAgentBoot: run the agent as an administrator");
    }
    return Status == ERROR_SUCCESS;
}

REQUEST_RESULT HelloRun(REQUEST *Request)
{
    MESSAGE_WRITER *Out = &Request->Out;
    UINT8 BootId[16] = {0};
    RTL_OSVERSIONINFOW Version = {.dwOSVersionInfoSize = sizeof(Version)};
    SYSTEM_INFO System;
    FARPROC WineVersion;
    WCHAR Name[MAX_COMPUTERNAME_LENGTH + 1] = L"";
    DWORD NameLength = ARRAYSIZE(Name);
    OPERATION_ARGUMENTS_READ(Request);

    if (!HelloBootId(Request, BootId, FALSE)) {
        return RequestFailed;
    }
    if (!GetComputerNameW(Name, &NameLength)) {
        return RequestFail(Request, "GetComputerNameW", GetLastError());
    }
    RtlGetVersion(&Version);
    GetSystemInfo(&System);
    WineVersion = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version");

    WriteU32(Out, HSAGENT_PROTOCOL_VERSION);
    WriteU32(Out, HSAGENT_VERSION_MAJOR);
    WriteU32(Out, HSAGENT_VERSION_MINOR);
    WriteU32(Out, HSAGENT_VERSION_PATCH);
    WriteBytes(Out, BootId, sizeof(BootId));
    WriteBytes(Out, Request->Agent->SessionId, sizeof(Request->Agent->SessionId));
    WriteU32(Out, Version.dwMajorVersion);
    WriteU32(Out, Version.dwMinorVersion);
    WriteU32(Out, Version.dwBuildNumber);
    WriteAscii(Out, WineVersion != NULL ? ((const char *(*)(void))(void *)WineVersion)() : "");
    WriteU32(Out, GetCurrentProcessId());
    WriteU32(Out, System.dwNumberOfProcessors);
    WriteU64(Out, Request->Agent->TickFrequency);
    WriteU64(Out, ClockTicks());
    WriteText(Out, Name);
    return RequestDone;
}

/* A name that counts at once: Windows takes one that was set by its API over at the next boot. */
static LSTATUS HelloName(PCWSTR Key, PCWSTR Value, PCWSTR Name)
{
    return RegSetKeyValueW(HKEY_LOCAL_MACHINE, Key, Value, REG_SZ, Name, ((DWORD)lstrlenW(Name) + 1) * sizeof(WCHAR));
}

REQUEST_RESULT HelloIdentify(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    UINT8 BootId[16] = {0};
    LSTATUS Status;
    OPERATION_ARGUMENTS_READ(Request);
    if (*Name == 0 || lstrlenW(Name) > MAX_COMPUTERNAME_LENGTH) {
        return RequestFailProtocol(Request, HsAgentProtocolMalformed, "a computer name has 1 to 15 characters");
    }
    if (!SetComputerNameExW(ComputerNamePhysicalDnsHostname, Name)) {
        return RequestFail(Request, "SetComputerNameExW", GetLastError());
    }
    Status = HelloName(L"SYSTEM\\CurrentControlSet\\Control\\ComputerName\\ActiveComputerName", L"ComputerName", Name);
    if (Status == ERROR_SUCCESS) {
        Status = HelloName(L"SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters", L"Hostname", Name);
    }
    if (Status != ERROR_SUCCESS) {
        return RequestFail(Request, "RegSetKeyValueW", (UINT32)Status);
    }
    SetEnvironmentVariableW(L"COMPUTERNAME", Name); /* of the programs that are started from here */
    HelloForgetRandom();
    HelloRandomId(Request->Agent->SessionId);
    return HelloBootId(Request, BootId, TRUE) ? RequestDone : RequestFailed;
}

REQUEST_RESULT HelloJournal(REQUEST *Request)
{
    UINT64 Nonce = ReadU64(&Request->In);
    UINT64 Id = ReadU64(&Request->In);
    OPERATION_ARGUMENTS_READ(Request);
    WriteU32(&Request->Out, (UINT32)JournalQuery(&Request->Agent->Journal, Nonce, Id));
    return RequestDone;
}

REQUEST_RESULT HelloRelease(REQUEST *Request)
{
    OPERATION_ARGUMENTS_READ(Request);
    TraceRelease(&Request->Agent->Trace, Request->Nonce); /* first: it needs its device */
    DevicesRelease(&Request->Agent->Devices, Request->Nonce);
    return RequestDone;
}

REQUEST_RESULT HelloQuit(REQUEST *Request)
{
    OPERATION_ARGUMENTS_READ(Request);
    InterlockedExchange(&Request->Agent->Quit, 1);
    return RequestDone;
}
