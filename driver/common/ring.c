/*
 * The trace ring: fixed slots, many writers up to DISPATCH_LEVEL, one drainer, no lock. It counts what it drops.
 *
 * A writer reads the head, then the clock, then takes the head by compare-exchange: so the order of slots is the order of
 * ticks. The drainer turns slots into whole EVENT_HEADER events (trace_ring.h), so writers copy payloads only.
 */
#include "common.h"

#define ALIGN8(n) (((n) + 7u) & ~7u)

#define EVENT_HEADER_TYPE_EVENT64 0x13
#define EVENT_HEADER_MARKER 0xC0
#define EVENT_HEADER_EXTENDED_INFO 0x0001
#define EXT_TYPE_SCHEMA_TL 11
#define EXT_TYPE_PROV_TRAITS 12
#define CHANNEL_TRACELOGGING 11

typedef struct _RING_EVENT_HEADER { /* EVENT_HEADER, 80 bytes */
    USHORT Size;
    UCHAR HeaderType;
    UCHAR MarkerFlags;
    USHORT Flags;
    USHORT EventProperty;
    ULONG ThreadId;
    ULONG ProcessId;
    LONG64 TimeStamp;
    GUID ProviderId;
    USHORT Id;
    UCHAR Version;
    UCHAR Channel;
    UCHAR Level;
    UCHAR Opcode;
    USHORT Task;
    ULONG64 Keyword;
    ULONG64 ProcessorTime;
    GUID ActivityId;
} RING_EVENT_HEADER;
C_ASSERT(sizeof(RING_EVENT_HEADER) == 80);

typedef struct _RING_EXTENDED_ITEM {
    USHORT Bytes; /* with this header, a multiple of 8 */
    USHORT ExtType;
    USHORT Linkage;
    USHORT DataSize;
} RING_EXTENDED_ITEM;

typedef struct _RING {
    HS_RING_SLOT *Slots;
    ULONG Count; /* a power of two */
    volatile LONG64 Head;
    volatile LONG64 Tail;
    volatile LONG64 Dropped;
    volatile LONG Draining;
    HS_RUNDOWN Users; /* closed while the slots are replaced or freed */
} RING;

static RING Ring;

_Must_inspect_result_ static HS_RING_SLOT *RingAllocate(ULONG Slots)
{
#if defined(_MSC_VER)
#pragma warning(suppress : 4996)
#endif
    HS_RING_SLOT *slots = ExAllocatePoolWithTag(NonPagedPoolNx, (SIZE_T)Slots * sizeof(HS_RING_SLOT), HS_TAG);

    if (slots != NULL) {
        RtlZeroMemory(slots, (SIZE_T)Slots * sizeof(HS_RING_SLOT));
    }
    return slots;
}

_Use_decl_annotations_ NTSTATUS RingDriverEntry(void)
{
    HsRundownInitialize(&Ring.Users);
    Ring.Slots = RingAllocate(HS_DEFAULT_RING_SLOTS);
    if (Ring.Slots == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Ring.Count = HS_DEFAULT_RING_SLOTS;
    return STATUS_SUCCESS;
}

VOID RingUnload(void)
{
    HsRundownClose(&Ring.Users);
    if (Ring.Slots != NULL) {
        ExFreePoolWithTag(Ring.Slots, HS_TAG);
        Ring.Slots = NULL;
    }
}

/*
 * Only before the first event that matters: what is in the ring must have been drained, or STATUS_DEVICE_BUSY.
 * Positions go on counting, so that totals stay true.
 */
_Use_decl_annotations_ NTSTATUS RingResize(ULONG Slots)
{
    ULONG count = HS_MIN_RING_SLOTS;
    HS_RING_SLOT *slots;
    HS_RING_SLOT *old;
    ULONG i;
    LONG64 first;

    if (Slots > HS_MAX_RING_SLOTS) {
        return STATUS_INVALID_PARAMETER;
    }
    while (count < Slots) {
        count *= 2;
    }
    if (count == Ring.Count) {
        return STATUS_SUCCESS;
    }
    slots = RingAllocate(count);
    if (slots == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    HsRundownClose(&Ring.Users); /* events written meanwhile are counted as dropped */
    first = Ring.Tail;
    if (Ring.Head - first > count) {
        HsRundownInitialize(&Ring.Users);
        ExFreePoolWithTag(slots, HS_TAG);
        return STATUS_DEVICE_BUSY;
    }
    for (i = 0; first + i < Ring.Head; i++) {
        slots[(first + i) & (count - 1)] = Ring.Slots[(first + i) & (Ring.Count - 1)];
    }
    old = Ring.Slots;
    Ring.Slots = slots;
    Ring.Count = count;
    HsRundownInitialize(&Ring.Users);
    ExFreePoolWithTag(old, HS_TAG);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ VOID RingWrite(HS_EVENT Event, const VOID *Payload, ULONG Length)
{
    HS_RING_SLOT *slot;
    LONG64 head;
    LONG64 tick;

    if (!HsRundownAcquire(&Ring.Users)) {
        InterlockedIncrement64(&Ring.Dropped);
        return;
    }
    do {
        head = Ring.Head;
        if (head - Ring.Tail >= Ring.Count) {
            InterlockedIncrement64(&Ring.Dropped);
            HsRundownRelease(&Ring.Users);
            return;
        }
        tick = HsTick();
    } while (InterlockedCompareExchange64(&Ring.Head, head + 1, head) != head);

    slot = &Ring.Slots[head & (Ring.Count - 1)];
    slot->Tick = tick;
    slot->ThreadId = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
    slot->ProcessId = (ULONG)(ULONG_PTR)PsGetCurrentProcessId();
    slot->Processor = (USHORT)KeGetCurrentProcessorNumberEx(NULL);
    slot->Event = (USHORT)Event;
    slot->Length = (USHORT)Length;
    RtlCopyMemory(slot->Payload, Payload, Length);
    InterlockedExchange64(&slot->Commit, head + 1);
    HsRundownRelease(&Ring.Users);
}

static UCHAR *RingPutItem(UCHAR *To, USHORT Type, BOOLEAN More, const UCHAR *Data, USHORT Bytes)
{
    RING_EXTENDED_ITEM *item = (RING_EXTENDED_ITEM *)To;

    item->Bytes = (USHORT)(sizeof(*item) + ALIGN8(Bytes));
    item->ExtType = Type;
    item->Linkage = More;
    item->DataSize = Bytes;
    RtlCopyMemory(item + 1, Data, Bytes);
    return To + item->Bytes;
}

static ULONG RingEventBytes(const HS_RING_SLOT *Slot)
{
    return (ULONG)(sizeof(RING_EVENT_HEADER) + 2 * sizeof(RING_EXTENDED_ITEM)) + ALIGN8(HsProviderTraitsBytes) +
           ALIGN8(HsEventTemplates[Slot->Event].SchemaBytes) + Slot->Length;
}

/* Entry and event at To, which holds zeroes. */
static VOID RingPutEvent(UCHAR *To, const HS_RING_SLOT *Slot)
{
    const HS_EVENT_TEMPLATE *event = &HsEventTemplates[Slot->Event];
    TRACE_RING_ENTRY *entry = (TRACE_RING_ENTRY *)To;
    RING_EVENT_HEADER *header = (RING_EVENT_HEADER *)(entry + 1);
    UCHAR *next = (UCHAR *)(header + 1);

    entry->Bytes = (ULONG)sizeof(*entry) + ALIGN8(RingEventBytes(Slot));
    entry->Processor = Slot->Processor;
    header->Size = (USHORT)RingEventBytes(Slot);
    header->HeaderType = EVENT_HEADER_TYPE_EVENT64;
    header->MarkerFlags = EVENT_HEADER_MARKER;
    header->Flags = EVENT_HEADER_EXTENDED_INFO;
    header->ThreadId = Slot->ThreadId;
    header->ProcessId = Slot->ProcessId;
    header->TimeStamp = Slot->Tick;
    header->ProviderId = HsProviderGuid;
    header->Channel = CHANNEL_TRACELOGGING;
    header->Level = event->Level;
    header->Opcode = event->Opcode;
    header->Keyword = event->Keyword;
    next = RingPutItem(next, EXT_TYPE_PROV_TRAITS, TRUE, HsProviderTraits, HsProviderTraitsBytes);
    next = RingPutItem(next, EXT_TYPE_SCHEMA_TL, FALSE, event->Schema, event->SchemaBytes);
    RtlCopyMemory(next, Slot->Payload, Slot->Length);
}

/* STATUS_DEVICE_BUSY: another drain is under way. STATUS_BUFFER_TOO_SMALL: no room for the chunk header. */
_Use_decl_annotations_ NTSTATUS RingDrain(PVOID Buffer, ULONG Bytes, ULONG *Returned)
{
    TRACE_RING_CHUNK *chunk = Buffer;
    ULONG used = sizeof(*chunk);
    ULONG entries = 0;
    LONG64 position;

    *Returned = 0;
    if (Bytes < sizeof(*chunk)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if (InterlockedExchange(&Ring.Draining, 1) != 0) {
        return STATUS_DEVICE_BUSY;
    }
    if (!HsRundownAcquire(&Ring.Users)) {
        InterlockedExchange(&Ring.Draining, 0);
        return STATUS_DEVICE_BUSY;
    }
    RtlZeroMemory(chunk, sizeof(*chunk));
    position = Ring.Tail;
    while (position < Ring.Head) {
        const HS_RING_SLOT *slot = &Ring.Slots[position & (Ring.Count - 1)];
        ULONG size;

        if (slot->Commit != position + 1) {
            break; /* its writer is not done; it will be there next time */
        }
        size = (ULONG)sizeof(TRACE_RING_ENTRY) + ALIGN8(RingEventBytes(slot));
        if (size > Bytes - used) {
            break;
        }
        RtlZeroMemory((UCHAR *)Buffer + used, size);
        RingPutEvent((UCHAR *)Buffer + used, slot);
        used += size;
        entries++;
        position++;
        InterlockedExchange64(&Ring.Tail, position);
    }
    chunk->Bytes = used;
    chunk->Entries = entries;
    chunk->EventsWritten = (ULONG64)Ring.Head;
    chunk->EventsDropped = (ULONG64)Ring.Dropped;
    chunk->TickFrequency = (ULONG64)HsTickFrequency();
    chunk->Remaining = (ULONG)(Ring.Head - position);
    *Returned = used;
    HsRundownRelease(&Ring.Users);
    InterlockedExchange(&Ring.Draining, 0);
    return STATUS_SUCCESS;
}

/* All that is in it is forgotten. STATUS_DEVICE_BUSY: a drain is under way. */
_Use_decl_annotations_ NTSTATUS RingDiscard(void)
{
    if (InterlockedExchange(&Ring.Draining, 1) != 0) {
        return STATUS_DEVICE_BUSY;
    }
    if (!HsRundownAcquire(&Ring.Users)) {
        InterlockedExchange(&Ring.Draining, 0);
        return STATUS_DEVICE_BUSY;
    }
    while (Ring.Tail < Ring.Head && Ring.Slots[Ring.Tail & (Ring.Count - 1)].Commit == Ring.Tail + 1) {
        InterlockedIncrement64(&Ring.Tail);
    }
    HsRundownRelease(&Ring.Users);
    InterlockedExchange(&Ring.Draining, 0);
    return STATUS_SUCCESS;
}

ULONG RingSlots(void)
{
    return Ring.Count;
}

_Use_decl_annotations_ VOID RingTotals(ULONG64 *Written, ULONG64 *Dropped)
{
    *Written = (ULONG64)Ring.Head;
    *Dropped = (ULONG64)Ring.Dropped;
}
