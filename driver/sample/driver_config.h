/* What the parts that drivers share (common/common.h) are to know of the host driver. */
#pragma once

#include "hotswap_events.h"
#include "hotswap_ioctl.h"

#define HS_TAG 'wStH'
#define HS_EVENT_LIST HOTSWAP_EVENTS
#define HS_PROVIDER_NAME HOTSWAP_PROVIDER_NAME
#define HS_PROVIDER_GUID HOTSWAP_PROVIDER_GUID
#define HS_DEVICE_NAME L"\\Device\\HotSwap"
#define HS_DEVICE_LINK L"\\DosDevices\\HotSwap"
#define HS_DEVICE_CLASS                                                                                                \
    { 0x6f3a90d1, 0x5c0e, 0x4d36, { 0x9a, 0x51, 0x27, 0x40, 0xd9, 0x83, 0x1c, 0x5e } }
#define HS_MAX_INPUT sizeof(HOTSWAP_START_LOAD)
#define HS_MAX_INPUT_HERE sizeof(TRACE_PAUSE_ARM)
C_ASSERT(HOTSWAP_SERVICE_NAME_CHARS == 64); /* HS_SERVICE_NAME_CHARS */

/* What the host holds. */
typedef struct _HS_COUNTERS {
    volatile LONG Threads;
    volatile LONG Allocations;
    volatile LONG64 AllocationBytes;
    volatile LONG Events;
    volatile LONG References;
    volatile LONG EndpointDrivers;
    volatile LONG64 Iterations;
    volatile LONG64 Signals;
} HS_COUNTERS;
