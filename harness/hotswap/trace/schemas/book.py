"""All that is known of the layouts of a trace's events: what it brings along, what is given, and what is built in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from uuid import UUID

from hotswap.trace.decode import left_over
from hotswap.trace.event_kind import NO_PROVIDER, EventKind
from hotswap.trace.framing import Problem
from hotswap.trace.schema import MetadataError, ValueMap
from hotswap.trace.schemas import builtin, event_info, event_source
from hotswap.trace.schemas.description import EventDescription, EventKey
from hotswap.trace.schemas.event_info import EventInfo, parse_event_info, parse_map_info
from hotswap.trace.schemas.event_source import ManifestCollector
from hotswap.trace.schemas.files import NOTHING_GIVEN, GivenSchemas
from hotswap.trace.schemas.manifest import Manifest

_PADDING = 3
"""As many bytes may follow a payload to fill its last word."""
_Known = dict[tuple[UUID, EventKey], EventDescription]


class SchemaBook:
    """Learns from the events that bring schemas, in the order in which they happened, then describes kinds of events.

    What the recording computer said of an event (TRACE_EVENT_INFO) counts more than what an EventSource says of itself,
    that more than a manifest that was given, and that more than what is built in.
    """

    def __init__(self, given: GivenSchemas = NOTHING_GIVEN) -> None:
        self._records: dict[tuple[UUID, EventKey], EventInfo] = {}
        self._maps: dict[UUID, dict[str, ValueMap]] = {}
        self._own: _Known = {}
        self._given: _Known = {}
        self._collector = ManifestCollector()
        self._messages = {key: item for formats in reversed(given.formats) for key, item in formats.messages.items()}
        self._problems: list[Problem] = list(given.problems)
        for manifest in given.manifests:
            self._take(manifest, self._given)

    @staticmethod
    def teaches(kind: EventKind) -> bool:
        """Whether events of this kind bring schemas: `learn` wants all of them."""
        return _is_record(kind) or _is_manifest(kind)

    def learn(self, kind: EventKind, pid: int, data: bytes, offset: int) -> None:
        """Take the payload of an event that `teaches`; `offset` is its place in the file, for problems."""
        try:
            if _is_manifest(kind):
                manifest = self._collector.add(kind.provider, pid, data)
                if manifest is not None:
                    self._take(manifest, self._own)
                    self._problems += [
                        Problem("bad-manifest", f"{event_source.SOURCE}, line {error.line}: {error}", offset)
                        for error in manifest.problems
                    ]
            elif kind.opcode == event_info.EVENT_INFO:
                info = parse_event_info(data)
                self._records.setdefault((info.provider, info.key), info)
            else:
                provider, found = parse_map_info(data)
                self._maps.setdefault(provider, {}).setdefault(found.name, found)
        except MetadataError as error:
            self._problems.append(Problem("bad-schema", str(error), offset))

    def describe(self, kind: EventKind) -> EventDescription | None:
        """What is known of a kind; None for nothing, and for one that describes itself."""
        return next(iter(self._candidates(kind)), None)

    def named(self, kind: EventKind, payloads: Iterable[bytes]) -> EventKind:
        """The kind with all that is known of it; `payloads` are those of some of its events."""
        candidates = self._candidates(kind)
        if not candidates:
            return kind if kind.provider_name else replace(kind, provider_name=self._provider_name(kind.provider))
        described, size = candidates[0], kind.pointer_size
        if described.source == builtin.SOURCE:
            described, size = _fitting(candidates, list(payloads), kind)
        return replace(
            kind,
            provider=_class_of(kind),
            provider_name=described.provider_name or kind.provider_name or self._provider_name(kind.provider),
            name=described.name,
            schema=described.schema,
            pointer_size=size,
            description=described,
        )

    def _candidates(self, kind: EventKind) -> list[EventDescription]:
        """What a kind can be, the likeliest first."""
        if kind.self_describing or kind.family == "unknown":
            return []
        if kind.family == "message":
            return _those(self._messages.get((kind.provider, kind.event_id)))
        if _is_manifest(kind):
            return [event_source.DESCRIPTION]
        if kind.family == "event":
            key = (kind.provider, (kind.event_id, kind.version))
            return _those(self._recorded(key) or self._own.get(key) or self._given.get(key))
        key = (_class_of(kind), (kind.opcode, kind.version))
        return _those(self._recorded(key)) or builtin.built_in(kind)

    def _provider_name(self, provider: UUID) -> str:
        """The name of a provider of whose events only others are described; empty when nothing says it."""
        return next(self._names(provider), "")

    def problems(self) -> list[Problem]:
        """What of the schemas was of no use."""
        return [*self._problems, *(Problem("bad-schema", text, 0) for text in self._collector.missing())]

    def _recorded(self, key: tuple[UUID, EventKey]) -> EventDescription | None:
        info = self._records.get(key)
        if info is None:
            return None
        try:
            return info.describe(self._maps.get(info.provider, {}))
        except MetadataError as error:
            del self._records[key]
            self._problems.append(Problem("bad-schema", str(error), 0))
            return None

    def _take(self, manifest: Manifest, into: _Known) -> None:
        for provider in manifest.providers:
            for key, description in provider.events.items():
                into.setdefault((provider.guid, key), description)

    def _names(self, provider: UUID) -> Iterator[str]:
        for (guid, _), info in self._records.items():
            if guid == provider and info.provider_name:
                yield info.provider_name
        for known in (self._own, self._given):
            yield from (item.provider_name for (guid, _), item in known.items() if guid == provider)


def _is_record(kind: EventKind) -> bool:
    return (
        kind.family == "classic"
        and kind.provider == event_info.METADATA_CLASS
        and kind.opcode in (event_info.EVENT_INFO, event_info.EVENT_MAP_INFO)
    )


def _is_manifest(kind: EventKind) -> bool:
    return (
        kind.family == "event"
        and not kind.self_describing
        and kind.event_id == event_source.MANIFEST_EVENT
        and kind.opcode == event_source.MANIFEST_OPCODE
    )


def _class_of(kind: EventKind) -> UUID:
    """The provider, and of kernel events the class that their hook stands for."""
    if kind.family != "kernel" or kind.provider != NO_PROVIDER:
        return kind.provider
    found = builtin.event_class(kind)
    return NO_PROVIDER if found is None else found[0].guid


def _those(found: EventDescription | None) -> list[EventDescription]:
    return [] if found is None else [found]


def _fitting(
    candidates: list[EventDescription], payloads: list[bytes], kind: EventKind
) -> tuple[EventDescription, int]:
    """The layout, and the size of pointers, that fill the payloads exactly; else the likeliest, and the header's.

    A 32-bit writer of classic events can pass on what a 64-bit kernel said.
    """
    sizes = (kind.pointer_size, 12 - kind.pointer_size) if kind.family == "classic" else (kind.pointer_size,)
    choices = [(described, size) for size in sizes for described in candidates]
    if not payloads or len(choices) == 1:
        return choices[0]
    for padding in (0, _PADDING):
        for described, size in choices:
            left = [left_over(described.schema, data, size) for data in payloads]
            if all(rest is not None and rest <= padding for rest in left):
                return described, size
    return choices[0]
