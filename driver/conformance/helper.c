/* Helper drivers: whose driver object owns an extension, or whose image has endpoints. */
#include "conformance.h"

typedef struct _CF_HELPER {
    volatile LONG State;   /* CF_STATE */
    PDRIVER_OBJECT Object; /* NULL: it has offered none */
    PDRIVER_OBJECT Last;   /* kept when it has gone, for questions about it */
    ULONG64 Start;
    ULONG Size;
    HS_SERVICE_PATH Path;
} CF_HELPER;

static CF_HELPER Helpers[CONFORMANCE_HELPERS];
/* Drivers that cannot be unloaded: they are there still when they are loaded again. */
static CF_HELPER Residents[CONFORMANCE_HELPERS];

static NTSTATUS HelperFind(ULONG Number, CF_HELPER **Helper)
{
    if (Number >= CONFORMANCE_HELPERS) {
        return STATUS_INVALID_PARAMETER;
    }
    *Helper = &Helpers[Number];
    return (*Helper)->State == CfThere ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

_Use_decl_annotations_ PDRIVER_OBJECT HelperObject(ULONG Number, BOOLEAN MayBeGone)
{
    if (Number >= CONFORMANCE_HELPERS) {
        return NULL;
    }
    if (Helpers[Number].State == CfThere) {
        return Helpers[Number].Object;
    }
    return MayBeGone ? Helpers[Number].Last : NULL;
}

_Use_decl_annotations_ BOOLEAN HelperStart(ULONG Number, ULONG64 *Start)
{
    CF_HELPER *helper;

    if (!NT_SUCCESS(HelperFind(Number, &helper)) || helper->Start == 0) {
        return FALSE;
    }
    *Start = helper->Start;
    return TRUE;
}

static VOID HelperDescribe(const CF_HELPER *Helper, CONFORMANCE_HELPER_INFO *Info)
{
    Info->Loaded = Helper->State == CfThere;
    Info->DriverObject = (ULONG64)(ULONG_PTR)(Helper->State == CfThere ? Helper->Object : Helper->Last);
    Info->DriverStart = Helper->State == CfThere ? Helper->Start : 0;
    Info->DriverSize = Helper->State == CfThere ? Helper->Size : 0;
}

static BOOLEAN HelperIsResident(CF_HELPER *Helper)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_HELPERS; i++) {
        if (Residents[i].Object != NULL && RtlEqualUnicodeString(&Residents[i].Path.String, &Helper->Path.String, TRUE)) {
            Helper->Object = Residents[i].Object;
            Helper->Start = Residents[i].Start;
            Helper->Size = Residents[i].Size;
            return TRUE;
        }
    }
    return FALSE;
}

/* On this thread; no lock is held, because Wine runs DriverEntry here. */
static NTSTATUS HelperLoadImage(CF_HELPER *Helper)
{
    const HS_ENDPOINT_DESCRIPTOR *offer;
    NTSTATUS status;

    (VOID)HsTakeEndpoints(); /* an offer of a load that failed elsewhere is none of ours */
    status = ZwLoadDriver(&Helper->Path.String);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    offer = HsTakeEndpoints();
    if (offer != NULL && offer->CallbackContext != NULL) {
        Helper->Object = offer->CallbackContext;
        Helper->Start = (ULONG64)(ULONG_PTR)Helper->Object->DriverStart;
        Helper->Size = Helper->Object->DriverSize;
    }
    return status;
}

_Use_decl_annotations_ NTSTATUS HelperLoad(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_LOAD_HELPER *request = Input;
    CONFORMANCE_HELPER_INFO *info = Output;
    CF_HELPER *helper;
    NTSTATUS status;
    CF_API api;

    if (request->Helper >= CONFORMANCE_HELPERS) {
        return STATUS_INVALID_PARAMETER;
    }
    helper = &Helpers[request->Helper];
    if (InterlockedCompareExchange(&helper->State, CfBusy, CfFree) != CfFree) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    helper->Object = NULL;
    helper->Start = 0;
    helper->Size = 0;
    status = HsServicePath(request->ServiceName, &helper->Path);
    if (!NT_SUCCESS(status)) {
        InterlockedExchange(&helper->State, CfFree);
        return status;
    }
    ApiBegin(&api, &request->Caller, PASSIVE_LEVEL, &info->Result);
    status = HelperIsResident(helper) ? STATUS_IMAGE_ALREADY_LOADED : HelperLoadImage(helper);
    ApiEnd(&api, status);
    InterlockedExchange(&helper->State, NT_SUCCESS(status) || helper->Object != NULL ? CfThere : CfFree);
    HelperDescribe(helper, info);
    return STATUS_SUCCESS;
}

static VOID HelperGone(ULONG Number)
{
    CF_HELPER *helper = &Helpers[Number];

    ExtensionForgetHelper(Number);
    helper->Last = helper->Object;
    helper->Object = NULL;
    InterlockedExchange(&helper->State, CfFree);
}

_Use_decl_annotations_ NTSTATUS HelperUnload(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_HELPER *request = Input;
    CONFORMANCE_DONE *done = Output;
    CF_HELPER *helper;
    NTSTATUS status = HelperFind(request->Helper, &helper);
    BOOLEAN leaves;
    CF_API api;

    if (!NT_SUCCESS(status)) {
        return status;
    }
    /* Wine says that it has unloaded a driver without DriverUnload, and keeps it. */
    leaves = helper->Object == NULL || helper->Object->DriverUnload != NULL;
    ApiBegin(&api, &request->Caller, PASSIVE_LEVEL, &done->Result);
    status = ZwUnloadDriver(&helper->Path.String);
    ApiEnd(&api, status);
    if (NT_SUCCESS(status) && leaves) {
        HelperGone(request->Helper);
    }
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS HelperQuery(const VOID *Input, VOID *Output)
{
    ULONG number = ((const CONFORMANCE_OBJECT *)Input)->Index;

    if (number >= CONFORMANCE_HELPERS) {
        return STATUS_INVALID_PARAMETER;
    }
    HelperDescribe(&Helpers[number], Output);
    return STATUS_SUCCESS;
}

/* One that has no DriverUnload stays in memory, which is as it should be: only its number is given back. */
static BOOLEAN HelperKeepResident(ULONG Number)
{
    CF_HELPER *helper = &Helpers[Number];
    ULONG i;

    if (helper->Object == NULL || helper->Object->DriverUnload != NULL) {
        return FALSE;
    }
    for (i = 0; i < CONFORMANCE_HELPERS; i++) {
        if (Residents[i].Object == NULL || Residents[i].Object == helper->Object) {
            Residents[i] = *helper;
            Residents[i].Path.String.Buffer = Residents[i].Path.Buffer;
            HelperGone(Number);
            return TRUE;
        }
    }
    return FALSE;
}

_Use_decl_annotations_ ULONG HelperUnloadAll(void)
{
    ULONG left = 0;
    ULONG i;

    for (i = 0; i < CONFORMANCE_HELPERS; i++) {
        if (Helpers[i].State != CfThere || HelperKeepResident(i)) {
            continue;
        }
        if (NT_SUCCESS(ZwUnloadDriver(&Helpers[i].Path.String))) {
            HelperGone(i);
        } else {
            left |= 1u << i;
        }
    }
    for (i = 0; i < CONFORMANCE_HELPERS; i++) {
        Helpers[i].Last = NULL;
    }
    return left;
}
