#include "agent_service.h"

#include "memory.h"
#include "serve.h"

#define SERVICE_KEY L"SYSTEM\\CurrentControlSet\\Services\\hsagent\\Parameters"
#define SERVICE_PORTS L"Ports"
#define SERVICE_PORTS_BYTES 4096
#define SERVICE_STOP_MS 20000 /* it finishes a trace first */
#define SERVICE_LOOK_MS 50
#define SERVICE_RESTART_MS 1000

/* There is one service in this process, and its callbacks get no context. */
static struct {
    SERVICE_STATUS_HANDLE Handle;
    HANDLE Ended;
} TheService;

static void AgentServiceTell(DWORD State, DWORD Error)
{
    SERVICE_STATUS Status = {
        .dwServiceType = SERVICE_WIN32_OWN_PROCESS,
        .dwCurrentState = State,
        .dwControlsAccepted = State == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN : 0,
        .dwWin32ExitCode = Error,
        .dwWaitHint = State == SERVICE_STOP_PENDING ? SERVICE_STOP_MS : 0,
    };
    SetServiceStatus(TheService.Handle, &Status);
}

static DWORD WINAPI AgentServiceControl(DWORD Control, DWORD Type, void *Data, void *Context)
{
    (void)Type;
    (void)Data;
    (void)Context;
    switch (Control) {
    case SERVICE_CONTROL_STOP:
    case SERVICE_CONTROL_SHUTDOWN:
        AgentServiceTell(SERVICE_STOP_PENDING, NO_ERROR);
        SetEvent(TheService.Ended);
        return NO_ERROR;
    case SERVICE_CONTROL_INTERROGATE: return NO_ERROR;
    default: return ERROR_CALL_NOT_IMPLEMENTED;
    }
}

static void WINAPI AgentServiceMain(DWORD Count, PWSTR *Arguments)
{
    DWORD Size = SERVICE_PORTS_BYTES;
    PWSTR Ports = MemoryAllocate(SERVICE_PORTS_BYTES + 2 * sizeof(WCHAR));
    DWORD Error;
    (void)Count;
    (void)Arguments;
    TheService.Ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    TheService.Handle = RegisterServiceCtrlHandlerExW(AGENT_SERVICE_NAME, AgentServiceControl, NULL);
    if (TheService.Handle == NULL) {
        return;
    }
    if (TheService.Ended == NULL || Ports == NULL) {
        AgentServiceTell(SERVICE_STOPPED, ERROR_NOT_ENOUGH_MEMORY);
        return;
    }
    if (RegGetValueW(HKEY_LOCAL_MACHINE, SERVICE_KEY, SERVICE_PORTS, RRF_RT_REG_MULTI_SZ, NULL, Ports, &Size) !=
        ERROR_SUCCESS) {
        memcpy(Ports, AGENT_SERVICE_PORT, sizeof(AGENT_SERVICE_PORT)); /* the block is zeroed: an empty name follows */
    }
    AgentServiceTell(SERVICE_RUNNING, NO_ERROR);
    Error = ServeResident(Ports, TheService.Ended, 0);
    AgentServiceTell(SERVICE_STOPPED, Error);
}

DWORD AgentServiceRun(void)
{
    static WCHAR Name[] = AGENT_SERVICE_NAME;
    SERVICE_TABLE_ENTRYW Table[] = {{Name, AgentServiceMain}, {NULL, NULL}};
    return StartServiceCtrlDispatcherW(Table) ? ERROR_SUCCESS : GetLastError();
}

static DWORD AgentServiceSetPorts(PCWSTR Ports)
{
    HKEY Key;
    DWORD Bytes = sizeof(WCHAR);
    LSTATUS Status = RegCreateKeyExW(HKEY_LOCAL_MACHINE, SERVICE_KEY, 0, NULL, REG_OPTION_NON_VOLATILE, KEY_SET_VALUE,
                                     NULL, &Key, NULL);
    if (Status != ERROR_SUCCESS) {
        return (DWORD)Status;
    }
    for (PCWSTR Port = Ports; *Port != 0; Port += lstrlenW(Port) + 1) {
        Bytes += ((DWORD)lstrlenW(Port) + 1) * sizeof(WCHAR);
    }
    Status = RegSetValueExW(Key, SERVICE_PORTS, 0, REG_MULTI_SZ, (const BYTE *)Ports, Bytes);
    RegCloseKey(Key);
    return (DWORD)Status;
}

/* Should it die, it comes again: without it nobody can ask what happened. */
static void AgentServiceSetRecovery(SC_HANDLE Service)
{
    static WCHAR Text[] = L"Does what the hotswap test harness asks for over the virtual machine's ports.";
    SC_ACTION Action = {SC_ACTION_RESTART, SERVICE_RESTART_MS};
    SERVICE_FAILURE_ACTIONSW Actions = {.dwResetPeriod = 60, .cActions = 1, .lpsaActions = &Action};
    SERVICE_DESCRIPTIONW Description = {Text};
    /* Both are a comfort, and Wine has neither. */
    ChangeServiceConfig2W(Service, SERVICE_CONFIG_FAILURE_ACTIONS, &Actions);
    ChangeServiceConfig2W(Service, SERVICE_CONFIG_DESCRIPTION, &Description);
}

static BOOL AgentServiceIs(SC_HANDLE Service, DWORD State)
{
    SERVICE_STATUS Status;
    return QueryServiceStatus(Service, &Status) && Status.dwCurrentState == State;
}

/* Ask it to stop and wait for that. FALSE when it does not. */
static BOOL AgentServiceStop(SC_HANDLE Service)
{
    SERVICE_STATUS Status;
    UINT64 Until = GetTickCount64() + SERVICE_STOP_MS;
    ControlService(Service, SERVICE_CONTROL_STOP, &Status);
    while (!AgentServiceIs(Service, SERVICE_STOPPED)) {
        if (GetTickCount64() > Until) {
            SetLastError(ERROR_TIMEOUT);
            return FALSE;
        }
        Sleep(SERVICE_LOOK_MS);
    }
    return TRUE;
}

static DWORD AgentServiceRegister(SC_HANDLE Manager, PCWSTR CommandLine, PCWSTR Ports, const char **Api)
{
    DWORD Error = ERROR_SUCCESS;
    SC_HANDLE Service = CreateServiceW(Manager, AGENT_SERVICE_NAME, L"hotswap agent", SERVICE_ALL_ACCESS,
                                       SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, CommandLine,
                                       NULL, NULL, NULL, NULL, NULL);
    *Api = "CreateServiceW";
    if (Service == NULL && GetLastError() == ERROR_SERVICE_EXISTS) {
        *Api = "ControlService (stop)";
        Service = OpenServiceW(Manager, AGENT_SERVICE_NAME, SERVICE_ALL_ACCESS);
        if (Service != NULL && (!AgentServiceStop(Service) ||
                                !ChangeServiceConfigW(Service, SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START,
                                                      SERVICE_ERROR_NORMAL, CommandLine, NULL, NULL, NULL, NULL, NULL,
                                                      NULL))) {
            Error = GetLastError();
            CloseServiceHandle(Service);
            return Error;
        }
    }
    if (Service == NULL) {
        return GetLastError();
    }
    *Api = "RegSetValueExW (Ports)";
    AgentServiceSetRecovery(Service);
    Error = AgentServiceSetPorts(Ports);
    if (Error == ERROR_SUCCESS && !StartServiceW(Service, 0, NULL)) {
        *Api = "StartServiceW";
        Error = GetLastError();
    }
    CloseServiceHandle(Service);
    return Error;
}

DWORD AgentServiceInstall(PCWSTR Ports, const char **Api)
{
    static const WCHAR Option[] = L"\" --service";
    WCHAR CommandLine[MAX_PATH + 32];
    SC_HANDLE Manager;
    DWORD Length, Error;
    CommandLine[0] = L'"';
    *Api = "GetModuleFileNameW";
    Length = GetModuleFileNameW(NULL, CommandLine + 1, MAX_PATH);
    if (Length == 0 || Length >= MAX_PATH) {
        return GetLastError();
    }
    memcpy(CommandLine + 1 + Length, Option, sizeof(Option));
    *Api = "OpenSCManagerW";
    Manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE);
    if (Manager == NULL) {
        return GetLastError();
    }
    Error = AgentServiceRegister(Manager, CommandLine, Ports, Api);
    CloseServiceHandle(Manager);
    return Error;
}

DWORD AgentServiceUninstall(const char **Api)
{
    SC_HANDLE Manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    SC_HANDLE Service;
    DWORD Error = ERROR_SUCCESS;
    *Api = "OpenSCManagerW";
    if (Manager == NULL) {
        return GetLastError();
    }
    *Api = "OpenServiceW";
    Service = OpenServiceW(Manager, AGENT_SERVICE_NAME, SERVICE_STOP | SERVICE_QUERY_STATUS | DELETE);
    if (Service == NULL) {
        Error = GetLastError();
    } else {
        *Api = "ControlService (stop)";
        if (!AgentServiceStop(Service)) {
            Error = GetLastError();
        } else if (!DeleteService(Service)) {
            *Api = "DeleteService";
            Error = GetLastError();
        }
        CloseServiceHandle(Service);
    }
    CloseServiceHandle(Manager);
    return Error;
}
