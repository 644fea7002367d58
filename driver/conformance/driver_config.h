/* What the parts that drivers share (common/common.h) are to know of the conformance driver. */
#pragma once

#include "conformance_events.h"
#include "conformance_ioctl.h"

#define HS_TAG 'mrfC'
#define HS_EVENT_LIST CONFORMANCE_EVENTS
#define HS_PROVIDER_NAME CONFORMANCE_PROVIDER_NAME
#define HS_PROVIDER_GUID CONFORMANCE_PROVIDER_GUID
#define HS_DEVICE_NAME L"\\Device\\HotSwapConformance"
#define HS_DEVICE_LINK L"\\DosDevices\\HotSwapConformance"
#define HS_DEVICE_CLASS                                                                                                \
    { 0x2d0b7c14, 0x8f5e, 0x4f0c, { 0xb1, 0x77, 0x3e, 0x0a, 0x5d, 0x92, 0x6c, 0x48 } }
#define HS_MAX_INPUT sizeof(CONFORMANCE_REGISTER)
#define HS_MAX_INPUT_HERE sizeof(CONFORMANCE_PREPARE)
C_ASSERT(CONFORMANCE_SERVICE_NAME_CHARS == 64); /* HS_SERVICE_NAME_CHARS */

typedef struct _HS_COUNTERS {
    volatile LONG Threads;
    volatile LONG Allocations;
    volatile LONG64 AllocationBytes;
    volatile LONG References;
} HS_COUNTERS;
