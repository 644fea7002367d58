/* Open devices and the IOCTLs in flight on them. */
#pragma once

#include "portable.h"

#define DEVICES_LIMIT 64
#define DEVICE_IO_LIMIT 256

typedef struct _DEVICE {
    UINT64 Id;    /* never used again; 0 = free slot */
    UINT64 Owner; /* nonce of the client that opened it */
    HANDLE Handle;
    UINT32 References; /* the table's own and one for each IOCTL in flight; the handle goes with the last */
    BOOL Closed;
} DEVICE;

/* An IOCTL that a client may cancel: known by the request that started it. */
typedef struct _DEVICE_IO {
    UINT64 Nonce;
    UINT64 RequestId; /* 0 = free slot */
    HANDLE Handle;
    OVERLAPPED *Overlapped;
} DEVICE_IO;

typedef struct _DEVICES {
    CRITICAL_SECTION Lock;
    UINT64 LastId;
    PVOID volatile SpareEvent;
    DEVICE Devices[DEVICES_LIMIT];
    DEVICE_IO InFlight[DEVICE_IO_LIMIT];
} DEVICES;

void DevicesOpen(_Out_ DEVICES *Devices);
/* Cancel what is in flight and close everything. */
void DevicesClose(_Inout_ DEVICES *Devices);
/* The same with what this client opened. */
void DevicesRelease(_Inout_ DEVICES *Devices, UINT64 Owner);

/* How one IOCTL ended. */
typedef struct _IOCTL_RESULT {
    UINT32 Error;    /* Win32, 0 = success */
    UINT32 NtStatus; /* what the driver said, as far as it is known */
    UINT32 Bytes;    /* of output; warnings such as ERROR_MORE_DATA have some, too */
    UINT64 Begin;    /* ticks before and after */
    UINT64 End;
    BOOL TimedOut;   /* the time limit ran out and it was cancelled */
    BOOL Abandoned;  /* it cannot even be cancelled: its memory must stay */
} IOCTL_RESULT;

/* An IOCTL on an overlapped handle. Its manual-reset event is its own until it is done; starting resets it. */
typedef struct _IOCTL {
    HANDLE Handle;
    OVERLAPPED Overlapped;
    IOCTL_RESULT Result;
} IOCTL;

/* Start it; TRUE when it is done already and Result tells how. */
_Must_inspect_result_ BOOL IoctlStart(_Inout_ IOCTL *Ioctl, HANDLE Handle, HANDLE Event, UINT32 Code,
                                      _In_reads_bytes_(InSize) const void *In, UINT32 InSize,
                                      _Out_writes_bytes_(OutSize) void *Out, UINT32 OutSize);
/* Wait at most so long; TRUE when it is done. */
_Must_inspect_result_ BOOL IoctlWait(_Inout_ IOCTL *Ioctl, UINT32 Milliseconds);
/* Cancel it and wait for its end, but not for ever: see Abandoned. */
void IoctlCancel(_Inout_ IOCTL *Ioctl);
