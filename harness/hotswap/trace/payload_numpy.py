"""Payloads to columns in numpy: the twin of the native decoder (native/decode.c), following the same plan.

A cursor stands in every payload, and all of them move over the fields together. Elements of arrays are taken in turns:
the first of every array, then the second of those that have one. Rows with far more elements than others are left to
the decoder that goes row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hotswap.trace.columns import (
    Payloads,
    Piece,
    arrow_data,
    arrow_lists,
    arrow_structs,
    arrow_type,
    arrow_values,
    decoded_piece,
    element_type,
    is_plain,
    joined,
)
from hotswap.trace.decode import MOST_AUTHORITIES, decode_payload, until_nul
from hotswap.trace.framing import gather, gather_words
from hotswap.trace.plan import Group, Leaf, Many, Op, Plan, Size, Text
from hotswap.trace.schema import MetadataError

Ints: TypeAlias = "NDArray[np.int64]"
Mask: TypeAlias = "NDArray[np.bool_]"
_ROWS = 1 << 16
"""As many are decoded at a time: what is gathered for them stays in the processor's caches."""
_FEW = 8
"""Where no more rows than this go on, after as many turns, they are read row by row."""
_LARGEST = np.iinfo(np.int64).max


def _word(code: str) -> np.dtype[np.void]:
    return np.dtype([("value", code)])


@dataclass
class _State:
    """Where the cursors are: one an instance, which is a row or, in an array, an element. Of those that have dropped
    out nothing is taken any more."""

    raw: NDArray[np.uint8]
    cursor: Ints
    end: Ints
    row: Ints
    slow: Mask
    """By row, of all: those to be read row by row."""
    whole: Mask
    registers: dict[int, Ints] = field(default_factory=dict)

    def subset(self, chosen: Ints) -> _State:
        """Some of the instances."""
        registers = {number: values[chosen] for number, values in self.registers.items()}
        cursor, end, row = self.cursor[chosen], self.end[chosen], self.row[chosen]
        return _State(self.raw, cursor, end, row, self.slow, self.whole[chosen], registers)

    @property
    def left(self) -> Ints:
        """Bytes that follow."""
        return self.end - self.cursor

    def take(self, size: Ints | int) -> tuple[Ints, Ints]:
        """Move over `size` bytes and return where they are and how many: none of what has not so many."""
        self.whole &= size <= self.left
        at, taken = self.cursor, np.where(self.whole, size, 0)
        self.cursor = at + taken
        return at, taken

    def records(self, dtype: np.dtype[np.void]) -> NDArray[np.void]:
        """A record from every instance; any from one that has dropped out."""
        at, _ = self.take(dtype.itemsize)
        if self.whole.all():
            return gather(self.raw, at, dtype)
        if not self.whole.any():
            return np.zeros(len(at), dtype)
        return gather(self.raw, np.where(self.whole, at, at[self.whole][0]), dtype)

    def number(self, code: str) -> Ints:
        """An unsigned number of this type."""
        return self.records(_word(code))["value"].astype(np.int64)

    def peek(self, ahead: int, code: str) -> Ints:
        """A number that may follow `ahead` bytes later; 0 where it does not."""
        dtype = np.dtype(code)
        there = self.whole & (ahead + dtype.itemsize <= self.left)
        found = np.zeros(len(self.cursor), np.int64)
        found[there] = gather(self.raw, self.cursor[there] + ahead, _word(code))["value"]
        return found


def decode_in_numpy(raw: NDArray[np.uint8], offset: Ints, length: Ints, plan: Plan) -> Payloads:
    """Decode the payloads at `offset` with `length` bytes, all inside of `raw`."""
    wholes: list[Mask] = []
    found: list[list[Piece]] = [[] for _ in plan.fields]
    for begin in range(0, max(len(offset), 1), _ROWS):
        rows = slice(begin, begin + _ROWS)
        whole, pieces = _decode(raw, offset[rows], length[rows], plan)
        wholes.append(whole)
        for parts, piece in zip(found, pieces, strict=True):
            parts.append(piece)
    columns = {name: joined(parts) for name, parts in zip(plan.names, found, strict=True)}
    return Payloads(np.concatenate(wholes), columns)


def _decode(raw: NDArray[np.uint8], offset: Ints, length: Ints, plan: Plan) -> tuple[Mask, list[Piece]]:
    count, cursor = len(offset), offset.astype(np.int64)
    slow, whole = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    state = _State(raw, cursor, cursor + length, np.arange(count), slow, whole)
    pieces = _Following(plan).fields(plan.fields, 0, state)
    whole = state.whole & ~slow
    if not whole.all():
        pieces = [piece[whole] if isinstance(piece, np.ndarray) else piece.filter(pa.array(whole)) for piece in pieces]
    return _with_slow(raw, offset, length, plan, whole, slow, pieces) if slow.any() else (whole, pieces)


def _with_slow(
    raw: NDArray[np.uint8], offset: Ints, length: Ints, plan: Plan, whole: Mask, slow: Mask, pieces: list[Piece]
) -> tuple[Mask, list[Piece]]:
    """Read the slow rows one by one, and put them where they belong."""
    rows, decoded = [], []
    for row in np.flatnonzero(slow).tolist():
        data = raw[offset[row] : offset[row] + length[row]].tobytes()
        try:
            decoded.append(decode_payload(plan.schema, data, plan.pointer_size))
        except MetadataError:
            continue
        rows.append(row)
    order = np.argsort(np.concatenate([np.flatnonzero(whole), np.array(rows, np.int64)]), kind="stable")
    both: list[Piece] = []
    for name, made, piece in zip(plan.names, plan.fields, pieces, strict=True):
        more = decoded_piece(made, [values[name] for values in decoded])
        if is_plain(made):
            both.append(np.concatenate([piece, more])[order])
        else:
            both.append(pa.concat_arrays([piece, more]).take(pa.array(order)))
    whole = whole.copy()
    whole[rows] = True
    return whole, both


class _Following:
    """Follows a plan. Each method gives one value, or one list, for each instance of the state."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._nodes = plan, plan.nodes

    def fields(self, fields: Sequence[Leaf | Group], at: int, state: _State) -> list[Piece]:
        """Fields whose first one has the node `at`."""
        found: list[Piece] = []
        while len(found) < len(fields):
            node, made = self._nodes[at], fields[len(found)]
            if node["run"]:
                values = self._run(at, int(node["run"]), state)
                found += values
                at += len(values)
                continue
            found.append(self._array(made, at, state) if node["many"] != Many.ONE else self._one(made, at, state))
            at = int(node["next"])
        return found

    def _run(self, at: int, size: int, state: _State) -> list[Piece]:
        """Neighbours of fixed size as one record."""
        parts: list[tuple[str, np.dtype[np.generic]]] = []
        while size:
            parts.append((str(at), self._stored(at)))
            size -= int(self._nodes["size"][at])
            at += 1
        records = state.records(np.dtype(parts))
        return [native(records[name]) for name, _ in parts]

    def _stored(self, at: int) -> np.dtype[np.generic]:
        """The type of a node's values as they lie in the payload."""
        node = self._nodes[at]
        dtype = self._plan.columns[int(node["column"])]
        assert isinstance(dtype, np.dtype)
        return dtype.newbyteorder(">") if node["swap"] else dtype

    def _one(self, made: Leaf | Group, at: int, state: _State) -> Piece:
        node = self._nodes[at]
        if node["op"] == Op.NEVER:
            state.whole[:] = False
            alone = made if node["many"] == Many.ONE else replace(made, list=-1)
            return _nothing(alone, len(state.cursor))
        if isinstance(made, Group):
            return arrow_structs(self.fields(made.members, at + 1, state), made.names, len(state.cursor))
        if node["op"] == Op.DATA:
            return _data(node, state, text=made.text)
        values = native(state.records(np.dtype([("value", self._stored(at))]))["value"])
        if node["to"] >= 0:
            small = np.minimum(values, _LARGEST) if values.dtype == np.uint64 else values
            state.registers[int(node["to"])] = small.astype(np.int64)
        return values

    def _array(self, made: Leaf | Group, at: int, state: _State) -> pa.Array:
        node = self._nodes[at]
        counts = self._counts(node, state)
        if node["op"] != Op.FIXED:
            return self._in_turns(made, at, counts, state)
        size = int(node["size"])
        state.whole &= counts <= state.left // size
        begin, taken = state.take(np.where(state.whole, counts, 0) * size)
        values, offsets = ragged(state.raw, begin, taken)
        return arrow_lists((offsets // size).astype(np.int32), native(values.view(self._stored(at))))

    @staticmethod
    def _counts(node: np.void, state: _State) -> Ints:
        many = int(node["many"])
        if many == Many.CONSTANT:
            return np.full(len(state.cursor), int(node["count"]), np.int64)
        if many == Many.PREFIXED:
            return state.number("<u2")
        if many == Many.COUNTED:
            counts = state.registers[int(node["count_from"])]
            state.whole &= counts >= 0
            return counts
        return state.left // int(node["size"]) if node["op"] == Op.FIXED else state.left

    def _in_turns(self, made: Leaf | Group, at: int, counts: Ints, state: _State) -> pa.Array:
        """Elements that differ in size, one of each array in a turn."""
        rest = bool(self._nodes["many"][at] == Many.REST)
        done, instances, turns = np.zeros(len(counts), np.int64), list[Ints](), list[pa.Array]()

        def more(of: Ints) -> Ints:
            there = state.whole[of] & (done[of] < counts[of])
            return of[there & (state.left[of] > 0)] if rest else of[there]

        live = more(np.arange(len(counts)))
        while len(live):
            if len(turns) >= _FEW >= len(live):
                state.slow[state.row[live]] = True
                state.whole[live] = False
                break
            element = state.subset(live)
            turns.append(arrow_values(self._one(made, at, element)))
            instances.append(live)
            # What reads nothing would go on like that.
            moved = element.cursor != state.cursor[live]
            state.cursor[live], state.whole[live] = element.cursor, element.whole
            done[live] += 1
            live = more(live[moved])
        order = np.argsort(np.concatenate([np.zeros(0, np.int64), *instances]), kind="stable")
        values = pa.concat_arrays(turns).take(pa.array(order)) if turns else pa.array([], element_type(made))
        offsets = np.zeros(len(done) + 1, np.int32)
        np.cumsum(done, out=offsets[1:])
        return arrow_lists(offsets, values)


def _nothing(made: Leaf | Group, count: int) -> Piece:
    """In the place of values that are not there, since none of the instances is whole."""
    if isinstance(made, Leaf) and made.dtype is not None and is_plain(made):
        return np.zeros(count, made.dtype)
    return pa.nulls(count, arrow_type(made))


def native(column: NDArray[np.generic]) -> NDArray[np.generic]:
    """The values contiguous, and numbers in this computer's byte order."""
    return np.ascontiguousarray(column, column.dtype.newbyteorder("="))


def _data(node: np.void, state: _State, *, text: bool) -> pa.Array:
    """A text or binary data."""
    at, size = _SIZES[Size(int(node["how"]))](node, state)
    if text:
        return _texts(state, at, size, Text(int(node["text"])), ends_at_nul=bool(node["ends_at_nul"]))
    values, begins = ragged(state.raw, at, size)
    return arrow_data(begins.astype(np.int32), values, text=False)


_Place: TypeAlias = "tuple[Ints, Ints]"


def _to_nul(node: np.void, state: _State) -> _Place:
    """What stands before a NUL; the cursor goes behind it."""
    width = int(node["width"])
    end = _find_nul(state, width)
    state.whole &= end >= 0
    place = state.take(np.where(state.whole, end - state.cursor, 0))
    state.take(width)
    return place


def _find_nul(state: _State, width: int) -> Ints:
    """Where the first NUL at or after each cursor is, in whole units from there; -1 where there is none."""
    found = np.full(len(state.cursor), -1, np.int64)
    live = np.flatnonzero(state.whole & (state.left >= width))
    at, end = state.cursor[live], state.end[live]
    ones, tops = _UNITS[width]
    while len(live):
        words = padded_words(state.raw, at)
        # Below the first unit of 0 nothing borrows, so the lowest bit that is left is that unit's.
        zero = (words - ones) & ~words & tops
        hit = np.flatnonzero(zero)
        if len(hit):
            lowest = zero[hit] & -zero[hit].view(np.int64).view(np.uint64)
            place = at[hit] + np.log2(lowest.astype(np.float64)).astype(np.int64) // 8 // width * width
            there = place + width <= end[hit]
            found[live[hit[there]]] = place[there]
        at = at + 8
        more = (zero == 0) & (at + width <= end)
        live, at, end = live[more], at[more], end[more]
    return found


def _length(node: np.void, state: _State) -> _Place:
    return state.take(int(node["size"]) * int(node["width"]))


def _length_from(node: np.void, state: _State) -> _Place:
    units = state.registers[int(node["length_from"])]
    state.whole &= (units >= 0) & (units <= state.left)
    return state.take(np.where(state.whole, units, 0) * int(node["width"]))


def _sid(_: np.void, state: _State) -> _Place:
    """8 bytes, and 4 for each of the sub-authorities that byte 1 counts."""
    at, _taken = state.take(8)
    count = np.zeros(len(at), np.int64)
    count[state.whole] = state.raw[at[state.whole] + 1]
    state.take(4 * count)
    return at, np.where(state.whole, 8 + 4 * count, 0)


def _wbem_sid(node: np.void, state: _State) -> _Place:
    """The SID behind two pointers; a 32-bit 0 alone stands for none, unless there is one nevertheless."""
    pointers = int(node["size"])
    state.whole &= state.left >= 4
    follows = state.left >= pointers + 8
    head, middle = state.peek(pointers, "<u2"), state.peek(pointers + 2, "<u4")
    authorities = head >> 8
    looks = (head & 0xFF == 1) & (authorities > 0) & (authorities <= MOST_AUTHORITIES) & (middle == 0)
    none = state.whole & (state.peek(0, "<u4") == 0) & ~(follows & looks)
    state.take(np.where(none, 4, pointers))
    # Where there is none, nothing more is taken.
    there = np.flatnonzero(~none)
    one = state.subset(there)
    at, size = state.cursor.copy(), np.zeros(len(state.cursor), np.int64)
    at[there], size[there] = _sid(node, one)
    state.cursor[there], state.whole[there] = one.cursor, one.whole
    return at, size


_SIZES: dict[Size, Callable[[np.void, _State], _Place]] = {
    Size.TO_NUL: _to_nul,
    Size.PREFIX16: lambda _, state: state.take(state.number("<u2")),
    Size.PREFIX16_BIG: lambda _, state: state.take(state.number(">u2")),
    Size.PREFIX32: lambda _, state: state.take(state.number("<u4")),
    Size.LENGTH: _length,
    Size.LENGTH_FROM: _length_from,
    Size.ALL_LEFT: lambda _, state: state.take(state.left),
    Size.SID: _sid,
    Size.WBEM_SID: _wbem_sid,
}


def padded_words(raw: NDArray[np.uint8], at: Ints) -> NDArray[np.uint64]:
    """The word at each place; behind the end of `raw` there are zeros."""
    inside = len(raw) - 8
    if inside >= 0 and int(at.max(initial=0)) <= inside:
        return gather_words(raw, at, 1)[:, 0]
    tail = np.zeros(16, np.uint8)
    rest = raw[max(inside, 0) :]
    tail[: len(rest)] = rest
    words = np.zeros(len(at), np.uint64)
    early = at <= inside
    words[early] = gather_words(raw, at[early], 1)[:, 0]
    words[~early] = gather_words(tail, np.minimum(at[~early] - max(inside, 0), 8), 1)[:, 0]
    return words


@dataclass(frozen=True, slots=True)
class _Words:
    """The bytes of rows as words, each row from a word of its own on. `valid` says how many of a word's bytes are the
    row's; the others are zeros."""

    words: NDArray[np.uint64]
    valid: Ints
    row: Ints


def _words_of(raw: NDArray[np.uint8], at: Ints, size: Ints) -> _Words:
    count = (size + 7) >> 3
    row = np.repeat(np.arange(len(size)), count)
    step = 8 * (np.arange(len(row)) - (np.cumsum(count) - count)[row])
    words, valid = padded_words(raw, at[row] + step), np.minimum(size[row] - step, 8)
    partial = np.flatnonzero(valid < 8)
    words[partial] &= (np.uint64(1) << (8 * valid[partial]).astype(np.uint64)) - np.uint64(1)
    return _Words(words, valid, row)


def _kept(words: NDArray[np.uint64] | NDArray[np.uint32], valid: Ints) -> NDArray[np.uint8]:
    """The first `valid` bytes of each word."""
    data = words.view(np.uint8)
    full = words.dtype.itemsize
    if (valid == full).all():
        return data
    return data[_FIRST[full][valid].view(np.bool_)]


def ragged(raw: NDArray[np.uint8], at: Ints, size: Ints) -> tuple[NDArray[np.uint8], Ints]:
    """The bytes of all rows one after the other, and where each begins, with the end of the last."""
    begins = np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
    found = _words_of(raw, at, size)
    return _kept(found.words, found.valid), begins


def _texts(state: _State, at: Ints, size: Ints, kind: Text, *, ends_at_nul: bool) -> pa.Array:
    """Texts in UTF-8: those that are ASCII throughout all at once, the others one by one."""
    width = 2 if kind == Text.WIDE else 1
    found = _words_of(state.raw, at, size)
    words, valid = found.words, found.valid
    ones, tops = _UNITS[width]
    odd = words & _NOT_ASCII[width] != 0
    if ends_at_nul:
        # Zeros that are none of the text's are no NUL.
        filled = words | ~_BYTES[valid]
        odd |= (filled - ones) & ~filled & tops != 0
    slow = size % width != 0
    if odd.any():
        slow[found.row[odd]] = True
    kept = np.where(slow, 0, size // width)
    if slow.any():
        chosen = ~slow[found.row]
        words, valid = words[chosen], valid[chosen]
    if width == 2:
        words = words | words >> np.uint64(8)
        packed = (words & np.uint64(0xFFFF)) | (words >> np.uint64(16) & np.uint64(0xFFFF0000))
        data = _kept(packed.astype(np.uint32), valid >> 1)
    else:
        data = _kept(words, valid)
    offsets = np.zeros(len(size) + 1, np.int32)
    np.cumsum(kept, out=offsets[1:])
    fast = arrow_data(offsets, data, text=True)
    if not slow.any():
        return fast
    rows = np.flatnonzero(slow)
    parts = []
    for begin, length in zip(at[rows].tolist(), size[rows].tolist(), strict=True):
        part = state.raw[begin : begin + length].tobytes()
        parts.append((until_nul(part, width) if ends_at_nul else part).decode(_CODECS[kind], "replace"))
    index = np.arange(len(size))
    index[rows] = len(size) + np.arange(len(rows))
    return pa.concat_arrays([fast, pa.array(parts, pa.string())]).take(pa.array(index))


_UNITS = {
    1: (np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)),
    2: (np.uint64(0x0001000100010001), np.uint64(0x8000800080008000)),
}
"""By width: a word of units of 1, and the highest bit of each unit."""
_NOT_ASCII = {1: np.uint64(0x8080808080808080), 2: np.uint64(0xFF80FF80FF80FF80)}
_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
"""The first bytes of a word, by their number."""
_FIRST: dict[int, NDArray[np.unsignedinteger]] = {
    8: np.array([0x0101010101010101 & ((1 << 8 * count) - 1) for count in range(9)], np.uint64),
    4: np.array([0x01010101 & ((1 << 8 * count) - 1) for count in range(5)], np.uint32),
}
"""The same as truth values."""
_CODECS = {Text.WIDE: "utf-16-le", Text.ANSI: "cp1252", Text.UTF8: "utf-8"}
