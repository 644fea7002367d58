"""Which step next: what fits the objects that there are, and now and then what must be refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from hotswap.conformance import script
from hotswap.conformance.model_world import World
from hotswap.conformance.script import ECHO_IDS, IDS, NONE, UNKNOWN_ID, Entry, Phase, Step

T = TypeVar("T")

PARAMETERS = {0: 2, 1: 2, 2: 1, 3: 6}
"""Of the endpoint of each id, when it is right."""


def _profile(**weights: int) -> tuple[str, ...]:
    return tuple(kind for kind, weight in weights.items() for _ in range(weight))


PROFILES: Mapping[str, tuple[str, ...]] = {
    "all": _profile(
        swap=12, call=12, signal=14, worker=8, open_gate=12, stall=7, block=5, behave=5, nested=4, event=4, let_go=4,
        options=3, extension=3, delete=1, owner=2, bad_registration=5, bad_worker=4,
    ),
    "calls held": _profile(
        swap=16, call=24, open_gate=20, stall=12, block=8, nested=8, behave=3, options=3, signal=6, worker=4,
    ),
    "objects": _profile(
        extension=16, delete=10, owner=14, options=6, swap=14, bad_registration=8, worker=8, call=6, let_go=6, signal=6,
        open_gate=4, stall=2, block=2,
    ),
    "workers": _profile(
        worker=12, signal=28, event=6, behave=6, let_go=5, bad_worker=3, swap=11, stall=6, block=8, open_gate=14,
        options=2,
    ),
}  # fmt: skip
"""How often each kind of step is chosen. A script follows one; what is simplest comes first."""

_LANES = tuple(range(script.LANES))
_EVENTS = tuple(range(script.EVENTS))
_GATES = tuple(range(script.GATES))
_RARELY = (False,) * 15 + (True,)
_MAYBE_GATE = (NONE,) * 3 + _GATES
_MAYBE_EVENT = (NONE,) * 4 + _EVENTS
_STATUS = (0,) * 7 + (0xC0000022, 0xC0000001, 0x00000103)
_FAIL = (0,) * 12 + (1, 1, 2, 3)
_VALUE = (1, 1, 1, 1, 0, 0x100, 0x101, 0xFFFFFFFFFFFFFF00, 0x8000000000000002)
_TIMEOUT = ("none",) * 6 + ("ignored", "long", "far", "short", "zero", "past")

_BAD_WORKERS: tuple[dict[str, Any], ...] = (
    {"routine": "null"},
    {"routine": "raw"},
    {"routine": "raw"},
    {"routine": "garbage"},
    {"extension": NONE},
    {"events": (), "timeout": "zero"},
    {"events": (), "timeout": "short"},
    {"events": ()},
    {"events": (0, NONE)},
    {"wait": 2},
    {"wait": 4},
    {"mode": 2},
    {"count": 65},
    {"id": UNKNOWN_ID},
    {"events": (0,) * 65},
    {"routine": "foreign"},
)


CHOICES = 16
"""Bytes that a step may use up."""


class Chooser:
    """Chooses the arguments of steps by bytes that were drawn before; no steps: there is nothing to do that with.

    What is drawn must not hang on the state: where the driver may do one of several things, the same script can lead to
    different states, and Hypothesis repeats what it has drawn.
    """

    def __init__(self, world: World, choices: bytes) -> None:
        self._world = world
        self._choices = iter(choices)

    def _number(self, below: int) -> int:
        return next(self._choices, 0) % below

    def _one(self, options: Sequence[T]) -> T:
        return options[self._number(len(options))]

    def _some(self, options: Sequence[T], most: int) -> list[T]:
        """From one to `most` different ones."""
        left = list(options)
        return [left.pop(self._number(len(left))) for _ in range(1 + self._number(most))]

    def first_steps(self) -> Iterable[Step]:
        """An extension and its endpoints: most scripts do not have to find out that there must be one."""
        how = self._number(10)
        if how:
            yield script.CreateExtension(0, owner=how % 2 - 1)
            yield script.Register(0, 0, tuple(Entry(id, 1, id, PARAMETERS[id]) for id in IDS))
            if how > 4:
                yield script.SetOptions(0, short_drain=True)

    def steps(self, kind: str) -> Iterable[Step]:
        """Of a kind that a profile names."""
        found: Iterable[Step] = getattr(self, f"_{kind}")()
        return found

    def _extension(self) -> Iterable[Step]:
        free = [number for number in range(script.EXTENSIONS) if number not in self._world.extensions]
        if free:
            owner = self._one((NONE, 0, 1))
            flags = 1 << 31 if self._one(_RARELY) else 0
            yield script.CreateExtension(self._one(free), owner, flags)

    def _delete(self) -> Iterable[Step]:
        if existing := list(self._world.extensions):
            yield script.DeleteExtension(self._one(existing))

    def _options(self) -> Iterable[Step]:
        if existing := list(self._world.extensions):
            flags = self._number(32)
            yield script.SetOptions(self._one(existing), *(bool(flags >> bit & 1) for bit in range(5)))

    def _owner(self) -> Iterable[Step]:
        if not self._world.owner_loaded:
            yield script.LoadOwner()
            return
        owned = [number for number, extension in self._world.extensions.items() if extension.owner == 1]
        free = [number for number in range(script.EXTENSIONS) if number not in self._world.extensions]
        if free and not owned:
            yield script.CreateExtension(free[0], 1)
            return
        worker, lane = self._free_worker(), self._idle_lane()
        if owned and worker is not None and lane is not None and not self._number(3):
            yield script.Register(lane, owned[0], (Entry(0, 1, 0, PARAMETERS[0]),))
            yield script.CreateWorker(worker, owned[0], 0, events=(self._one(_EVENTS),))
        yield script.UnloadOwner()

    def _idle_lanes(self) -> list[int]:
        lanes = self._world.lanes
        return [number for number in _LANES if number not in lanes or not lanes[number].frames]

    def _idle_lane(self) -> int | None:
        idle = self._idle_lanes()
        return self._one(idle) if idle else None

    def _swap(self) -> Iterable[Step]:
        lane = self._idle_lane()
        if lane is not None and self._world.extensions:
            extension = self._one(list(self._world.extensions))
            version, crossed = self._one(script.VERSIONS), self._one(_RARELY)
            ids = self._some(IDS, len(IDS))
            # Crossed: two ids come to share a function.
            entries = tuple(Entry(id, version, id ^ 1 if crossed else id, PARAMETERS[id]) for id in ids)
            yield script.Register(lane, extension, entries, self._callback())

    def _callback(self) -> tuple[Phase, Phase, Phase] | None:
        if not self._number(2):
            return None
        first, second, third = (Phase(self._one(_STATUS), self._one(_MAYBE_GATE)) for _ in range(3))
        return first, second, third

    def _bad_registration(self) -> Iterable[Step]:
        lane = self._idle_lane()
        if lane is None or not self._world.extensions:
            return
        extension = self._one(list(self._world.extensions))
        wrong = self._number(11)
        version = self._one(script.VERSIONS)
        entries = [Entry(id, version, id, PARAMETERS[id]) for id in self._some(IDS, len(IDS))]
        last = entries[-1]
        if wrong == 1:
            entries = []
        elif wrong == 2:
            entries.append(last)
        elif wrong in (3, 4, 5):
            parameters = 33 if wrong == 3 else last.parameters + 1
            entries[-1] = Entry(last.id, version, last.endpoint, parameters)
        elif wrong == 6:
            entries[-1] = Entry(last.id, 0, last.endpoint, last.parameters)
        fail = 1 + self._number(3) if wrong > 7 else 0
        yield script.Register(lane, NONE if wrong == 0 else extension, tuple(entries), None, wrong == 7, fail)

    def _wrappers(self, *, routines: bool) -> list[tuple[int, int]]:
        return [key for key in self._world.endpoints if (key[1] < ECHO_IDS) == routines]

    def _call(self) -> Iterable[Step]:
        lane = self._idle_lane()
        if lane is not None and (wrappers := self._wrappers(routines=False)):
            yield script.Call(lane, *self._one(wrappers))

    def _stall(self) -> Iterable[Step]:
        """A call is inside at a closed gate, some of these call another wrapper afterwards, and a swap drains."""
        wrappers = [key for key in self._wrappers(routines=False) if key[1] != max(IDS)]
        lanes = self._idle_lanes()
        if len(lanes) < 2 or not wrappers:
            return
        extension, id = self._one(wrappers)
        gate, function = self._one(_GATES), self._world.endpoints[extension, id].function
        inner = (extension, max(IDS))
        nested = inner if inner in self._world.endpoints and self._number(2) else None
        ids = self._some(IDS, 2)
        yield script.CloseGate(gate)
        yield script.Behave(*function, gate=gate, nested=nested)
        yield script.Call(lanes[0], extension, id)
        version = self._one(script.VERSIONS)
        entries = tuple(Entry(each, version, each, PARAMETERS[each]) for each in ids)
        yield script.Register(lanes[1], extension, entries, self._callback())

    def _event(self) -> Iterable[Step]:
        event, what = self._one(_EVENTS), self._number(8)
        if what < 4:
            yield script.InitEvent(event, what == 3, what == 2)
        else:
            yield script.Clear(event)

    def _signal(self) -> Iterable[Step]:
        workers = self._world.workers.values()
        events = sorted({event for worker in workers if worker.alive for event in worker.events if event != NONE})
        if events:
            count = self._one((1, 1, 1, 2, 3))
            yield script.Signal(tuple(self._one(events) for _ in range(count)))

    def _open_gate(self) -> Iterable[Step]:
        waiters = self._world.waiters()
        closed = [gate for gate, is_open in self._world.gates.items() if not is_open]
        if awaited := [gate for gate in closed if waiters[gate]]:
            yield script.OpenGate(self._one(awaited))
        elif closed:
            yield script.OpenGate(self._one(closed))

    def _functions(self) -> list[script.Function]:
        """Those in force, then those of the next versions."""
        found = [endpoint.function for endpoint in self._world.endpoints.values()]
        return [*found, *((version % len(script.VERSIONS) + 1, index) for version, index in found)] or [(1, 0)]

    def _behave(self) -> Iterable[Step]:
        value, sets, clears = self._one(_VALUE), self._one(_MAYBE_EVENT), self._one(_MAYBE_EVENT)
        yield script.Behave(*self._one(self._functions()), value, sets, clears, self._one(_MAYBE_GATE))

    def _block(self) -> Iterable[Step]:
        """A function that is called comes to wait at a closed gate."""
        gate = self._one(_GATES)
        yield script.CloseGate(gate)
        yield script.Behave(*self._one(self._functions()), gate=gate)

    def _nested(self) -> Iterable[Step]:
        version, endpoint = self._one(self._functions())
        wrappers = [key for key in self._world.endpoints if key[1] == max(IDS)]
        if wrappers and endpoint != max(IDS):
            gate = self._one(_MAYBE_GATE)
            if gate != NONE:
                yield script.CloseGate(gate)
            yield script.Behave(version, endpoint, gate=gate, nested=self._one(wrappers))

    def _free_worker(self) -> int | None:
        return next((number for number in range(script.WORKERS) if number not in self._world.workers), None)

    def _worker(self) -> Iterable[Step]:
        worker = self._free_worker()
        if worker is not None and (wrappers := self._wrappers(routines=True)):
            extension, id = self._one(wrappers)
            events = self._some(_EVENTS, 4)
            timeout = self._one(_TIMEOUT)
            if timeout in ("short", "zero", "past"):
                # One that goes on would never rest.
                yield script.Behave(*self._world.endpoints[extension, id].function, value=0)
            yield script.CreateWorker(
                worker,
                extension,
                id,
                wait=self._one((1, 1, 0)),
                events=tuple(events),
                timeout=timeout,
                fail=self._one(_FAIL),
                attributes=bool(self._number(2)),
                mode=1 if self._one(_RARELY) else 0,
            )

    def _bad_worker(self) -> Iterable[Step]:
        worker = self._free_worker()
        if worker is None or not self._world.extensions:
            return
        extension = self._one(list(self._world.extensions))
        fields: dict[str, Any] = {"worker": worker, "extension": extension, "events": (self._one(_EVENTS),)}
        fields |= self._one(_BAD_WORKERS)
        if fields.get("routine") == "foreign":
            others = [key for key in self._wrappers(routines=True) if key[0] != extension]
            if not others:
                return
            fields["foreign"], fields["id"] = self._one(others)
        yield script.CreateWorker(**fields)

    def _let_go(self) -> Iterable[Step]:
        workers = self._world.workers
        ended = [number for number, worker in workers.items() if not worker.alive]
        with_handle = [number for number, worker in workers.items() if worker.handle_open]
        if ended and self._number(4):
            yield script.ForgetWorker(self._one(ended))
        elif with_handle:
            yield script.CloseHandle(self._one(with_handle))
