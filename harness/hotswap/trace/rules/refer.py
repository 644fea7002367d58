"""References from one event of a statement to a field of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hotswap.errors import UsageError
from hotswap.trace.rules.condition import Compare, Reference, Resolve, Values
from hotswap.trace.rules.pattern import Pattern, Ref


def own_references(pattern: Pattern, others: Sequence[Pattern | None], rule: str) -> None:
    """Raises UsageError when a pattern refers to events that the statement does not look at beside it."""
    for reference in pattern.references:
        if not isinstance(reference, Ref):
            raise UsageError(f"{pattern}: latest(...) can be asked in each(...).satisfies(...) only")
        if not any(reference.pattern is other for other in others):
            raise UsageError(f"{pattern} refers to {reference}; {rule}")
        if len(pattern.alternatives) > 1:
            raise UsageError(f"{pattern}: of several events, none can refer to another; make a rule for each")


def no_references(*patterns: Pattern) -> None:
    """Raises UsageError where conditions of these look at other events."""
    for pattern in patterns:
        own_references(pattern, (), "an event of this rule cannot refer to another")


def resolver(column: Callable[[str], Values]) -> Resolve:
    """From a function that gives a column of the other event by its name."""

    def resolve(reference: Reference) -> Values:
        assert isinstance(reference, Ref)
        return column(reference.field)

    return resolve


def equal_fields(pattern: Pattern) -> tuple[list[tuple[str, str]], bool]:
    """(field, field of the other event) that must be equal, and whether there are conditions of another kind."""
    equal: list[tuple[str, str]] = []
    others = False
    for one in pattern.alternatives:
        for name, condition in one.conditions:
            if isinstance(condition, Compare) and condition.operator == "==" and isinstance(condition.operand, Ref):
                equal.append((name, condition.operand.field))
            elif condition.references:
                others = True
    return equal, others


def referred_fields(pattern: Pattern) -> list[str]:
    """The fields of the other event that are looked at."""
    return [reference.field for reference in pattern.references if isinstance(reference, Ref)]
