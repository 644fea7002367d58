"""The steps of scripts made on the conformance driver, and what is seen of it at rest.

A step is one batch of requests: the calls, a wait for what the model expects, a snapshot, and the lookups that the step
may have changed (every few steps all of them). When the driver is not where it must be, it is looked at again until a
limit is over: only what stays different differs.

Where only one outcome is right, it is the end once it is seen: whatever still moved would count something. Where
several are, one may be seen on the way to another, so its threads must rest as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hotswap.conformance import objects, requests
from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.labels import FUNCTIONS, Labels
from hotswap.conformance.model import View, agrees
from hotswap.conformance.objects import Condition
from hotswap.conformance.rest import Rest
from hotswap.conformance.script import (
    EXTENSIONS,
    GATES,
    IDS,
    LANES,
    OWNERS,
    CreateExtension,
    DeleteExtension,
    LoadOwner,
    Register,
    Step,
    UnloadOwner,
)
from hotswap.conformance.snapshot import Baseline, SnapshotReader
from hotswap.conformance.translate import HELPER, PREPARED_LANES, WORK_LANE, Translator, failing
from hotswap.conformance.wire import Wire
from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault

PATIENCE_SECONDS = 10.0
IMPATIENCE_SECONDS = 1.5
"""Once one script has failed: a failure that hangs costs so much each time that it is repeated."""
_LOOK_AT_ALL = 8
_MAX_CONDITIONS = 16
_OWNED = (CreateExtension, DeleteExtension, LoadOwner, UnloadOwner)


class DriverSubject:
    """A `Subject` on a guest. `renew`, when this one is spent: the driver of a fresh one, and who sees that rest."""

    def __init__(
        self, driver: ConformanceDriver, rest: Rest, renew: Callable[[str], tuple[ConformanceDriver, Rest]]
    ) -> None:
        self._renew = renew
        self._patience = PATIENCE_SECONDS
        self._use(driver, rest)

    def _use(self, driver: ConformanceDriver, rest: Rest) -> None:
        self._rest = rest
        self._wire = Wire(driver, WORK_LANE)
        self._reader = SnapshotReader(self._wire.flat("snapshot"))
        self._prepared = self._wire.flat("query_prepared")
        output = driver.contract.ioctl("query_prepared").output
        assert output is not None
        self._output_at = next(field.offset for field in output.fields if field.attribute == "output")
        self._lookups = [self._wire.encode(request) for request in _LOOKUPS]
        self._snapshot = self._wire.encode(requests.TakeSnapshot())
        self._first: tuple[int, ...] | None = None
        self._begin_script()

    def _begin_script(self) -> None:
        self._labels = Labels()
        self._translator = Translator(self._labels, self._start)
        self._seen: dict[tuple[Any, ...], Any] = {}
        self._fetched: dict[int, tuple[int, tuple[Any, ...]]] = {}
        self._steps = 0
        self._shot: dict[tuple[Any, ...], Any] = {}
        self._whole = True

    def _start(self, request: requests.Request[Any], lane: int | None, number: int) -> requests.Prepare:
        return self._wire.driver.start_request(request, lane=lane, number=number)

    # One step

    def run(self, step: Step, allowed: Sequence[View]) -> View:
        """See `Subject`."""
        try:
            return self._run(step, allowed)
        except DeadlineExpired as error:
            raise GuestFault(f"the driver does not answer: {error}") from error
        except GuestFault:
            self._patience = IMPATIENCE_SECONDS
            raise

    def _run(self, step: Step, allowed: Sequence[View]) -> View:
        self._steps += 1
        calls = self._translator.requests(step)
        everything = self._steps % _LOOK_AT_ALL == 0 or isinstance(step, _OWNED)
        view: dict[tuple[Any, ...], Any] = {}
        replies = self._look(calls, allowed, view, everything)
        view["result",] = self._translator.result(step, self._wire, replies)
        if isinstance(step, CreateExtension) and view["result",] == (0,):
            self._wire.send([self._wire.encode(self._translator.first_options(step))])
        if isinstance(step, DeleteExtension | UnloadOwner):
            for number in range(EXTENSIONS):
                if not any(("wrapper of id", number, IDS[0]) in expected for expected in allowed):
                    self._labels.forget(number)
        self._refetch(step, view)
        limit = Deadline.after(self._patience)
        while not self._settled(allowed, view):
            if limit.expired:
                self._patience = IMPATIENCE_SECONDS
                if any(agrees(expected, view) for expected in allowed):
                    raise GuestFault("the driver does not come to rest")
                break
            again: dict[tuple[Any, ...], Any] = {("result",): view["result",]}
            self._look([], allowed, again, True)
            self._refetch(step, again)
            view = again
        self._seen = view
        return view

    def _settled(self, allowed: Sequence[View], view: View) -> bool:
        """Whether this is one of the outcomes, and stays it."""
        if not self._whole or not any(agrees(expected, view) for expected in allowed):
            return False
        return len(allowed) == 1 or self._at_rest()

    def _at_rest(self) -> bool:
        """Whether what was seen last is still so, and nobody is about to change it."""
        draining = [lane for lane in range(LANES) if self._shot["draining", lane]]
        mark = self._rest.mark(draining)
        if mark is None:
            return False
        now: dict[tuple[Any, ...], Any] = {}
        whole = self._reader.read(self._wire.send([self._snapshot])[0], self._baseline, now)
        return whole and now == self._shot and self._rest.unchanged(mark, draining)

    def _look(
        self,
        calls: Sequence[requests.Request[Any]],
        allowed: Sequence[View],
        view: dict[tuple[Any, ...], Any],
        everything: bool,
    ) -> Sequence[bytes]:
        """Make the calls, wait, look; the replies of the calls."""
        batch = [self._wire.encode(call) for call in calls]
        if conditions := self._conditions(allowed):
            batch.append(self._wire.encode_wait(conditions, max(1, int(self._patience * 200))))
        at_snapshot = len(batch)
        batch.append(self._snapshot)
        expected = allowed[0]
        done = [lane for lane in range(LANES) if self._will_be_done(lane, expected)]
        batch += [self._wire.encode(requests.QueryPrepared(PREPARED_LANES + lane)) for lane in done]
        looked = [number for number in range(EXTENSIONS) if self._must_look(number, allowed, everything)]
        batch += [self._lookups[number] for number in looked]
        owners = [owner for owner in range(OWNERS) if everything and self._translator.has_owner(owner)]
        batch += [self._wire.encode(requests.FromDriver(self._translator.owner(owner))) for owner in owners]
        replies = self._wire.send(batch)
        self._shot = {}
        self._whole = self._reader.read(replies[at_snapshot], self._baseline, self._shot)
        view |= self._shot
        rest = iter(replies[at_snapshot + 1 :])
        for lane in done:
            self._fetch(lane, next(rest), view)
        view |= {key: value for key, value in self._seen.items() if key[0] in _LOOKED and key not in view}
        for number in looked:
            self._labels.read(number, self._wire.flat("lookup_all"), next(rest), view)
        for owner in range(OWNERS):
            view["extension of owner", owner] = self._seen.get(("extension of owner", owner))
        from_driver = self._wire.flat("from_driver")
        for owner in owners:
            extension = from_driver.read(next(rest))[from_driver.at["extension"]]
            view["extension of owner", owner] = None if extension == objects.NONE else extension
        if not self._translator.has_owner(HELPER):
            view["extension of owner", HELPER] = None
        return replies[: len(calls)]

    def _will_be_done(self, lane: int, expected: View) -> bool:
        state = expected.get(("lane", lane))
        return state is not None and state[0] == "idle" and self._fetched.get(lane, (0,))[0] != state[1]

    def _refetch(self, step: Step, view: dict[tuple[Any, ...], Any]) -> None:
        """Put what the requests on lanes returned into the view."""
        for lane in range(LANES):
            state, done = view["lane", lane]
            if state == "busy" or done == 0:
                continue
            if self._fetched.get(lane, (0,))[0] != done:
                query = self._wire.encode(requests.QueryPrepared(PREPARED_LANES + lane))
                self._fetch(lane, self._wire.send([query])[0], view)
            view["lane", lane] = ("idle", *self._fetched[lane])
            if isinstance(step, Register) and step.fail and step.lane == lane:
                view["result",] = failing(step.fail, self._attempts)

    def _fetch(self, lane: int, data: bytes, view: dict[tuple[Any, ...], Any]) -> None:
        at = self._prepared.at
        state = self._prepared.read(data)
        busy, done = view["lane", lane][0] == "busy", view["lane", lane][1]
        if state[at["running"]] or not done or busy:
            return
        self._attempts, result = self._translator.lane_result(lane, self._wire, data[self._output_at :])
        self._fetched[lane] = (done, result)

    def _must_look(self, number: int, allowed: Sequence[View], everything: bool) -> bool:
        key = ("wrapper of id", number, IDS[0])
        if not any(key in view for view in allowed):
            return False
        if everything or key not in self._seen:
            return True
        return any(view.get(name, _ABSENT) != self._seen.get(name) for view in allowed for name in _NAMES[number])

    def _conditions(self, allowed: Sequence[View]) -> list[Condition]:
        """What all that is allowed has in common, and is not so now."""
        seen, found = self._seen, []
        first = allowed[0]
        for key, value in first.items():
            if seen.get(key) == value or key[0] not in _AWAITED:
                continue
            if all(view.get(key) == value for view in allowed):
                found += _AWAITED[key[0]](key, value, self._baseline)
        return found[-_MAX_CONDITIONS:]

    # Scripts

    def reset(self) -> Sequence[str]:
        """See `Subject`."""
        try:
            return self._reset()
        except HotswapError as error:
            try:
                self._use(*self._renew(str(error)))
                self._reset()
            except GuestFault as again:
                raise LabFault(f"a fresh guest does not work either: {again}") from again
            return [str(error)]

    def _reset(self) -> list[str]:
        opened = [requests.SetGate(gate, open=True) for gate in range(GATES)]
        calls: list[requests.Request[Any]] = [requests.Reset(int(self._patience * 1000)), *opened]
        outputs = self._wire.send([*(self._wire.encode(call) for call in calls), self._snapshot])
        flat = self._wire.flat("reset")
        reply, at = flat.read(outputs[0]), flat.at
        self._begin_script()
        self._baseline = self._reader.baseline(outputs[-1])
        left = tuple(reply[at[name]] for name in _LEFT)
        self._first = self._first or left
        problems = [
            f"{what}: {now}, and {first} in the beginning"
            for what, now, first in zip(_LEFT, left, self._first, strict=True)
            if now != first
        ]
        if reply[at["status"]]:
            stuck = ", ".join(f"{name.replace('_', ' ')} 0x{reply[at[name]]:x}" for name in _STUCK)
            problems.append(f"the reset did not come to its end: {stuck}")
        if problems:
            self._use(*self._renew(problems[0]))
            self._reset()
        return problems


_LEFT = ("extensions", "wrappers", "proxy_threads", "proxy_allocations", "active_calls", "held_calls", "allocations")
_STUCK = ("stuck_lanes", "stuck_workers", "stuck_extensions", "stuck_helpers")
_ABSENT = object()
_LOOKED = frozenset(("wrapper of id", "wrapper of function"))
_LOOKUPS = tuple(
    requests.LookupAll(number, IDS, tuple(Translator.function(function) for function in FUNCTIONS))
    for number in range(EXTENSIONS)
)
_NAMES = tuple(
    (
        *(("wrapper of id", number, id) for id in IDS),
        *(("wrapper of function", number, function) for function in FUNCTIONS),
    )
    for number in range(EXTENSIONS)
)


def _await_worker(key: tuple[Any, ...], value: Any, _: Baseline) -> list[Condition]:
    ended = [Condition.ended(key[1])] if value[0] == "ended" else []
    return [Condition.iterations(key[1], value[1]), *ended]


def _await_lane(key: tuple[Any, ...], value: Any, baseline: Baseline) -> list[Condition]:
    return (
        [Condition.lane_done(key[1], baseline.lane_done[key[1]] + value[1])] if value[0] == "idle" and value[1] else []
    )


_AWAITED: dict[str, Callable[[tuple[Any, ...], Any, Baseline], list[Condition]]] = {
    "worker": _await_worker,
    "lane": _await_lane,
    "gate": lambda key, value, _: [Condition.at_gate(key[1], value)] if value else [],
    "event": lambda key, value, _: [Condition.event(key[1], value)],
    "held calls": lambda _key, value, _: [Condition.held(value)] if value else [],
    "active calls": lambda _key, value, _: [Condition.active(value)],
    "threads": lambda _key, value, _: [Condition.proxy_threads(value)],
}
