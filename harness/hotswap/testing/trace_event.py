"""One event of a trace, with fields that editors know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from keyword import iskeyword

from hotswap.driver.ioctl import NtStatus, python_name
from hotswap.errors import UsageError


class NumberField:
    """A field that some events have. What it is is known to the event alone: `Event.__getattr__` is asked next."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, event: object, kind: type | None = None) -> int:
        raise AttributeError(self.name)


class StatusField(NumberField):
    """One that holds an NTSTATUS."""

    def __get__(self, event: object, kind: type | None = None) -> NtStatus:
        raise AttributeError(self.name)


class EventFields:
    """The fields that tests ask for most. Others can be asked for all the same, and are numbers."""

    __slots__ = ()
    accepted = NumberField()
    event_index = NumberField()
    final_state_mask = NumberField()
    from_version = NumberField()
    held_calls = NumberField()
    iteration = NumberField()
    iterations = NumberField()
    load = NumberField()
    previous_state = NumberField()
    result = NumberField()
    signal = NumberField()
    signals = NumberField()
    source = NumberField()
    status = StatusField()
    swap = NumberField()
    to_version = NumberField()
    version = NumberField()
    wait_status = StatusField()
    worker = NumberField()
    worker_thread_id = NumberField()


@dataclass(frozen=True, slots=True)
class Event(EventFields):
    """One event. Its fields are read as `event["Worker"]` or `event.worker`; `us` is the time since the trace began.

    An NTSTATUS is a number that prints with its name.
    """

    name: str
    row: int
    us: float
    tick: int
    tid: int
    cpu: int
    fields: Mapping[str, int]

    def __getitem__(self, field: str) -> int:
        return self.fields[spelled(self.name, field, tuple(self.fields))]

    def __getattr__(self, field: str) -> int:
        # Only for names that are no attribute; a name with underscores around it is asked for by Python itself.
        if field.startswith("_"):
            raise AttributeError(field)
        try:
            return self[field]
        except UsageError as error:
            raise AttributeError(str(error)) from None

    def __dir__(self) -> list[str]:
        own = set(object.__dir__(self)) - vars(EventFields).keys()
        return sorted(own | {field_name(name) for name in self.fields})

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{name}={_value(value)}" for name, value in self.fields.items())])

    def __repr__(self) -> str:
        return f"<{self}, {self.us:.1f} us, tid {self.tid}>"


def _value(value: int) -> str:
    return (value.name if isinstance(value, NtStatus) else "") or str(value)


def field_name(name: str) -> str:
    """A field of the header in the spelling of Python: `WaitStatus` is `wait_status`, `Continue` is `continue_`."""
    python = python_name(name)
    return f"{python}_" if iskeyword(python) else python


def find_field(field: str, known: Sequence[str]) -> str | None:
    """The field of this name in either spelling; None: there is none."""
    if field in known:
        return field
    return next((name for name in known if field_name(name) == field), None)


def spelled(event: str, field: str, known: Sequence[str]) -> str:
    """A field in the header's spelling. UsageError: the event has none of this name."""
    name = find_field(field, known)
    if name is None:
        raise UsageError(f"{event} has no field {field!r}{meant(field, known)}; it has: {', '.join(known)}")
    return name


def meant(wrong: str, known: Sequence[str]) -> str:
    """The nearest of the known names, if one is near."""
    close = get_close_matches(wrong, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""
