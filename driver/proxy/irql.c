/* Nothing interrupts this processor for a moment. */
#include "proxy.h"

/* By name: the headers have inline ones, which only a kernel can run. */
typedef KIRQL(FASTCALL *DP_RAISE_IRQL)(KIRQL NewIrql);
typedef VOID(NTAPI *DP_LOWER_IRQL)(KIRQL NewIrql);

static PVOID DpResolve(PCWSTR Name)
{
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Name);
    return MmGetSystemRoutineAddress(&name);
}

_Use_decl_annotations_ VOID DpMomentPrepare(DP_MOMENT *Moment)
{
    Moment->Raise = DpResolve(L"KfRaiseIrql");
    Moment->Lower = DpResolve(L"KeLowerIrql");
    Moment->Irql = PASSIVE_LEVEL;
}

_Use_decl_annotations_ VOID DpAlone(DP_MOMENT *Moment)
{
    if (Moment->Raise != NULL && Moment->Lower != NULL) {
        Moment->Irql = ((DP_RAISE_IRQL)(ULONG_PTR)Moment->Raise)(HIGH_LEVEL);
    }
}

_Use_decl_annotations_ VOID DpNotAlone(const DP_MOMENT *Moment)
{
    if (Moment->Raise != NULL && Moment->Lower != NULL) {
        ((DP_LOWER_IRQL)(ULONG_PTR)Moment->Lower)(Moment->Irql);
    }
}
