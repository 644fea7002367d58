#include "port.h"

#define PORT_BAUD 115200     /* means nothing to a virtual machine's UART, but both ends must say something */
#define PORT_QUEUE 65536     /* of the serial driver, each way: its default of 4 KiB overruns */
#define PORT_QUIET_MS 20     /* a serial line quiet for so long has sent a piece: take it */
#define PORT_IDLE_MS 1000    /* quiet for so long in mid-frame: the rest will not come */
#define PORT_LISTENER_MS 20  /* between two looks whether somebody listens */
#define PORT_MISSING_MS 500  /* between two attempts to open */
#define PORT_FULL_MS 5       /* vioser refuses a write while its queue is full */

/* Wine has no way to wait for a port that hangs up but to ask it again, and its synchronous handles share no lock. */
static BOOL PortWantsOverlapped(void)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") == NULL;
}

static HANDLE PortCreate(PCWSTR Name)
{
    static const WCHAR Prefix[] = L"\\\\.\\";
    WCHAR Path[128];
    int Length = lstrlenW(Name);
    BOOL Bare = Length > 3 && Length < 100 && CompareStringOrdinal(Name, 3, L"COM", 3, TRUE) == CSTR_EQUAL;
    if (Bare) {
        memcpy(Path, Prefix, sizeof(Prefix));
        lstrcatW(Path, Name);
    }
    return CreateFileW(Bare ? Path : Name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                       PortWantsOverlapped() ? FILE_FLAG_OVERLAPPED : FILE_ATTRIBUTE_NORMAL, NULL);
}

/* TRUE when it is a serial port. 8 bits, no parity, no flow control, and reads that end when the line is quiet. */
static BOOL PortSetUpSerial(HANDLE Handle)
{
    DCB State = {.DCBlength = sizeof(State)};
    COMMTIMEOUTS Times = {.ReadIntervalTimeout = PORT_QUIET_MS, .ReadTotalTimeoutConstant = PORT_IDLE_MS};
    if (!GetCommState(Handle, &State)) {
        return FALSE;
    }
    State.BaudRate = PORT_BAUD;
    State.fBinary = TRUE;
    State.fParity = FALSE;
    State.fOutxCtsFlow = FALSE;
    State.fOutxDsrFlow = FALSE;
    State.fDtrControl = DTR_CONTROL_ENABLE;
    State.fDsrSensitivity = FALSE;
    State.fOutX = FALSE;
    State.fInX = FALSE;
    State.fErrorChar = FALSE;
    State.fNull = FALSE;
    State.fRtsControl = RTS_CONTROL_ENABLE;
    State.fAbortOnError = FALSE;
    State.ByteSize = 8;
    State.Parity = NOPARITY;
    State.StopBits = ONESTOPBIT;
    SetupComm(Handle, PORT_QUEUE, PORT_QUEUE);
    SetCommState(Handle, &State);
    SetCommTimeouts(Handle, &Times);
    return TRUE;
}

static HANDLE PortWaitOpen(PCWSTR Name, HANDLE Stop)
{
    do {
        HANDLE Handle = PortCreate(Name);
        if (Handle != INVALID_HANDLE_VALUE) {
            return Handle;
        }
    } while (WaitForSingleObject(Stop, PORT_MISSING_MS) == WAIT_TIMEOUT);
    return NULL;
}

STREAM *PortOpen(PCWSTR Name, HANDLE Stop)
{
    STREAM *Stream;
    HANDLE Handle = PortWaitOpen(Name, Stop);
    if (Handle == NULL) {
        return NULL;
    }
    Stream = StreamCreate(Handle, Handle, PortWantsOverlapped(), Stop);
    if (Stream == NULL) {
        CloseHandle(Handle);
        return NULL;
    }
    Stream->Port = Name;
    Stream->Serial = PortSetUpSerial(Handle);
    return Stream;
}

/* No one writes meanwhile: the reader alone opens it again. */
static BOOL PortReopen(STREAM *Stream)
{
    HANDLE Handle;
    EnterCriticalSection(&Stream->WriteLock);
    CloseHandle(Stream->Input);
    Handle = PortWaitOpen(Stream->Port, Stream->Stop);
    Stream->Input = Stream->Output = Handle;
    if (Handle != NULL) {
        Stream->Serial = PortSetUpSerial(Handle);
    }
    LeaveCriticalSection(&Stream->WriteLock);
    return Handle != NULL;
}

BOOL PortPause(STREAM *Stream, DWORD Error)
{
    switch (Error) {
    case ERROR_SUCCESS:
    case ERROR_HANDLE_EOF:
    case ERROR_NO_SYSTEM_RESOURCES: /* vioser's way to say that nobody listens */
    case ERROR_OPERATION_ABORTED:
    case ERROR_TIMEOUT:
    case WAIT_TIMEOUT:
        if (Stream->Serial) {
            return TRUE; /* it has waited in the read */
        }
        InterlockedExchange(&Stream->Nobody, TRUE);
        return WaitForSingleObject(Stream->Stop, PORT_LISTENER_MS) == WAIT_TIMEOUT;
    default: return PortReopen(Stream);
    }
}

BOOL PortRetryWrite(const STREAM *Stream, UINT64 GiveUp)
{
    return !Stream->Nobody && GetTickCount64() < GiveUp &&
           WaitForSingleObject(Stream->Stop, PORT_FULL_MS) == WAIT_TIMEOUT;
}
