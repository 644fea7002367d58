"""Workers and loads of the host driver as objects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from hotswap.deadline import Deadline
from hotswap.driver.host_device import HostDevice
from hotswap.driver.host_replies import EventReply, LoadStopped, WorkerCreated, WorkerInfo, WorkerState, WorkerStopped
from hotswap.driver.ioctl import NtStatus
from hotswap.errors import DeadlineExpired, GuestFault
from hotswap.swap.witnesses import WorkerDefinition
from hotswap.testing.arguments import check_event

WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.002
MAX_VERSIONS = 8


@dataclass(frozen=True, slots=True)
class Access:
    """How workers and loads reach the driver: `calling` turns its death into a GuestFault, `limit` bounds a call."""

    device: Callable[[], HostDevice]
    calling: Callable[[str], AbstractContextManager[None]]
    limit: Callable[[], Deadline]
    slowdown: float = 1.0
    """How much longer than in the embedded guest a worker may take, where a test names no limit."""


class Worker:
    """One hot-swappable worker thread, with its events numbered from 0."""

    def __init__(self, access: Access, created: WorkerCreated, definition: WorkerDefinition) -> None:
        self.id = created.worker_id
        self.thread_id = created.thread_id
        self.definition = definition
        self._access = access
        self._stopped: WorkerStopped | None = None

    def signal(self, event: int = 0) -> EventReply:
        """KeSetEvent; `previous_state` of the reply is 0 when the signal was accepted."""
        check_event(self.id, event, self.definition.event_count)
        with self._access.calling(f"signalling event {event} of worker {self.id}"):
            return self._access.device().signal_event(self.id, event, deadline=self._access.limit())

    def clear(self, event: int = 0) -> EventReply:
        """KeResetEvent."""
        check_event(self.id, event, self.definition.event_count)
        with self._access.calling(f"clearing event {event} of worker {self.id}"):
            return self._access.device().clear_event(self.id, event, deadline=self._access.limit())

    def is_signalled(self, event: int = 0) -> bool:
        """KeReadStateEvent."""
        check_event(self.id, event, self.definition.event_count)
        with self._access.calling(f"reading event {event} of worker {self.id}"):
            reply = self._access.device().query_event(self.id, event, deadline=self._access.limit())
        return bool(reply.previous_state)

    def info(self) -> WorkerInfo:
        """All that the driver knows of it now."""
        with self._access.calling(f"querying worker {self.id}"):
            return self._access.device().query_worker(self.id, deadline=self._access.limit())

    @property
    def state(self) -> WorkerState:
        """Waiting, running, stopping or ended."""
        return self.info().state

    @property
    def iterations(self) -> int:
        """How many iterations it has begun; after the stop, how many there were."""
        return self._stopped.iterations if self._stopped is not None else self.info().iterations

    @property
    def last_wait_status(self) -> NtStatus | None:
        """What its last wait returned: STATUS_WAIT_0 for event 0, STATUS_TIMEOUT; None: no iteration yet."""
        info = self.info()
        return info.last_wait_status if info.iterations else None

    @property
    def versions(self) -> dict[int, int]:
        """Iterations by version of the endpoint driver."""
        return {item.version: item.iterations for item in self.info().versions}

    def wait_for_iterations(self, count: int, seconds: float | None = None) -> WorkerInfo:
        """Wait until `count` iterations have ended, and return how the worker stands then.

        Raises GuestFault, with what was seen last, when it did not get that far within `seconds` (10 unless told
        otherwise, longer under an emulator).
        """
        seconds = WAIT_SECONDS * self._access.slowdown if seconds is None else seconds
        last: list[WorkerInfo] = []

        def ran() -> WorkerInfo | None:
            last[:] = [info := self.info()]
            return info if _ended(info) >= count else None

        try:
            return Deadline.after(seconds).wait_for(
                ran, f"{count} iterations of worker {self.id}", interval=_POLL_SECONDS
            )
        except DeadlineExpired:
            if not last:
                raise
            info = last[0]
            waited = (
                f"its last wait returned {info.last_wait_status}" if info.iterations else "no wait of it has returned"
            )
            raise GuestFault(
                f"worker {self.id} ran {_ended(info)} of {count} iterations within {seconds:g} s: it is "
                f"{info.state.name.lower()}, and {waited}"
            ) from None

    def wait_until_running(self, seconds: float | None = None) -> WorkerInfo:
        """Wait until an iteration is seen under way: one of some 100 ms. Raises GuestFault after `seconds` without."""
        seconds = WAIT_SECONDS * self._access.slowdown if seconds is None else seconds
        try:
            return Deadline.after(seconds).wait_for(
                lambda: info if (info := self.info()).state is WorkerState.RUNNING else None,
                f"an iteration of worker {self.id}",
                interval=_POLL_SECONDS,
            )
        except DeadlineExpired:
            raise GuestFault(
                f"worker {self.id} was seen in no iteration within {seconds:g} s, and has ended {self.iterations}: "
                "shorter ones than a look takes are missed, create_worker(work_us=...) makes them longer"
            ) from None

    def alert(self) -> NtStatus:
        """Alert its thread; returns what the guest said to that."""
        with self._access.calling(f"alerting worker {self.id}"):
            return self._access.device().alert_worker(self.id, deadline=self._access.limit()).status

    def stop(self) -> WorkerStopped:
        """End it and join its thread; `final_state_mask` says which events were still signalled. May be repeated.

        Raises GuestFault when the thread does not end.
        """
        if self._stopped is None:
            with self._access.calling(f"stopping worker {self.id}"):
                stopped = self._access.device().stop_worker(self.id, deadline=self._access.limit())
            if not stopped.status.succeeded:
                raise GuestFault(f"stopping worker {self.id}: {stopped.status}; its thread did not end")
            self._stopped = stopped
        return self._stopped

    @property
    def stopped(self) -> WorkerStopped | None:
        """How it ended; None: not stopped yet."""
        return self._stopped

    def __repr__(self) -> str:
        kind = "any" if self.definition.wait_type else "all"
        return f"<worker {self.id}: waits for {kind} of {self.definition.event_count} events>"


def _ended(info: WorkerInfo) -> int:
    """How many iterations have ended. `iterations` counts from their begin, and a little before the state says so."""
    if len(info.versions) < MAX_VERSIONS:
        return sum(item.iterations for item in info.versions)
    # More versions than the driver counts by.
    return info.iterations - (info.state is WorkerState.RUNNING)


class Load:
    """Driver threads that signal events by themselves."""

    def __init__(self, access: Access, id: int) -> None:
        self.id = id
        self._access = access
        self._stopped: LoadStopped | None = None

    def stop(self) -> LoadStopped:
        """End it; tells how many signals it made, and how many of them were accepted. May be repeated."""
        if self._stopped is None:
            with self._access.calling(f"stopping load {self.id}"):
                self._stopped = self._access.device().stop_load(self.id, deadline=self._access.limit())
        return self._stopped

    @property
    def stopped(self) -> LoadStopped | None:
        """How it ended; None: not stopped yet."""
        return self._stopped
