"""Which runtime a driver takes for every kernel there can be, and that it works on with it (N1, N5)."""

from __future__ import annotations

from itertools import product

import pytest

from hotswap.deadline import Deadline
from hotswap.swap.lab import Lab
from support.host_driver import load, turn, worker_of

NATIVE, COMPAT = 1, 2
EXPORTS = 7
RETAIL_24H2 = 1 << 4 | 1 << 5


def test_native_is_taken_of_all_kernels_by_the_whole_and_enabled_one_only(lab: Lab, deadline: Deadline) -> None:
    """Every set of missing exports with every kind of answer about features, 512 kernels."""
    calls = [
        ("probe_runtime", {"missing_mask": missing, "feature_flags": flags, "create_status": 0})
        for missing, flags in product(range(1 << EXPORTS), (0, 1, 0xFFFFFFFE, 0xFFFFFFFF))
    ]
    replies = lab.device.batch(calls, deadline=deadline)
    assert len(replies) == 512
    for (_, kernel), answer in zip(calls, replies, strict=True):
        missing, flags = int(kernel["missing_mask"]), int(kernel["feature_flags"])
        runtime, name = answer.reply.runtime, str(answer.reply.status)
        if missing:
            assert (runtime, "STATUS_PROCEDURE_NOT_FOUND" in name) == (COMPAT, True), kernel
            assert answer.reply.feature_flags == 0, f"a function of an incomplete family was called: {kernel}"
        elif not flags & 1:
            assert (runtime, "STATUS_NOT_SUPPORTED" in name) == (COMPAT, True), kernel
        else:
            assert (runtime, int(answer.reply.status)) == (NATIVE, 0), kernel
    counters = lab.device.query_counters(deadline=deadline)
    assert (counters.proxy_extensions, counters.proxy_allocations) == (0, 0), "a probe leaves nothing behind"


@pytest.mark.parametrize(
    ("missing", "flags", "create"),
    [
        pytest.param(0, 0, 0xC00000BB, id="retail-25h2"),
        pytest.param(RETAIL_24H2, 0, 0xC00000BB, id="retail-24h2"),
        pytest.param((1 << EXPORTS) - 1, 0, 0, id="before-24h2"),
        pytest.param(0, 1, 0xC000036C, id="excluded-by-registry"),
        pytest.param(0, 1, 0xC00000BB, id="enabled-but-not-supported"),
    ],
)
def test_the_fallback_works_after_a_kernel_that_refused(
    lab: Lab, deadline: Deadline, missing: int, flags: int, create: int
) -> None:
    info = lab.device.probe_runtime(missing_mask=missing, feature_flags=flags, create_status=create, deadline=deadline)
    assert info.runtime == COMPAT
    worker = worker_of(lab, deadline)
    assert load(lab, "hotswap_v1", deadline).status == 0
    turn(lab, worker, deadline, times=2)
    assert load(lab, "hotswap_v2", deadline).status == 0
    turn(lab, worker, deadline, times=2)
    described = lab.device.query_worker(worker_id=worker, deadline=deadline)
    by_version = {count.version: count.iterations for count in described.versions[: described.version_count]}
    assert (by_version.get(1), by_version.get(2)) == (2, 2)
