"""Hostile callers of the conformance driver: what its header does not call raw is refused, and does no harm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from hotswap.conformance.driver import LINK, ConformanceDriver
from hotswap.conformance.guest import start_conformance
from hotswap.conformance.objects import Endpoint, Function
from hotswap.conformance.requests import CreateExtension, Register
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.ioctl import Ioctl
from hotswap.fuzz.layout import Layout
from hotswap.fuzz.requests import WILD
from hotswap.fuzz.script import CALL, OPEN, READ_WRITE
from hotswap.swap.lab import Lab
from hotswap.testing.guest import GuestMachine
from hotswap.transport.replies import ScriptItem, ScriptOutcome

DONE = 1
SUCCESS, LENGTH_MISMATCH, TOO_SMALL, INVALID_REQUEST = 0, 0xC0000004, 0xC0000023, 0xC0000010
INVALID_PARAMETER = 0xC000000D
OUT_LIMIT = 2048
BATCH = 1500
# By the header: what is passed on as it is, and may well be read beyond an array that is not there.
RAW = {("register", "count"), ("create_worker", "count")}
# They stop threads, or wait until one stops, as they should; tests of hotswap.sys, which has the same, are about them.
PAUSES = {"pause_arm", "pause_wait"}
# Good enough to come to the field that is spoilt.
BASE = {"bench": {"kind": 2, "rows": 1, "count": 8, "threads": 1, "endpoints": 1}}


@pytest.fixture
def lab(machine: GuestMachine) -> Lab:
    return machine.lab()


@pytest.fixture
def driver(lab: Lab, machine: GuestMachine) -> Iterator[ConformanceDriver]:
    driver = start_conformance(lab, machine.build)
    driver.reset()
    yield driver
    reply = driver.reset()
    assert (reply.status, reply.active_calls, reply.allocations) == (SUCCESS, 0, 0), f"what is left: {reply}"


def run(lab: Lab, items: list[ScriptItem]) -> list[ScriptOutcome]:
    """All of them, one after the other, on one handle."""
    outcomes: list[ScriptOutcome] = []
    for at in range(0, len(items), BATCH):
        part = [ScriptItem(OPEN, 0, 0, READ_WRITE), *items[at : at + BATCH]]
        done = lab.agent.script(LINK, part, limit_ms=10_000, keep=0, deadline=Deadline.after(120))
        assert len(done) == len(part), f"a request hangs: {items[at + len(done) - 1]}"
        outcomes += done[1:]
    assert all(outcome.flags == DONE for outcome in outcomes), "output was written behind the buffer, or a request hung"
    return outcomes


def call(ioctl: Ioctl, data: bytes, out_size: int) -> ScriptItem:
    return ScriptItem(CALL, 0, 0, ioctl.code, data, out_size)


def test_every_request_of_every_wrong_length_is_refused(
    lab: Lab, driver: ConformanceDriver, build: DriverBuild
) -> None:
    random = Random(1)
    items, wanted = [], []
    for ioctl in build.conformance.ioctls.values():
        size = Layout(ioctl.input).size
        for length in range(size + 9):
            if length != size:
                items.append(call(ioctl, random.randbytes(length), ioctl.output_size))
                wanted.append(LENGTH_MISMATCH)
        for length in range(min(ioctl.output_size, OUT_LIMIT)):
            items.append(call(ioctl, bytes(size), length))
            wanted.append(TOO_SMALL)
    for ioctl in build.conformance.ioctls.values():
        for code in (ioctl.code ^ 1, ioctl.code ^ 2, ioctl.code ^ 3, ioctl.code + 0x400, ioctl.code ^ 0x80000):
            if code not in {each.code for each in build.conformance.ioctls.values()}:
                items.append(ScriptItem(CALL, 0, 0, code, bytes(4), 8))
                wanted.append(INVALID_REQUEST)
    statuses = [outcome.status for outcome in run(lab, items)]
    wrong = [
        f"{item.code:#x} with {len(item.data)} bytes in, {item.out_size} out: {status:#x}, expected {expected:#x}"
        for item, status, expected in zip(items, statuses, wanted, strict=True)
        if status != expected
    ]
    # Requests of other methods have no buffer that the agent's side and the driver's agree on: any refusal will do.
    wrong = [each for each in wrong if "0x0," in each or not each.endswith(f"{INVALID_REQUEST:#x}")]
    assert not wrong, wrong[:5]
    assert len(items) > 8000


def test_no_wild_number_in_any_field_does_harm(lab: Lab, driver: ConformanceDriver, build: DriverBuild) -> None:
    for number in range(2):
        driver.run(CreateExtension(number))
        driver.run(Register(number, [Endpoint(0, Function.echo(1, 0), 2)]))
    items, names = [], []
    for method, ioctl in build.conformance.ioctls.items():
        layout = Layout(ioctl.input)
        for group in layout.groups:
            if method in PAUSES or (method, group[0].attribute) in RAW:
                continue
            for value in WILD:
                data = layout.build(BASE.get(method, {}))
                layout.put(data, group[0], value)
                items.append(call(ioctl, bytes(data), ioctl.output_size))
                names.append(method)
    outcomes = run(lab, items)
    statuses = Counter(outcome.status for outcome in outcomes)
    assert len(items) > 3000
    assert min(statuses[SUCCESS], statuses[INVALID_PARAMETER]) > 300, statuses
    assert {name for name, outcome in zip(names, outcomes, strict=True) if outcome.status != SUCCESS} >= {
        "call", "bench", "lookup", "prepare", "register", "set_behaviour", "swap_image", "wait",
    }  # fmt: skip


def test_more_wake_ups_than_are_kept_are_measured_by_nobody(
    lab: Lab, driver: ConformanceDriver, build: DriverBuild
) -> None:
    bench = build.conformance.ioctl("bench")
    layout = Layout(bench.input)
    items = [
        call(bench, bytes(layout.build({**BASE["bench"], "count": count})), bench.output_size)
        for count in (2048, 2049, 4096, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF)
    ]
    statuses = [outcome.status for outcome in run(lab, items)]
    assert statuses == [SUCCESS] * 3 + [INVALID_PARAMETER] * 4
