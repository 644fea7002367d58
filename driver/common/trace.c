/* Events: their TraceLogging metadata, made from the driver's list, and the way to the ring and to ETW. */
#include "common.h"

/* TraceLogging in-types and out-types. */
#define TLG_UINT32 8
#define TLG_INT64 9
#define TLG_UINT64 10
#define TLG_HEXINT32 20
#define TLG_HEXINT64 21
#define TLG_OUT_FOLLOWS 0x80
#define TLG_OUT_NTSTATUS 14

#pragma pack(push, 1)
typedef struct _TLG_PLAIN {
    UCHAR In;
} TLG_PLAIN;
typedef struct _TLG_WITH_OUT {
    UCHAR In;
    UCHAR Out;
} TLG_WITH_OUT;
#define TLG_T_UINT32 TLG_PLAIN
#define TLG_T_UINT64 TLG_PLAIN
#define TLG_T_INT64 TLG_PLAIN
#define TLG_T_HEX32 TLG_PLAIN
#define TLG_T_HEX64 TLG_PLAIN
#define TLG_T_NTSTATUS TLG_WITH_OUT
#define TLG_V_UINT32 { TLG_UINT32 }
#define TLG_V_UINT64 { TLG_UINT64 }
#define TLG_V_INT64 { TLG_INT64 }
#define TLG_V_HEX32 { TLG_HEXINT32 }
#define TLG_V_HEX64 { TLG_HEXINT64 }
#define TLG_V_NTSTATUS { TLG_HEXINT32 | TLG_OUT_FOLLOWS, TLG_OUT_NTSTATUS }
#define TLG_MEMBER(Type, Name) CHAR Name##Name[sizeof(#Name)]; TLG_T_##Type Name##Type;
#define TLG_VALUE(Type, Name) #Name, TLG_V_##Type,
#define HS_SCHEMA(EventName, Level, Opcode, Keyword, Fields)                                                           \
    static const struct {                                                                                              \
        USHORT Bytes;                                                                                                  \
        UCHAR Tags;                                                                                                    \
        CHAR Name[sizeof(#EventName)];                                                                                 \
        Fields(TLG_MEMBER)                                                                                             \
    } HsSchema##EventName = { sizeof(HsSchema##EventName), 0, #EventName, Fields(TLG_VALUE) };                         \
    C_ASSERT(sizeof(HS_##EventName) <= HS_MAX_PAYLOAD);
HS_EVENT_LIST(HS_SCHEMA)

static const struct {
    USHORT Bytes;
    CHAR Name[sizeof(HS_PROVIDER_NAME)];
} HsTraits = { sizeof(HsTraits), HS_PROVIDER_NAME };
#pragma pack(pop)

const GUID HsProviderGuid = HS_PROVIDER_GUID;
const UCHAR *const HsProviderTraits = (const UCHAR *)&HsTraits;
const USHORT HsProviderTraitsBytes = sizeof(HsTraits);

#define HS_TEMPLATE(EventName, Level, Opcode, Keyword, Fields)                                                         \
    { Level, Opcode, sizeof(HsSchema##EventName), Keyword, (const UCHAR *)&HsSchema##EventName },
const HS_EVENT_TEMPLATE HsEventTemplates[HsEventCount] = { HS_EVENT_LIST(HS_TEMPLATE) };

_Use_decl_annotations_ VOID HsTraceWrite(HS_EVENT Event, const VOID *Payload, ULONG Length)
{
    RingWrite(Event, Payload, Length);
    EtwWriteEventRecord(Event, Payload, Length);
    if (HsPauseArmed != 0) {
        PauseHere(Event, Payload, Length);
    }
}
