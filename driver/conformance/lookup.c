/* Lookups, and the numbers of the wrappers that they gave. */
#include "conformance.h"

static PVOID volatile Wrappers[CONFORMANCE_WRAPPERS];

/* The number of this address, the same each time. CONFORMANCE_NONE: NULL, or the table is full. */
static ULONG LookupNumber(PVOID Address)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_WRAPPERS && Address != NULL; i++) {
        PVOID there = InterlockedCompareExchangePointer(&Wrappers[i], Address, NULL);

        if (there == NULL || there == Address) {
            return i;
        }
    }
    return CONFORMANCE_NONE;
}

_Use_decl_annotations_ BOOLEAN LookupWrapper(ULONG Number, PVOID *Address)
{
    *Address = Number < CONFORMANCE_WRAPPERS ? Wrappers[Number] : NULL;
    return *Address != NULL;
}

VOID LookupReset(void)
{
    ULONG i;

    for (i = 0; i < CONFORMANCE_WRAPPERS; i++) {
        InterlockedExchangePointer(&Wrappers[i], NULL);
    }
}

static PVOID LookupById(PDRIVER_PROXY_EXTENSION Extension, ULONG Id, NTSTATUS *Status)
{
    *Status = CfTable.GetWrapper != NULL ? STATUS_SUCCESS : STATUS_NOT_SUPPORTED;
    return CfTable.GetWrapper != NULL ? (PVOID)(ULONG_PTR)CfTable.GetWrapper(Extension, Id) : NULL;
}

static PVOID LookupByPointer(PDRIVER_PROXY_EXTENSION Extension, PVOID Function, NTSTATUS *Status)
{
    PVOID wrapper = (PVOID)(ULONG_PTR)CONFORMANCE_UNTOUCHED;

    *Status = STATUS_NOT_SUPPORTED;
    if (CfTable.GetWrapperFromEndpoint != NULL) {
        *Status = CfTable.GetWrapperFromEndpoint(Extension, (PDRIVER_PROXY_ENDPOINT_FUNCTION)(ULONG_PTR)Function,
                                                 (PDRIVER_PROXY_WRAPPED_ENDPOINT_FUNCTION *)&wrapper);
    }
    return wrapper;
}

static VOID LookupFound(PVOID Address, NTSTATUS Status, ULONG *Wrapper, ULONG64 *Raw)
{
    *Raw = (ULONG64)(ULONG_PTR)Address;
    *Wrapper = NT_SUCCESS(Status) && *Raw != CONFORMANCE_UNTOUCHED ? LookupNumber(Address) : CONFORMANCE_NONE;
}

_Use_decl_annotations_ NTSTATUS LookupOne(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_LOOKUP *request = Input;
    CONFORMANCE_WRAPPER_REPLY *reply = Output;
    PDRIVER_PROXY_EXTENSION extension;
    PVOID function = NULL;
    PVOID found;
    NTSTATUS status = ExtensionFind(request->Extension, &extension);
    CF_API api;

    if (NT_SUCCESS(status) && request->Kind == ConformanceLookupByPointer) {
        status = FunctionResolve(&request->Function, &function);
    }
    if (!NT_SUCCESS(status)) {
        return status;
    }
    ApiBegin(&api, &request->Caller, request->Irql, &reply->Result);
    if (request->Kind == ConformanceLookupByPointer) {
        found = LookupByPointer(extension, function, &status);
    } else {
        found = LookupById(extension, request->Id, &status);
    }
    ApiEnd(&api, status);
    LookupFound(found, status, &reply->Wrapper, &reply->Address);
    return STATUS_SUCCESS;
}

_Use_decl_annotations_ NTSTATUS LookupAll(const VOID *Input, VOID *Output)
{
    const CONFORMANCE_LOOKUP_ALL *request = Input;
    CONFORMANCE_LOOKUP_ALL_REPLY *reply = Output;
    PVOID functions[CONFORMANCE_MAX_LOOKUPS];
    PDRIVER_PROXY_EXTENSION extension;
    NTSTATUS status = ExtensionFind(request->Extension, &extension);
    CF_API api;
    ULONG i;

    if (request->IdCount > CONFORMANCE_MAX_LOOKUPS || request->FunctionCount > CONFORMANCE_MAX_LOOKUPS) {
        return STATUS_INVALID_PARAMETER;
    }
    for (i = 0; i < request->FunctionCount && NT_SUCCESS(status); i++) {
        status = FunctionResolve(&request->Functions[i], &functions[i]);
    }
    if (!NT_SUCCESS(status)) {
        return status;
    }
    ApiBegin(&api, &request->Caller, PASSIVE_LEVEL, &reply->Result);
    for (i = 0; i < request->IdCount; i++) {
        PVOID found = LookupById(extension, request->Ids[i], &status);

        reply->ById[i].Status = status;
        LookupFound(found, status, &reply->ById[i].Wrapper, &reply->ById[i].Address);
    }
    for (i = 0; i < request->FunctionCount; i++) {
        PVOID found = LookupByPointer(extension, functions[i], &status);

        reply->ByPointer[i].Status = status;
        LookupFound(found, status, &reply->ByPointer[i].Wrapper, &reply->ByPointer[i].Address);
    }
    ApiEnd(&api, STATUS_SUCCESS);
    reply->ByIdCount = request->IdCount;
    reply->ByPointerCount = request->FunctionCount;
    return STATUS_SUCCESS;
}
