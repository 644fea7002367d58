"""Extended items of EVENT_HEADER events, as they lie in a file (etl.md, section 2.4)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from hotswap.errors import UsageError
from hotswap.trace.items import ItemType
from hotswap.trace.schema import EventSchema
from hotswap.trace.tracelogging import build_schema, build_traits


@dataclass(frozen=True, slots=True)
class Item:
    """One extended item: its type, any number, and its data without padding."""

    type: int
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) > 0xFFFF - 15:
            raise UsageError(f"an extended item of {len(self.data)} bytes: 65520 is the most")


def pack_items(items: Sequence[Item]) -> bytes:
    """The items one after the other, each padded to 8 bytes and, but for the last, linked to the next."""
    parts = []
    for index, item in enumerate(items):
        padded = item.data + bytes(-len(item.data) % 8)
        linkage = int(index + 1 < len(items))
        parts.append(struct.pack("<HHHH", 8 + len(padded), item.type, linkage, len(item.data)) + padded)
    return b"".join(parts)


def schema_item(schema: EventSchema) -> Item:
    """EVENT_SCHEMA_TL: what makes an event a TraceLogging one."""
    return Item(ItemType.EVENT_SCHEMA_TL, build_schema(schema))


def traits_item(provider_name: str) -> Item:
    """PROV_TRAITS: the provider's name."""
    return Item(ItemType.PROV_TRAITS, build_traits(provider_name))


def related_activity(activity: UUID) -> Item:
    """The activity that this one came from."""
    return Item(ItemType.RELATED_ACTIVITYID, activity.bytes_le)


def stack(addresses: Sequence[int], match_id: int = 0, *, pointer_size: int = 8) -> Item:
    """A stack trace, innermost call first. `match_id` joins the parts of one stack."""
    code, kind = ("Q", ItemType.STACK_TRACE64) if pointer_size == 8 else ("I", ItemType.STACK_TRACE32)
    return Item(kind, struct.pack(f"<Q{len(addresses)}{code}", match_id, *addresses))


def stack_key(key: int, match_id: int = 0, *, pointer_size: int = 8) -> Item:
    """The key of a stack that the session keeps once."""
    code, kind = ("Q", ItemType.STACK_KEY64) if pointer_size == 8 else ("I4x", ItemType.STACK_KEY32)
    return Item(kind, struct.pack(f"<Q{code}", match_id, key))


def sid(authority: int, *sub_authorities: int) -> Item:
    """The user: S-1-authority-sub-authorities."""
    data = bytes([1, len(sub_authorities)]) + authority.to_bytes(6, "big")
    return Item(ItemType.SID, data + struct.pack(f"<{len(sub_authorities)}I", *sub_authorities))


def session_id(number: int) -> Item:
    """TS_ID: the terminal session."""
    return Item(ItemType.TS_ID, struct.pack("<I", number))


def instance_info(instance: int, parent: int, parent_guid: UUID) -> Item:
    """The instance that the event belongs to, and its parent."""
    return Item(ItemType.INSTANCE_INFO, struct.pack("<II", instance, parent) + parent_guid.bytes_le)


def counters(values: Sequence[int]) -> Item:
    """PMC_COUNTERS: performance counters of the processor."""
    return Item(ItemType.PMC_COUNTERS, struct.pack(f"<{len(values)}Q", *values))


def number(kind: ItemType, value: int) -> Item:
    """An item that is one 64-bit number: PEBS_INDEX, EVENT_KEY, PROCESS_START_KEY, QPC_DELTA."""
    return Item(kind, struct.pack("<Q", value))


def guid(kind: ItemType, value: UUID) -> Item:
    """An item that is one GUID: CONTROL_GUID, CONTAINER_ID."""
    return Item(kind, value.bytes_le)
