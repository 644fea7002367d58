"""A guest with the host driver in it: from a machine that is not started to an open device, and back.

Every step of `open` has its counterpart in `close`; `close` undoes what was done, whatever failed, and tells it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from time import monotonic
from typing import Any

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.crash import Crash, read_crash
from hotswap.driver.deploy import deploy, undeploy
from hotswap.driver.device import LINK
from hotswap.driver.hang import Hang, read_hang
from hotswap.driver.host_device import HostDevice
from hotswap.driver.host_replies import Counters
from hotswap.driver.package import DriverPackage
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault, UsageError
from hotswap.interrupt import uninterrupted
from hotswap.machine.base import STOP_SECONDS, Machine
from hotswap.run import RunFolder
from hotswap.swap.agent_evidence import ask_agent
from hotswap.swap.live import LiveCheck
from hotswap.swap.outside import CrashDumps, DriverHostWatch, GuestFiles, LiveDumps, OutsideView
from hotswap.swap.witnesses import ImageSnapshot
from hotswap.trace.etl import parse_etl
from hotswap.trace.follow import FileSource, TraceSource
from hotswap.transport.agent import Agent
from hotswap.transport.growing_file import GuestFile
from hotswap.transport.protocol import AgentContract
from hotswap.transport.replies import Hello, ServiceStatus, TraceStats

GUEST_TRACE = r"C:\hotswap\trace.etl"
HOST_OBJECTS = (r"\Device\HotSwap", r"\GLOBAL??\HotSwap")
"""The host driver's device, and the link to it."""
SESSION = "hotswap"
_DRAIN_INTERVAL_MS = 5
_CLOSE_SECONDS = 5.0
_PING_SECONDS = 3.0
_LOOK_SECONDS = 10.0
_DRIVER_SECONDS = 90.0
EVIDENCE_SECONDS = 60.0
"""What a collection of evidence may take."""
_SETTLE_SECONDS = 2.0
_DUMP_SECONDS = 15.0
_LIVE_DUMP_SECONDS = 5.0
_LIVE_SECONDS = 0.1

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Closed:
    """What was seen while the guest was taken down. None: it could not be had.

    `faults` are the guest's, `problems` the lab's: one line each.
    """

    trace: TraceStats | None
    trace_error: str | None
    faults: tuple[str, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Trouble:
    guest: list[str]
    lab: list[str]


class Lab:
    """One guest under test. Use `with`: the machine is stopped in the end, whatever happened."""

    def __init__(
        self, machine: Machine, build: DriverBuild, package: DriverPackage, run: RunFolder, progress: Progress
    ) -> None:
        self.machine = machine
        self.build = build
        self.package = package
        self.run = run
        self.steps: dict[str, float] = {}
        self.hello: Hello | None = None
        self.host: DriverHostWatch | None = None
        self._progress = progress
        self._agent: Agent | None = None
        self._device: HostDevice | None = None
        self._agent_answers = True
        self._crash: Crash | None = None
        self.hang: Hang | None = None
        """Where the threads of a driver that hangs are, once `driver_hangs` has said so and where it can be seen."""
        self._looked_at_hang = False
        self._deployed = self._started = self._tracing = self._shut_down = False
        self._blame: HotswapError | None = None
        self.interfere: Callable[[str], None] = lambda _point: None
        """Called at named points: for tests that break things on purpose."""
        self.live: LiveCheck | None = None
        """Asks about the trace while it is written."""
        self.tenants: list[Callable[[Lab], None]] = []
        """How to stop what others have started in this guest: it would hold the runtime's image beyond the driver."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say that a step begins, note its seconds."""
        self._progress(name)
        begun = monotonic()
        try:
            with self.run.timeline.step(name):
                yield
        finally:
            self.steps[name] = self.steps.get(name, 0.0) + monotonic() - begun

    @property
    def agent(self) -> Agent:
        """The agent in the guest, once connected."""
        assert self._agent is not None
        return self._agent

    @property
    def device(self) -> HostDevice:
        """The host driver's device, once open."""
        assert self._device is not None
        return self._device

    def open(self, deadline: Deadline) -> None:
        """From nothing to an open device."""
        self.start_guest(deadline)
        # A guest that has gone silent by now is noticed long before the deadline of the whole test.
        self.start_driver(deadline.within(_DRIVER_SECONDS))

    def start_guest(self, deadline: Deadline) -> None:
        """Machine, agent, deployment."""
        self.interfere("machine-starting")
        if self.machine.alive() is not None:
            with self.step("start machine"):
                self.machine.expect_agent(self.build.agent)
                self.machine.keep_evidence(self.run.evidence)
                self.machine.start(deadline)
        self.interfere("machine-started")
        deadline = deadline.within(_DRIVER_SECONDS)
        with self.step("connect agent"):
            transport = self.machine.connect_agent(self.build.agent, deadline)
            contract = AgentContract.load(self.build.agent_contract)
            self._agent = Agent(transport, contract, self.build.codes, reconnection=self.machine.reconnection())
            self.hello = self.agent.hello(deadline=deadline)
            self.run.timeline.event("agent", hello=self.hello, clock=self.agent.clock(deadline=deadline))
        self.interfere("agent-connected")
        with self.step("deploy drivers"):
            self._deployed = True
            files = [image.image.path for image in self.package.images]
            with self.machine.carrying(self.agent, files, deadline) as carrier:
                deploy(carrier, self.package.images, deadline=deadline)

    def start_driver(self, deadline: Deadline) -> None:
        """Driver service, trace, device; `close` undoes this much, and then it can be done again."""
        while self.tenants:
            self.tenants.pop()(self)
        with self.step("start driver"):
            self.agent.service_start(self._service, deadline=deadline)
            self._started = True
            self._shut_down = False
            self._crash = None
            if isinstance(self.machine, OutsideView):
                self.host = DriverHostWatch.find(self.machine, self.package.host.image.name)
        with self.step("start trace"):
            self.agent.trace_start(
                LINK,
                self.build.ioctl.ioctl("drain_trace").code,
                GUEST_TRACE,
                SESSION,
                interval_ms=_DRAIN_INTERVAL_MS,
                deadline=deadline,
            )
            self._tracing = True
            # Each of its calls has a limit of its own: the deadline of this start is over when they come.
            self._device = HostDevice(self.agent, self.build.ioctl).open(deadline=deadline)
        self.interfere("driver-open")

    def _after(self, seconds: float) -> Deadline:
        """A limit that is about this lab, and not about the driver: longer where everything takes longer."""
        return Deadline.after(seconds * self.machine.slowdown)

    @property
    def _service(self) -> str:
        service = self.package.host.service
        assert service is not None
        return service

    def blame(self, fault: HotswapError) -> HotswapError | None:
        """What has become of machine or agent, so that `fault` only follows from it; None: nothing.

        When it is something, the guest is not asked for anything any more.
        """
        if self._blame is None:
            self._blame = self.machine.blame(self._after(_LOOK_SECONDS))
        if self._blame is None and isinstance(fault, GuestFault) and self._another_agent():
            self._blame = LabFault("another agent answers than before: the first has ended, and its handles with it")
        return self._blame

    def _another_agent(self) -> bool:
        """Whether the agent was started anew behind a stream that stayed. What it refuses then is nobody's fault."""
        if self._agent is None or self.hello is None or self._agent.connection.transport.alive() is not None:
            return False
        try:
            return self._agent.hello(deadline=self._after(_PING_SECONDS)).session_id != self.hello.session_id
        except HotswapError:
            return False

    def driver_hangs(self) -> bool:
        """Whether it is the driver that did not answer in time: guest, agent and driver host live.

        The agent may hang with it: Wine lets the sender of a request wait until the driver has taken it.
        """
        if self._blame is not None or self.host is None or not self.host.alive or self.machine.alive() is not None:
            return False
        connection = self.agent.connection
        if connection.transport.alive() is not None:
            return False
        self._agent_answers = self._agent_answers and self._ping()
        hangs = self._agent_answers or any("IOCTL" in what for what in connection.waiting)
        if hangs and not self._looked_at_hang:
            self._looked_at_hang = True
            self._look_at_hang()
        return hangs

    def _look_at_hang(self) -> None:
        """Where its threads are, while they are there: `hang`, and evidence. That it cannot be told is no fault."""
        if not isinstance(self.machine, LiveDumps):
            return
        built = [image.path for image in self.build.drivers.values()]
        try:
            image = self.package.host.image.name
            dump = self.machine.live_dump(image, self._after(_LIVE_DUMP_SECONDS))
            self.hang = read_hang(dump, built, self._guest_file)
            self.run.evidence.mkdir(exist_ok=True)
            self.run.write("evidence/hang.dmp", dump)
            self.run.write("evidence/hang.txt", self.hang.text)
        except (LabFault, OSError) as error:
            self.run.timeline.event("no-witness", what="stacks of the driver that hangs", error=str(error))

    @property
    def hang_told(self) -> str:
        """What `driver_hangs` saw, for people."""
        where = f": {self.hang.headline}" if self.hang else ""
        return f"guest, agent and driver host live: the driver hangs{where}"

    def _ping(self) -> bool:
        try:
            self.agent.ping(deadline=self._after(_PING_SECONDS))
        except HotswapError:
            return False
        return True

    @property
    def failed_live(self) -> bool:
        """Whether a live check has failed, so that the rest of the test is not needed."""
        return self.live is not None and self.live.failure is not None

    def trace_source(self) -> TraceSource:
        """The trace as it is written."""
        if self.machine.shares_files and isinstance(self.machine, GuestFiles):
            return FileSource(self.machine.host_path(GUEST_TRACE))
        return GuestFile(self.agent, GUEST_TRACE, slowdown=self.machine.slowdown)

    def pause(self, seconds: float) -> None:
        """Let the guest run this long, or until a live check fails. GuestFault at once when its driver host dies."""
        until = Deadline.after(seconds)
        while self.live is not None and not until.expired:
            if self.live.failed_within(min(_LIVE_SECONDS, until.remaining)):
                return
            self._run(0)
        self._run(until.remaining)

    def _run(self, seconds: float) -> None:
        if self.host is None:
            Deadline.after(seconds + 1).wait_for(_elapsed(seconds), f"{seconds:g} s to pass", alive=self.machine.alive)
        elif self.host.ended_within(seconds):
            crash = self.crash()
            how = f": {crash.headline}" if crash else ""
            raise GuestFault(f"the driver host (process {self.host.process.pid}) ended while the load ran{how}")

    def host_ends_within(self, seconds: float) -> bool:
        """Whether the driver host ends in this time. One that has faulted is given the time that its dump takes."""
        if self.host is None or self._blame is not None:
            return False
        if self.host.ended_within(seconds):
            return True
        if isinstance(self.machine, CrashDumps) and self.machine.faulting():
            return self.host.ended_within(_DUMP_SECONDS * self.machine.slowdown)
        return False

    def crash(self) -> Crash | None:
        """What ended the driver host, by its minidump; None where there is none: it was killed, or still lives."""
        if (
            self._crash is None
            and self._blame is None
            and self.host is not None
            and not self.host.alive
            and isinstance(self.machine, CrashDumps)
        ):
            dumps = self.machine.crash_dumps()
            built = [*(image.path for image in self.build.drivers.values()), self.build.agent]
            try:
                if dumps:
                    self._crash = read_crash(dumps[-1].read_bytes(), built, self._guest_file, self.build.codes)
            except (LabFault, OSError) as error:
                self.run.timeline.event("no-witness", what="minidump", error=str(error))
        return self._crash

    def _guest_file(self, path: str) -> Path | None:
        """A file of the guest on this computer; Wine's list of modules does not keep to the case of their names."""
        if not isinstance(self.machine, GuestFiles):
            return None
        try:
            file = self.machine.host_path(path)
        except UsageError:
            return None
        return next((each for each in (file, file.with_name(file.name.lower())) if each.is_file()), None)

    def snapshot(self, point: str, image: str, *, host_loaded: bool, deadline: Deadline) -> ImageSnapshot:
        """Which driver images are there now: asked of the guest, and seen from outside.

        `image` is the file name of the endpoint driver that should be, empty for none.
        """
        looks: dict[str, Callable[[Deadline], Iterable[str]]] = {
            "modules": self._modules,
            "services": self._services,
            "objects": self._objects,
        }
        found: dict[str, frozenset[str]] = {}
        for what, look in looks.items():
            try:
                found[what] = frozenset(look(deadline))
            except HotswapError as error:
                self.run.timeline.event("no-witness", what=f"{what} {point}", error=str(error))
        return ImageSnapshot(
            point, image, host_loaded, found.get("modules"), self._maps(), found.get("services"), found.get("objects")
        )

    def _modules(self, deadline: Deadline) -> Iterator[str]:
        return (module.name for module in self.agent.modules(deadline=deadline))

    def _services(self, deadline: Deadline) -> Iterator[str]:
        """File names of the images whose services are not stopped."""
        for image in self.package.images:
            if image.service is None:
                continue
            if self.agent.service_query(image.service, deadline=deadline).status is not ServiceStatus.STOPPED:
                yield PureWindowsPath(image.guest_path).name

    def _objects(self, deadline: Deadline) -> Iterator[str]:
        """Which of HOST_OBJECTS there are. Links are in \\GLOBAL??, which Wine does not have: there in \\??."""
        wine = self.hello is not None and self.hello.wine_version
        for path in HOST_OBJECTS:
            directory, _, name = path.rpartition("\\")
            inside = "\\??" if wine and directory == "\\GLOBAL??" else directory
            if any(item.name.lower() == name.lower() for item in self.agent.objects(inside, deadline=deadline)):
                yield path

    def _maps(self) -> frozenset[str] | None:
        if not isinstance(self.machine, OutsideView):
            return None
        hosts = self.machine.driver_host_processes()
        return frozenset(path.name for host in hosts for path in self.machine.mapped_images(host.pid))

    def threads(self) -> int | None:
        """Threads of the driver host, from outside; None where that cannot be seen or it is gone."""
        if self.host is None or not isinstance(self.machine, OutsideView):
            return None
        return len(self.machine.task_ids(self.host.process.pid)) or None

    def settled_threads(self, baseline: int) -> int | None:
        """Threads of the driver host once they are no more than `baseline`, or what they are after a moment.

        Thread ends reach the outside a little after the guest has joined them.
        """
        try:
            return self._after(_SETTLE_SECONDS).wait_for(
                lambda: now if (now := self.threads()) is not None and now <= baseline else None,
                "the threads of the driver host to end",
            )
        except HotswapError:
            return self.threads()

    def close(self) -> Closed:
        """Stop the trace and the driver and take the trace out. Goes on after failures and returns them."""
        if not self._agent_answers or self._blame is not None:
            return self._close_without_agent()
        trouble = _Trouble([], [])
        stats: TraceStats | None = None
        trace_error: str | None = None
        if self._device is not None and not self._shut_down and (self.host is None or self.host.alive):
            self._try(trouble, "shutting the driver down", self.shutdown, deadline=self._after(_CLOSE_SECONDS))
            if not self._agent_answers:
                # It waits with the driver by now.
                closed = self._close_without_agent()
                return replace(closed, faults=tuple(trouble.guest), problems=(*trouble.lab, *closed.problems))
        if self._tracing:
            with self.step("stop trace"):
                stats, trace_error = self._stop_trace(trouble)
        if self._device is not None:
            self._try(trouble, "closing the device", self._device.close, deadline=self._after(_CLOSE_SECONDS))
            self._device = None
        if self._started:
            with self.step("stop driver"):
                self._try(
                    trouble,
                    "stopping the driver",
                    self.agent.service_stop,
                    self._service,
                    deadline=self._after(_CLOSE_SECONDS),
                )
                self._started = False
        if self.host is not None:
            self.host.close()
            self.host = None
        return Closed(stats, trace_error, tuple(trouble.guest), tuple(trouble.lab))

    def _close_without_agent(self) -> Closed:
        """Nothing can be asked any more, and each question would wait for its deadline: leave it to the machine's stop.

        The agent writes what it drained to its file within a second, so what came before the hang is there; on the disk
        of a guest that is gone is what its system had written back by then.
        """
        self._deployed = self._started = self._tracing = False
        problems = []
        try:
            if self._blame is not None:
                found = self.run.evidence / "guest" / PureWindowsPath(GUEST_TRACE).name
                if found.exists():
                    # Its last part, or all of it, may not have come to the disk.
                    parse_etl(content := found.read_bytes())
                    self.run.write("trace.etl", content)
            elif isinstance(self.machine, GuestFiles):
                self.run.write("trace.etl", self.machine.host_path(GUEST_TRACE).read_bytes())
        except (OSError, LabFault, UsageError) as error:
            problems.append(f"taking the trace out: {error}")
        why = "the agent did not answer any more" if self._blame is None else str(self._blame)
        return Closed(None, why, (), tuple(problems))

    def shutdown(self, *, deadline: Deadline) -> Counters:
        """Ask the driver to give up all it holds; returns its last counters."""
        self._shut_down = True
        return self.device.shutdown(deadline=deadline)

    def _stop_trace(self, trouble: _Trouble) -> tuple[TraceStats | None, str | None]:
        self._tracing = False
        stats: TraceStats | None = None
        error: str | None = None
        try:
            stats = self.agent.trace_stop(deadline=self._after(_CLOSE_SECONDS))
            error = stats.error or ""
        except HotswapError as failure:
            self._note(trouble, "stopping the trace", failure)
            error = str(failure)
        try:
            self.run.write("trace.etl", self.agent.get(GUEST_TRACE, deadline=self._after(30.0)))
        except HotswapError as failure:
            self._note(trouble, "taking the trace out", failure)
            error = error or str(failure)
        return stats, error

    def _try(self, trouble: _Trouble, what: str, action: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        try:
            action(*arguments, **named)
        except HotswapError as error:
            self._note(trouble, what, error)

    def _note(self, trouble: _Trouble, what: str, error: HotswapError) -> None:
        """A full disk here, say, is never the driver's failure."""
        of_guest = isinstance(error, GuestFault) or (isinstance(error, DeadlineExpired) and self.driver_hangs())
        (trouble.guest if of_guest else trouble.lab).append(f"{what}: {error}")

    def undeploy(self) -> Sequence[str]:
        """Delete services and files of the drivers; returns what failed."""
        if not self._deployed or self._agent is None:
            return ()
        self._deployed = False
        return undeploy(self.agent, self.package.images, deadline=self._after(_CLOSE_SECONDS))

    def diagnose(self) -> None:
        """Collect evidence of the guest as it is now into the run folder."""
        with self.step("collect evidence"):
            files = self.machine.diagnose(self.run.evidence, Deadline.after(EVIDENCE_SECONDS))
            if self._agent is not None and self._blame is None and self._agent_answers:
                services = [image.service for image in self.package.images if image.service is not None]
                files += ask_agent(self._agent, services, self.run.evidence, self._after(_CLOSE_SECONDS))
            if (crash := self.crash()) is not None:
                files.append(self.run.write("evidence/crash.txt", crash.text))
                files.append(self.run.write("evidence/crash.json", json.dumps(crash.to_json(), indent=1) + "\n"))
            self.run.timeline.event("evidence", files=[path.name for path in files])

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave half a guest; everything in here has a deadline.
        with uninterrupted():
            try:
                with self.step("stop machine"):
                    self.leave_guest()
                    self.machine.stop(Deadline.after(STOP_SECONDS))
            finally:
                # Again, for what failed before it came to that: a timeline on a full disk. Harmless when repeated.
                self.machine.stop(Deadline.after(STOP_SECONDS))

    def leave_guest(self) -> None:
        """Let go of the agent and of the driver host; the machine goes on."""
        if self._blame is not None:
            self.abandon()
        try:
            if self._agent is not None:
                self._agent.disconnect()
        finally:
            if self.host is not None:
                self.host.close()

    def abandon(self) -> None:
        """Let go of a guest that is gone, without a word to it. What becomes of the machine is its owner's business."""
        agent, self._agent = self._agent, None
        if agent is not None:
            agent.connection.close()
        if self.host is not None:
            self.host.close()
            self.host = None


def _elapsed(seconds: float) -> Callable[[], bool]:
    until = monotonic() + seconds
    return lambda: monotonic() >= until
