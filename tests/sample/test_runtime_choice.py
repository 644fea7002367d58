"""Which runtime the host takes: native only when it is whole, enabled and willing; otherwise compat (R1)."""

from __future__ import annotations

import pytest

from hotswap.deadline import Deadline
from hotswap.swap.lab import Lab

NATIVE, COMPAT = 1, 2
ENABLED = 1
EXPORTS = 7


def probe(lab: Lab, deadline: Deadline, *, missing: int = 0, flags: int = ENABLED, create: int = 0) -> tuple[int, str]:
    info = lab.device.probe_runtime(missing_mask=missing, feature_flags=flags, create_status=create, deadline=deadline)
    assert info.missing_mask == missing
    return info.runtime, str(info.status)


def test_native_or_compat_for_every_kernel_there_can_be(lab: Lab, deadline: Deadline) -> None:
    assert probe(lab, deadline)[0] == NATIVE
    for export in range(EXPORTS):
        runtime, status = probe(lab, deadline, missing=1 << export)
        assert (runtime, "STATUS_PROCEDURE_NOT_FOUND" in status) == (COMPAT, True), f"export {export}"
    runtime, status = probe(lab, deadline, flags=0)
    assert (runtime, "STATUS_NOT_SUPPORTED" in status) == (COMPAT, True), "retail kernels: Enabled 0"
    assert probe(lab, deadline, flags=0xFFFFFFFE)[0] == COMPAT, "only bit 0 counts"
    for name, code in (
        ("STATUS_NOT_SUPPORTED", 0xC00000BB),
        ("STATUS_DRIVER_BLOCKED", 0xC000036C),
        ("STATUS_RESOURCE_IN_USE", 0xC0000708),
        ("STATUS_INSUFFICIENT_RESOURCES", 0xC000009A),
    ):
        runtime, status = probe(lab, deadline, create=code)
        assert (runtime, name in status) == (COMPAT, True), name
    counters = lab.device.query_counters(deadline=deadline)
    assert (counters.proxy_extensions, counters.proxy_allocations) == (0, 0), "a probe leaves nothing behind"


@pytest.mark.parametrize(("wanted", "chosen"), [(0, COMPAT), (2, COMPAT), (3, 3)])
def test_on_this_guest_the_wanted_runtime_is_taken(lab: Lab, deadline: Deadline, wanted: int, chosen: int) -> None:
    lab.device.configure(runtime=wanted, deadline=deadline)
    lab.device.create_worker(wait_type=1, event_count=1, deadline=deadline)
    described = lab.device.get_version(deadline=deadline)
    assert described.runtime == chosen
    if wanted == 0:
        assert "STATUS_PROCEDURE_NOT_FOUND" in str(described.runtime_status), "why native was not taken"
