"""Scripts of requests: handles in every state, requests in flight, cancelled, and left behind by a close."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from hotswap.driver.ioctl import Ioctl, IoctlContract
from hotswap.fuzz.requests import WILD, Guess, Requests, near
from hotswap.fuzz.rules import Facts, Rules
from hotswap.transport.replies import ScriptItem

CALL, BEGIN, WAIT, CANCEL, OPEN, CLOSE, READ, WRITE = range(8)
READ_WRITE, READ_ONLY, NOTHING = 0xC0000000, 0x80000000, 0
SLOTS = 8
OUT_LIMIT = 4096
BUSY_US = 40_000
"""How long the work takes that requests are queued behind."""

FULL, SECOND, POOR, NONE, SPARE = 0, 1, 2, 3, 4
"""Handles: open twice, without the access that requests need, never open, and opened and closed again and again."""

_HERE = (
    ("signal_event", 6), ("clear_event", 8), ("query_event", 12), ("query_worker", 20), ("get_version", 8),
    ("query_counters", 4), ("drain_trace", 3),
)  # fmt: skip
_PENDED = (
    ("probe_runtime", 24), ("call_endpoint", 12), ("alert_worker", 10), ("configure", 10), ("create_worker", 2),
    ("stop_worker", 3), ("start_load", 1), ("stop_load", 3),
)  # fmt: skip

_OF_WORKERS = ("signal_event", "clear_event", "query_event", "query_worker")
OPENING_WORKERS = 6


@dataclass(slots=True)
class Step:
    """One step and what may come of it. `method` is empty for a code that no request has, None for what is no IOCTL."""

    item: ScriptItem
    method: str | None = None
    expected: frozenset[int] | None = None
    pended: bool = False
    may_cancel: bool = False
    """Somebody asked for it, or its handle was closed."""
    closed: bool = False
    """Its handle was closed while it may have been in flight: its status tells little."""
    in_shutdown: bool = False
    """The driver may be shutting down, or be shut down."""


class Scripts:
    """Batches of steps, one after the other. The same random numbers give the same batches."""

    def __init__(self, contract: IoctlContract, rules: Rules, services: tuple[str, ...], random: Random) -> None:
        self.contract = contract
        self.rules = rules
        self.random = random
        self.guess = Guess()
        self.requests = Requests(contract, rules, services, random, self.guess)
        self._services = services
        self._here = _weighted(_HERE, contract)
        self._pended = _weighted(_PENDED, contract)
        self._all = tuple(contract.ioctls.values())
        self._busy: dict[int, Step] = {}
        self._steps: list[Step] = []
        self._poor = READ_ONLY
        self._spare_open = False
        self._shut_down = False

    def batch(self, count: int, *, shutdown_at: int | None = None) -> list[Step]:
        """About so many steps, which leave no handle open and nothing in flight."""
        self._begin()
        while len(self._steps) < count:
            if shutdown_at is not None and len(self._steps) >= shutdown_at and not self._shut_down:
                self._add(self._step(self.contract.ioctls["shutdown"], b"", slot=self._slot()))
                self._shut_down = True
            self._one()
        self._end()
        if shutdown_at is not None:
            for step in self._steps:
                step.in_shutdown = True
        return self._steps

    def opening(self) -> list[Step]:
        """What an epoch begins with: spoilt configurations, the good one, and a few workers, loads and versions."""
        self._begin()
        configure = self.contract.ioctls["configure"]
        for _ in range(20):
            # A good one among them would start nothing, but might be the one that counts: the last is.
            self._add(self._step(configure, self.requests.spoilt("configure"), call=True))
        self._add(self._step(configure, self.requests.good("configure"), call=True))
        first = self.requests.update_to(self._services[0])
        self._add(self._step(self.contract.ioctls["update"], first, call=True))
        for method in ("create_worker",) * OPENING_WORKERS + ("update", "start_load"):
            self._add(self._step(self.contract.ioctls[method], self.requests.good(method), call=True))
        self.requests.keep_workers()
        self._cancelled()
        self._end()
        return self._steps

    def fields(self) -> Iterator[list[Step]]:
        """Good requests in which each field in turn has every one of the numbers to be afraid of."""
        # Those first that need the workers of the opening: later there is no telling which are left.
        for ioctl in sorted(self._all, key=lambda each: each.method not in _OF_WORKERS):
            if ioctl.method == "shutdown" or ioctl.method not in self.rules.by_method:
                continue
            self._begin()
            for group in self.rules.inputs[ioctl.method].groups:
                for value in WILD:
                    data = self.requests.with_field(ioctl.method, group[0], value)
                    self._add(self._step(ioctl, data, slot=self._slot()))
            self._end()
            yield self._steps

    def sweep(self) -> Iterator[list[Step]]:
        """Every code with every length, from nothing to eight over its limit: input first, then output."""
        for ioctl in self._all:
            if ioctl.method == "shutdown":
                continue
            size = self.rules.inputs[ioctl.method].size
            self._begin()
            for length in range(size + 9):
                if length != size:
                    data = self.requests.noise(length)
                    self._add(self._step(ioctl, data, out_size=ioctl.output_size + 8, slot=self._slot()))
            good = self.requests.good(ioctl.method)
            for length in range(min(ioctl.output_size, OUT_LIMIT)):
                self._add(self._step(ioctl, good, out_size=length, slot=self._slot()))
            self._end()
            yield self._steps

    # One step

    def _one(self) -> None:
        random = self.random
        roll = random.random()
        if roll < 0.55:
            self._request(self._here[int(random.random() * len(self._here))])
        elif roll < 0.72:
            ioctl = self._all[int(random.random() * len(self._all))]
            self._misshapen(ioctl)
        elif roll < 0.84:
            self._unknown()
        elif roll < 0.965:
            self._request(self._pended[int(random.random() * len(self._pended))])
        elif roll < 0.98:
            self._cancel()
        elif roll < 0.988:
            self._open_close()
        elif roll < 0.995:
            self._bad_handle()
        elif roll < 0.9965:
            self._request(self.contract.ioctls["update"])
        elif roll < 0.9972:
            self._left_behind()
        elif roll < 0.998:
            self._cancelled()
        else:
            self._read_write()

    def _request(self, ioctl: Ioctl) -> None:
        roll = self.random.random()
        data = self.requests.good(ioctl.method) if roll < 0.6 else self.requests.spoilt(ioctl.method)
        extra = int(roll * 1000) % 9 if roll < 0.3 else 0
        out = min(OUT_LIMIT, ioctl.output_size + extra) if not ioctl.trailing else OUT_LIMIT
        self._add(self._step(ioctl, data, out_size=out, slot=self._slot(), handle=self._handle()))

    def _misshapen(self, ioctl: Ioctl) -> None:
        size = self.rules.inputs[ioctl.method].size
        random = self.random
        length = random.randrange(size + 9)
        if random.random() < 0.3:
            length = size
        out = random.randrange(ioctl.output_size + 9)
        if length == size and out >= ioctl.output_size:
            out = ioctl.output_size - 1
        data = self.requests.noise(length)
        self._add(self._step(ioctl, data, out_size=max(0, out), slot=self._slot(), handle=self._handle()))

    def _unknown(self) -> None:
        random = self.random
        code = near(self.contract, random)
        item = ScriptItem(
            BEGIN, self._slot(), self._handle(), code, self.requests.noise(random.getrandbits(6)), random.getrandbits(6)
        )
        # Codes of less access reach the driver over a poor handle; of other methods, I/O managers have a say.
        sure = code & 0xFFFF0003 == next(iter(self.contract.ioctls.values())).code & 0xFFFF0003
        self._add(Step(item, "", self.rules.unknown if sure else None))

    def _cancel(self) -> None:
        slot = self._slot()
        if (step := self._busy.get(slot)) is not None:
            if step.may_cancel:
                # Wine's server passes each cancellation on, and its ntoskrnl uses the IRP that the first has ended
                # (dispatch_cancel, server/device.c: cancel_irp_call): the driver host dies by no fault of the driver.
                return
            step.may_cancel = True
        self._add(Step(ScriptItem(CANCEL, slot)))

    def _open_close(self) -> None:
        if self._spare_open and self.random.random() < 0.6:
            self._close(SPARE)
        else:
            self._open(SPARE, READ_WRITE)

    def _open(self, handle: int, access: int) -> None:
        """One that was there is closed."""
        self._orphan(handle)
        self._add(Step(ScriptItem(OPEN, 0, handle, access), expected=self.rules.success))
        self._spare_open = self._spare_open or handle == SPARE

    def _close(self, handle: int) -> None:
        self._orphan(handle)
        self._add(Step(ScriptItem(CLOSE, 0, handle)))
        self._spare_open = self._spare_open and handle != SPARE

    def _orphan(self, handle: int) -> None:
        for step in self._busy.values():
            if step.item.handle == handle:
                step.may_cancel = step.closed = True

    def _bad_handle(self) -> None:
        ioctl = self._all[int(self.random.random() * len(self._all))]
        handle = self.random.choice((POOR, NONE))
        item = ScriptItem(BEGIN, self._slot(), handle, ioctl.code, self.requests.noise(4), ioctl.output_size)
        self._add(Step(item, None, self.rules.denied if handle == POOR else self.rules.no_handle))

    def _read_write(self) -> None:
        item = ScriptItem(self.random.choice((READ, WRITE)), self._slot(), FULL, 0, self.requests.noise(8), 8)
        self._add(Step(item, "", self.rules.unknown))

    def _busy_lane(self) -> None:
        """A worker that works for a while, and its stop, which waits for it: what is queued behind waits as well."""
        layout = self.rules.inputs["create_worker"]
        self.guess.creates += 1
        data = layout.build({"wait_type": 1, "event_count": 1, "initial_state_mask": 1, "work_microseconds": BUSY_US})
        self._add(self._step(self.contract.ioctls["create_worker"], bytes(data), call=True))
        stop = self.rules.inputs["stop_worker"].build({"worker_id": self.guess.creates})
        self._add(self._step(self.contract.ioctls["stop_worker"], bytes(stop), slot=0))

    def _queued(self, slot: int, methods: tuple[str, ...], handle: int) -> None:
        method = self.random.choice(methods)
        ioctl = self.contract.ioctls[method]
        self._add(self._step(ioctl, self.requests.good(method), slot=slot, handle=handle))

    def _cancelled(self) -> None:
        """Requests in a queue, of which some are cancelled: first, last, in the middle."""
        self._busy_lane()
        for slot in range(1, SLOTS):
            self._queued(slot, ("probe_runtime", "call_endpoint", "alert_worker"), FULL)
        for slot in self.random.sample(range(1, SLOTS), 4):
            self._busy[slot].may_cancel = True
            self._add(Step(ScriptItem(CANCEL, slot)))

    def _left_behind(self) -> None:
        """Requests queued on a handle that is then closed: behind others in a lane, or in mid-swap."""
        self._open(SPARE, READ_WRITE)
        self._busy_lane()
        methods: tuple[str, ...] = ("probe_runtime", "call_endpoint", "alert_worker")
        if self.random.random() < 0.5:
            methods = ("update", "call_endpoint", "update")
            self._queued(1, ("update",), SPARE)
        for slot in range(2, SLOTS):
            self._queued(slot, methods, SPARE)
        self._close(SPARE)

    # Below

    def _step(
        self,
        ioctl: Ioctl,
        data: bytes,
        *,
        out_size: int | None = None,
        slot: int = 0,
        handle: int = FULL,
        call: bool = False,
    ) -> Step:
        size = ioctl.output_size if out_size is None else out_size
        item = ScriptItem(CALL if call else BEGIN, slot, handle, ioctl.code, data, size)
        # A request of this kind counts itself: it may be the one that makes what it names.
        facts = self.guess.facts if ioctl.method not in ("create_worker", "start_load") else Facts(0, 0)
        expected = self.rules.expected(ioctl, data, size, facts)
        return Step(item, ioctl.method, expected, pended=ioctl.pended, in_shutdown=self._shut_down)

    def _add(self, step: Step) -> None:
        if step.item.action in (CALL, BEGIN, READ, WRITE):
            self._busy[step.item.slot] = step
        self._steps.append(step)

    def _slot(self) -> int:
        return self.random.getrandbits(3) % SLOTS

    def _handle(self) -> int:
        roll = self.random.getrandbits(4)
        return SPARE if roll == 0 and self._spare_open else SECOND if roll < 5 else FULL

    def _begin(self) -> None:
        self._steps = []
        self._busy = {}
        self._spare_open = False
        self._open(FULL, READ_WRITE)
        self._open(SECOND, READ_WRITE)
        self._open(POOR, self.random.choice((READ_ONLY, NOTHING)))

    def _end(self) -> None:
        for slot in range(SLOTS):
            self._steps.append(Step(ScriptItem(WAIT, slot)))
        self._steps.append(self._step(self.contract.ioctls["query_counters"], b"", call=True))


def _weighted(table: tuple[tuple[str, int], ...], contract: IoctlContract) -> tuple[Ioctl, ...]:
    return tuple(contract.ioctls[name] for name, weight in table for _ in range(weight) if name in contract.ioctls)
