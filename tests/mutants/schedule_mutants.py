"""The defects that exploration has to find: each a race that no load is sure to meet."""

from __future__ import annotations

from forge import Mutant

SCHEDULE_MUTANTS = (
    Mutant(
        "explored-wake-up-lost-at-the-stall",
        "W55",
        "a thread whose wait has completed when the stall comes waits again",
        "proxy/loop.c",
        "    answer = Worker->Start.WorkerRoutine(Worker->Start.Context, Worker->Status) != FALSE;",
        "    if ((DpRead64(&rundown->State) & DP_STALLED) != 0) {\n        return TRUE;\n    }\n"
        "    answer = Worker->Start.WorkerRoutine(Worker->Start.Context, Worker->Status) != FALSE;",
        "swap",
        "and should have",
    ),
    Mutant(
        "explored-torn-switch",
        "R17",
        "the pointer of the first endpoint is switched after the release",
        "proxy/swap.c",
        "    DpSwitch(Swap);\n    DpReleaseCalls(Swap);\n\n    status = DpCallPhase",
        "    {\n        PVOID first = Swap->Changes[0].NewFunction;\n\n"
        "        if (Swap->Changes[0].OldFunction != NULL) {\n"
        "            Swap->Changes[0].NewFunction = Swap->Changes[0].OldFunction;\n        }\n"
        "        DpSwitch(Swap);\n        DpReleaseCalls(Swap);\n"
        "        DpWritePointer(&Swap->Changes[0].Wrapper->Function, first);\n    }\n\n    status = DpCallPhase",
        "swap",
        "with version 2 in force",
    ),
    Mutant(
        "explored-call-let-through",
        "R19",
        "a call does not wait while the swap has stalled",
        "proxy/rundown.c",
        "    return (DpRead64(&Rundown->State) & DP_STALLED) != 0 && DpRead64(&Rundown->Staller) != Key"
        " && !DpStopsAll();",
        "    return FALSE;",
        "swap",
        "and should have",
    ),
    Mutant(
        "explored-early-free",
        "R12",
        "the swap goes on while calls are inside, and unloads the old image under them",
        "proxy/stall.c",
        "        while (DpSlotBusy(&Rundown->Slots[i])) {",
        "        while (DpSlotBusy(&Rundown->Slots[i]) && TimeoutMs == 0) {",
        "swap",
        "and should have",
    ),
    Mutant(
        "explored-missed-rollback",
        "R25",
        "a PostProcess that fails leaves the new version in force",
        "proxy/swap.c",
        "    DpSwitchBack(Swap);\n    DpReleaseCalls(Swap);\n    return status;\n}\n\n"
        "_Use_decl_annotations_ NTSTATUS DpSwapBegin",
        "    DpReleaseCalls(Swap);\n    return status;\n}\n\n_Use_decl_annotations_ NTSTATUS DpSwapBegin",
        "post-process-refused",
        "and should have",
    ),
    Mutant(
        "explored-nested-hang",
        "R29",
        "a call from inside another one is held while the swap waits for the outer one",
        "proxy/rundown.c",
        "    if (slot != NULL && (DpRead64(&slot->Word) & DP_INSIDE) != 0) {",
        "    if (slot != NULL && (DpRead64(&slot->Word) & DP_INSIDE) != 0) {\n"
        "        while (DpMustWait(Rundown, key)) {\n            DpHold(Rundown, Call->Wrapper);\n        }",
        "swap",
        "and should have",
    ),
    Mutant(
        "explored-held-call-resumed-by-a-pulse",
        "R20",
        "the release wakes only those that wait already: a call that is about to wait sleeps on",
        "proxy/stall.c",
        "    KeSetEvent(&Rundown->Resume, EVENT_INCREMENT, FALSE);",
        "    KeSetEvent(&Rundown->Resume, EVENT_INCREMENT, FALSE);\n"
        "    KeDelayExecutionThread(KernelMode, FALSE, &poll);\n    KeClearEvent(&Rundown->Resume);",
        "swap",
        "and should have",
    ),
)
