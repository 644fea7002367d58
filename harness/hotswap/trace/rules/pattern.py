"""Patterns: which events a statement is about, and fields of them to compare others with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hotswap.errors import UsageError
from hotswap.trace.event_kind import LOG_FILE_HEADER
from hotswap.trace.rules.condition import Condition, FieldCondition, Reference, Scalar, condition_of, value_name

if TYPE_CHECKING:
    from hotswap.trace.event_kind import EventKind
    from hotswap.trace.rules.matched import Columns


@dataclass(frozen=True, slots=True)
class Alternative:
    """Events of one name (empty: any; `*` and `?` stand for others) whose fields fulfil all conditions."""

    name: str
    provider: str | UUID | None = None
    event_id: int | None = None
    conditions: tuple[tuple[str, Condition], ...] = ()
    predicates: tuple[Callable[[Columns], Any], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def is_of(self, kind: EventKind) -> bool:
        """Whether events of this kind can be meant."""
        if self.event_id is not None and kind.event_id != self.event_id:
            return False
        if self.provider is not None and not self._gives(kind):
            return False
        if not self.any_name:
            return kind.name == self.name
        return kind.hook != LOG_FILE_HEADER and re.match(translate(self.name or "*"), kind.name) is not None

    @property
    def any_name(self) -> bool:
        """Whether events of several names can be meant: then those without a field that is asked about are not."""
        return not self.name or any(sign in self.name for sign in "*?")

    def _gives(self, kind: EventKind) -> bool:
        if isinstance(self.provider, UUID):
            return kind.provider == self.provider
        wanted = str(self.provider).lower()
        return wanted in (kind.provider_name.lower(), str(kind.provider))

    def __str__(self) -> str:
        about = [f"{name}={condition}" for name, condition in self.conditions]
        name = self.name or (f"event {self.event_id}" if self.event_id is not None else "event")
        return f"{name} ({', '.join(about)})" if about else name


@dataclass(frozen=True, eq=False)
class Pattern:
    """Events: those of one name with these fields, or of several (`|`). Made by `event`.

    `pattern["Field"]` is that field of the event, for conditions on another event of the same statement.
    """

    alternatives: tuple[Alternative, ...]
    label: str = ""

    def where(
        self, given: Mapping[str, FieldCondition] | Callable[[Columns], Any] | None = None, /, **fields: FieldCondition
    ) -> Pattern:
        """Only those that fulfil these conditions, too: by field, or a function from the columns to one bool a row."""
        if callable(given):
            chosen = tuple(replace(one, predicates=(*one.predicates, given)) for one in self.alternatives)
            return replace(self, alternatives=chosen).where(**fields) if fields else replace(self, alternatives=chosen)
        more = tuple((name, condition_of(value)) for name, value in {**(given or {}), **fields}.items())
        chosen = tuple(replace(one, conditions=(*one.conditions, *more)) for one in self.alternatives)
        return replace(self, alternatives=chosen)

    def renamed(self, **columns: str) -> Pattern:
        """With further names for fields, so that events which call a thing otherwise have a key in common.

        `event("ThreadStart").renamed(Thread="NewThreadId")`
        """
        more = tuple(columns.items())
        return replace(
            self, alternatives=tuple(replace(one, renamed=(*one.renamed, *more)) for one in self.alternatives)
        )

    def called(self, label: str) -> Pattern:
        """With a name for messages: `event("SwapDrained", Status=ne(0)).called("failed drain")`."""
        return replace(self, label=label)

    def __or__(self, other: Pattern | str) -> Pattern:
        return Pattern((*self.alternatives, *pattern_of(other).alternatives))

    def __ror__(self, other: str) -> Pattern:
        return pattern_of(other) | self

    def __getitem__(self, field: str) -> Ref:
        return Ref(self, field)

    def __iter__(self) -> None:
        # A pattern can be indexed, so that Python would try to go through it, without end.
        raise TypeError("a pattern cannot be gone through")

    @property
    def references(self) -> tuple[Reference, ...]:
        """What its conditions look at in other events."""
        return tuple(
            reference
            for one in self.alternatives
            for _, condition in one.conditions
            for reference in condition.references
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it asks for."""
        return tuple(one.name for one in self.alternatives)

    def __str__(self) -> str:
        return self.label or " or ".join(dict.fromkeys(str(one) for one in self.alternatives))

    def __repr__(self) -> str:
        return f"<events: {self}>"


@dataclass(frozen=True, eq=False)
class Ref(Reference):
    """A field of the other event of a statement, or of the event that opens the window."""

    pattern: Pattern
    field: str

    def __str__(self) -> str:
        return f"the {self.field} of the {self.pattern.label or self.pattern.names[0]}"


@dataclass(frozen=True, eq=False)
class Latest(Reference):
    """The field of the last such event before; `default` before the first of them."""

    sources: tuple[Ref, ...]
    default: Scalar | None

    def __str__(self) -> str:
        return f"what the last {' or '.join(f'{ref.pattern} ({ref.field})' for ref in self.sources)} says"


def event(
    name: str = "", /, *, provider: str | UUID | None = None, event_id: int | None = None, **fields: FieldCondition
) -> Pattern:
    """Events of one name, whose fields have these values, one of several values, or fulfil these conditions.

    `name` may have `*` and `?`; empty: any. Of such, only events that have the fields are meant. `provider` by name or
    GUID. Fields are spelled as in the trace or in Python's way (`WaitStatus`, `wait_status`); `tid`, `pid`, `cpu`,
    `level`, `opcode`, `keyword`, `tick` and `ns` are fields of every event. A field that is called like one of the
    arguments here goes through `where`.
    """
    if not isinstance(name, str):
        raise UsageError(f"{name!r} is no name of an event")
    pattern = Pattern((Alternative(name, provider, event_id),))
    return pattern.where(**fields) if fields else pattern


def latest(*sources: Ref, default: Scalar | None = None) -> Latest:
    """The value that a field had in the last of these events: `Version=latest(switched["ToVersion"], default=1)`.

    An event at the same tick may or may not have come before: either value will do. Where nothing came before and
    there is no `default`, nothing is asked.
    """
    if not sources or not all(isinstance(source, Ref) for source in sources):
        raise UsageError('latest needs fields of events: latest(event("Switched")["ToVersion"])')
    return Latest(sources, default)


def pattern_of(given: Pattern | str) -> Pattern:
    """A pattern, or the name of events."""
    if isinstance(given, Pattern):
        return given
    if not isinstance(given, str):
        raise UsageError(f"{given!r} is no event: give a name or event(...)")
    return event(given)


def field_text(name: str, value: object) -> str:
    """A field and its value in a sentence."""
    return f"{name} {value_name(value)}"
