"""Figures for people: durations with three digits, counts with thin blanks between thousands."""

from __future__ import annotations

_UNITS = ((1_000_000.0, "s"), (1_000.0, "ms"), (1.0, "µs"), (0.001, "ns"))
DASH = "\u2013"
"""Where there is no figure."""
THIN = "\u2009"
"""Thin space, between thousands and before units: it stays on the line in the page's styles."""


def count(value: int) -> str:
    """1234567 as `1 234 567`, with thin spaces."""
    return f"{value:,}".replace(",", THIN)


def duration(microseconds: float | None, *, short: bool = False) -> str:
    """Three significant digits with a unit: `21.4 ms`; `short` without zeros at the end. A dash where there is none."""
    if microseconds is None:
        return DASH
    if microseconds == 0:
        return f"0{THIN}µs"
    sign, value = ("-" if microseconds < 0 else ""), abs(microseconds)
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if value >= scale * 0.9995), _UNITS[-1])
    return f"{sign}{_three_digits(value / scale, short)}{THIN}{unit}"


def seconds(value: float) -> str:
    """Seconds as a duration."""
    return duration(value * 1e6)


def _three_digits(value: float, short: bool) -> str:
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if short and "." in text else text
