"""What a test asks of a worker, checked before anything is sent. Whatever cannot be is a UsageError in one line."""

from __future__ import annotations

import typing
from collections.abc import Collection

from hotswap.driver.host_device import WaitName
from hotswap.errors import UsageError
from hotswap.swap.witnesses import WAIT_ALL, WAIT_ANY, WorkerDefinition

_MS = 10_000
_MAX_MS = 9e14
_MAX_FILE_TIME = (1 << 63) - 1


def worker_definition(
    events: int,
    max_events: int,
    *,
    wait: WaitName,
    timeout_ms: float | None,
    expires_at: int | None,
    notification: Collection[int],
    signalled: Collection[int],
    alertable: bool,
    user_mode: bool,
) -> WorkerDefinition:
    """The definition of a worker that has no number yet, from the arguments of `Driver.create_worker`."""
    if wait not in typing.get_args(WaitName):
        raise UsageError(f"wait is {wait!r}; it is 'any' or 'all'")
    if not 1 <= events <= max_events:
        raise UsageError(f"events is {events}; a worker waits for 1 to {max_events} events")
    timeout = _timeout(timeout_ms, expires_at)
    return WorkerDefinition(
        worker=0,
        wait_type=WAIT_ANY if wait == "any" else WAIT_ALL,
        event_count=events,
        notification_mask=_mask("notification", notification, events),
        initial_state_mask=_mask("signalled", signalled, events),
        has_timeout=timeout is not None,
        timeout=timeout or 0,
        altertable=alertable,
        wait_mode=int(user_mode),
    )


def check_event(worker: int, event: int, events: int) -> None:
    """UsageError when the worker has no event of this number."""
    if not 0 <= event < events:
        raise UsageError(f"worker {worker} has no event {event}; {_range('its', events)}")


def _timeout(timeout_ms: float | None, expires_at: int | None) -> int | None:
    """In 100 ns: negative relative, positive absolute."""
    if timeout_ms is not None and expires_at is not None:
        raise UsageError("a worker has either timeout_ms or expires_at")
    if timeout_ms is not None:
        # Written so that it is true of what is no number as well.
        if not 0 <= timeout_ms <= _MAX_MS:
            raise UsageError(f"timeout_ms is {timeout_ms:g}; it is a number of milliseconds from 0 to {_MAX_MS:g}")
        return -round(timeout_ms * _MS)
    if expires_at is not None and not 0 <= expires_at <= _MAX_FILE_TIME:
        raise UsageError(f"expires_at is {expires_at}; it is a file time as driver.guest_time() gives it")
    return expires_at


def _mask(name: str, indices: Collection[int], events: int) -> int:
    for index in indices:
        if not 0 <= index < events:
            raise UsageError(f"{name} has event {index}; {_range('the', events)}")
    return sum(1 << index for index in set(indices))


def _range(whose: str, events: int) -> str:
    return f"{whose} only event is 0" if events == 1 else f"{whose} events are 0 to {events - 1}"
