"""What a source of schemas says of one kind of event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hotswap.trace.schema import EventSchema

EventKey = tuple[int, int]
"""Event id and version; of a classic event type and version."""


@dataclass(frozen=True, slots=True)
class EventDescription:
    """Names, message and layout of an event."""

    provider_name: str
    name: str
    """As `event_name` makes it."""
    schema: EventSchema
    source: str
    """What said so, for people: `TRACE_EVENT_INFO`, `EventSource manifest`, `built-in`, or the path of a file."""
    message: str = ""
    """With inserts `%1` for the first field."""
    task: str = ""
    opcode: str = ""
    level: str = ""
    channel: str = ""
    keywords: Mapping[int, str] = field(default_factory=dict, hash=False)
    """By mask: those that the source names."""


def event_name(task: str, opcode: str, otherwise: str) -> str:
    """What an event is called: `Task/Opcode`, without the opcode where it is Info; `otherwise` where it has no task."""
    task, opcode = without_prefix(task), without_prefix(opcode)
    if not task:
        return opcode if opcode and opcode != "Info" else otherwise
    return f"{task}/{opcode}" if opcode and opcode != "Info" else task


def without_prefix(name: str) -> str:
    """A predefined name without `win:`."""
    return name.removeprefix("win:")
