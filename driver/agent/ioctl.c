/* One overlapped IOCTL: start, wait, cancel. */
#include "clock.h"
#include "devices.h"

#define IOCTL_CANCEL_MS 2000 /* a driver that takes longer to give up a cancelled IRP is not waited for */

ULONG NTAPI RtlNtStatusToDosError(LONG Status);
LONG NTAPI RtlGetLastNtStatus(void);

static void IoctlEnd(IOCTL *Ioctl, DWORD Error, UINT32 NtStatus, DWORD Bytes)
{
    Ioctl->Result.End = ClockTicks();
    Ioctl->Result.Error = Error;
    Ioctl->Result.NtStatus = NtStatus;
    Ioctl->Result.Bytes = Bytes;
}

BOOL IoctlStart(IOCTL *Ioctl, HANDLE Handle, HANDLE Event, UINT32 Code, const void *In, UINT32 InSize, void *Out,
                UINT32 OutSize)
{
    DWORD Bytes = 0;
    DWORD Error;
    memset(Ioctl, 0, sizeof(*Ioctl));
    Ioctl->Handle = Handle;
    Ioctl->Overlapped.hEvent = Event;
    Ioctl->Result.Begin = ClockTicks();
    if (DeviceIoControl(Handle, Code, (void *)(ULONG_PTR)In, InSize, Out, OutSize, &Bytes, &Ioctl->Overlapped)) {
        IoctlEnd(Ioctl, ERROR_SUCCESS, 0, (DWORD)Ioctl->Overlapped.InternalHigh);
        return TRUE;
    }
    Error = GetLastError();
    if (Error == ERROR_IO_PENDING) {
        return FALSE;
    }
    IoctlEnd(Ioctl, Error, (UINT32)RtlGetLastNtStatus(), (DWORD)Ioctl->Overlapped.InternalHigh);
    return TRUE;
}

BOOL IoctlWait(IOCTL *Ioctl, UINT32 Milliseconds)
{
    DWORD Bytes = 0;
    DWORD Error = ERROR_SUCCESS;
    if (WaitForSingleObject(Ioctl->Overlapped.hEvent, Milliseconds) != WAIT_OBJECT_0) {
        return FALSE;
    }
    if (!GetOverlappedResult(Ioctl->Handle, &Ioctl->Overlapped, &Bytes, FALSE)) {
        Error = GetLastError();
    }
    IoctlEnd(Ioctl, Error, (UINT32)Ioctl->Overlapped.Internal, (DWORD)Ioctl->Overlapped.InternalHigh);
    return TRUE;
}

void IoctlCancel(IOCTL *Ioctl)
{
    CancelIoEx(Ioctl->Handle, &Ioctl->Overlapped);
    if (!IoctlWait(Ioctl, IOCTL_CANCEL_MS)) {
        Ioctl->Result.Abandoned = TRUE;
        IoctlEnd(Ioctl, ERROR_TIMEOUT, 0, 0);
    }
    if (Ioctl->Result.Error != ERROR_SUCCESS) {
        Ioctl->Result.TimedOut = TRUE;
    }
}
