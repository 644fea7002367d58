"""What a field must be: a value, one of several, a comparison, a test on the whole column.

A condition is asked of a column at once. One that names a field of another event (`begin["Swap"]`) is asked of pairs.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.text import status_code

Mask: TypeAlias = NDArray[np.bool_]
Values: TypeAlias = NDArray[Any]


class Reference:
    """A value that other events of the trace have, not the rule: see `Ref` and `Latest`."""


Scalar: TypeAlias = int | float | str | bytes | UUID
Operand: TypeAlias = Scalar | Reference
Resolve: TypeAlias = Callable[[Reference], Values]
"""The values that a reference stands for, one for each value that is asked about."""

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = {"==": "", "!=": "not ", "<": "less than ", "<=": "at most ", ">": "more than ", ">=": "at least "}


class Condition:
    """A test of a field. `&` and `|` join two, `~` turns one round."""

    def test(self, values: Values, resolve: Resolve | None = None) -> Mask:
        """For each value, whether it holds. `resolve` is needed where `references` are."""
        raise NotImplementedError

    @property
    def references(self) -> tuple[Reference, ...]:
        """The fields of other events that it looks at."""
        return ()

    def __and__(self, other: Condition) -> Condition:
        return _Joined(self, other, all_of=True)

    def __or__(self, other: Condition) -> Condition:
        return _Joined(self, other, all_of=False)

    def __invert__(self) -> Condition:
        return _Not(self)


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """A comparison with a value, or with a field of another event."""

    operator: str
    operand: Operand

    @property
    def references(self) -> tuple[Reference, ...]:
        """The operand, where it is of another event."""
        return (self.operand,) if isinstance(self.operand, Reference) else ()

    def test(self, values: Values, resolve: Resolve | None = None) -> Mask:
        """For each value, whether it holds."""
        if isinstance(self.operand, Reference):
            if resolve is None:
                raise UsageError(f"{self.operand} is of another event, and no other is looked at here")
            return compare(values, self.operator, resolve(self.operand))
        return compare(values, self.operator, self.operand)

    def __str__(self) -> str:
        return f"{_WORDS[self.operator]}{value_name(self.operand)}"


@dataclass(frozen=True, slots=True)
class OneOf(Condition):
    """Any of these values, which may be a range."""

    values: Collection[Any]

    def test(self, values: Values, resolve: Resolve | None = None) -> Mask:
        """For each value, whether it holds."""
        del resolve
        if isinstance(self.values, range) and values.dtype.kind in "iu":
            wanted = self.values
            if not len(wanted):
                return np.zeros(len(values), np.bool_)
            low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
            inside = (values >= low) & (values <= high)
            if abs(wanted.step) > 1:
                inside[inside] = (values[inside].astype(object) - low) % abs(wanted.step) == 0
            return inside
        held = np.zeros(len(values), np.bool_)
        for value in self.values:
            held |= compare(values, "==", value)
        return held

    def __str__(self) -> str:
        if isinstance(self.values, range):
            return f"in {self.values.start}..{self.values.stop - 1}"
        return " or ".join(value_name(value) for value in self.values) or "nothing"


@dataclass(frozen=True, slots=True)
class Matches(Condition):
    """A text that fits a pattern with `*` and `?`, or a compiled regular expression (anywhere in the text)."""

    pattern: str | re.Pattern[str]

    def test(self, values: Values, resolve: Resolve | None = None) -> Mask:
        """For each value, whether it holds."""
        del resolve
        if isinstance(self.pattern, str):
            fits: Callable[[str], object] = re.compile(translate(self.pattern)).match
        else:
            fits = self.pattern.search
        known: dict[str, bool] = {}
        for value in values.tolist():
            if isinstance(value, str) and value not in known:
                known[value] = fits(value) is not None
        return np.array([known.get(value, False) if isinstance(value, str) else False for value in values], np.bool_)

    def __str__(self) -> str:
        return f"like {self.pattern if isinstance(self.pattern, str) else self.pattern.pattern}"


@dataclass(frozen=True, slots=True)
class HasBits(Condition):
    """All of these bits are set."""

    mask: int

    def test(self, values: Values, resolve: Resolve | None = None) -> Mask:
        """For each value, whether it holds."""
        del resolve
        if values.dtype.kind not in "iu":
            return np.zeros(len(values), np.bool_)
        wanted = np.uint64(self.mask & 0xFFFF_FFFF_FFFF_FFFF)
        return np.asarray(values.astype(np.uint64) & wanted == wanted, np.bool_)

    def __str__(self) -> str:
        return f"with bits 0x{self.mask:x}"


@dataclass(frozen=True, slots=True)
class Predicate(Condition):
    """A function from the whole column to one bool a value."""

    function: Callable[[Values], Any]

    def test(self, values: Values, resolve: Resolve | None = None) -> Mask:
        """For each value, whether it holds."""
        del resolve
        return as_mask(self.function(values), len(values), self.function)

    def __str__(self) -> str:
        return function_name(self.function)


@dataclass(frozen=True, slots=True)
class _Joined(Condition):
    first: Condition
    second: Condition
    all_of: bool

    @property
    def references(self) -> tuple[Reference, ...]:
        """Those of both."""
        return (*self.first.references, *self.second.references)

    def test(self, values: Values, resolve: Resolve | None = None) -> Mask:
        """For each value, whether it holds."""
        one, other = self.first.test(values, resolve), self.second.test(values, resolve)
        return one & other if self.all_of else one | other

    def __str__(self) -> str:
        return f"{self.first} {'and' if self.all_of else 'or'} {self.second}"


@dataclass(frozen=True, slots=True)
class _Not(Condition):
    inner: Condition

    @property
    def references(self) -> tuple[Reference, ...]:
        """Those of what is turned round."""
        return self.inner.references

    def test(self, values: Values, resolve: Resolve | None = None) -> Mask:
        """For each value, whether it holds."""
        return ~self.inner.test(values, resolve)

    def __str__(self) -> str:
        return f"not {self.inner}"


FieldCondition: TypeAlias = Operand | Condition | Collection[Scalar] | Callable[[Values], Any]
"""What may stand for a field: a value, several of them, or a condition."""


def ne(value: Operand) -> Condition:
    """Anything but this."""
    return Compare("!=", value)


def lt(value: Operand) -> Condition:
    """Less than this."""
    return Compare("<", value)


def le(value: Operand) -> Condition:
    """At most this."""
    return Compare("<=", value)


def gt(value: Operand) -> Condition:
    """More than this."""
    return Compare(">", value)


def ge(value: Operand) -> Condition:
    """At least this."""
    return Compare(">=", value)


def one_of(*values: int | float | str | bytes | UUID) -> Condition:
    """One of these."""
    return OneOf(values)


def none_of(*values: int | float | str | bytes | UUID) -> Condition:
    """None of these."""
    return ~OneOf(values)


def matches(pattern: str | re.Pattern[str]) -> Condition:
    """A text that fits a pattern with `*` and `?`, or in which a compiled regular expression is found."""
    return Matches(pattern)


def bits(mask: int) -> Condition:
    """A number in which all of these bits are set."""
    return HasBits(mask)


def that(function: Callable[[Values], Any]) -> Condition:
    """A test of one's own: from the whole column (a numpy array) to one bool a value."""
    return Predicate(function)


def condition_of(given: FieldCondition) -> Condition:
    """What was given for a field, as a condition."""
    if isinstance(given, Condition):
        return given
    if isinstance(given, (Reference, int, float, str, bytes, UUID)):
        return Compare("==", given)
    if isinstance(given, np.generic):
        return Compare("==", given.item())
    if isinstance(given, (range, set, frozenset, tuple, list)):
        return OneOf(given if isinstance(given, range) else _in_order(given))
    if callable(given):
        return Predicate(given)
    raise UsageError(f"{given!r} is nothing that a field can be compared with")


def compare(values: Values, how: str, operand: Any) -> Mask:
    """Compare a column with a value or with another column. What cannot be compared is not equal, nor less or more."""
    if isinstance(operand, UUID):
        operand = operand.bytes_le if values.dtype.kind == "V" else operand
    if isinstance(operand, str) and values.dtype.kind in "iu":
        operand = _status(operand, values.dtype)
    if values.dtype.kind == "V":
        return _compare_bytes(values, how, operand)
    if values.dtype.kind == "O" and how not in ("==", "!="):
        others = operand if isinstance(operand, np.ndarray) else [operand] * len(values)
        pairs = zip(values.tolist(), others, strict=True)
        return np.array([_ordered(one, other, how) for one, other in pairs], np.bool_)
    if values.dtype.kind in "iuf" and not isinstance(operand, (int, float, np.ndarray, np.integer, np.floating)):
        return np.full(len(values), how == "!=")
    if isinstance(operand, np.ndarray) and {values.dtype.kind, operand.dtype.kind} == {"i", "u"}:
        # numpy would compare them as floats, which do not hold 64 bits.
        return _compare_signs(values, how, operand)
    return np.asarray(_OPERATORS[how](values, operand), np.bool_)


def _compare_signs(values: Values, how: str, others: Values) -> Mask:
    unsigned = others if values.dtype.kind == "i" else values
    if int(unsigned.max(initial=0)) <= np.iinfo(np.int64).max:
        return np.asarray(_OPERATORS[how](values.astype(np.int64), others.astype(np.int64)), np.bool_)
    return np.asarray(_OPERATORS[how](values.astype(object), others.astype(object)), np.bool_)


def _compare_bytes(values: Values, how: str, operand: Any) -> Mask:
    if isinstance(operand, np.ndarray):
        same = np.asarray(values == operand, np.bool_)
    elif isinstance(operand, bytes) and len(operand) == values.dtype.itemsize:
        same = np.asarray(values == np.void(operand), np.bool_)
    else:
        same = np.zeros(len(values), np.bool_)
    return same if how == "==" else ~same if how == "!=" else np.zeros(len(values), np.bool_)


def _ordered(one: object, other: object, how: str) -> bool:
    try:
        return bool(_OPERATORS[how](one, other))
    except TypeError:
        return False


def as_mask(answer: object, count: int, function: Callable[..., object]) -> Mask:
    """What a user's function answered, checked: one bool a row."""
    mask = np.asarray(answer)
    if mask.shape != (count,) or mask.dtype.kind != "b":
        what = f"{mask.dtype} of shape {mask.shape}"
        raise UsageError(f"{function_name(function)} answered {what}, not one bool for each of {count} values")
    return mask


def function_name(function: Callable[..., object]) -> str:
    """What to call a user's function in a message."""
    name = getattr(function, "__name__", "a function")
    return "the condition given" if name == "<lambda>" else str(name)


def value_name(value: object) -> str:
    """A value in a message."""
    return str(value) if isinstance(value, str) else value.hex() if isinstance(value, bytes) else f"{value}"


def _status(name: str, dtype: np.dtype[Any]) -> int:
    code = status_code(name)
    if code is None:
        raise UsageError(f"{name!r} is compared with a number, and is no NTSTATUS known by this name")
    return code - (1 << 32) if dtype == np.int32 and code >= 1 << 31 else code


def _in_order(values: Iterable[Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(values)) if isinstance(values, (set, frozenset)) else tuple(values)
    except TypeError:
        return tuple(values)
