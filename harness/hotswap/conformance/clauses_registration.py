"""Clauses of extensions, registration and swaps (reference "driver-hot-swap", section 5)."""

from __future__ import annotations

from hotswap.conformance.clauses import Clause

REGISTRATION: tuple[Clause, ...] = (
    # 5.1 Extension
    Clause("R1", "D", "Features without Enabled: creating an extension answers NOT_SUPPORTED or DRIVER_BLOCKED."),
    Clause("R2", "D", "A second extension of one driver object: STATUS_RESOURCE_IN_USE; the first stays valid."),
    Clause("R3", "D", "An extension may have no owner; it is not found by any driver object."),
    Clause("R4", "D", "An owner's extension is found from its creation until the owner unloads, not before or after."),
    Clause("R5", "D", "An image with an endpoint table has its wrappers right after the extension is created."),
    # 5.2 Registration by id
    Clause("R6", "D/?", "The first registration needs no callback; one that is given runs through all phases."),
    Clause("R7", "D", "Each registered id and function has a wrapper; an unknown id gives NULL, a pointer NOT_FOUND."),
    Clause(
        "R8",
        "D",
        "An id again with its parameter count is replaced: same wrapper, the next call is the new function's.",
    ),
    Clause("R9", "D", "An id again with another parameter count: STATUS_INVALID_PARAMETER_3, nothing changed."),
    Clause("R10", "D", "A registration is atomic: all its elements or none."),
    Clause("R11", "I", "New ids may be added, also beside replacements; ids not named keep their function."),
    Clause("R12", "D/I", "Calls that do not leave within the drain limit: STATUS_UNSUCCESSFUL, and no change."),
    Clause("R13", "D", "The array handed in may be modified: callers must not use its contents again."),
    Clause("R14", "?", "An id twice in one array, a count of 0, a NULL function, id 0: not defined."),
    Clause("R15", "D", "Calls through the wrapper are redirected; a direct call of the old function is not."),
    Clause("R16", "?", "After a replacement: which of the old and the new pointer finds the wrapper."),
    # 5.3 Phases
    Clause("R17", "D", "PreProcess, drain, ProxyStalled, switch, PostProcess: in this order, each once."),
    Clause("R18", "D", "In PreProcess calls still reach the old version."),
    Clause("R19", "D", "In ProxyStalled no call is inside any endpoint of the extension, and none proceeds."),
    Clause("R20", "D/I", "Stalled calls are delayed, not failed; afterwards they run in the version in force."),
    Clause("R21", "D", "In PostProcess the new version is active and calls flow."),
    Clause("R22", "D", "The callback runs at PASSIVE_LEVEL, with phase 0, 1 or 2 and the given context."),
    Clause("R23", "D/I", "Refused in PreProcess: nothing stalled or changed, no later phase, the call fails."),
    Clause("R24", "D/I", "Refused in ProxyStalled: no switch, the stall is released, the old version goes on."),
    Clause("R25", "D", "Refused in PostProcess: rolled back in full, after a second drain (switch: reported only)."),
    Clause("R26", "D", "The callback must not call into its own extension."),
    Clause("R27", "D", "Without a callback: the same swap, without notifications."),
    Clause("R28", "PAT", "Calls are counted in and out, nested ones each; drained means zero."),
    Clause("R29", "I", "A call nested in another does not hang a swap that stalls."),
    Clause("R30", "D", "Lookups work at any IRQL, also during a stall, and do not block."),
    Clause(
        "R31",
        "I",
        "Wrappers can be called at the endpoint's IRQL; a held call at DISPATCH_LEVEL or above spins.",
        {"wine": "Wine has no IRQL: KeGetCurrentIrql always reads 0"},
    ),
    Clause("R32", "?", "Two registrations at once on one extension come one after the other."),
    Clause("R33", "I", "A wrapper forwards all arguments unchanged and returns what the endpoint returns."),
)
