"""The plan by which the native decoder follows payloads of one layout, and how its columns become numpy and Arrow.

A plan is a list of nodes, one a field, in the order of the payload; members of a struct follow it (native/decode.c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.schema import (
    COUNTED,
    NARROW,
    WIDE,
    EventSchema,
    Field,
    InType,
    Shape,
    is_sized,
    is_utf8,
    scalar_dtype,
    unique_names,
)

MOST_DEPTH = 38
"""Structs in structs; native/decode.c goes a little deeper."""

NODE_DTYPE = np.dtype(
    [
        ("op", "u1"), ("many", "u1"), ("how", "u1"), ("text", "u1"), ("width", "u1"), ("ends_at_nul", "u1"),
        ("swap", "u1"), ("signed", "u1"), ("size", "<u4"), ("count", "<u4"), ("count_from", "<i4"),
        ("length_from", "<i4"), ("to", "<i4"), ("next", "<u4"), ("list", "<i4"), ("column", "<i4"), ("run", "<u4"),
        ("reserved", "<u4"),
    ]
)  # fmt: skip
"""HS_NODE."""
COLUMN_DTYPE = np.dtype([("values", "<u8"), ("offsets", "<u8"), ("count", "<u8"), ("bytes", "<u8")])
"""HS_COLUMN."""


class Op(IntEnum):
    """HS_OP."""

    FIXED = 0
    DATA = 1
    STRUCT = 2
    NEVER = 3


class Many(IntEnum):
    """HS_MANY."""

    ONE = 0
    CONSTANT = 1
    PREFIXED = 2
    COUNTED = 3
    REST = 4


class Size(IntEnum):
    """HS_SIZE."""

    TO_NUL = 0
    PREFIX16 = 1
    PREFIX16_BIG = 2
    PREFIX32 = 3
    LENGTH = 4
    LENGTH_FROM = 5
    ALL_LEFT = 6
    SID = 7
    WBEM_SID = 8


class Text(IntEnum):
    """HS_TEXT."""

    BYTES = 0
    WIDE = 1
    ANSI = 2
    UTF8 = 3


@dataclass(frozen=True)
class Leaf:
    """A field whose values are in one column: numbers or records of a numpy type, or texts, or bytes."""

    column: int
    list: int
    dtype: np.dtype[np.generic] | None
    """None: texts or bytes."""
    text: bool


@dataclass(frozen=True)
class Group:
    """A struct; its values are those of its members."""

    list: int
    names: tuple[str, ...]
    members: tuple[Leaf | Group, ...]


@dataclass(frozen=True)
class Plan:
    """For the payloads of one layout and one size of pointers."""

    schema: EventSchema
    pointer_size: int
    nodes: NDArray[np.void]
    names: tuple[str, ...]
    fields: tuple[Leaf | Group, ...]
    columns: tuple[np.dtype[np.generic] | str | None, ...]
    """Of each column the numpy type of its values, `data` for texts and bytes, None for the offsets of a list."""
    registers: int
    too_deep: bool = False
    """Structs are nested deeper than a plan goes: it says names and types only."""


@lru_cache(maxsize=1024)
def plan_of(schema: EventSchema, pointer_size: int) -> Plan:
    """The plan for payloads of a layout by a writer with pointers of this size."""
    making = _Making(pointer_size)
    fields = making.fields(schema.fields, (), 0)
    nodes = np.zeros(len(making.nodes), NODE_DTYPE)
    for at, node in enumerate(making.nodes):
        for name, value in node.items():
            nodes[name][at] = value
    _mark_runs(nodes)
    names, columns = tuple(unique_names(schema.fields)), tuple(making.columns)
    return Plan(schema, pointer_size, nodes, names, fields, columns, making.registers, making.too_deep)


@dataclass
class _Making:
    pointer_size: int
    nodes: list[dict[str, int]] = field(default_factory=list)
    columns: list[np.dtype[np.generic] | str | None] = field(default_factory=list)
    registers: int = 0
    too_deep: bool = False

    def fields(
        self, fields: Sequence[Field], around: tuple[Mapping[str, int], ...], depth: int
    ) -> tuple[Leaf | Group, ...]:
        """Add fields; `around` says of each struct around which of its numbers are in which node."""
        self.too_deep |= depth > MOST_DEPTH
        known: dict[str, int] = {}
        found = []
        for name, item in zip(unique_names(fields), fields, strict=True):
            known[name] = len(self.nodes)
            found.append(self._field(item, (*around, known), name, depth))
        return tuple(found)

    def _field(self, item: Field, scopes: tuple[Mapping[str, int], ...], name: str, depth: int) -> Leaf | Group:
        code = scalar_dtype(item, self.pointer_size)
        node = {
            "op": Op.DATA,
            "many": Many.ONE,
            "count_from": -1,
            "length_from": -1,
            "to": -1,
            "list": -1,
            "column": -1,
        }
        self.nodes.append(node)
        inner = {**scopes[-1]}
        inner.pop(name)
        scopes = (*scopes[:-1], inner)
        if item.shape == Shape.CUSTOM:
            node |= {"how": Size.PREFIX16, "column": self._column("data")}
            leaf: Leaf | Group = Leaf(node["column"], -1, None, False)
        else:
            self._many(node, item, scopes)
            if item.in_type == InType.STRUCT:
                node["op"] = Op.STRUCT if node["op"] != Op.NEVER else Op.NEVER
                members = self.fields(item.fields, scopes, depth + 1)
                leaf = Group(node["list"], tuple(unique_names(item.fields)), members)
            elif code is not None:
                dtype: np.dtype[np.generic] = np.dtype(code)
                native = dtype.newbyteorder("<")
                if node["op"] != Op.NEVER:
                    node["op"] = Op.FIXED
                node |= {"size": dtype.itemsize, "swap": dtype != native, "signed": dtype.kind == "i"}
                node["column"] = self._column(native)
                leaf = Leaf(node["column"], node["list"], native, False)
            else:
                leaf = self._data(node, item, scopes)
        node["next"] = len(self.nodes)
        return leaf

    def _column(self, kind: np.dtype[np.generic] | str | None) -> int:
        self.columns.append(kind)
        return len(self.columns) - 1

    def _many(self, node: dict[str, int], item: Field, scopes: tuple[Mapping[str, int], ...]) -> None:
        if item.shape == Shape.SCALAR:
            return
        node["list"] = self._column(None)
        node["many"] = {
            Shape.CONSTANT: Many.CONSTANT,
            Shape.VARIABLE: Many.PREFIXED,
            Shape.COUNTED: Many.COUNTED,
            Shape.REST: Many.REST,
        }[item.shape]
        if item.shape == Shape.CONSTANT:
            node["count"] = item.count
        elif item.shape == Shape.COUNTED:
            node["count_from"] = self._register(item.count_from, scopes)
            if node["count_from"] < 0:
                # The count is looked for before anything else: no row gets here.
                node |= {"op": Op.NEVER, "many": Many.ONE}

    def _data(self, node: dict[str, int], item: Field, scopes: tuple[Mapping[str, int], ...]) -> Leaf:
        kind, wide = item.in_type, item.in_type in WIDE
        text = Text.BYTES
        if wide:
            text = Text.WIDE
        elif kind in NARROW:
            text = Text.UTF8 if is_utf8(item.out_type) else Text.ANSI
        node |= {"text": text, "width": 2 if wide else 1, "column": self._column("data")}
        if is_sized(item):
            node |= {"how": Size.LENGTH, "size": item.length or 0, "ends_at_nul": kind != InType.BINARY}
            if item.length_from:
                node |= {"how": Size.LENGTH_FROM, "length_from": self._register(item.length_from, scopes)}
                if node["length_from"] < 0:
                    node["op"] = Op.NEVER
        elif kind in COUNTED:
            node["how"] = Size.PREFIX16
        elif kind in (InType.REVERSEDCOUNTEDSTRING, InType.REVERSEDCOUNTEDANSISTRING):
            node["how"] = Size.PREFIX16_BIG
        elif kind == InType.HEXDUMP:
            node["how"] = Size.PREFIX32
        elif kind in (InType.NONNULLTERMINATEDSTRING, InType.NONNULLTERMINATEDANSISTRING):
            node |= {"how": Size.ALL_LEFT, "ends_at_nul": 1}
        elif kind == InType.SID:
            node["how"] = Size.SID
        elif kind == InType.WBEMSID:
            node |= {"how": Size.WBEM_SID, "size": 2 * self.pointer_size}
        else:
            node["how"] = Size.TO_NUL
        return Leaf(node["column"], node["list"], None, text != Text.BYTES)

    def _register(self, name: str, scopes: tuple[Mapping[str, int], ...]) -> int:
        """The register with the value of the innermost field of this name before; -1: there is none, or no number."""
        for scope in reversed(scopes):
            if name in scope:
                node = self.nodes[scope[name]]
                dtype = self.columns[node["column"]] if node["op"] == Op.FIXED else None
                if node["many"] != Many.ONE or not isinstance(dtype, np.dtype) or dtype.kind not in "iu":
                    return -1
                if node["to"] < 0:
                    node["to"] = self.registers
                    self.registers += 1
                return node["to"]
        return -1


def _mark_runs(nodes: NDArray[np.void]) -> None:
    """Neighbours of fixed size are checked at once. They are no neighbours where a struct ends between them."""
    plain = (nodes["op"] == Op.FIXED) & (nodes["many"] == Many.ONE) & (nodes["to"] < 0)
    ends = set(nodes["next"][nodes["op"] == Op.STRUCT].tolist())
    begin = -1
    for at in range(len(nodes)):
        if not plain[at]:
            begin = -1
            continue
        if begin < 0 or at in ends:
            begin = at
        nodes["run"][begin] += nodes["size"][at]
