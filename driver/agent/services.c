/* Kernel drivers as services, through the service manager. */
#include "operations.h"

typedef struct _SERVICE {
    SC_HANDLE Manager;
    SC_HANDLE Handle;
} SERVICE;

static void ServiceCloseHandles(SERVICE *Service)
{
    if (Service->Handle != NULL) {
        CloseServiceHandle(Service->Handle);
    }
    if (Service->Manager != NULL) {
        CloseServiceHandle(Service->Manager);
    }
}

static REQUEST_RESULT ServiceOpen(REQUEST *Request, PCWSTR Name, DWORD Access, SERVICE *Service)
{
    REQUEST_RESULT Result;
    Service->Handle = NULL;
    Service->Manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    if (Service->Manager == NULL) {
        return RequestFail(Request, "OpenSCManagerW", GetLastError());
    }
    Service->Handle = OpenServiceW(Service->Manager, Name, Access);
    if (Service->Handle == NULL) {
        Result = RequestFail(Request, "OpenServiceW", GetLastError());
        ServiceCloseHandles(Service);
        return Result;
    }
    return RequestDone;
}

REQUEST_RESULT ServiceCreate(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    PCWSTR Path = ReadText(&Request->In);
    SERVICE Service = {0};
    REQUEST_RESULT Result = RequestDone;
    OPERATION_ARGUMENTS_READ(Request);
    Service.Manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE);
    if (Service.Manager == NULL) {
        return RequestFail(Request, "OpenSCManagerW", GetLastError());
    }
    Service.Handle = CreateServiceW(Service.Manager, Name, Name, SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER,
                                    SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, Path, NULL, NULL, NULL, NULL, NULL);
    if (Service.Handle == NULL) {
        Result = RequestFail(Request, "CreateServiceW", GetLastError());
    }
    ServiceCloseHandles(&Service);
    return Result;
}

REQUEST_RESULT ServiceStart(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    SERVICE Service;
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    Result = ServiceOpen(Request, Name, SERVICE_START, &Service);
    if (Result == RequestDone) {
        if (!StartServiceW(Service.Handle, 0, NULL)) {
            Result = RequestFail(Request, "StartServiceW", GetLastError());
        }
        ServiceCloseHandles(&Service);
    }
    return Result;
}

REQUEST_RESULT ServiceStop(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    SERVICE Service;
    SERVICE_STATUS Status = {0};
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    Result = ServiceOpen(Request, Name, SERVICE_STOP, &Service);
    if (Result == RequestDone) {
        if (!ControlService(Service.Handle, SERVICE_CONTROL_STOP, &Status)) {
            Result = RequestFail(Request, "ControlService", GetLastError());
        }
        WriteU32(&Request->Out, Status.dwCurrentState);
        ServiceCloseHandles(&Service);
    }
    return Result;
}

REQUEST_RESULT ServiceDelete(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    SERVICE Service;
    REQUEST_RESULT Result;
    OPERATION_ARGUMENTS_READ(Request);
    Result = ServiceOpen(Request, Name, DELETE, &Service);
    if (Result == RequestDone) {
        if (!DeleteService(Service.Handle)) {
            Result = RequestFail(Request, "DeleteService", GetLastError());
        }
        ServiceCloseHandles(&Service);
    }
    return Result;
}

REQUEST_RESULT ServiceQuery(REQUEST *Request)
{
    PCWSTR Name = ReadText(&Request->In);
    const DWORD ConfigSize = 8192; /* the most that QueryServiceConfigW ever needs */
    QUERY_SERVICE_CONFIGW *Config;
    SERVICE_STATUS_PROCESS Status;
    SERVICE Service;
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
    } else if (!QueryServiceStatusEx(Service.Handle, SC_STATUS_PROCESS_INFO, (BYTE *)&Status, sizeof(Status),
                                     &Needed)) {
        Result = RequestFail(Request, "QueryServiceStatusEx", GetLastError());
    } else if (!QueryServiceConfigW(Service.Handle, Config, ConfigSize, &Needed)) {
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
    ServiceCloseHandles(&Service);
    return Result;
}
