/* Of the host driver, what verifier_load.c needs. */
#pragma once

#include "verifier.h"

#define NTAPI
#define UNREFERENCED_PARAMETER(x) ((void)(x))
#define STATUS_SUCCESS ((NTSTATUS)0)
#define STATUS_NOT_FOUND ((NTSTATUS)0xC0000225)
#define STATUS_PARTIAL_COPY ((NTSTATUS)0x8000000D)
#define NT_SUCCESS(Status) ((NTSTATUS)(Status) >= 0)
#define InterlockedExchange(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)

typedef void *PUNICODE_STRING;
typedef struct _IMAGE_INFO {
    unsigned SystemModeImage : 1;
    PVOID ImageBase;
} IMAGE_INFO, *PIMAGE_INFO;
typedef VOID LOAD_NOTIFY(PUNICODE_STRING FullImageName, HANDLE ProcessId, PIMAGE_INFO ImageInfo);

NTSTATUS PsSetLoadImageNotifyRoutine(LOAD_NOTIFY *Notify);
NTSTATUS PsRemoveLoadImageNotifyRoutine(LOAD_NOTIFY *Notify);
