"""What scripts are made of: every code and length, the same by the same seed; and how the agent runs them."""

from __future__ import annotations

from random import Random

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.device import LINK
from hotswap.errors import UsageError
from hotswap.fuzz.replay import steps_from_json, steps_to_json
from hotswap.fuzz.requests import WILD
from hotswap.fuzz.rules import Rules
from hotswap.fuzz.script import (
    BEGIN,
    CALL,
    CANCEL,
    CLOSE,
    OPEN,
    OPENING_WORKERS,
    READ_ONLY,
    READ_WRITE,
    WAIT,
    Scripts,
    Step,
)
from hotswap.swap.lab import Lab
from hotswap.transport.agent import AgentProtocolError
from hotswap.transport.replies import ScriptItem

SERVICES = ("hotswap_v1", "hotswap_v2")
DONE = 1


def scripts(build: DriverBuild, rules: Rules, seed: int) -> Scripts:
    return Scripts(build.ioctl, rules, SERVICES, Random(seed))


def test_the_same_seed_gives_the_same_bytes(build: DriverBuild, rules: Rules) -> None:
    def made(seed: int) -> list[Step]:
        maker = scripts(build, rules, seed)
        return [*maker.opening(), *maker.batch(500), *maker.batch(500, shutdown_at=250)]

    assert made(7) == made(7)
    assert [step.item for step in made(7)] != [step.item for step in made(8)]


def test_the_sweep_has_every_request_with_every_length(build: DriverBuild, rules: Rules) -> None:
    seen: dict[str, set[int]] = {}
    short: dict[str, set[int]] = {}
    for steps in scripts(build, rules, 1).sweep():
        for step in steps:
            if step.method and step.item.action == BEGIN:
                right = len(step.item.data) == rules.inputs[step.method].size
                (short if right else seen).setdefault(step.method, set()).add(
                    step.item.out_size if right else len(step.item.data)
                )
    wanted = set(build.ioctl.ioctls) - {"shutdown"}
    assert set(seen) == wanted
    for method in wanted:
        size = rules.inputs[method].size
        assert seen[method] == set(range(size + 9)) - {size}
        assert short.get(method, set()) == set(range(build.ioctl.ioctl(method).output_size))


def test_every_wild_event_index_meets_a_worker_that_there_is(build: DriverBuild, rules: Rules) -> None:
    maker = scripts(build, rules, 1)
    maker.opening()
    met: dict[str, set[int]] = {}
    for steps in maker.fields():
        for step in steps:
            worker, index = (int.from_bytes(step.item.data[at : at + 4], "little") for at in (0, 4))
            if (step.method or "").endswith("_event") and 0 < worker <= OPENING_WORKERS:
                met.setdefault(step.method or "", set()).add(index)
            if step.method == "stop_worker":
                assert set(met) == {"signal_event", "clear_event", "query_event"}, "workers are stopped before"
    limit = build.ioctl.constants["HOTSWAP_MAX_EVENTS"]
    wild = {value & 0xFFFFFFFF for value in WILD if value & 0xFFFFFFFF >= limit}
    # A random worker now and then is none; of the rest each must have been met.
    assert all(len(wild & indexes) >= len(wild) - 6 for indexes in met.values()), met


def test_batches_have_every_request_and_every_state_of_a_handle(build: DriverBuild, rules: Rules) -> None:
    maker = scripts(build, rules, 1)
    steps = [step for _ in range(8) for step in maker.batch(1000)]
    assert {step.method for step in steps if step.method} >= set(rules.by_method) - {"shutdown"}
    assert {step.item.handle for step in steps} == {0, 1, 2, 3, 4}
    assert {step.item.action for step in steps} == set(range(8))
    assert any(step.may_cancel and not step.closed for step in steps)
    assert any(step.closed for step in steps)
    codes = {step.item.code for step in steps if step.method == ""}
    assert not codes & {ioctl.code for ioctl in build.ioctl.ioctls.values()}
    assert {code & 3 for code in codes} == {0, 1, 2, 3}


def test_requests_that_are_new_in_the_contract_are_noticed(build: DriverBuild, rules: Rules) -> None:
    """Those of pause points would stop the driver by design."""
    unknown = {method for method in build.ioctl.ioctls if method not in rules.by_method}
    assert all("pause" in method for method in unknown), f"say in hotswap.fuzz.rules what {unknown} may answer"


def test_steps_survive_their_file(build: DriverBuild, rules: Rules) -> None:
    steps = scripts(build, rules, 1).batch(300)
    assert steps_from_json(steps_to_json(steps)) == steps
    with pytest.raises(UsageError, match="no list of fuzz steps"):
        steps_from_json([{"item": [1]}])


# In the guest


def test_a_script_tells_status_length_and_output_of_each_step(lab: Lab, deadline: Deadline) -> None:
    version = lab.build.ioctl.ioctl("get_version")
    size = version.output_size
    items = [
        ScriptItem(OPEN, 0, 0, READ_WRITE),
        ScriptItem(CALL, 0, 0, version.code, b"", size + 7),
        ScriptItem(CALL, 0, 0, version.code, b"x", size),
        ScriptItem(CALL, 0, 1, version.code, b"", size),
        ScriptItem(OPEN, 0, 2, READ_ONLY),
        ScriptItem(CALL, 0, 2, version.code, b"", size),
        ScriptItem(CLOSE, 0, 0),
        ScriptItem(CALL, 0, 0, version.code, b"", size),
    ]
    outcomes = lab.agent.script(LINK, items, keep=4, deadline=deadline)
    names = [lab.build.codes.ntstatus(outcome.status).partition(" ")[0] for outcome in outcomes]
    assert names == [
        "STATUS_SUCCESS", "STATUS_SUCCESS", "STATUS_INFO_LENGTH_MISMATCH", "STATUS_INVALID_HANDLE",
        "STATUS_SUCCESS", "STATUS_ACCESS_DENIED", "STATUS_SUCCESS", "STATUS_INVALID_HANDLE",
    ]  # fmt: skip
    assert {outcome.flags for outcome in outcomes} == {DONE}
    assert (outcomes[1].size, outcomes[1].data) == (size, b"\1\0\0\0")


def test_requests_are_in_flight_at_once_and_one_is_cancelled_in_its_queue(lab: Lab, deadline: Deadline) -> None:
    ioctl = lab.build.ioctl.ioctl
    lab.device.update(service_name="hotswap_v1", deadline=deadline)
    worker = lab.device.create_worker(wait_type=1, event_count=1, initial_state_mask=1, work_microseconds=500_000)
    stop, probe = ioctl("stop_worker"), ioctl("probe_runtime")
    items = [
        ScriptItem(OPEN, 0, 0, READ_WRITE),
        ScriptItem(BEGIN, 0, 0, stop.code, worker.worker_id.to_bytes(4, "little"), stop.output_size),
        ScriptItem(BEGIN, 1, 0, probe.code, bytes(12), probe.output_size),
        ScriptItem(BEGIN, 2, 0, probe.code, bytes(12), probe.output_size),
        ScriptItem(CANCEL, 1),
        ScriptItem(WAIT, 2),
    ]
    outcomes = lab.agent.script(LINK, items, deadline=deadline)
    assert [lab.build.codes.ntstatus(outcomes[at].status).partition(" ")[0] for at in (1, 2, 3)] == [
        "STATUS_SUCCESS",
        "STATUS_CANCELLED",
        "STATUS_SUCCESS",
    ]


def test_a_script_that_is_none_is_refused(lab: Lab, deadline: Deadline) -> None:
    with pytest.raises(AgentProtocolError, match="Malformed"):
        lab.agent.script(LINK, [ScriptItem(99)], deadline=deadline)
    with pytest.raises(UsageError, match="too long for a frame"):
        lab.agent.script(LINK, [ScriptItem(BEGIN, data=bytes(1 << 22))], deadline=deadline)
    assert lab.agent.ping(deadline=deadline)
