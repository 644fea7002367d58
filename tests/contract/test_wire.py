"""The short ways of reading and writing give what the long ones give."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hotswap.conformance.driver import ConformanceDriver, reply_of
from hotswap.conformance.objects import Condition
from hotswap.conformance.requests import LookupAll, Prepare, QueryCounters, Request, TakeSnapshot, Wait
from hotswap.conformance.wire import Flat, Wire
from hotswap.driver.build import DriverBuild


class NoAgent:
    def open(self, link: str, **_more: object) -> int:
        return 1


@pytest.fixture
def wire(build: DriverBuild) -> Wire:
    return Wire(ConformanceDriver(NoAgent(), build.conformance), lane=3)  # type: ignore[arg-type]


def encoded(wire: Wire, request: Request[Any]) -> tuple[int, bytes, int]:
    ioctl, data = wire.driver._encode(request, 3)
    return ioctl.code, data, ioctl.output_size


def test_a_wait_is_encoded_as_its_request_is(wire: Wire) -> None:
    conditions = [Condition.iterations(3, 7), Condition.lane_done(2, 1 << 40), Condition.active(0)]
    assert wire.encode_wait(conditions, 1234) == encoded(wire, Wait(conditions, 1234))


def test_a_prepared_request_is_encoded_as_its_request_is(wire: Wire) -> None:
    request = Prepare(5, 77, 2, 10, b"0123456789")
    assert wire.encode(request) == encoded(wire, request)


def test_any_request_is_encoded_as_before_and_the_same_when_repeated(wire: Wire) -> None:
    request = LookupAll(1, (1, 2))
    assert wire.encode(request) == wire.encode(LookupAll(1, (1, 2))) == encoded(wire, request)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (TakeSnapshot(), {"counters.held_calls": "counters.held_calls", "phase_calls": "phase_calls"}),
        (QueryCounters(), {"events_dropped": "events_dropped", "wrappers": "wrappers"}),
    ],
)
def test_a_reply_is_read_as_its_object_is(wire: Wire, request_: Request[Any], fields: dict[str, str]) -> None:
    ioctl = wire.driver.contract.ioctl(request_.method)
    assert ioctl.output is not None
    data = random.Random(1).randbytes(ioctl.output.size)
    flat = Flat(ioctl.output)
    numbers, reply = flat.read(data), reply_of(request_, ioctl, data)
    for name, path in fields.items():
        value: Any = reply
        for part in path.split("."):
            value = getattr(value, part)
        assert numbers[flat.at[name]] == value
    if request_.method == "snapshot":
        first = flat.at["worker_status"]
        assert numbers[first : first + len(reply.worker_status)] == reply.worker_status
