"""Steps in the words of the conformance driver, and its answers in those of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hotswap.conformance import objects, requests
from hotswap.conformance.labels import Labels
from hotswap.conformance.objects import NO_DRIVER, NULL_EVENT, OWN_DRIVER, Action, Callback, DriverObject, helper_driver
from hotswap.conformance.requests import Request
from hotswap.conformance.script import (
    ECHO_IDS,
    ENDPOINTS,
    NONE,
    VERSIONS,
    Behave,
    Call,
    Clear,
    CloseGate,
    CloseHandle,
    CreateExtension,
    CreateWorker,
    DeleteExtension,
    ForgetWorker,
    Function,
    InitEvent,
    LoadOwner,
    OpenGate,
    Register,
    SetOptions,
    Signal,
    Step,
    UnloadOwner,
)
from hotswap.conformance.wire import Wire

WORK_LANE = 15
"""Of what does not wait."""
PREPARED_LANES = 32
"""The prepared request of lane n is this + n; those of nested calls are below."""
HELPER = 1
_SHORT_DRAIN_MS = 20
_LONG_DRAIN_MS = 20_000
_CONTEXT = 0x0000_5AFE_0000_0000
_FUNCTIONS = tuple((version, endpoint) for version in VERSIONS for endpoint in range(ENDPOINTS))
_TIMEOUTS = {
    "none": (0, 0),
    "ignored": (0, -10),
    "long": (1, -36_000_000_000),
    "far": (1, 1 << 62),
    "short": (1, -10_000),
    "zero": (1, 0),
    "past": (1, 1),
}
"""HasTimeout, and Timeout in 100 ns: relative ones are negative."""


Start = Callable[[Request[Any], int | None, int], requests.Prepare]
"""Encodes a request to be started on a lane (None: only kept) under a number of its own."""


class Translator:
    """Of one script."""

    def __init__(self, labels: Labels, start: Start) -> None:
        self._labels = labels
        self._start = start
        self._owner_loaded = False
        self._kinds: dict[int, Request[Any]] = {}

    @staticmethod
    def function(function: Function) -> objects.Function:
        """Of the driver."""
        version, endpoint = function
        if not version:
            return objects.Function.null()
        kind = objects.Function.routine if endpoint < ECHO_IDS else objects.Function.echo
        return kind(version, endpoint)

    def has_owner(self, owner: int) -> bool:
        """Whether its driver object is there."""
        return owner != HELPER or self._owner_loaded

    @staticmethod
    def owner(owner: int) -> DriverObject:
        """Its driver object."""
        return NO_DRIVER if owner == NONE else helper_driver(0) if owner == HELPER else OWN_DRIVER

    def requests(self, step: Step) -> Sequence[Request[Any]]:
        """That make it."""
        found: Sequence[Request[Any]] = getattr(self, "_" + step.kind.replace("-", "_"))(step)
        return found

    def _create_extension(self, step: CreateExtension) -> Sequence[Request[Any]]:
        return [requests.CreateExtension(step.extension, self.owner(step.owner), step.flags)]

    def _delete_extension(self, step: DeleteExtension) -> Sequence[Request[Any]]:
        return [requests.DeleteExtension(step.extension)]

    def first_options(self, step: CreateExtension) -> Request[Any]:
        """Of a new extension: a drain limit that no step reaches, and its steps are told."""
        return self._set_options(SetOptions(step.extension))[0]

    def _set_options(self, step: SetOptions) -> Sequence[Request[Any]]:
        return [
            requests.SetOptions(
                step.extension,
                _SHORT_DRAIN_MS if step.short_drain else _LONG_DRAIN_MS,
                step.true_ends,
                step.zero_events,
                step.raw_routine,
                step.keep_after_post,
            )
        ]

    def _on_lane(self, lane: int, request: Request[Any]) -> Sequence[Request[Any]]:
        self._kinds[lane] = request
        return [self._start(request, lane, PREPARED_LANES + lane)]

    def _register(self, step: Register) -> Sequence[Request[Any]]:
        callback = None
        if step.callback is not None:
            first, stalled, last = (objects.Phase(_signed(phase.status), _maybe(phase.gate)) for phase in step.callback)
            callback = Callback(first, stalled, last, _CONTEXT + step.lane)
        endpoints = [
            objects.Endpoint(entry.id, self.function((entry.version, entry.endpoint)), entry.parameters)
            for entry in step.entries
        ]
        request = requests.Register(
            _object(step.extension), endpoints, callback, null_array=step.null_array, fail_allocation=step.fail
        )
        return self._on_lane(step.lane, request)

    def _call(self, step: Call) -> Sequence[Request[Any]]:
        wrapper = objects.Function.wrapper(self._labels.number((step.extension, step.id)))
        return self._on_lane(step.lane, requests.Call(wrapper, (step.lane, step.id)))

    def _init_event(self, step: InitEvent) -> Sequence[Request[Any]]:
        return [requests.InitEvent(step.event, step.notification, step.signalled)]

    def _signal(self, step: Signal) -> Sequence[Request[Any]]:
        return [requests.SetEventOnce(event) for event in step.events]

    def _clear(self, step: Clear) -> Sequence[Request[Any]]:
        return [requests.ClearEvent(step.event)]

    def _open_gate(self, step: OpenGate) -> Sequence[Request[Any]]:
        return [requests.SetGate(step.gate, open=True)]

    def _close_gate(self, step: CloseGate) -> Sequence[Request[Any]]:
        return [requests.SetGate(step.gate)]

    def _behave(self, step: Behave) -> Sequence[Request[Any]]:
        nested: list[Request[Any]] = []
        number = (step.version - 1) * ENDPOINTS + step.endpoint
        if step.nested is not None:
            inner = requests.Call(objects.Function.wrapper(self._labels.number(step.nested)), (number,))
            nested = [self._start(inner, None, number)]
        return [
            *nested,
            requests.Behave(
                step.version,
                step.endpoint,
                step.value,
                gate_before=_maybe(step.gate),
                set_event=_maybe(step.sets),
                clear_event=_maybe(step.clears),
                action=Action.PREPARED if nested else Action.NONE,
                prepared=number if nested else 0,
                quiet=True,
            ),
        ]

    def _create_worker(self, step: CreateWorker) -> Sequence[Request[Any]]:
        has_timeout, timeout = _TIMEOUTS[step.timeout]
        full = step.attributes
        return [
            requests.CreateWorker(
                step.worker,
                _object(step.extension),
                self._routine(step),
                [NULL_EVENT if event == NONE else event for event in step.events],
                context=_CONTEXT + 0x1000 + step.worker,
                wait_type=step.wait,
                wait_reason=step.reason,
                wait_mode=step.mode,
                altertable=int(step.alertable),
                has_timeout=has_timeout,
                timeout=timeout,
                count=None if step.count == NONE else step.count,
                with_client_id=full,
                with_attributes=full,
                with_process=int(full),
                guard=full and step.count == NONE,
                fail_allocation=step.fail,
            )
        ]

    def _routine(self, step: CreateWorker) -> objects.Function:
        extension = step.foreign if step.routine == "foreign" else step.extension
        if step.routine == "raw":
            return self.function(step.function)
        if step.routine == "garbage":
            return objects.Function.raw(self._labels.address() + 4)
        if step.routine == "null" or not self._labels.known((extension, step.id)):
            return objects.Function.null()
        return objects.Function.wrapper(self._labels.number((extension, step.id)))

    def _close_handle(self, step: CloseHandle) -> Sequence[Request[Any]]:
        return [requests.CloseWorker(step.worker)]

    def _forget_worker(self, step: ForgetWorker) -> Sequence[Request[Any]]:
        return [requests.ReleaseWorker(step.worker)]

    def _load_owner(self, _step: LoadOwner) -> Sequence[Request[Any]]:
        self._owner_loaded = True
        return [requests.LoadHelper(0)]

    def _unload_owner(self, _step: UnloadOwner) -> Sequence[Request[Any]]:
        self._owner_loaded = False
        return [requests.UnloadHelper(0)]

    def result(self, step: Step, wire: Wire, outputs: Sequence[bytes]) -> tuple[Any, ...]:
        """What the step returned at once, as the model says it."""
        if isinstance(step, Signal | Register | Call):
            return ()
        if isinstance(step, InitEvent | Clear | OpenGate | CloseGate | Behave):
            return (0,)
        flat = wire.flat(self.requests_of[type(step)])
        reply = flat.read(outputs[0])
        status = _unsigned(reply[flat.at["result.status"]])
        if isinstance(step, CreateWorker) and step.fail:
            return (status, *failing(step.fail, reply[flat.at["result.attempts"]]))
        return (status,)

    requests_of: Mapping[type[Step], str] = {
        CreateExtension: "create_extension",
        DeleteExtension: "delete_extension",
        SetOptions: "set_options",
        CreateWorker: "create_worker",
        CloseHandle: "close_worker",
        ForgetWorker: "release_worker",
        LoadOwner: "load_helper",
        UnloadOwner: "unload_helper",
    }

    def lane_result(self, lane: int, wire: Wire, output: bytes) -> tuple[int, tuple[Any, ...]]:
        """Of the request that a lane has ended: allocations that it attempted, and its result."""
        request = self._kinds[lane]
        flat = wire.flat(request.method)
        reply = flat.read(output)
        at = flat.at
        if isinstance(request, requests.Call):
            return 0, (reply[at["value"]], reply[at["seen_version"]], reply[at["seen_endpoint"]])
        first, size = at["phases.phase"], at["phases.1.phase"] - at["phases.phase"]
        status = at["phases.status"] - first
        begins = range(first, first + size * reply[at["phase_count"]], size)
        phases = tuple((reply[begin], _unsigned(reply[begin + status])) for begin in begins)
        return reply[at["result.attempts"]], (_unsigned(reply[at["result.status"]]), phases)


def failing(nth: int, attempts: int) -> tuple[str]:
    """Whether the allocation that was to fail was reached."""
    return ("an allocation failed",) if attempts >= nth else ("reached no failing allocation",)


def _unsigned(status: int) -> int:
    return int(status) & 0xFFFFFFFF


def _signed(status: int) -> int:
    return status - (1 << 32) if status >= 1 << 31 else status


def _maybe(number: int) -> int | None:
    return None if number == NONE else number


def _object(number: int) -> int:
    return objects.NONE if number == NONE else number
