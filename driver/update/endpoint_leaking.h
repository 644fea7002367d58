/* What updates take that leak it, once, in the first iteration of worker 1; v4 gives it back. All at PASSIVE_LEVEL. */
#pragma once

#include "endpoint_ordinary.h"

#define LEAK_TAG 'kaeL'
#define LEAK_BYTES 256

static volatile LONG Leaked;

/* Whether to leak in this call. */
static __inline BOOLEAN LeakNow(const HS_WORKER_CONTEXT *Context)
{
    return Context->WorkerId == 1 && EndpointOnce(&Leaked);
}

/* NULL: no memory. */
static __inline PVOID LeakTakePool(void)
{
#if defined(_MSC_VER)
#pragma warning(suppress : 4996) /* as in sample/memory.c */
#endif
    return ExAllocatePoolWithTag(NonPagedPoolNx, LEAK_BYTES, LEAK_TAG);
}

static __inline NTSTATUS LeakTakeEvent(PHANDLE Handle)
{
    OBJECT_ATTRIBUTES attributes;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateEvent(Handle, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE);
}

static __inline NTSTATUS LeakTakeThread(PKSTART_ROUTINE Routine, PHANDLE Handle)
{
    OBJECT_ATTRIBUTES attributes;

    InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    return PsCreateSystemThread(Handle, THREAD_ALL_ACCESS, &attributes, NULL, NULL, Routine, NULL);
}
