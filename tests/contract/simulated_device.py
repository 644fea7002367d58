"""A device that implements the contract without the model: threads as coroutines, in an order chosen by seed.

With defects to inject by name, so that the state machine is seen to find each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from hotswap.conformance.model_records import Status, View
from hotswap.conformance.script import (
    ENDPOINTS,
    EVENTS,
    GATES,
    IDS,
    NONE,
    OWNERS,
    VERSIONS,
    Behave,
    Call,
    Clear,
    CloseGate,
    CloseHandle,
    CreateExtension,
    CreateWorker,
    DeleteExtension,
    Entry,
    ForgetWorker,
    Function,
    InitEvent,
    LoadOwner,
    OpenGate,
    Register,
    SetOptions,
    Signal,
    Step,
)

DEFECTS = (
    "a held wake-up is lost",
    "a wake-up runs twice",
    "a switch forgets the last endpoint",
    "a call is let through while stalled",
    "a refusal in ProxyStalled keeps the new version",
    "a refusal in PostProcess keeps the new version",
    "a drain that timed out switches all the same",
    "another parameter count is accepted",
    "a bad element leaves the good ones changed",
    "a replaced wrapper gets a new address",
    "a nested call waits for the stall",
    "wait-all takes what is signalled",
    "the whole register decides whether a worker goes on",
    "two extensions for one owner",
    "a notification event is consumed",
    "the wait status has no index",
    "a failed allocation leaves the thread counted",
    "phases go on after PreProcess refused",
    "a rolled back endpoint can be found",
    "held calls run in the old version",
)

Coroutine = Generator[Callable[[], bool] | None, None, Any]


@dataclass(eq=False)
class _Wrapper:
    name: Any
    function: Function
    parameters: int


@dataclass(eq=False)
class _Extension:
    owner: int
    options: SetOptions
    wrappers: dict[int, _Wrapper] = field(default_factory=dict)
    locked: bool = False
    stalled: bool = False
    inside: int = 0
    users: int = 0


@dataclass(eq=False)
class _Thread:
    """A coroutine, and what it waits for."""

    code: Coroutine
    ready: Callable[[], bool] | None = None
    nesting: list[_Extension] = field(default_factory=list)
    entered: Function = (0, 0)
    """By the outermost call."""


@dataclass(eq=False)
class _Worker:
    extension: _Extension
    thread: _Thread | None = None
    alive: bool = True
    iterations: int = 0
    versions: list[int] = field(default_factory=lambda: [0] * len(VERSIONS))
    last: int = 0


class SimulatedDevice:
    """Makes steps; `run` answers what is seen once no thread can go on."""

    def __init__(self, seed: int = 0, defect: str = "") -> None:
        assert not defect or defect in DEFECTS, defect
        self._random = Random(seed)
        self._defect = defect
        self.reset()

    def reset(self) -> Sequence[str]:
        """Everything anew."""
        self._extensions: dict[int, _Extension] = {}
        self._draining: set[int] = set()
        self._events = [[False, False] for _ in range(EVENTS)]  # notification, signalled
        self._gates = [True] * GATES
        self._waiters = [0] * GATES
        self._behaviours: dict[Function, tuple[Behave, tuple[_Extension, _Wrapper] | None]] = {}
        self._calls: dict[Function, int] = {}
        self._lanes: dict[int, tuple[Any, ...]] = {}
        self._workers: dict[int, _Worker] = {}
        self._threads: list[_Thread] = []
        self._phase_calls = 0
        self._held = 0
        self._leaked = 0
        self._names = 0
        self._loaded = False
        return []

    def _bug(self, name: str) -> bool:
        assert name in DEFECTS, name
        return self._defect == name

    def run(self, step: Step, _allowed: Sequence[View]) -> View:
        """Make the step, let all threads run until none can, and look."""
        result = getattr(self, "_" + step.kind.replace("-", "_"))(step)
        self._schedule()
        return self._look(() if result is None else result if isinstance(result, tuple) else (int(result),))

    def _schedule(self) -> None:
        for _ in range(10_000):
            able = [thread for thread in self._threads if thread.ready is None or thread.ready()]
            if not able:
                return
            thread = self._random.choice(able)
            try:
                thread.ready = next(thread.code)
            except StopIteration:
                self._threads.remove(thread)
        raise AssertionError("never at rest")

    def _start(self, code: Callable[[_Thread], Coroutine]) -> _Thread:
        thread = _Thread(iter(()))  # type: ignore[arg-type]
        thread.code = code(thread)
        self._threads.append(thread)
        return thread

    # Steps

    def _create_extension(self, step: CreateExtension) -> Status:
        owned = any(each.owner == step.owner != NONE for each in self._extensions.values())
        if step.flags:
            return Status.INVALID_PARAMETER_2
        if owned and not self._bug("two extensions for one owner"):
            return Status.RESOURCE_IN_USE
        self._extensions[step.extension] = _Extension(step.owner, SetOptions(step.extension))
        return Status.SUCCESS

    def _delete_extension(self, step: DeleteExtension) -> Status:
        if self._extensions[step.extension].users:
            return Status.DEVICE_BUSY
        del self._extensions[step.extension]
        return Status.SUCCESS

    def _set_options(self, step: SetOptions) -> Status:
        self._extensions[step.extension].options = step
        return Status.SUCCESS

    def _load_owner(self, _step: LoadOwner) -> Status:
        self._loaded = True
        return Status.SUCCESS

    def _unload_owner(self, _step: Step) -> Status:
        self._loaded = False
        gone = [each for each in self._extensions.values() if each.owner == 1]
        self._extensions = {number: each for number, each in self._extensions.items() if each not in gone}
        for worker in self._workers.values():
            if worker.alive and worker.extension in gone:
                worker.alive = False
                assert worker.thread is not None
                self._threads.remove(worker.thread)
        return Status.SUCCESS

    def _init_event(self, step: InitEvent) -> Status:
        self._events[step.event] = [step.notification, step.signalled]
        return Status.SUCCESS

    def _signal(self, step: Signal) -> None:
        def code(_thread: _Thread) -> Coroutine:
            for number in step.events:
                self._events[number][1] = True
                yield None

        self._start(code)

    def _clear(self, step: Clear) -> Status:
        self._events[step.event][1] = False
        return Status.SUCCESS

    def _open_gate(self, step: OpenGate) -> Status:
        self._gates[step.gate] = True
        return Status.SUCCESS

    def _close_gate(self, step: CloseGate) -> Status:
        self._gates[step.gate] = False
        return Status.SUCCESS

    def _behave(self, step: Behave) -> Status:
        nested = None
        if step.nested is not None:
            extension = self._extensions[step.nested[0]]
            nested = (extension, extension.wrappers[step.nested[1]])
        self._behaviours[step.version, step.endpoint] = (step, nested)
        return Status.SUCCESS

    def _close_handle(self, _step: CloseHandle) -> Status:
        return Status.SUCCESS

    def _forget_worker(self, step: ForgetWorker) -> Status:
        del self._workers[step.worker]
        return Status.SUCCESS

    def _lane_done(self, number: int, result: tuple[Any, ...]) -> None:
        self._lanes[number] = ("idle", self._lanes.get(number, ("", 0))[1] + 1, result)

    def _lane_busy(self, number: int) -> None:
        self._lanes[number] = ("busy", self._lanes.get(number, ("", 0))[1])

    # Calls

    def _call(self, step: Call) -> None:
        def code(thread: _Thread) -> Coroutine:
            wrapper = self._extensions[step.extension].wrappers[step.id]
            value = yield from self._enter(thread, self._extensions[step.extension], wrapper, None)
            self._lane_done(step.lane, (value, *thread.entered))

        self._lane_busy(step.lane)
        self._start(code)

    def _enter(
        self, thread: _Thread, extension: _Extension, wrapper: _Wrapper, worker: tuple[_Worker, int] | None
    ) -> Coroutine:
        extension.users += 1
        function = wrapper.function
        held = False
        nested = extension in thread.nesting and not self._bug("a nested call waits for the stall")
        while extension.stalled and not nested and not self._bug("a call is let through while stalled"):
            held = True
            self._held += 1
            yield lambda: not extension.stalled
            self._held -= 1
        if held and worker and self._bug("a held wake-up is lost"):
            extension.users -= 1
            return 1
        if not (held and self._bug("held calls run in the old version")):
            function = wrapper.function
        extension.inside += 1
        if not thread.nesting:
            thread.entered = function
        thread.nesting.append(extension)
        value = yield from self._function(thread, function, worker)
        thread.nesting.pop()
        extension.inside -= 1
        extension.users -= 1
        yield None
        return value

    def _function(self, thread: _Thread, function: Function, worker: tuple[_Worker, int] | None) -> Coroutine:
        self._calls[function] = self._calls.get(function, 0) + 1
        if worker:
            worker[0].iterations += 1
            worker[0].versions[function[0] - 1] += 1
            worker[0].last = worker[1]
        does, nested = self._behaviours.get(function) or (Behave(*function), None)
        if does.sets != NONE:
            self._events[does.sets][1] = True
            yield None
        if does.clears != NONE:
            self._events[does.clears][1] = False
        yield from self._gate(does.gate)
        if nested is not None:
            yield from self._enter(thread, *nested, None)
        return does.value

    def _gate(self, number: int) -> Coroutine:
        if number != NONE and not self._gates[number]:
            self._waiters[number] += 1
            yield lambda: self._gates[number]
            self._waiters[number] -= 1
        yield None

    # Workers

    def _create_worker(self, step: CreateWorker) -> Any:
        extension = self._extensions.get(step.extension)
        count = len(step.events) if step.count == NONE else step.count
        timed = step.timeout not in ("none", "ignored")
        wrapper: _Wrapper | None = None
        if extension is not None:
            if step.routine == "wrapper":
                wrapper = extension.wrappers.get(step.id)
            elif step.routine == "raw" and extension.options.raw_routine:
                wrapper = _Wrapper(None, step.function, 2)
        ok = wrapper is not None and count <= 64 and count == len(step.events) and NONE not in step.events
        ok = ok and step.wait in (0, 1) and step.mode in (0, 1)
        if not ok or (count == 0 and not (extension and extension.options.zero_events and timed)):
            return Status.INVALID_PARAMETER
        assert extension is not None
        assert wrapper is not None
        if step.fail and step.fail <= 2:
            if self._bug("a failed allocation leaves the thread counted"):
                self._leaked += 1
            return (int(Status.INSUFFICIENT_RESOURCES), "an allocation failed")
        worker = self._workers[step.worker] = _Worker(extension)
        extension.users += 1
        true_ends = extension.options.true_ends

        def code(thread: _Thread) -> Coroutine:
            assert wrapper is not None
            again = True
            while again:
                status = yield from self._wait(step)
                for _ in range(2 if self._bug("a wake-up runs twice") and status == 1 else 1):
                    if step.routine == "raw":
                        value = yield from self._function(thread, wrapper.function, (worker, status))
                    else:
                        value = yield from self._enter(thread, extension, wrapper, (worker, status))
                whole = self._bug("the whole register decides whether a worker goes on")
                again = bool(value if whole else value & 0xFF) != true_ends
            worker.alive = False
            extension.users -= 1

        worker.thread = self._start(code)
        return (int(Status.SUCCESS), "reached no failing allocation") if step.fail else Status.SUCCESS

    def _satisfied(self, step: CreateWorker) -> bool:
        signalled = [self._events[number][1] for number in step.events]
        return any(signalled) if step.wait else bool(signalled) and all(signalled)

    def _wait(self, step: CreateWorker) -> Coroutine:
        events = [self._events[number] for number in step.events]
        endless = step.timeout in ("none", "ignored", "long", "far")
        while True:
            signalled = [index for index, event in enumerate(events) if event[1]]
            if step.wait == 0 and events and len(signalled) == len(events):
                taken, status = signalled, 0
            elif step.wait == 1 and signalled:
                taken, status = signalled[:1], signalled[0]
            elif not endless:
                return int(Status.TIMEOUT)
            else:
                if self._bug("wait-all takes what is signalled"):
                    for index in signalled:
                        events[index][1] = False
                yield partial(self._satisfied, step)
                continue
            for index in taken:
                if not events[index][0] or self._bug("a notification event is consumed"):
                    events[index][1] = False
            yield None
            return 0 if self._bug("the wait status has no index") else status

    # Registrations

    def _register(self, step: Register) -> Any:
        if step.extension == NONE:
            self._lane_done(step.lane, (int(Status.INVALID_PARAMETER_1), ()))
            return None
        if step.null_array or not step.entries:
            refusal = Status.INVALID_PARAMETER_2 if step.null_array else Status.INVALID_PARAMETER_3
            self._lane_done(step.lane, (int(refusal), ()))
            return None
        if step.fail == 1:
            self._lane_done(step.lane, (int(Status.INSUFFICIENT_RESOURCES), ()))
            return ("an allocation failed",)
        extension = self._extensions[step.extension]
        extension.users += 1

        def code(_thread: _Thread) -> Coroutine:
            log: list[tuple[int, int]] = []
            while extension.locked:
                yield lambda: not extension.locked
            extension.locked = True
            status = self._check(extension, step)
            if status == Status.SUCCESS:
                status = yield from self._phases(extension, step, log)
            extension.locked = False
            extension.users -= 1
            self._lane_done(step.lane, (int(status), tuple(log)))

        self._lane_busy(step.lane)
        self._start(code)
        return ("reached no failing allocation",) if step.fail else None

    def _check(self, extension: _Extension, step: Register) -> Status:
        seen = set()
        for entry in step.entries:
            known = extension.wrappers.get(entry.id)
            if entry.version == 0 or entry.parameters > 32 or entry.id in seen:
                return Status.INVALID_PARAMETER_2
            accepted = self._bug("another parameter count is accepted")
            if known and known.parameters != entry.parameters and not accepted:
                return Status.INVALID_PARAMETER_3
            if known and self._bug("a bad element leaves the good ones changed"):
                known.function = (entry.version, entry.endpoint)
            seen.add(entry.id)
        return Status.SUCCESS

    def _callback(self, step: Register, phase: int, log: list[tuple[int, int]]) -> Coroutine:
        if step.callback is None:
            return 0
        does = step.callback[phase]
        self._phase_calls += 1
        yield from self._gate(does.gate)
        log.append((phase, does.status))
        return Status.UNSUCCESSFUL if 0 < does.status < 0x80000000 else does.status

    def _drain(self, extension: _Extension, lane: int) -> Coroutine:
        extension.stalled = True
        yield None
        while extension.inside:
            if extension.options.short_drain:
                return bool(self._bug("a drain that timed out switches all the same"))
            self._draining.add(lane)
            yield lambda: extension.inside == 0
        self._draining.discard(lane)
        return True

    def _phases(self, extension: _Extension, step: Register, log: list[tuple[int, int]]) -> Coroutine:
        status = yield from self._callback(step, 0, log)
        if status and not self._bug("phases go on after PreProcess refused"):
            return status
        drained = yield from self._drain(extension, step.lane)
        if not drained:
            extension.stalled = False
            return Status.UNSUCCESSFUL
        status = yield from self._callback(step, 1, log)
        old = {id: wrapper.function for id, wrapper in extension.wrappers.items()}
        new: dict[int, _Wrapper] = {}
        if not status or self._bug("a refusal in ProxyStalled keeps the new version"):
            new = self._switch(extension, step.entries)
        extension.stalled = False
        yield None
        if status:
            return status
        status = yield from self._callback(step, 2, log)
        keeps = extension.options.keep_after_post or self._bug("a refusal in PostProcess keeps the new version")
        if status and not keeps:
            drained = yield from self._drain(extension, step.lane)
            if drained:
                for id, function in old.items():
                    extension.wrappers[id].function = function
                if not self._bug("a rolled back endpoint can be found"):
                    new = {}
            extension.stalled = False
            if not drained:
                status = Status.UNSUCCESSFUL
        extension.wrappers |= new
        return status

    def _switch(self, extension: _Extension, entries: tuple[Entry, ...]) -> dict[int, _Wrapper]:
        new = {}
        if len(entries) > 1 and self._bug("a switch forgets the last endpoint"):
            entries = entries[:-1]
        for entry in entries:
            known = extension.wrappers.get(entry.id)
            if known is None:
                self._names += 1
                new[entry.id] = _Wrapper(self._names, (entry.version, entry.endpoint), entry.parameters)
            else:
                known.function = (entry.version, entry.endpoint)
                known.parameters = entry.parameters
                if self._bug("a replaced wrapper gets a new address"):
                    known.name = NONE
        return new

    # What is seen

    def _look(self, result: tuple[Any, ...]) -> View:
        view: dict[tuple[Any, ...], Any] = {("result",): result, ("phase calls",): self._phase_calls}
        view["active calls",] = sum(each.inside for each in self._extensions.values())
        view["held calls",] = self._held
        view["extensions",] = len(self._extensions)
        view["stalled extensions",] = sum(each.stalled for each in self._extensions.values())
        view["threads",] = sum(worker.alive for worker in self._workers.values()) + self._leaked
        view["wrappers",] = sum(len(each.wrappers) for each in self._extensions.values())
        for number in range(GATES):
            view["gate", number, "waiters"] = self._waiters[number]
        for number, event in enumerate(self._events):
            view["event", number] = event[1]
        for number, lane in self._lanes.items():
            view["lane", number] = lane
            view["draining", number] = number in self._draining
        for number, worker in self._workers.items():
            state = "alive" if worker.alive else "ended"
            view["worker", number] = (state, worker.iterations, worker.last, tuple(worker.versions))
        functions = [(version, endpoint) for version in VERSIONS for endpoint in range(ENDPOINTS)]
        for function in functions:
            view["calls of", function] = self._calls.get(function, 0)
        for owner in range(OWNERS):
            owned = (number for number, each in self._extensions.items() if each.owner == owner)
            view["extension of owner", owner] = next(owned, None)
        for number, each in self._extensions.items():
            for id in IDS:
                wrapper = each.wrappers.get(id)
                view["wrapper of id", number, id] = self._label(wrapper, number, id)
            for function in functions:
                found = (item for item in each.wrappers.items() if item[1].function == function)
                id, wrapper = next(found, (NONE, None))
                view["wrapper of function", number, function] = self._label(wrapper, number, id)
        return view

    @staticmethod
    def _label(wrapper: _Wrapper | None, extension: int, id: int) -> Any:
        if wrapper is None:
            return None
        return ("another address",) if wrapper.name == NONE else (extension, id)
