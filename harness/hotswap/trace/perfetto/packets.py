"""Packets of a Perfetto trace on their way to a file: tracks, interned names, and events in the order of time.

Everything is on one packet sequence. What is interned or described is written before the packets that need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from hotswap.trace.perfetto.wire import (
    FIXED64,
    LENGTH,
    VARINT,
    Column,
    Ints,
    Message,
    Part,
    encode,
    field,
    key,
    varint,
)

SLICE_BEGIN, SLICE_END, INSTANT, COUNTER = 1, 2, 3, 4
"""TrackEvent.Type."""
COUNT = 2
"""CounterDescriptor.Unit."""
_SEQUENCE = 1
_CLEARED, _NEEDS_STATE = 1, 2
"""TracePacket.sequence_flags."""
_REALTIME, _BOOTTIME = 1, 6
"""Built-in clocks; boot time is the one that packets have when they do not say which."""
_MOST_STRINGS = 1 << 16
"""Distinct texts of fields that are interned; a reader holds all of them."""


class Packets:
    """Takes events in any order, and writes them in the order of `order` with each `flush`."""

    def __init__(self, stream: BinaryIO, *, unix_ns: int | None = None) -> None:
        """`unix_ns`: what time it was at nanosecond 0 of the trace."""
        self._stream = stream
        self._names: dict[str, int] = {}
        self._fields: dict[str, int] = {}
        self._categories: dict[str, int] = {}
        self._strings: dict[str, int] = {}
        self._new: list[bytes] = []
        self._descriptors: list[bytes] = []
        self._waiting: list[tuple[Ints, Column]] = []
        head = _number(10, _SEQUENCE) + _number(13, _CLEARED)
        self._descriptors.append(head)
        if unix_ns is not None:
            clocks = [_message(1, _number(1, clock) + _number(2, time))
                      for clock, time in ((_BOOTTIME, 0), (_REALTIME, unix_ns)) if time >= 0]  # fmt: skip
            self._descriptors.append(_number(10, _SEQUENCE) + _message(6, b"".join(clocks)))

    def name(self, text: str) -> int:
        """The number of an event's name."""
        return self._interned(self._names, 2, text)

    def field(self, text: str) -> int:
        """The number of a field's name."""
        return self._interned(self._fields, 3, text)

    def category(self, text: str) -> int:
        """The number of a category."""
        return self._interned(self._categories, 1, text)

    def string(self, text: str) -> int | None:
        """The number of a field's text; None when too many are interned already."""
        if text not in self._strings and len(self._strings) >= _MOST_STRINGS:
            return None
        return self._interned(self._strings, 29, text)

    def _interned(self, known: dict[str, int], number: int, text: str) -> int:
        if text not in known:
            known[text] = len(known) + 1
            self._new.append(_message(number, _number(1, known[text]) + _text(2, text)))
        return known[text]

    def process(self, uuid: int, pid: int, name: str) -> None:
        """Describe the track of a process."""
        told = _number(1, pid) + (_text(6, name) if name else b"")
        self._describe(_number(1, uuid) + _message(3, told))

    def thread(self, uuid: int, pid: int, tid: int, name: str, parent: int | None = None) -> None:
        """Describe the track of a thread."""
        told = _number(1, pid) + _number(2, tid) + (_text(5, name) if name else b"")
        self._describe(_number(1, uuid) + (b"" if parent is None else _number(5, parent)) + _message(4, told))

    def track(self, uuid: int, name: str, parent: int | None = None, *, counter: bool = False, rank: int = 0) -> None:
        """Describe any other track, or a counter's. Those with a lower rank come first."""
        told = _number(1, uuid) + (b"" if parent is None else _number(5, parent)) + _text(2, name)
        told += _message(8, _number(3, COUNT)) if counter else b""
        self._describe(told + (_number(12, rank) if rank else b""))

    def _describe(self, told: bytes) -> None:
        self._descriptors.append(_number(10, _SEQUENCE) + _message(60, told))

    def event(
        self,
        order: int,
        ns: int,
        kind: int,
        track: int,
        name: str = "",
        fields: Mapping[str, int | str] | None = None,
        *,
        flows: Sequence[int] = (),
        ends_flows: Sequence[int] = (),
        counter: int | None = None,
        category: str = "",
    ) -> None:
        """Add one event; `ns` is not negative."""
        event = _number(9, kind) + _number(11, track)
        if name:
            event += _number(10, self.name(name))
        if category:
            event += _number(3, self.category(category))
        for field_name, value in (fields or {}).items():
            text = _text(6, value) if isinstance(value, str) else _number(4, value)
            event += _message(4, _number(1, self.field(field_name)) + text)
        for number, flow_ids in ((47, flows), (48, ends_flows)):
            for flow in flow_ids:
                event += key(number, FIXED64) + flow.to_bytes(8, "little")
        if counter is not None:
            event += _number(30, counter)
        packet = _number(8, ns) + _number(10, _SEQUENCE) + _number(13, _NEEDS_STATE) + _message(11, event)
        whole = _message(1, packet)
        data = np.frombuffer(whole, np.uint8)
        self._waiting.append((np.array([order]), Column(data, np.array([0, len(whole)]))))

    def events(self, order: Ints, ns: Column, event: Iterable[Part]) -> None:
        """Add one event a row, from the parts of its TrackEvent."""
        self.packets(order, [*field(8, ns), key(13, VARINT), varint(_NEEDS_STATE), Message(11, list(event))])

    def packets(self, order: Ints, parts: Iterable[Part]) -> None:
        """Add one packet a row, from its parts."""
        whole = [Message(1, [key(10, VARINT), varint(_SEQUENCE), *parts])]
        self._waiting.append((order, encode(len(order), whole)))

    def flush(self) -> None:
        """Write what was added; whoever adds more must not go back behind it in time."""
        for packet in self._descriptors:
            self._stream.write(_message(1, packet))
        if self._new:
            interned = _number(10, _SEQUENCE) + _number(13, _NEEDS_STATE) + _message(12, b"".join(self._new))
            self._stream.write(_message(1, interned))
        self._descriptors.clear()
        self._new.clear()
        if self._waiting:
            self._stream.write(_sorted(self._waiting))
        self._waiting.clear()


def _sorted(parts: Sequence[tuple[Ints, Column]]) -> bytes:
    """All packets in their order; those of one place keep that in which they were added."""
    order = np.argsort(np.concatenate([numbers for numbers, _ in parts]), kind="stable")
    pieces: list[bytes] = []
    for _, column in parts:
        data, offset = column.data.tobytes(), column.offset.tolist()
        pieces += [data[begin:end] for begin, end in pairwise(offset)]
    return b"".join([pieces[at] for at in order.tolist()])


def interned_texts(packets: Packets, values: pa.Array) -> Ints | None:
    """The numbers of a column of texts, which are interned; None where that would not pay."""
    encoded = values.dictionary_encode()
    if len(encoded.dictionary) * 2 > max(len(values), 8):
        return None
    numbers = [packets.string(text or "") for text in encoded.dictionary.to_pylist()]
    if None in numbers:
        return None
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    found: Ints = np.array(numbers or [0], np.int64)[codes]
    return found


def _number(number: int, value: int) -> bytes:
    return key(number, VARINT) + varint(value)


def _message(number: int, content: bytes) -> bytes:
    return key(number, LENGTH) + varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode("utf-8", "replace"))
