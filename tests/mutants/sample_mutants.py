"""Deliberate defects of the sample, each with the test that must turn red by it."""

from __future__ import annotations

from forge import Mutant

_HOST = "tests/sample/test_host_driver.py::"
_PROSE = "tests/swap/test_swaps_in_prose.py::"

SAMPLE_MUTANTS = (
    Mutant(
        "image-freed-before-the-drain",
        "R12",
        "the old image is unloaded before the swap: an early free",
        "sample/update.c",
        "    status = UpdateHotSwap(Request->DrainTimeoutMs);",
        "    (VOID)UpdateUnload(&UpdateImage);\n    status = UpdateHotSwap(Request->DrainTimeoutMs);",
        f"{_PROSE}test_a_swap_waits_for_the_iteration_that_is_running",
    ),
    Mutant(
        "image-kept-after-the-swap",
        "R8",
        "the old image is not unloaded, and the reply says that it was",
        "sample/update.c",
        "            reply->UnloadStatus = UpdateUnload(&UpdateImage);\n        }\n        UpdateImage = next;",
        "            reply->UnloadStatus = STATUS_SUCCESS;\n        }\n        UpdateImage = next;",
        f"{_PROSE}test_an_update_to_the_same_version_is_a_swap_like_any_other",
        "old-image-gone",
    ),
    Mutant(
        "refused-image-kept",
        "R10",
        "the image of an update that was refused stays loaded",
        "sample/update.c",
        "        reply->UnloadStatus = UpdateUnload(&next);\n    }\n    return status;",
        "        reply->UnloadStatus = STATUS_SUCCESS;\n    }\n    return status;",
        f"{_PROSE}test_a_refused_update_disturbs_nobody",
    ),
    Mutant(
        "version-not-rolled-back",
        "R24",
        "the host goes on to name the new version after a roll-back",
        "sample/update.c",
        "        HsEndpoints = Update.From; /* no call is inside, or none was switched */",
        "",
        f"{_PROSE}test_a_version_that_failed_after_the_switch_is_taken_back_by_a_second_drain",
    ),
    Mutant(
        "endpoint-called-past-its-wrapper",
        "R15",
        "the host calls the endpoint itself and not its wrapper",
        "sample/endpoints.c",
        "    HsCallable.Compute = (HS_COMPUTE_ENDPOINT *)(ULONG_PTR)"
        "HsRuntime.GetWrapper(HsExtension, HotswapEndpointCompute);",
        "    HsCallable.Compute = HsEndpoints.Compute;",
        f"{_HOST}test_calls_with_stack_arguments_go_through_the_wrapper_to_the_version_in_force",
    ),
    Mutant(
        "thread-not-joined",
        "W61",
        "a worker is given up without waiting for its thread",
        "sample/worker.c",
        "    status = HsThreadJoin(Worker->ThreadObject, HsJoinTimeoutMs);",
        "    status = STATUS_SUCCESS;",
        f"{_HOST}test_counters_show_what_is_held_and_are_zero_after_the_shutdown",
    ),
    Mutant(
        "signal-not-set",
        "W26",
        "a signal is counted and traced, and the event is not set when the load signals it",
        "sample/signal.c",
        "    previous = KeSetEvent(&object->Event, IO_NO_INCREMENT, FALSE);",
        "    previous = Source == HotswapSignalLoad ? 0 : KeSetEvent(&object->Event, IO_NO_INCREMENT, FALSE);",
        f"{_PROSE}test_a_wake_up_during_the_stall_is_held_and_runs_in_the_new_version",
    ),
    Mutant(
        "start-context-not-complete",
        "W35",
        "a worker gets a time-out though it asked for none",
        "sample/worker.c",
        "    start->HasTimeout = Worker->Parameters.HasTimeout;",
        "    start->HasTimeout = TRUE;",
        f"{_HOST}test_a_time_out_is_ignored_without_has_timeout",
    ),
    Mutant(
        "drain-limit-stays",
        "R12",
        "the drain limit of one update is that of the next as well",
        "sample/runtime.c",
        "    options.DrainTimeoutMs = DrainTimeoutMs != 0 ? DrainTimeoutMs : RuntimeDrainTimeoutMs;",
        "    RuntimeDrainTimeoutMs = DrainTimeoutMs != 0 ? DrainTimeoutMs : RuntimeDrainTimeoutMs;\n"
        "    options.DrainTimeoutMs = RuntimeDrainTimeoutMs;",
        f"{_HOST}test_the_drain_limit_of_one_update_is_not_that_of_the_next",
    ),
)
