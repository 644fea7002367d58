"""Structures of the contract as flat lists of scalars, for writing many requests fast."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hotswap.driver.ioctl import Field, Structure

_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number of a structure: `attribute` of the outermost field, offset and size in bytes."""

    attribute: str
    offset: int
    size: int
    reserved: bool
    enum: tuple[int, ...] = ()


class Layout:
    """One structure. `groups`: its scalars by outermost field; `zero`: bytes of no field, zero in an output."""

    def __init__(self, structure: Structure | None) -> None:
        self.size = structure.size if structure else 0
        self.scalars = tuple(_scalars(structure, 0, None)) if structure else ()
        self.first: dict[str, Scalar] = {}
        for scalar in self.scalars:
            self.first.setdefault(scalar.attribute, scalar)
        self.groups = tuple(tuple(scalar for scalar in self.scalars if scalar.attribute == name) for name in self.first)
        covered = {at for s in self.scalars if not s.reserved for at in range(s.offset, s.offset + s.size)}
        self.zero = tuple(at for at in range(self.size) if at not in covered)

    def build(self, values: Mapping[str, int]) -> bytearray:
        """A request whose named fields have these values (arrays: their first element), and zeroes elsewhere."""
        data = bytearray(self.size)
        for name, value in values.items():
            self.put(data, self.first[name], value)
        return data

    @staticmethod
    def put(data: bytearray, scalar: Scalar, value: int) -> None:
        """Write one number, cut to its size."""
        struct.pack_into(f"<{_FORMATS[scalar.size]}", data, scalar.offset, value & ((1 << 8 * scalar.size) - 1))

    def get(self, data: bytes | bytearray, name: str) -> int:
        """Read a field, unsigned."""
        scalar = self.first[name]
        return int.from_bytes(data[scalar.offset : scalar.offset + scalar.size], "little")


def _scalars(structure: Structure, base: int, outer: Field | None) -> Iterator[Scalar]:
    for field in structure.fields:
        top = outer or field
        for index in range(field.count or 1):
            at = base + field.offset + index * field.size
            if field.struct is not None:
                yield from _scalars(field.struct, at, top)
            else:
                members = tuple(int(member) for member in field.enum) if field.enum else ()
                yield Scalar(top.attribute, at, field.size, field.reserved, members)
