"""The agent and a real driver: IOCTLs, cancellation, and the trace drained from its ring."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.device import Device
from hotswap.machine.wine import WineMachine
from hotswap.trace.etl import EtlFile, read_etl
from hotswap.transport.agent import Agent, AgentError
from hotswap.transport.protocol import AgentContract

LINK = r"\\.\HotSwap"
FOLDER = r"C:\windows\system32\drivers"
ETL = r"C:\hotswap\drained.etl"


@pytest.fixture(scope="module")
def guest() -> Iterator[WineMachine]:
    """A guest of its own: a driver host is killed here."""
    with WineMachine() as machine:
        machine.start(Deadline.after(180))
        yield machine


@pytest.fixture
def agent(guest: WineMachine, build: DriverBuild, agent_contract: AgentContract) -> Iterator[Agent]:
    """With the host driver running."""
    deadline = Deadline.after(60)
    with Agent(guest.connect_agent(build.agent, deadline), agent_contract, build.codes) as agent:
        for name in ("driverproxy.sys", "hotswap.sys", "hotswap_v1.sys"):
            agent.put(build.drivers[name].path, rf"{FOLDER}\{name}", deadline=deadline)
        for name in ("hotswap", "hotswap_v1"):
            agent.service_create(name, rf"{FOLDER}\{name}.sys", deadline=deadline)
        agent.service_start("hotswap", deadline=deadline)
        yield agent
        if agent.connection.reading:
            with Device(agent, build.ioctl, deadline=deadline) as device:
                device.shutdown()
            agent.service_stop("hotswap", deadline=deadline)
            for name in ("hotswap", "hotswap_v1"):
                agent.service_delete(name, deadline=deadline)


@pytest.fixture
def device(agent: Agent, build: DriverBuild, deadline: Deadline) -> Iterator[Device]:
    with Device(agent, build.ioctl, deadline=deadline) as device:
        yield device


def code_of(build: DriverBuild, method: str) -> int:
    return build.ioctl.ioctl(method).code


def fetch(agent: Agent, target: Path, deadline: Deadline) -> EtlFile:
    target.write_bytes(agent.get(ETL, deadline=deadline))
    return read_etl(target)


def start_trace(agent: Agent, build: DriverBuild, deadline: Deadline) -> None:
    agent.trace_start(LINK, code_of(build, "drain_trace"), ETL, "HotSwap", interval_ms=5, deadline=deadline)


def make_events(device: Device, count: int) -> None:
    """Signals without a worker that waits for them cost nothing but leave two events each."""
    worker = device.create_worker(wait_type=1, event_count=1)
    assert worker.status == 0
    for _ in range(count):
        device.signal_event(worker.worker_id, 0)


def test_the_driver_is_in_the_kernels_module_list_while_it_runs(agent: Agent, deadline: Deadline) -> None:
    def loaded() -> set[str]:
        return {module.name.lower() for module in agent.modules(deadline=deadline)}

    assert {"hotswap.sys", "driverproxy.sys"} <= loaded()
    agent.service_stop("hotswap", deadline=deadline)
    assert "hotswap.sys" not in loaded()
    agent.service_start("hotswap", deadline=deadline)


def test_a_driver_says_no_with_both_of_its_codes(agent: Agent, build: DriverBuild, deadline: Deadline) -> None:
    handle = agent.open(LINK, deadline=deadline)
    with pytest.raises(AgentError) as caught:
        agent.ioctl(handle, 0x0022FFFC, deadline=deadline)
    error = caught.value
    assert error.api == "DeviceIoControl"
    assert (error.domain, error.code) == ("win32", 1)
    assert build.codes.ntstatus(error.ntstatus).startswith("STATUS_INVALID_DEVICE_REQUEST")


def test_a_batch_has_a_status_and_a_latency_for_each(agent: Agent, build: DriverBuild, deadline: Deadline) -> None:
    handle = agent.open(LINK, deadline=deadline)
    good = (code_of(build, "get_version"), b"", build.ioctl.ioctl("get_version").output_size)
    bad = (0x0022FFFC, b"", 0)
    outcomes = agent.ioctl_batch(handle, [good, bad, good], deadline=deadline)
    assert [outcome.status for outcome in outcomes] == [0, 0xC0000010, 0]
    assert outcomes[0].data == outcomes[2].data == agent.ioctl(handle, *good, deadline=deadline)
    assert all(0 < outcome.ticks < 10_000_000 for outcome in outcomes)
    stopped = agent.ioctl_batch(handle, [good, bad, good], stop_on_error=True, deadline=deadline)
    assert [outcome.status for outcome in stopped] == [0, 0xC0000010]


def test_a_batch_over_the_frame_limit_is_cut_into_several(agent: Agent, build: DriverBuild, deadline: Deadline) -> None:
    handle = agent.open(LINK, deadline=deadline)
    call = (code_of(build, "get_version"), b"", 1 << 19)
    outcomes = agent.ioctl_batch(handle, [call] * 20, deadline=deadline)
    assert [outcome.status for outcome in outcomes] == [0] * 20


def test_what_waits_in_the_driver_can_be_cancelled_and_holds_up_nobody(
    agent: Agent, device: Device, deadline: Deadline
) -> None:
    assert device.update(service_name="hotswap_v1").status == 0
    worker = device.create_worker(wait_type=1, event_count=1, work_microseconds=1_500_000)
    device.signal_event(worker.worker_id, 0)
    deadline.wait_for(lambda: device.query_worker(worker.worker_id).state == 1, "the worker to run")
    stopping = device.begin("stop_worker", worker.worker_id)  # the driver's control thread waits for the worker
    waiting = device.begin("stop_worker", worker.worker_id)  # and this one for the control thread
    start = time.monotonic()
    device.get_version()
    assert time.monotonic() - start < 0.5
    assert not stopping.done
    assert not waiting.done
    waiting.cancel()
    with pytest.raises(AgentError) as caught:
        waiting.result(deadline)
    assert caught.value.code == 995  # ERROR_OPERATION_ABORTED
    assert stopping.result(deadline).status == 0
    assert agent.ioctl_cancel(10_000_000, deadline=deadline) is False


def test_an_ioctl_that_takes_too_long_is_cancelled_before_the_deadline(device: Device, deadline: Deadline) -> None:
    assert device.update(service_name="hotswap_v1").status == 0
    worker = device.create_worker(wait_type=1, event_count=1, work_microseconds=3_000_000)
    device.signal_event(worker.worker_id, 0)
    deadline.wait_for(lambda: device.query_worker(worker.worker_id).state == 1, "the worker to run")
    stopping = device.begin("stop_worker", worker.worker_id)
    agent = device._agent
    code = device.contract.ioctl("stop_worker").code
    with pytest.raises(AgentError, match="the time limit ran out, and the IOCTL was cancelled"):
        agent.ioctl(device._opened, code, worker.worker_id.to_bytes(4, "little"), 64, deadline=Deadline.after(2))
    assert stopping.result(deadline).status == 0


def test_the_ring_is_drained_into_a_file_that_has_every_event(
    agent: Agent, device: Device, build: DriverBuild, deadline: Deadline, tmp_path: Path
) -> None:
    start_trace(agent, build, deadline)
    make_events(device, 200)
    counters = device.query_counters()
    stats = agent.trace_stop(deadline=deadline)
    found = fetch(agent, tmp_path / "t.etl", deadline)
    assert stats.error is None
    assert not stats.running
    assert (stats.rejected, stats.out_of_order, stats.remaining) == (0, 0, 0)
    assert stats.events >= counters.events_written > 400
    assert len(found.ticks) - 1 == stats.events == stats.written
    assert found.problems == ()
    assert found.closed
    assert stats.dropped == found.header.events_lost == 0
    assert stats.bytes == (tmp_path / "t.etl").stat().st_size == stats.buffers * 65536
    assert found.header.logger_name == "HotSwap"
    assert found.header.first_tick == min(found.ticks)


def test_a_ring_that_holds_more_than_a_chunk_is_emptied_at_stop(
    agent: Agent, device: Device, build: DriverBuild, deadline: Deadline
) -> None:
    drain = code_of(build, "drain_trace")
    agent.trace_start(LINK, drain, ETL, "x", interval_ms=1000, chunk_bytes=65536, deadline=deadline)
    make_events(device, 600)
    stats = agent.trace_stop(deadline=deadline)
    assert stats.remaining == 0
    assert stats.events == stats.written > 1200
    assert stats.drains > stats.events * 150 // 65536


def test_one_trace_at_a_time_and_the_next_one_is_clean(
    agent: Agent, device: Device, build: DriverBuild, deadline: Deadline
) -> None:
    start_trace(agent, build, deadline)
    with pytest.raises(AgentError, match="a session is running"):
        start_trace(agent, build, deadline)
    make_events(device, 10)
    first = agent.trace_stop(deadline=deadline)
    assert agent.trace_stop(deadline=deadline) == first
    start_trace(agent, build, deadline)
    assert agent.trace_status(deadline=deadline).running
    assert agent.trace_stop(deadline=deadline).events < first.events


def test_a_wrong_drain_code_and_a_path_that_cannot_be(agent: Agent, build: DriverBuild, deadline: Deadline) -> None:
    with pytest.raises(AgentError) as caught:
        agent.trace_start(LINK, 0x0022FFFC, ETL, "x", deadline=deadline)
    assert caught.value.api == "DeviceIoControl (drain)"
    with pytest.raises(AgentError) as caught:
        agent.trace_start(LINK, code_of(build, "drain_trace"), r"C:\no\folder\x.etl", "x", deadline=deadline)
    assert (caught.value.api, caught.value.code) == ("CreateFileW (etl)", 3)
    with pytest.raises(AgentError, match="trace ring chunk"):
        agent.trace_start(LINK, code_of(build, "get_version"), ETL, "x", deadline=deadline)


def test_the_end_of_the_stream_completes_the_trace(
    guest: WineMachine,
    device: Device,
    build: DriverBuild,
    agent_contract: AgentContract,
) -> None:
    deadline = Deadline.after(30)
    with Agent(guest.connect_agent(build.agent, deadline), agent_contract, build.codes) as tracer:
        start_trace(tracer, build, deadline)
        make_events(device, 50)
    found = read_etl(guest.host_path(ETL))
    assert found.closed
    assert len(found.ticks) > 100


def test_a_killed_agent_leaves_a_readable_trace(
    guest: WineMachine, device: Device, build: DriverBuild, agent_contract: AgentContract
) -> None:
    deadline = Deadline.after(30)
    transport = guest.connect_agent(build.agent, deadline)
    tracer = Agent(transport, agent_contract, build.codes)
    start_trace(tracer, build, deadline)
    make_events(device, 50)
    deadline.wait_for(lambda: tracer.trace_status(deadline=deadline).buffers > 1, "a flush")
    transport.process.kill()
    tracer.disconnect()
    found = read_etl(guest.host_path(ETL))
    assert not found.closed
    assert found.header.end_time == 0
    assert len(found.ticks) > 50


def test_ping_and_ioctl_are_quick(agent: Agent, device: Device, build: DriverBuild, deadline: Deadline) -> None:
    code, size = code_of(build, "get_version"), build.ioctl.ioctl("get_version").output_size
    handle = agent.open(LINK, deadline=deadline)

    def median(call: Callable[[], object]) -> float:
        spent = []
        for _ in range(200):
            start = time.perf_counter()
            call()
            spent.append(time.perf_counter() - start)
        return statistics.median(spent)

    assert median(lambda: agent.ping(deadline=deadline)) < 1e-3
    # Wine itself needs 0.3-0.6 ms of this.
    assert median(lambda: agent.ioctl(handle, code, b"", size, deadline=deadline)) < 3e-3


# Last: afterwards this guest has no driver host any more.
def test_the_death_of_the_driver_host_ends_the_trace_with_what_is_there(
    guest: WineMachine, agent: Agent, build: DriverBuild, deadline: Deadline, tmp_path: Path
) -> None:
    with Device(agent, build.ioctl, deadline=deadline) as device:
        make_events(device, 100)
        start_trace(agent, build, deadline)
        make_events(device, 100)
        hosting = [pid for pid in guest.driver_host_processes() if _has_driver(guest, pid.pid)]
        assert len(hosting) == 1
        os.kill(hosting[0].pid, signal.SIGKILL)
        deadline.wait_for(lambda: not agent.trace_status(deadline=deadline).running, "the trace to end")
        status = agent.trace_status(deadline=deadline)
        assert status.error is not None
        assert status.error.startswith("DeviceIoControl (drain): ERROR_")
        assert agent.trace_stop(deadline=deadline) == status
        found = fetch(agent, tmp_path / "t.etl", deadline)
        assert found.closed
        assert len(found.ticks) - 1 == status.events > 200
        with pytest.raises(AgentError):
            device.get_version()
    agent.disconnect()


def _has_driver(guest: WineMachine, pid: int) -> bool:
    return any(path.name == "hotswap.sys" for path in guest.mapped_images(pid))
