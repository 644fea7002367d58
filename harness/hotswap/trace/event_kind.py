"""What events of a trace have in common, whatever header they have."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from hotswap.trace.framing import Family, HeaderType, family_of, header_name
from hotswap.trace.schema import EventSchema
from hotswap.trace.schemas.description import EventDescription

NO_PROVIDER = UUID(int=0)
LOST_EVENT_GUID = UUID("6a399ae0-4bc6-4de9-870b-3657f8947e7e")
"""RT_LostEvent: event class of what a session lost."""
LOG_FILE_HEADER = 0x0000
"""The hook of the event that is the file's own header."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """What events have in common: header, provider, descriptor and schema. Never told apart by the id alone."""

    provider: UUID
    """Of a classic or kernel event its class; of a message the GUID of its source file; NO_PROVIDER where nothing says
    it."""
    provider_name: str
    """Empty when the trace does not say it."""
    name: str
    """Event name; without a schema `id N`, `type N`, `hook 0xNNNN`, `message N`, or `unknown 0xNN`."""
    event_id: int
    """Of a message its number; 0 for classic and kernel events."""
    version: int
    level: int
    opcode: int
    """Of classic and kernel events the type."""
    task: int
    schema: EventSchema | None
    """None: nothing describes the payload, it stays undecoded."""
    pointer_size: int = 8
    """Of the writer; a trace can hold events of both."""
    header: int = HeaderType.EVENT64
    """HeaderType, or the number of an unknown one."""
    hook: int = -1
    """Of a kernel event: group << 8 | type; -1 for any other."""
    channel: int = 0
    self_describing: bool = False
    """Whether the events bring their schema along (TraceLogging)."""
    description: EventDescription | None = None
    """What a manifest, a record in the trace or the built-in layouts say of the events; None for TraceLogging."""

    @property
    def family(self) -> Family:
        """Which kind of header the events have."""
        return family_of(self.header)

    @property
    def giver(self) -> str:
        """The provider for people: its name, else its GUID, else `kernel`, `wpp` or `unknown`."""
        if self.provider_name:
            return self.provider_name
        return _NAMELESS.get(self.family, str(self.provider)) if self.provider == NO_PROVIDER else str(self.provider)


_NAMELESS = {"kernel": "kernel", "message": "wpp", "unknown": "unknown"}


def unnamed(header: int, number: int) -> str:
    """What an event without a schema is called; `number` is its id, type, hook or message number."""
    family = family_of(header)
    if family == "unknown":
        return "error record" if header == HeaderType.ERROR else f"unknown {header_name(header)}"
    return {
        "event": f"id {number}",
        "classic": f"type {number}",
        "kernel": f"hook 0x{number:04x}",
        "message": f"message {number}",
    }[family]
