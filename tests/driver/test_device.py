"""A device sends what its method says to the handle that it opened, and closes it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.device import Device
from hotswap.driver.ioctl import IoctlContract
from hotswap.errors import DeadlineExpired, GuestFault, LabFault, UsageError


@dataclass
class FakePending:
    """A request that ends when it is cancelled."""

    cancelled: bool = False

    @property
    def done(self) -> bool:
        return self.cancelled

    def result(self, deadline: Deadline) -> bytes:
        if self.cancelled:
            raise GuestFault("ERROR_OPERATION_ABORTED (995)")
        raise DeadlineExpired("waiting for the answer")

    def cancel(self, *, deadline: Deadline) -> bool:
        was = self.cancelled
        self.cancelled = True
        return not was


@dataclass
class FakeAgent:
    """Answers by IOCTL code, and remembers what came."""

    answers: dict[int, bytes] = field(default_factory=dict)
    sent: list[tuple[int, int, bytes, int]] = field(default_factory=list)
    deadlines: list[Deadline] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    pending: FakePending = field(default_factory=FakePending)
    lost: bool = False

    def open(self, link: str, *, deadline: Deadline) -> int:
        self.opened.append(link)
        return 40 + len(self.opened)

    def close(self, handle: int, *, deadline: Deadline) -> None:
        if self.lost:
            raise LabFault("the agent is gone")
        self.closed.append(handle)

    def ioctl(self, handle: int, code: int, data: bytes, out_size: int, *, deadline: Deadline) -> bytes:
        self.sent.append((handle, code, data, out_size))
        self.deadlines.append(deadline)
        return self.answers[code]

    def ioctl_begin(self, handle: int, code: int, data: bytes, out_size: int, *, deadline: Deadline) -> FakePending:
        self.sent.append((handle, code, data, out_size))
        return self.pending

    def ioctl_batch(
        self, handle: int, calls: Sequence[tuple[int, bytes, int]], *, stop_on_error: bool = False, deadline: Deadline
    ) -> list[tuple[int, bytes, int]]:
        self.sent += [(handle, *call) for call in calls]
        refused = (0xC0000010, b"", 1)
        return [(0, self.answers[code], 30) if code in self.answers else refused for code, _, _ in calls]


@pytest.fixture
def contract(build: DriverBuild) -> IoctlContract:
    return build.ioctl


@pytest.fixture
def agent(contract: IoctlContract) -> FakeAgent:
    reply = contract.structs["HOTSWAP_EVENT_REPLY"].pack({"previous_state": 1, "signals": 5, "tick": -1})
    return FakeAgent({contract.ioctl("signal_event").code: reply})


def test_a_method_sends_its_structure_and_reads_its_reply(agent: FakeAgent, contract: IoctlContract) -> None:
    with Device(agent, contract) as device:
        by_name = device.signal_event(worker_id=7, event_index=3)
        assert by_name == device.signal_event(7, 3)
    assert (by_name.previous_state, by_name.signals, by_name.tick) == (1, 5, -1)
    ioctl = contract.ioctl("signal_event")
    assert agent.sent == [(41, ioctl.code, bytes([7, 0, 0, 0, 3, 0, 0, 0]), 32)] * 2
    assert agent.opened == [r"\\.\HotSwap"]
    assert agent.closed == [41]


def test_every_ioctl_is_a_method_that_can_be_completed(agent: FakeAgent, contract: IoctlContract) -> None:
    device = Device(agent, contract)
    assert set(contract.ioctls) <= set(dir(device))
    parameters = list(inspect.signature(device.create_worker).parameters)
    assert parameters[:3] == ["wait_type", "wait_reason", "wait_mode"]
    assert parameters[-1] == "deadline"
    assert device.create_worker.__doc__ == "IOCTL_HOTSWAP_CREATE_WORKER: returns HOTSWAP_WORKER_CREATED."


def test_an_unknown_method_lists_the_known_ones(agent: FakeAgent, contract: IoctlContract) -> None:
    device = Device(agent, contract)
    with pytest.raises(AttributeError, match=r"no request 'singal_event'; it has: get_version, "):
        _ = device.singal_event
    with pytest.raises(UsageError, match=r"no request 'singal_event'"):
        device.open().call("singal_event")


def test_a_wrong_request_is_not_sent(agent: FakeAgent, contract: IoctlContract) -> None:
    with Device(agent, contract) as device:
        with pytest.raises(UsageError, match="has no field 'worker'"):
            device.signal_event(worker=1)
        with pytest.raises(UsageError, match="has no field 'worker'"):
            device.batch([("signal_event", {"worker_id": 1}), ("signal_event", {"worker": 1})])
    assert agent.sent == []


def test_a_closed_device_says_so(agent: FakeAgent, contract: IoctlContract) -> None:
    device = Device(agent, contract)
    with pytest.raises(UsageError, match="is not open"):
        device.signal_event(1, 2)
    device.open().close()
    device.close()
    assert agent.closed == [41]


def test_a_call_never_outlives_the_devices_deadline(agent: FakeAgent, contract: IoctlContract) -> None:
    whole = Deadline.after(3)
    with Device(agent, contract, deadline=whole) as device:
        device.signal_event(1, 2)
        own = Deadline.after(1)
        device.signal_event(1, 2, deadline=own)
    assert agent.deadlines[0].at <= whole.at
    assert agent.deadlines[1] is own


def test_a_call_without_any_deadline_has_ten_seconds(agent: FakeAgent, contract: IoctlContract) -> None:
    with Device(agent, contract) as device:
        device.signal_event(1, 2)
    assert 8 < agent.deadlines[0].remaining <= 10


def test_a_request_can_be_begun_and_cancelled(agent: FakeAgent, contract: IoctlContract) -> None:
    with Device(agent, contract) as device:
        pending = device.begin("update", service_name="hotswap_v2")
        assert not pending.done
        with pytest.raises(DeadlineExpired):
            pending.result(Deadline.after(0))
        assert pending.cancel()
        assert not pending.cancel()
        with pytest.raises(GuestFault, match="995"):
            pending.result(Deadline.after(1))
    assert agent.sent[0][1] == contract.ioctl("update").code


def test_a_batch_gives_a_reply_or_an_error_for_each(agent: FakeAgent, contract: IoctlContract) -> None:
    with Device(agent, contract) as device:
        replies = device.batch(
            [("signal_event", {"worker_id": 1}), ("query_event", {"worker_id": 1, "event_index": 1})]
        )
    assert [reply.method for reply in replies] == ["signal_event", "query_event"]
    assert [reply.status for reply in replies] == [0, 0xC0000010]
    assert replies[0].reply.signals == 5
    assert replies[0].ticks == 30
    assert replies[1].reply is None
    assert str(replies[1].status) == "STATUS_INVALID_DEVICE_REQUEST (0xC0000010)"


def test_data_behind_a_reply_have_room(agent: FakeAgent, contract: IoctlContract) -> None:
    ioctl = contract.ioctl("drain_trace")
    agent.answers[ioctl.code] = bytes(40)
    with Device(agent, contract) as device:
        device.drain_trace()
        device.drain_trace(out_size=1 << 20)
        device.drain_trace(out_size=1)
    assert [size for _, _, _, size in agent.sent] == [65536, 1 << 20, 40]


def test_the_first_error_is_kept_when_closing_fails_too(agent: FakeAgent, contract: IoctlContract) -> None:
    agent.lost = True
    with pytest.raises(UsageError) as caught, Device(agent, contract) as device:
        device.signal_event(worker=1)
    assert caught.value.__notes__ == [r"closing \\.\HotSwap failed as well: the agent is gone"]
    with pytest.raises(LabFault, match="gone"), Device(agent, contract):
        pass


def test_a_request_named_like_a_method_is_refused(agent: FakeAgent, contract: IoctlContract) -> None:
    clash = IoctlContract({}, {}, {}, {"batch": contract.ioctl("update")})
    with pytest.raises(LabFault, match="batch"):
        Device(agent, clash)
