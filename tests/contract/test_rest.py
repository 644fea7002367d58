"""Whether the threads of a driver host rest: on a process made for it, and as the subject of scripts uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import pytest

from hotswap.conformance import subject as subject_module
from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.guest import start_conformance
from hotswap.conformance.model import Model, View
from hotswap.conformance.model_records import Status
from hotswap.conformance.objects import NO_DRIVER
from hotswap.conformance.replay import host_threads
from hotswap.conformance.requests import Features
from hotswap.conformance.rest import HostThreads, Mark
from hotswap.conformance.script import CreateExtension, CreateWorker, Entry, Register, Signal, Step
from hotswap.conformance.subject import DriverSubject
from hotswap.deadline import Deadline
from hotswap.errors import GuestFault, LabFault
from hotswap.testing.guest import GuestMachine

HOST = """
import sys, threading

class Thread:
    def __init__(self):
        self.go, self.done, self.what = threading.Event(), threading.Event(), ""
        threading.Thread(target=self.run, daemon=True).start()
    def run(self):
        while True:
            self.go.wait()
            self.go.clear()
            while self.what == "spin":
                pass
            self.done.set()

threads = [Thread() for _ in range(4)]
for line in sys.stdin:
    what, number = line.split()
    thread = threads[int(number)]
    thread.what = what
    if what in ("run", "spin"):
        thread.done.clear()
        thread.go.set()
    if what in ("run", "end"):
        thread.done.wait()
    print("done", flush=True)
"""


class Host:
    """A process with a thread that serves, and four that it has work for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def do(self, what: str, thread: int = 0) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {thread}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def running_host() -> Iterator[Host]:
    command = [sys.executable, "-c", HOST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Host(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def host() -> Iterator[Host]:
    with running_host() as host:
        yield host


@pytest.fixture
def threads(host: Host) -> Iterator[HostThreads]:
    with closing(HostThreads(host.pid, lambda: host.do("nothing"), lambda lane: host.do("run", lane), 2)) as threads:
        yield threads


def rests(threads: HostThreads, between: Callable[[], None], polling: Collection[int] = ()) -> bool:
    mark = threads.mark(polling)
    between()
    return mark is not None and threads.unchanged(mark, polling)


def test_a_process_rests_when_all_of_its_threads_sleep_and_none_has_run(host: Host, threads: HostThreads) -> None:
    threads.mark(())
    assert Deadline.after(10).wait_for(lambda: rests(threads, lambda: host.do("nothing")), "rest")


def test_a_thread_that_runs_is_seen(host: Host, threads: HostThreads) -> None:
    host.do("spin", 3)
    assert Deadline.after(10).wait_for(lambda: threads.mark(()) is None, "the thread to be seen")
    assert not rests(threads, lambda: host.do("nothing"))
    host.do("end", 3)
    assert Deadline.after(10).wait_for(lambda: rests(threads, lambda: host.do("nothing")), "rest")


def test_a_thread_that_has_run_and_sleeps_again_is_seen(host: Host, threads: HostThreads) -> None:
    assert Deadline.after(10).wait_for(lambda: threads.mark(()) is not None, "all to sleep")
    assert not rests(threads, lambda: host.do("run", 2))


def test_a_lane_that_polls_is_not_looked_at_and_every_other_is(host: Host, threads: HostThreads) -> None:
    assert Deadline.after(10).wait_for(lambda: threads.mark(()) is not None, "all to sleep")
    assert rests(threads, lambda: host.do("run", 1), polling=[1])
    assert not rests(threads, lambda: host.do("run", 1), polling=[0])


def test_threads_that_cannot_be_told_apart_are_a_fault_of_the_lab(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hotswap.conformance.rest._LEARN_SECONDS", 0.2)
    with pytest.raises(LabFault, match="the thread of lane 0"):
        HostThreads(host.pid, lambda: host.do("nothing"), lambda _lane: (host.do("run", 0), host.do("run", 1)), 1)


# The subject of scripts


class OneMore:
    """Not all rest at first: one more wake-up is on its way, and has come by the second look."""

    def __init__(self, driver: ConformanceDriver, looks: int) -> None:
        self._driver, self._looks = driver, looks

    def mark(self, _polling: Collection[int]) -> Mark | None:
        self._looks -= 1
        if self._looks == 0:
            self._driver.set_event(1)
        return {} if self._looks < 0 else None

    def unchanged(self, _mark: Mark, _polling: Collection[int]) -> bool:
        return True


START = (
    CreateExtension(0),
    Register(0, 0, (Entry(0, 1, 0, 2), Entry(2, 1, 2, 1))),
    CreateWorker(0, 0, events=(1,)),
)


def run(subject: DriverSubject, model: Model, step: Step) -> Mapping[tuple[object, ...], object]:
    seen = subject.run(step, model.predict(step))
    model.observe(seen)
    return seen


def signalled_twice(subject: DriverSubject) -> tuple[DriverSubject, Sequence[View]]:
    """Where one iteration is as right as two (W29)."""
    subject.reset()
    model = Model()
    for step in START:
        run(subject, model, step)
    allowed = model.predict(Signal((1, 1)))
    assert {view["worker", 0][1] for view in allowed} == {1, 2}
    return subject, allowed


def never(_why: str) -> tuple[ConformanceDriver, OneMore]:
    raise AssertionError("the guest is spent")


@pytest.fixture
def driver(machine: GuestMachine) -> Iterator[ConformanceDriver]:
    driver = start_conformance(machine.lab(), machine.build)
    yield driver
    driver.reset()


def test_an_outcome_that_is_seen_on_the_way_to_another_is_not_taken_for_it(driver: ConformanceDriver) -> None:
    subject, allowed = signalled_twice(DriverSubject(driver, OneMore(driver, looks=2), never))
    assert subject.run(Signal((1,)), allowed)["worker", 0] == ("alive", 2, Status.SUCCESS, (2, 0, 0, 0))


def test_a_driver_that_never_rests_is_a_failure(driver: ConformanceDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject_module, "PATIENCE_SECONDS", 0.3)
    subject, allowed = signalled_twice(DriverSubject(driver, OneMore(driver, looks=1_000_000), never))
    with pytest.raises(GuestFault, match="does not come to rest"):
        subject.run(Signal((1,)), allowed)


def test_the_threads_of_the_real_driver_host_are_told_apart_and_rest(
    machine: GuestMachine, driver: ConformanceDriver
) -> None:
    with closing(host_threads(machine.lab(), driver)) as threads:
        assert Deadline.after(10).wait_for(lambda: rests(threads, lambda: driver.snapshot()), "rest")
        assert not rests(threads, lambda: driver.run(Features(NO_DRIVER), lane=3))
