"""The agent's protocol on this side: frames, payloads, and the constants that driver/agent/protocol.h states."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hotswap.errors import LabFault

_HEADER = "HSAGENT_FRAME_HEADER"
_FIELD_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_FIELD_NAMES = ("Magic", "HeaderCrc", "Length", "PayloadCrc", "Nonce", "Id", "Op", "Flags", "Reserved")


class AgentProtocolError(LabFault):
    """The two ends do not understand each other: another version, or damage on the way."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One request or reply."""

    op: int
    flags: int
    nonce: int
    id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class AgentContract:
    """The values of driver/agent/protocol.h, as the driver build wrote them to agent.json."""

    values: Mapping[str, int]
    header: struct.Struct
    magic: bytes
    frame_limit: int
    crc_start: int

    @classmethod
    def load(cls, path: Path) -> AgentContract:
        """Read agent.json."""
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise LabFault(
                f"reading the agent's protocol in {path}: {error}; remove that build and build again"
            ) from error

    @classmethod
    def of(cls, layout: Mapping[str, Any]) -> AgentContract:
        """From a layout: {"constants": {name: int}, "enums": {enum: {member: int}}, "structs": {name: {"fields"}}}."""
        try:
            values = dict(layout["constants"])
            for members in layout["enums"].values():
                values.update(members)
            header = _header_struct(layout["structs"][_HEADER]["fields"])
            return cls(
                values=values,
                header=header,
                magic=struct.pack("<I", values["HSAGENT_FRAME_MAGIC"]),
                frame_limit=values["HSAGENT_FRAME_LIMIT"],
                crc_start=values["HSAGENT_FRAME_CRC_START"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise AgentProtocolError(
                f"the layout of the agent's protocol lacks {error}; build the drivers again"
            ) from error

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    def name(self, prefix: str, value: int) -> str:
        """What is behind `prefix` in the name of this value; the number where there is none."""
        names = (name for name, known in self.values.items() if known == value and name.startswith(prefix))
        return next(names, str(value)).removeprefix(prefix)


def _header_struct(fields: list[dict[str, Any]]) -> struct.Struct:
    """The frame header's layout; it must be the one that this module packs."""
    end = 0
    layout = "<"
    for item in sorted(fields, key=lambda item: int(item["offset"])):
        if item["offset"] != end:
            raise AgentProtocolError(f"the agent's frame header has a hole before {item['name']}")
        layout += _FIELD_FORMATS[item["size"]]
        end += item["size"]
    names = tuple(item["name"] for item in fields)
    if names != _FIELD_NAMES:
        raise AgentProtocolError(f"the agent's frame header has other fields: {', '.join(names)}")
    return struct.Struct(layout)


def encode_frame(contract: AgentContract, frame: Frame) -> bytes:
    """The bytes of a frame. Raises AgentProtocolError when the payload is over the limit."""
    if len(frame.payload) > contract.frame_limit:
        raise AgentProtocolError(
            f"a {contract.name('HsAgentOp', frame.op)} request of {len(frame.payload)} bytes is over the "
            f"protocol's limit of {contract.frame_limit}: cut it into several"
        )
    crc = zlib.crc32(frame.payload)
    rest = (len(frame.payload), crc, frame.nonce, frame.id, frame.op, frame.flags, 0)
    magic = contract["HSAGENT_FRAME_MAGIC"]
    header_crc = zlib.crc32(contract.header.pack(magic, 0, *rest)[contract.crc_start :])
    return contract.header.pack(magic, header_crc, *rest) + frame.payload


@dataclass(slots=True)
class FrameDecoder:
    """Finds the frames in a stream of bytes and steps over everything else.

    `skipped` counts bytes that belong to no sound frame, `damaged` frames with a sound header and a bad payload.
    """

    contract: AgentContract
    skipped: int = 0
    damaged: int = 0
    _held: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take more of the stream; yields the frames that are complete now."""
        self._held += data
        at = 0
        try:
            while True:
                start = self._find_magic(at)
                self.skipped += start - at
                at = start
                size = self.contract.header.size
                if len(self._held) - at < size:
                    return
                header = bytes(self._held[at : at + size])
                _, header_crc, length, crc, nonce, request, op, flags, _ = self.contract.header.unpack(header)
                if zlib.crc32(header[self.contract.crc_start :]) != header_crc or length > self.contract.frame_limit:
                    at += 1
                    self.skipped += 1
                    continue
                if len(self._held) - at - size < length:
                    return
                payload = bytes(self._held[at + size : at + size + length])
                if zlib.crc32(payload) != crc:
                    self.damaged += 1
                    self.skipped += size
                    at += size
                    continue
                at += size + length
                yield Frame(op, flags, nonce, request, payload)
        finally:
            del self._held[:at]

    def _find_magic(self, at: int) -> int:
        """Where the magic starts, or where it may still start at the end of what is held."""
        magic = self.contract.magic
        start = self._held.find(magic, at)
        if start >= 0:
            return start
        for cut in range(len(magic) - 1, 0, -1):
            if len(self._held) - at >= cut and self._held.endswith(magic[:cut]):
                return len(self._held) - cut
        return len(self._held)


class PayloadWriter:
    """Builds a request's payload: numbers, texts and bytes without padding, as protocol.h lays them out."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u32(self, *values: int) -> PayloadWriter:
        """Unsigned 32-bit numbers."""
        self._parts.append(struct.pack(f"<{len(values)}I", *values))
        return self

    def u64(self, *values: int) -> PayloadWriter:
        """Unsigned 64-bit numbers."""
        self._parts.append(struct.pack(f"<{len(values)}Q", *values))
        return self

    def data(self, value: bytes) -> PayloadWriter:
        """Opaque bytes, with their length."""
        self._parts += (struct.pack("<I", len(value)), value)
        return self

    def text(self, *values: str) -> PayloadWriter:
        """Texts, UTF-8, with their length."""
        for value in values:
            self.data(value.encode())
        return self

    def finish(self) -> bytes:
        """The payload."""
        return b"".join(self._parts)


class PayloadReader:
    """Takes a reply's payload apart. Raises AgentProtocolError when it is too short, or too long at `finish`."""

    def __init__(self, payload: bytes, what: str) -> None:
        self._payload = payload
        self._at = 0
        self._what = what

    def _take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._payload):
            raise AgentProtocolError(f"the reply to {self._what} is too short: {len(self._payload)} bytes")
        return self._payload[start : self._at]

    def u32(self) -> int:
        """An unsigned 32-bit number."""
        return int.from_bytes(self._take(4), "little")

    def u64(self) -> int:
        """An unsigned 64-bit number."""
        return int.from_bytes(self._take(8), "little")

    def data(self) -> bytes:
        """Opaque bytes."""
        return self._take(self.u32())

    def text(self) -> str:
        """A text; what is not UTF-8 shows as replacement characters."""
        return self.data().decode(errors="replace")

    def finish(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._payload):
            raise AgentProtocolError(
                f"the reply to {self._what} has {len(self._payload) - self._at} bytes more than this protocol version "
                "knows; harness and agent are from different builds"
            )
