"""Times of rules: `"50 ms"`, and times in messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from hotswap.errors import UsageError

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}
_TEXT = re.compile(r"\s*(?P<number>\d+(?:[_\d]*\d)?(?:\.\d+)?)\s*(?P<unit>[a-zµ]+)\s*")
_SCALES = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"))


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A length of time in nanoseconds."""

    ns: int

    @classmethod
    def of(cls, given: str | timedelta | Span) -> Span:
        """From `"50 ms"` (ns, us, ms, s, min) or a timedelta. UsageError for anything else, a number above all."""
        if isinstance(given, Span):
            return given
        if isinstance(given, timedelta):
            return cls(((given.days * 86_400 + given.seconds) * 1_000_000 + given.microseconds) * 1_000)
        found = _TEXT.fullmatch(given) if isinstance(given, str) else None
        if found is None or found["unit"] not in _UNITS:
            raise UsageError(f"{given!r} is no time; say it with a unit, like '50 ms' (units: ns, us, ms, s, min)")
        return cls(int(Decimal(found["number"].replace("_", "")) * _UNITS[found["unit"]]))

    def ticks(self, frequency: int) -> int:
        """So many whole ticks of a clock are not longer than this."""
        return self.ns * frequency // 1_000_000_000

    def __str__(self) -> str:
        size = abs(self.ns)
        for scale, unit in _SCALES:
            if size >= scale:
                digits = 2 if size < 10 * scale else 1 if size < 100 * scale else 0
                text = f"{self.ns / scale:,.{digits}f}"
                return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"
        return f"{self.ns} ns"


NO_TIME = Span(0)
