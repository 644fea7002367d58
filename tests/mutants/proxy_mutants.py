"""Deliberate defects of the compat runtime, each with the check or test that must turn red by it."""

from __future__ import annotations

from forge import Mutant

_HOST = "tests/sample/test_host_driver.py::"
_PROSE = "tests/swap/test_swaps_in_prose.py::"

PROXY_MUTANTS = (
    Mutant(
        "wake-up-lost-at-the-stall",
        "W55",
        "a wake-up that comes while calls are held is dropped",
        "proxy/worker.c",
        "        again = start->WorkerRoutine(start->Context, status) != FALSE;",
        "        if ((Worker->Extension->Rundown.State & 1) != 0) {\n            again = TRUE;\n"
        "            continue;\n        }\n"
        "        again = start->WorkerRoutine(start->Context, status) != FALSE;",
        f"{_PROSE}test_a_wake_up_during_the_stall_is_held_and_runs_in_the_new_version",
        "worker 1 ran",
    ),
    Mutant(
        "torn-switch",
        "R17",
        "only the first of the endpoints is switched",
        "proxy/register.c",
        "static VOID DpSwitch(DP_REGISTRATION *Registration)\n{\n    ULONG i;\n\n"
        "    for (i = 0; i < Registration->Count; i++) {",
        "static VOID DpSwitch(DP_REGISTRATION *Registration)\n{\n    ULONG i;\n\n    for (i = 0; i < 1; i++) {",
        f"{_HOST}test_calls_with_stack_arguments_go_through_the_wrapper_to_the_version_in_force",
    ),
    Mutant(
        "call-let-through-while-stalled",
        "R19",
        "a call does not wait while the swap has stalled",
        "proxy/rundown.c",
        "        if ((state & DP_STALLED) == 0 || staller ||",
        "        if (TRUE || staller ||",
        f"{_PROSE}test_a_time_out_that_expires_while_calls_are_held_runs_in_the_new_version",
    ),
    Mutant(
        "drain-does-not-wait",
        "R12",
        "the swap goes on while calls are inside, so that the old image is freed under them",
        "proxy/rundown.c",
        "    while (InterlockedCompareExchange64(&Rundown->State, 0, 0) >= DP_ONE_CALL) {",
        "    while (InterlockedCompareExchange64(&Rundown->State, 0, 0) < 0) {",
        f"{_PROSE}test_a_swap_waits_for_the_iteration_that_is_running",
    ),
    Mutant(
        "drain-limit-ignored",
        "R12",
        "a drain waits for ever",
        "proxy/rundown.c",
        "        if (now >= limit) {",
        "        if (now < 0) {",
        f"{_HOST}test_an_iteration_that_outlasts_the_drain_limit_fails_the_update_and_v1_goes_on",
    ),
    Mutant(
        "held-calls-not-resumed",
        "R20",
        "held calls are not woken by the release",
        "proxy/rundown.c",
        "    KeSetEvent(&Rundown->Resume, EVENT_INCREMENT, FALSE);",
        "",
        f"{_PROSE}test_a_wake_up_during_the_stall_is_held_and_runs_in_the_new_version",
    ),
    Mutant(
        "rollback-missed",
        "R25",
        "a PostProcess that fails leaves the new version in force",
        "proxy/register.c",
        "    DpSwitchBack(Registration);\n    DpReleaseCalls(extension);\n    return status;\n}\n\n"
        "/*\n * STATUS_POSSIBLE_DEADLOCK",
        "    DpReleaseCalls(extension);\n    return status;\n}\n\n/*\n * STATUS_POSSIBLE_DEADLOCK",
        f"{_PROSE}test_a_version_that_failed_after_the_switch_is_taken_back_by_a_second_drain",
    ),
    Mutant(
        "other-parameters-accepted",
        "R9",
        "an endpoint may be replaced by one with other parameters",
        "proxy/register.c",
        "existing->ParameterCount != Endpoints[i].ParameterCount) {",
        "existing->ParameterCount > 32) {",
        f"{_PROSE}test_an_update_whose_endpoint_has_other_parameters_is_refused_before_anything_is_held",
    ),
    Mutant(
        "other-parameters-wrong-status",
        "R9",
        "other parameters are refused with INVALID_PARAMETER_2",
        "proxy/register.c",
        "            return STATUS_INVALID_PARAMETER_3; /* the number that the DDI page gives (R9) */",
        "            return STATUS_INVALID_PARAMETER_2;",
        f"{_PROSE}test_an_update_whose_endpoint_has_other_parameters_is_refused_before_anything_is_held",
    ),
    Mutant(
        "refusal-in-stall-ignored",
        "R24",
        "a callback that fails in ProxyStalled does not stop the swap",
        "proxy/register.c",
        "    status = DpCallPhase(Registration, DriverProxyRegisterCallbackProxyStalled, HsProxyStepProxyStalled);\n"
        "    if (status != STATUS_SUCCESS) {",
        "    status = DpCallPhase(Registration, DriverProxyRegisterCallbackProxyStalled, HsProxyStepProxyStalled);\n"
        "    if (status == STATUS_PENDING) {",
        f"{_PROSE}test_a_refused_update_disturbs_nobody",
    ),
    Mutant(
        "return-polarity",
        "W18",
        "TRUE ends the thread",
        "proxy/worker.c",
        "        if (Worker->TrueEndsThread) {",
        "        if (!Worker->TrueEndsThread) {",
        f"{_HOST}test_a_wait_any_worker_is_told_which_of_its_events_was_signalled[count=3]",
    ),
    Mutant(
        "time-out-not-re-armed",
        "W39",
        "a relative time-out is armed for the first wait only",
        "proxy/worker.c",
        "        LARGE_INTEGER timeout = start->Timeout; /* re-armed in full for each wait (W39) */",
        "        LARGE_INTEGER timeout = start->Timeout;\n        Worker->Start.Timeout.QuadPart = MINLONG64;",
        f"{_HOST}test_relative_time_outs_are_told_as_status_timeout_and_are_armed_again",
    ),
    Mutant(
        "time-out-without-has-timeout",
        "W35",
        "Timeout counts though HasTimeout is FALSE",
        "proxy/worker.c",
        "start->HasTimeout ? &timeout : NULL,",
        "&timeout,",
        f"{_HOST}test_a_time_out_is_ignored_without_has_timeout",
    ),
    Mutant(
        "wait-all-is-wait-any",
        "W31",
        "a WaitAll worker wakes for any event",
        "proxy/worker.c",
        "(PVOID *)(ULONG_PTR)start->Events, start->WaitType,",
        "(PVOID *)(ULONG_PTR)start->Events, WaitAny,",
        f"{_HOST}test_a_wait_all_worker_runs_only_when_all_events_are_signalled",
    ),
    Mutant(
        "too-few-events",
        "W50",
        "no more than three events are waited for",
        "proxy/worker.c",
        "            status = KeWaitForMultipleObjects(start->EventCount,",
        "            status = KeWaitForMultipleObjects(min(start->EventCount, THREAD_WAIT_OBJECTS),",
        f"{_HOST}test_a_wait_any_worker_is_told_which_of_its_events_was_signalled[count=64]",
    ),
    Mutant(
        "stack-arguments-cut",
        "R33",
        "one argument beyond the registers is not passed on",
        "proxy/wrapper.c",
        "(Endpoint->ParameterCount - 4) * 8 : 0;",
        "(Endpoint->ParameterCount - 5) * 8 : 0;",
        f"{_HOST}test_calls_with_stack_arguments_go_through_the_wrapper_to_the_version_in_force",
    ),
    Mutant(
        "start-context-not-copied",
        "W6",
        "the worker goes on with the caller's start context",
        "proxy/worker.c",
        "    RtlCopyMemory(&worker->Start, Start, startBytes);",
        "    RtlCopyMemory(&worker->Start, Start, min(startBytes, HS_START_CONTEXT_SIZE(0)));",
        f"{_HOST}test_a_wait_any_worker_is_told_which_of_its_events_was_signalled[count=3]",
    ),
)
