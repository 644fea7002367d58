"""Which step next: what fits the objects that there are, and now and then what must be refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from hotswap.conformance import script
from hotswap.conformance.model_world import World
from hotswap.conformance.script import ECHO_IDS, IDS, NONE, UNKNOWN_ID, Entry, Phase, Step

T = TypeVar("T")

PARAMETERS = {0: 2, 1: 2, 2: 1, 3: 6}
"""Of the endpoint of each id, when it is right."""


Draw = Callable[[st.SearchStrategy[Any]], Any]
"""Of a Hypothesis data object."""


def _profile(**weights: int) -> tuple[str, ...]:
    return tuple(kind for kind, weight in weights.items() for _ in range(weight))


PROFILES: Mapping[str, tuple[str, ...]] = {
    "all": _profile(
        swap=14, call=14, signal=14, worker=8, open_gate=12, block=8, behave=5, nested=4, event=4, let_go=4,
        options=3, extension=3, delete=1, owner=2, bad_registration=5, bad_worker=4,
    ),
    "calls held": _profile(swap=20, call=24, open_gate=20, block=14, nested=8, behave=4, options=3, signal=4, worker=3),
    "objects": _profile(
        extension=16, delete=10, owner=14, options=6, swap=14, bad_registration=8, worker=8, call=6, let_go=6, signal=6,
        open_gate=3, block=3,
    ),
    "workers": _profile(
        worker=12, signal=28, event=6, behave=6, let_go=5, bad_worker=3, swap=14, block=10, open_gate=14, options=2,
    ),
}  # fmt: skip
"""How often each kind of step is chosen. A script follows one; what is simplest comes first."""

_NUMBER = st.integers(0, 11)
_LANE = st.integers(0, script.LANES - 1)
_EVENT = st.integers(0, script.EVENTS - 1)
_GATE = st.integers(0, script.GATES - 1)
_VERSION = st.sampled_from(script.VERSIONS)
_RARELY = st.integers(0, 15).map(lambda number: number == 15)
_MAYBE_GATE = st.sampled_from((NONE, NONE, NONE, *range(script.GATES)))
_MAYBE_EVENT = st.sampled_from((NONE, NONE, NONE, NONE, *range(script.EVENTS)))
_PHASE = st.builds(Phase, st.sampled_from((0,) * 7 + (0xC0000022, 0xC0000001, 0x00000103)), _MAYBE_GATE)
_CALLBACK = st.one_of(st.none(), st.tuples(_PHASE, _PHASE, _PHASE))
_FAIL = st.sampled_from((0,) * 12 + (1, 1, 2, 3))
_VALUE = st.sampled_from((1, 1, 1, 1, 0, 0x100, 0x101, 0xFFFFFFFFFFFFFF00, 0x8000000000000002))
_SOME_IDS = st.lists(st.sampled_from(IDS), min_size=1, max_size=len(IDS), unique=True)
_TIMEOUT = st.sampled_from(("none",) * 6 + ("ignored", "long", "far", "short", "zero", "past"))
_WORKER_EVENTS = st.lists(_EVENT, min_size=1, max_size=4, unique=True)

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


class Chooser:
    """Draws the arguments of steps. An empty answer: nothing to do that with."""

    def __init__(self, world: World, draw: Draw) -> None:
        self._world = world
        self._draw = draw

    def first_steps(self) -> Iterable[Step]:
        """An extension and its endpoints: most scripts do not have to find out that there must be one."""
        how = self._draw(st.integers(0, 9))
        if how:
            yield script.CreateExtension(0, owner=how % 2 - 1)
            yield script.Register(0, 0, tuple(Entry(id, 1, id, PARAMETERS[id]) for id in IDS))
            if how > 4:
                yield script.SetOptions(0, short_drain=True)

    def steps(self, kind: str) -> Iterable[Step]:
        """Of a kind that a profile names."""
        found: Iterable[Step] = getattr(self, f"_{kind}")()
        return found

    def _one(self, options: Sequence[T]) -> T:
        number: int = self._draw(_NUMBER)
        return options[number % len(options)]

    def _extension(self) -> Iterable[Step]:
        free = [number for number in range(script.EXTENSIONS) if number not in self._world.extensions]
        if free:
            owner = self._draw(st.integers(-1, 1))
            flags = 1 << 31 if self._draw(_RARELY) else 0
            yield script.CreateExtension(self._one(free), owner, flags)

    def _delete(self) -> Iterable[Step]:
        if existing := list(self._world.extensions):
            yield script.DeleteExtension(self._one(existing))

    def _options(self) -> Iterable[Step]:
        if existing := list(self._world.extensions):
            flags = self._draw(st.integers(0, 31))
            yield script.SetOptions(self._one(existing), *(bool(flags >> bit & 1) for bit in range(5)))

    def _owner(self) -> Iterable[Step]:
        if not self._world.owner_loaded:
            yield script.LoadOwner()
        else:
            owned = any(extension.owner == 1 for extension in self._world.extensions.values())
            free = [number for number in range(script.EXTENSIONS) if number not in self._world.extensions]
            if free and not owned:
                yield script.CreateExtension(free[0], 1)
            else:
                yield script.UnloadOwner()

    def _idle_lane(self) -> int | None:
        lanes = self._world.lanes
        idle = [number for number in range(script.LANES) if number not in lanes or not lanes[number].frames]
        return idle[self._draw(_LANE) % len(idle)] if idle else None

    def _swap(self) -> Iterable[Step]:
        lane = self._idle_lane()
        if lane is not None and self._world.extensions:
            extension = self._one(list(self._world.extensions))
            version, crossed = self._draw(_VERSION), self._draw(_RARELY)
            ids = self._draw(_SOME_IDS)
            # Crossed: two ids come to share a function.
            entries = tuple(Entry(id, version, id ^ 1 if crossed else id, PARAMETERS[id]) for id in ids)
            yield script.Register(lane, extension, entries, self._draw(_CALLBACK))

    def _bad_registration(self) -> Iterable[Step]:
        lane = self._idle_lane()
        if lane is None or not self._world.extensions:
            return
        extension = self._one(list(self._world.extensions))
        wrong = self._draw(st.integers(0, 8))
        version = self._draw(_VERSION)
        entries = [Entry(id, version, id, PARAMETERS[id]) for id in self._draw(_SOME_IDS)]
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
        fail = self._draw(st.integers(1, 3)) if wrong == 8 else 0
        yield script.Register(lane, NONE if wrong == 0 else extension, tuple(entries), None, wrong == 7, fail)

    def _wrappers(self, *, routines: bool) -> list[tuple[int, int]]:
        return [key for key in self._world.endpoints if (key[1] < ECHO_IDS) == routines]

    def _call(self) -> Iterable[Step]:
        lane = self._idle_lane()
        if lane is not None and (wrappers := self._wrappers(routines=False)):
            yield script.Call(lane, *self._one(wrappers))

    def _event(self) -> Iterable[Step]:
        event, what = self._draw(_EVENT), self._draw(st.integers(0, 7))
        if what < 4:
            yield script.InitEvent(event, what == 3, what == 2)
        else:
            yield script.Clear(event)

    def _signal(self) -> Iterable[Step]:
        workers = self._world.workers.values()
        events = sorted({event for worker in workers if worker.alive for event in worker.events if event != NONE})
        if events:
            count = self._draw(st.sampled_from((1, 1, 1, 2, 3)))
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
        value, sets, clears = self._draw(_VALUE), self._draw(_MAYBE_EVENT), self._draw(_MAYBE_EVENT)
        yield script.Behave(*self._one(self._functions()), value, sets, clears, self._draw(_MAYBE_GATE))

    def _block(self) -> Iterable[Step]:
        """A function that is called comes to wait at a closed gate."""
        gate = self._draw(_GATE)
        yield script.CloseGate(gate)
        yield script.Behave(*self._one(self._functions()), gate=gate)

    def _nested(self) -> Iterable[Step]:
        version, endpoint = self._one(self._functions())
        wrappers = [key for key in self._world.endpoints if key[1] == max(IDS)]
        if wrappers and endpoint != max(IDS):
            gate = self._draw(_MAYBE_GATE)
            if gate != NONE:
                yield script.CloseGate(gate)
            yield script.Behave(version, endpoint, gate=gate, nested=self._one(wrappers))

    def _free_worker(self) -> int | None:
        return next((number for number in range(script.WORKERS) if number not in self._world.workers), None)

    def _worker(self) -> Iterable[Step]:
        worker = self._free_worker()
        if worker is not None and (wrappers := self._wrappers(routines=True)):
            extension, id = self._one(wrappers)
            events = self._draw(_WORKER_EVENTS)
            yield script.CreateWorker(
                worker,
                extension,
                id,
                wait=1 - self._draw(st.integers(0, 2)) // 2,
                events=tuple(events),
                timeout=self._draw(_TIMEOUT),
                fail=self._draw(_FAIL),
                attributes=self._draw(st.booleans()),
                mode=1 if self._draw(_RARELY) else 0,
            )

    def _bad_worker(self) -> Iterable[Step]:
        worker = self._free_worker()
        if worker is None or not self._world.extensions:
            return
        extension = self._one(list(self._world.extensions))
        fields: dict[str, Any] = {"worker": worker, "extension": extension, "events": (self._draw(_EVENT),)}
        fields |= self._draw(st.sampled_from(_BAD_WORKERS))
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
        if ended and self._draw(st.integers(0, 3)):
            yield script.ForgetWorker(self._one(ended))
        elif with_handle:
            yield script.CloseHandle(self._one(with_handle))
