"""One possible state of the contract's objects, as plain immutable records in a few small dictionaries.

Who runs in it are actors: lanes (driver threads of the tester), workers, and the tester itself. Each has a stack of
frames: calls through wrappers, and registrations, each at a named point at which it can be stopped.
"""

from __future__ import annotations

from typing import Any

from hotswap.conformance.model_records import (
    PHASE_GATES,
    Actor,
    Behaviour,
    CallFrame,
    Endpoint,
    Event,
    Extension,
    Frames,
    Lane,
    Point,
    SwapFrame,
    Worker,
    Wrapper,
)
from hotswap.conformance.script import ENDPOINTS, EVENTS, GATES, IDS, NONE, OWNERS, VERSIONS, Function

_NOTHING: frozenset[Wrapper | None] = frozenset()


class World:
    """One possible state. Dictionaries are replaced or copied, records never changed."""

    __slots__ = (
        "behaviours",
        "calls",
        "endpoints",
        "events",
        "extensions",
        "gates",
        "generation",
        "lanes",
        "marks",
        "owner_loaded",
        "phase_calls",
        "result",
        "tester",
        "workers",
    )

    def __init__(self) -> None:
        self.extensions: dict[int, Extension] = {}
        self.endpoints: dict[tuple[int, int], Endpoint] = {}
        self.events: dict[int, Event] = {number: Event() for number in range(EVENTS)}
        self.gates: dict[int, bool] = dict.fromkeys(range(GATES), True)
        self.behaviours: dict[Function, Behaviour] = {}
        self.workers: dict[int, Worker] = {}
        self.lanes: dict[int, Lane] = {}
        self.calls: dict[Function, int] = {}
        self.tester: Frames = ()
        self.owner_loaded = False
        self.generation = 0
        self.phase_calls = 0
        self.result: tuple[Any, ...] = ()
        """What the step returned at once."""
        self.marks: frozenset[str] = frozenset()
        """What has happened in this step, for the count of what was reached."""

    def copy(self) -> World:
        """A world that may be changed."""
        other = World.__new__(World)
        other.extensions = self.extensions.copy()
        other.endpoints = self.endpoints.copy()
        other.events = self.events.copy()
        other.gates = self.gates.copy()
        other.behaviours = self.behaviours
        other.workers = self.workers.copy()
        other.lanes = self.lanes.copy()
        other.calls = self.calls.copy()
        other.tester = self.tester
        other.owner_loaded = self.owner_loaded
        other.generation = self.generation
        other.phase_calls = self.phase_calls
        other.result = self.result
        other.marks = self.marks
        return other

    def key(self) -> tuple[object, ...]:
        """Equal for worlds in which the same can happen from here on and has happened in this step."""
        return (
            tuple(self.extensions.items()),
            frozenset(self.endpoints.items()),
            tuple(self.events.items()),
            tuple(self.workers.items()),
            tuple(self.lanes.items()),
            frozenset(self.calls.items()),
            self.tester,
            self.phase_calls,
            self.result,
        )

    def frames(self, actor: Actor) -> Frames:
        """The stack of an actor."""
        if actor.kind == "worker":
            return self.workers[actor.number].frames
        return self.tester if actor.kind == "tester" else self.lanes[actor.number].frames

    def set_frames(self, actor: Actor, frames: Frames) -> None:
        """Replace it."""
        if actor.kind == "worker":
            self.workers[actor.number] = self.workers[actor.number]._replace(frames=frames)
        elif actor.kind == "tester":
            self.tester = frames
        else:
            self.lanes[actor.number] = self.lanes[actor.number]._replace(frames=frames)

    def stacks(self) -> list[Frames]:
        """Of all actors that are not idle."""
        found = [lane.frames for lane in self.lanes.values() if lane.frames]
        return [*found, *(worker.frames for worker in self.workers.values() if worker.frames)]

    def inside(self, extension: int) -> int:
        """Calls inside the wrappers of an extension, nested ones counted each (R28)."""
        return sum(
            isinstance(frame, CallFrame) and frame.extension == extension and frame.point > Point.ENTER
            for stack in self.stacks()
            for frame in stack
        )

    def waiters(self) -> list[int]:
        """How many wait at each gate."""
        waiting = [0] * GATES
        for stack in self.stacks():
            frame = stack[-1]
            if isinstance(frame, CallFrame):
                if frame.point is Point.GATE:
                    waiting[self.behaviour(frame.function).gate] += 1
            elif isinstance(frame, SwapFrame) and frame.callback and frame.point in PHASE_GATES:
                waiting[frame.callback[PHASE_GATES[frame.point]].gate] += 1
        return waiting

    def behaviour(self, function: Function) -> Behaviour:
        """What it does."""
        return self.behaviours.get(function) or Behaviour()

    def mark(self, name: str) -> None:
        """Note that something worth counting has happened."""
        if name not in self.marks:
            self.marks |= {name}

    def view(self) -> dict[tuple[Any, ...], Any]:
        """What is seen of it at rest."""
        view: dict[tuple[Any, ...], Any] = {("result",): self.result, ("phase calls",): self.phase_calls}
        active = held = 0
        for stack in self.stacks():
            for frame in stack:
                if isinstance(frame, CallFrame):
                    if frame.point is Point.ENTER:
                        held += self.extensions[frame.extension].stalled
                    elif frame.extension != NONE and frame.point > Point.ENTER:
                        active += 1
        view["active calls",] = active
        view["held calls",] = held
        view["extensions",] = len(self.extensions)
        view["stalled extensions",] = sum(extension.stalled for extension in self.extensions.values())
        view["threads",] = sum(worker.alive for worker in self.workers.values())
        for number, waiters in enumerate(self.waiters()):
            view["gate", number, "waiters"] = waiters
        for number, event in self.events.items():
            view["event", number] = event.signalled
        for number, lane in self.lanes.items():
            view["lane", number] = ("busy", lane.done) if lane.frames else ("idle", lane.done, lane.result)
            view["draining", number] = any(
                isinstance(frame, SwapFrame) and frame.point in (Point.DRAIN, Point.UNDO_DRAIN) for frame in lane.frames
            )
        for number, worker in self.workers.items():
            view["worker", number] = (
                "alive" if worker.alive else "ended",
                worker.iterations,
                worker.last_status,
                worker.versions,
            )
        for version in VERSIONS:
            for endpoint in range(ENDPOINTS):
                function = (version, endpoint)
                view["calls of", function] = self.calls.get(function, 0)
        self._add_lookups(view)
        return view

    def _add_lookups(self, view: dict[tuple[Any, ...], Any]) -> None:
        """By owner, by id, and by the function in force (R4, R7, R8, R16)."""
        owned = {extension.owner: number for number, extension in self.extensions.items()}
        for owner in range(OWNERS):
            view["extension of owner", owner] = owned.get(owner)
        for number in self.extensions:
            by_function: dict[Function, frozenset[Wrapper | None]] = {}
            for id in IDS:
                endpoint = self.endpoints.get((number, id))
                wrapper = (number, id)
                if endpoint is None:
                    view["wrapper of id", number, id] = None
                elif endpoint.published:
                    view["wrapper of id", number, id] = wrapper
                    by_function[endpoint.function] = by_function.get(endpoint.function, _NOTHING) | {wrapper}
                else:
                    view["wrapper of id", number, id] = frozenset((wrapper, None))
            for (extension, id), endpoint in self.endpoints.items():
                if extension == number and not endpoint.published:
                    found = by_function.get(endpoint.function)
                    by_function[endpoint.function] = (found or frozenset((None,))) | {(number, id)}
            for version in VERSIONS:
                for index in range(ENDPOINTS):
                    found = by_function.get((version, index))
                    view["wrapper of function", number, (version, index)] = found
        unpublished = any(
            isinstance(frame, SwapFrame) and None in frame.old for stack in self.stacks() for frame in stack
        )
        if not unpublished:
            view["wrappers",] = len(self.endpoints)
