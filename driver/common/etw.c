/*
 * The same events through ETW, where the guest has it. Everything is looked up at run time: Wine 8 exports none of it.
 *
 * TraceLogging in kernel mode: EtwRegister, EtwSetInformation with the provider traits, EtwWriteTransfer with descriptors of
 * type 2 (provider metadata) and 1 (event metadata) before the payload; id 0, channel 11.
 */
#include "common.h"

#define ETW_CHANNEL_TRACELOGGING 11
#define ETW_INFORMATION_TRAITS 2 /* EventProviderSetTraits */
#define ETW_DATA_EVENT_METADATA 1
#define ETW_DATA_PROVIDER_METADATA 2

typedef struct _ETW_DESCRIPTOR { /* EVENT_DESCRIPTOR */
    USHORT Id;
    UCHAR Version;
    UCHAR Channel;
    UCHAR Level;
    UCHAR Opcode;
    USHORT Task;
    ULONG64 Keyword;
} ETW_DESCRIPTOR;

typedef struct _ETW_DATA { /* EVENT_DATA_DESCRIPTOR */
    ULONG64 Pointer;
    ULONG Size;
    UCHAR Type;
    UCHAR Reserved1;
    USHORT Reserved2;
} ETW_DATA;

typedef NTSTATUS(NTAPI *ETW_REGISTER)(const GUID *ProviderId, PVOID EnableCallback, PVOID CallbackContext, ULONG64 *RegHandle);
typedef NTSTATUS(NTAPI *ETW_UNREGISTER)(ULONG64 RegHandle);
typedef NTSTATUS(NTAPI *ETW_SET_INFORMATION)(ULONG64 RegHandle, ULONG InformationClass, PVOID Information, ULONG Length);
typedef NTSTATUS(NTAPI *ETW_WRITE_TRANSFER)(ULONG64 RegHandle, const ETW_DESCRIPTOR *Descriptor, const GUID *ActivityId,
                                            const GUID *RelatedActivityId, ULONG UserDataCount, ETW_DATA *UserData);
typedef BOOLEAN(NTAPI *ETW_PROVIDER_ENABLED)(ULONG64 RegHandle, UCHAR Level, ULONG64 Keyword);

typedef struct _ETW {
    ULONG64 Handle; /* 0: not registered */
    ETW_REGISTER Register;
    ETW_UNREGISTER Unregister;
    ETW_SET_INFORMATION SetInformation;
    ETW_WRITE_TRANSFER WriteTransfer;
    ETW_PROVIDER_ENABLED ProviderEnabled;
} ETW;

static ETW Etw;

static PVOID EtwResolve(PCWSTR Name)
{
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    return MmGetSystemRoutineAddress(&name);
}

VOID EtwDriverEntry(void)
{
    Etw.Register = (ETW_REGISTER)(ULONG_PTR)EtwResolve(L"EtwRegister");
    Etw.Unregister = (ETW_UNREGISTER)(ULONG_PTR)EtwResolve(L"EtwUnregister");
    Etw.SetInformation = (ETW_SET_INFORMATION)(ULONG_PTR)EtwResolve(L"EtwSetInformation");
    Etw.WriteTransfer = (ETW_WRITE_TRANSFER)(ULONG_PTR)EtwResolve(L"EtwWriteTransfer");
    Etw.ProviderEnabled = (ETW_PROVIDER_ENABLED)(ULONG_PTR)EtwResolve(L"EtwProviderEnabled");
    if (Etw.Register == NULL || Etw.Unregister == NULL || Etw.WriteTransfer == NULL || Etw.ProviderEnabled == NULL) {
        return;
    }
    if (!NT_SUCCESS(Etw.Register(&HsProviderGuid, NULL, NULL, &Etw.Handle))) {
        Etw.Handle = 0; /* the ring has the events all the same */
        return;
    }
    if (Etw.SetInformation != NULL) {
        (VOID)Etw.SetInformation(Etw.Handle, ETW_INFORMATION_TRAITS, (PVOID)(ULONG_PTR)HsProviderTraits, HsProviderTraitsBytes);
    }
}

VOID EtwUnload(void)
{
    if (Etw.Handle != 0) {
        Etw.Unregister(Etw.Handle);
        Etw.Handle = 0;
    }
}

BOOLEAN EtwActive(void)
{
    return Etw.Handle != 0;
}

static VOID EtwDescribe(ETW_DATA *Data, const VOID *Pointer, ULONG Size, UCHAR Type)
{
    Data->Pointer = (ULONG64)(ULONG_PTR)Pointer;
    Data->Size = Size;
    Data->Type = Type;
    Data->Reserved1 = 0;
    Data->Reserved2 = 0;
}

_Use_decl_annotations_ VOID EtwWriteEventRecord(HS_EVENT Event, const VOID *Payload, ULONG Length)
{
    const HS_EVENT_TEMPLATE *event = &HsEventTemplates[Event];
    ETW_DESCRIPTOR descriptor = { 0, 0, ETW_CHANNEL_TRACELOGGING, event->Level, event->Opcode, 0, event->Keyword };
    ETW_DATA data[3];

    if (Etw.Handle == 0 || !Etw.ProviderEnabled(Etw.Handle, event->Level, event->Keyword)) {
        return;
    }
    EtwDescribe(&data[0], HsProviderTraits, HsProviderTraitsBytes, ETW_DATA_PROVIDER_METADATA);
    EtwDescribe(&data[1], event->Schema, event->SchemaBytes, ETW_DATA_EVENT_METADATA);
    EtwDescribe(&data[2], Payload, Length, 0);
    (VOID)Etw.WriteTransfer(Etw.Handle, &descriptor, NULL, NULL, ARRAYSIZE(data), data);
}
