/* Around each call of the API: ticks, IRQL, and the allocation that is to fail. */
#include "conformance.h"

/* In ntoskrnl on Windows and on Wine; the headers have inline ones, which only a kernel can run. */
typedef KIRQL(FASTCALL *KF_RAISE_IRQL)(KIRQL NewIrql);
typedef VOID(NTAPI *KE_LOWER_IRQL)(KIRQL NewIrql);

_Use_decl_annotations_ VOID ApiBegin(CF_API *Api, const CONFORMANCE_CALLER *Caller, ULONG Irql, CONFORMANCE_RESULT *Result)
{
    KF_RAISE_IRQL raise = (KF_RAISE_IRQL)(ULONG_PTR)(Irql != PASSIVE_LEVEL ? HsResolveSystem(NULL, L"KfRaiseIrql") : NULL);

    Api->Result = Result;
    Api->FailAllocation = CfRuntime == ConformanceRuntimeCompat ? Caller->FailAllocation : 0;
    Api->Raised = raise != NULL;
    if (Api->FailAllocation != 0) {
        HsFailDriverProxyAllocation(Api->FailAllocation, NULL);
    }
    if (Api->Raised) {
        Api->OldIrql = raise((KIRQL)Irql);
    }
    Result->Irql = KeGetCurrentIrql();
    Result->Begin = HsTick();
}

_Use_decl_annotations_ VOID ApiEnd(CF_API *Api, NTSTATUS Status)
{
    CONFORMANCE_RESULT *result = Api->Result;

    result->End = HsTick();
    result->IrqlAfter = KeGetCurrentIrql();
    result->Status = Status;
    if (Api->Raised) {
        KE_LOWER_IRQL lower;

        lower = (KE_LOWER_IRQL)(ULONG_PTR)HsResolveSystem(NULL, L"KeLowerIrql");
        if (lower != NULL) {
            lower(Api->OldIrql);
        }
    }
    if (Api->FailAllocation != 0) {
        HsFailDriverProxyAllocation(0, &result->Attempts);
    }
}

static DRIVER_OBJECT ApiUnready; /* DriverExtension is NULL */

_Use_decl_annotations_ NTSTATUS ApiDriverObject(const CONFORMANCE_DRIVER *Driver, BOOLEAN MayBeGone, PDRIVER_OBJECT *Object)
{
    *Object = NULL;
    switch (Driver->Owner) {
    case ConformanceOwnerNone:
        return STATUS_SUCCESS;
    case ConformanceOwnerSelf:
        *Object = CfDriverObject;
        return STATUS_SUCCESS;
    case ConformanceOwnerHelper:
        *Object = HelperObject(Driver->Helper, MayBeGone);
        return *Object != NULL ? STATUS_SUCCESS : STATUS_NOT_FOUND;
    case ConformanceOwnerUnready:
        ApiUnready.Type = IO_TYPE_DRIVER;
        ApiUnready.Size = sizeof(ApiUnready);
        *Object = &ApiUnready;
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_PARAMETER;
    }
}
