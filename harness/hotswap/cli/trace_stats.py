"""`hotswap trace stats`: events counted, and the time from one event to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hotswap.cli.complete import choices
from hotswap.cli.output import JsonTarget, Terminal
from hotswap.cli.trace_select import (
    Chosen,
    Colour,
    File,
    JsonOption,
    Quiet,
    open_chosen,
    progress_of,
    say_what_is_missing,
    selects,
)
from hotswap.errors import UsageError
from hotswap.trace.printable import printable

if TYPE_CHECKING:
    from hotswap.trace.latency import Latencies, Spread

_BY = ("event", "provider", "cpu", "process", "thread")
_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))
_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@selects
def stats(
    file: File,
    chosen: Chosen,
    by: Annotated[
        str, typer.Option(metavar="WHAT", help=f"Count by {', '.join(_BY)}, or by a field.",
                          autocompletion=choices(*_BY)),
    ] = "event",
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Instead: how long it takes from each event A to the next event B."),
    ] = None,
    per: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="With --between: of the same field, or thread, process, cpu; also A,B.",
                     autocompletion=choices("thread", "process", "cpu")),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most this many lines, 0: all.", show_default=True)] = 100,
    json_: JsonOption = None,
    colour: Colour = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Count events: how many, how many a second, from when to when, and how many bytes of payload.

    Or measure the time between two events: each A and the next B of the same key that no earlier A took.

    \b
    hotswap trace stats trace.etl --by provider
    hotswap trace stats trace.etl --between SignalBegin IterationBegin --per Worker
    """
    if limit < 0:
        raise UsageError(f"--limit is {limit}; it must not be negative")
    if per and between is None:
        raise UsageError(f"--per {per[0]}: it goes with --between")
    target = JsonTarget(json_)
    progress = progress_of(quiet)
    with progress.live():
        source = open_chosen(file, chosen, progress)
        from hotswap.trace.latency import LatencyCollector
        from hotswap.trace.stats import EventCounter

        counter = EventCounter(by)
        collector = LatencyCollector(*between, per or ()) if between else None
        for table, rows in source.tables():
            if collector is None:
                counter.add(table, rows)
            else:
                collector.add(table, rows)
        counted = counter.counted()
        found = collector.result() if collector else None
    terminal = Terminal(colour=colour)
    if between is not None and found is not None:
        target.write({"schema": 1, "file": str(file), "between": between, "per": per or [], **_latency_json(found)})
        if not target.is_standard_output:
            _print_latencies(terminal, between, found, limit)
    else:
        target.write({"schema": 1, "file": str(file), "by": by, "rows": [item.to_json() for item in counted]})
        if not target.is_standard_output:
            head = f"{'events':>9} {'a second':>10} {'first s':>10} {'last s':>10} {'payload':>11}  {by}"
            lines = [[(head, "2")]]
            for item in counted[:limit] if limit else counted:
                numbers = f"{item.events:>9} {item.per_second:>10.1f} {item.first:>10.3f} {item.last:>10.3f}"
                lines.append([(f"{numbers} {item.payload_bytes:>11}  ", ""), (printable(item.key), "1")])
            terminal.write_lines([*lines, *_more(len(counted), limit)])
    say_what_is_missing(source.etl)


def _more(count: int, limit: int) -> list[list[tuple[str, str]]]:
    return [[(f"… and {count - limit} more; --limit 0 shows all", "2")]] if limit and count > limit else []


def _latency_json(found: Latencies) -> dict[str, object]:
    from hotswap.trace.latency import Spread

    return {
        "all": Spread.of(found.nanoseconds).to_json(),
        "without_second": found.without_second,
        "without_first": found.without_first,
        "histogram": [{"from_us": low / 1000, "to_us": high / 1000, "count": count}
                      for low, high, count in found.histogram()],
        "keys": [{"key": name, **spread.to_json()} for name, spread in found.by_key()] if found.keys.per else [],
    }  # fmt: skip


def _print_latencies(terminal: Terminal, between: tuple[str, str], found: Latencies, limit: int) -> None:
    from hotswap.trace.latency import Spread

    first, second = map(printable, between)
    per = f" per {', '.join(found.keys.per)}" if found.keys.per else ""
    lines = [[(f"from {first} to {second}{per}", "1")]]
    for count, what in ((found.without_second, f"{first} without a {second}"),
                        (found.without_first, f"{second} without a {first}")):  # fmt: skip
        if count:
            lines.append([(f"{count} {what}", "33")])
    lines += [[(_SPREAD_HEAD, "2")], [(_spread(Spread.of(found.nanoseconds)), "")], [("", "")]]
    bins = found.histogram()
    most = max(count for _, _, count in bins)
    for low, high, count in bins:
        lines.append([(f"{_time(low):>9} to {_time(high):>9} {count:>9} ", ""), (_bar(count / most), "36")])
    keys = found.by_key() if found.keys.per else []
    if 1 < len(keys) < len(found.nanoseconds):
        lines += [[("", "")], [(f"{_SPREAD_HEAD}  {', '.join(found.keys.per)}", "2")]]
        lines += [[(_spread(spread), ""), (f"  {printable(name)}", "1")] for name, spread in keys[: limit or None]]
        lines += _more(len(keys), limit)
    terminal.write_lines(lines)


_SPREAD_HEAD = f"{'pairs':>9} {'min':>9} {'p50':>9} {'p90':>9} {'p99':>9} {'max':>9} {'mean':>9}"


def _spread(spread: Spread) -> str:
    values = (spread.minimum, *spread.percentiles, spread.mean)
    return f"{spread.count:>9} " + " ".join(f"{_time(value):>9}" for value in values)


def _time(nanoseconds: float) -> str:
    """With three digits: 1.23 us, 45.6 ms, 789 ns."""
    scale, unit = next((item for item in _UNITS if nanoseconds >= item[0] * 0.9995), _UNITS[-1])
    value = nanoseconds / scale
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


def _bar(share: float) -> str:
    eighths = max(1, round(share * _BAR * 8)) if share else 0
    return _EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
