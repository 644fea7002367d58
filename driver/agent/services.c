/* Kernel drivers as services, through the service manager. */
#include "operations.h"

/*
 * The service manager, opened by the first request and kept: each opening is a conversation with it of its own. It ends
 * with the system only, and any number of threads may use the handle.
 */
static SC_HANDLE volatile ServiceManager;

static SC_HANDLE ServiceManagerOpen(void)
{
    SC_HANDLE Kept = ServiceManager;
    SC_HANDLE Opened;
    if (Kept != NULL) {
        return Kept;
    }
    Opened = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE);
    if (Opened == NULL) {
        return NULL;
    }
    Kept = InterlockedCompareExchangePointer((PVOID volatile *)&ServiceManager, Opened, NULL);
    if (Kept != NULL) {
        CloseServiceHandle(Opened);
        return Kept;
    }
    return Opened;
}

static REQUEST_RESULT ServiceOpen(REQUEST *Request, PCWSTR Name, DWORD Access, SC_HANDLE *Service)
{
    SC_HANDLE Manager = ServiceManagerOpen();
    if (Manager == NULL) {
        return RequestFail(Request, "OpenSCManagerW", GetLastError());
    }
    *Service = OpenServiceW(Manager, Name, Access);
    return *Service != NULL ? RequestDone : RequestFail(Request, "OpenServiceW", GetLastError());
}

REQUEST_RESULT ServiceCreate(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    PCWSTR Path = ReadText(&Request->In);
    SC_HANDLE Manager;
    SC_HANDLE Service;
    OPERATION_ARGUMENTS_READ(Request);
    Manager = ServiceManagerOpen();
    if (Manager == NULL) {
        return RequestFail(Request, "OpenSCManagerW", GetLastError());
    }
    Service = CreateServiceW(Manager, Name, Name, SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER, SERVICE_DEMAND_START,
                             SERVICE_ERROR_NORMAL, Path, NULL, NULL, NULL, NULL, NULL);
    if (Service == NULL) {
        return RequestFail(Request, "CreateServiceW", GetLastError());
    }
    CloseServiceHandle(Service);
    return RequestDone;
}

REQUEST_RESULT ServiceStart(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    SC_HANDLE Service;
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    Result = ServiceOpen(Request, Name, SERVICE_START, &Service);
    if (Result == RequestDone) {
        if (!StartServiceW(Service, 0, NULL)) {
            Result = RequestFail(Request, "StartServiceW", GetLastError());
        }
        CloseServiceHandle(Service);
    }
    return Result;
}

REQUEST_RESULT ServiceStop(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    SC_HANDLE Service;
    SERVICE_STATUS Status = {0};
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    Result = ServiceOpen(Request, Name, SERVICE_STOP, &Service);
    if (Result == RequestDone) {
        if (!ControlService(Service, SERVICE_CONTROL_STOP, &Status)) {
            Result = RequestFail(Request, "ControlService", GetLastError());
        }
        WriteU32(&Request->Out, Status.dwCurrentState);
        CloseServiceHandle(Service);
    }
    return Result;
}

REQUEST_RESULT ServiceDelete(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    SC_HANDLE Service;
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    Result = ServiceOpen(Request, Name, DELETE, &Service);
    if (Result == RequestDone) {
        if (!DeleteService(Service)) {
            Result = RequestFail(Request, "DeleteService", GetLastError());
        }
        CloseServiceHandle(Service);
    }
    return Result;
}

REQUEST_RESULT ServiceQuery(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    const DWORD ConfigSize = 8192; /* the most that QueryServiceConfigW ever needs */
    QUERY_SERVICE_CONFIGW *Config;
    SERVICE_STATUS_PROCESS Status;
    SC_HANDLE Service;
    DWORD Needed = 0;
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    Result = ServiceOpen(Request, Name, SERVICE_QUERY_STATUS | SERVICE_QUERY_CONFIG, &Service);
    if (Result != RequestDone) {
        return Result;
    }
    Config = ArenaAllocate(&Request->Arena, ConfigSize);
    if (Config == NULL) {
        Result = RequestFail(Request, "HeapAlloc", ERROR_NOT_ENOUGH_MEMORY);
    } else if (!QueryServiceStatusEx(Service, SC_STATUS_PROCESS_INFO, (BYTE *)&Status, sizeof(Status),
                                     &Needed)) {
        Result = RequestFail(Request, "QueryServiceStatusEx", GetLastError());
    } else if (!QueryServiceConfigW(Service, Config, ConfigSize, &Needed)) {
        Result = RequestFail(Request, "QueryServiceConfigW", GetLastError());
    } else {
        WriteU32(&Request->Out, Status.dwServiceType);
        WriteU32(&Request->Out, Status.dwCurrentState);
        WriteU32(&Request->Out, Status.dwControlsAccepted);
        WriteU32(&Request->Out, Status.dwWin32ExitCode);
        WriteU32(&Request->Out, Status.dwServiceSpecificExitCode);
        WriteU32(&Request->Out, Status.dwProcessId);
        WriteU32(&Request->Out, Config->dwStartType);
        WriteText(&Request->Out, Config->lpBinaryPathName != NULL ? Config->lpBinaryPathName : L"");
    }
    CloseServiceHandle(Service);
    return Result;
}
