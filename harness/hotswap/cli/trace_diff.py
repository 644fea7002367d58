"""`hotswap trace diff`: in what two traces differ, by what their events mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotswap.cli.complete import choices
from hotswap.cli.output import Exit, JsonTarget, Terminal
from hotswap.cli.trace_select import Chosen, Colour, JsonOption, Quiet, progress_of, say_what_is_missing, selects
from hotswap.errors import UsageError
from hotswap.trace.printable import printable

if TYPE_CHECKING:
    from hotswap.trace.diff.compare import Comparison
    from hotswap.trace.diff.meaning import Side
    from hotswap.trace.select import Selection
    from hotswap.trace.table import EventTable

_WITH = ("time", "ids", "addresses", "cpu")
_STYLES = {"-": "red", "+": "cyan", "~": "yellow", "?": "dim"}
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

First = Annotated[Path, typer.Argument(metavar="A", help="An .etl.", show_default=False)]
Second = Annotated[Path, typer.Argument(metavar="B", help="The .etl to compare with it.", show_default=False)]


@selects
def diff(
    a: First,
    b: Second,
    chosen: Chosen,
    per: Annotated[
        str,
        typer.Option(
            metavar="FIELD", help="Compare in lanes by this field, or by thread, process, cpu; none: in one order.",
            autocompletion=choices("thread", "process", "cpu", "none"),
        ),
    ] = "thread",
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="WHAT", help=f"Compare these, too: {', '.join(_WITH)}.",
                     autocompletion=choices(*_WITH)),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="With time: how much may differ, as 500us, 2ms, 1s.", show_default="1ms"),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Do not compare this field; also Event.Field.")
    ] = None,
    context: Annotated[int, typer.Option("--context", "-C", help="Events before and after.", show_default=True)] = 3,
    limit: Annotated[int, typer.Option(help="At most this many differences, 0: all.", show_default=True)] = 3,
    json_: JsonOption = None,
    colour: Colour = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Compare two traces by what happened, not by when and where. Exit code 0: equal, 1: different.

    Events are the same when their kind and their fields are; times, process and thread ids and addresses are left out
    unless asked for. They are compared thread by thread: threads of both traces that did the same belong together.

    \b
    hotswap trace diff good.etl bad.etl --per Worker
    hotswap trace diff a.etl b.etl -e 'Swap*' --with time --tolerance 2ms --ignore HeldCalls
    """
    for name, value in (("--context", context), ("--limit", limit)):
        if value < 0:
            raise UsageError(f"{name} is {value}; it must not be negative")
    included = _included(with_ or ())
    allowed = _tolerance(tolerance, timed="time" in included)
    target = JsonTarget(json_)
    progress = progress_of(quiet)
    with progress.live():
        progress(f"reading {a.name}")
        from hotswap.trace.diff.compare import compare
        from hotswap.trace.diff.meaning import Fickle, Meaning
        from hotswap.trace.diff.show import comparison_json
        from hotswap.trace.etl import read_etl

        selection = chosen.selection()
        schemas = chosen.schemas()
        etl_a = read_etl(a, schemas).need_events()
        progress(f"reading {b.name}")
        etl_b = read_etl(b, schemas).need_events()
        side_a, side_b = (_side(etl.events, selection) for etl in (etl_a, etl_b))
        progress("comparing")
        fickle = frozenset(Fickle(name) for name in included if name != "cpu")
        meaning = Meaning(fickle, "cpu" in included, tuple(ignore or ()))
        found = compare(side_a, side_b, meaning, per=per, tolerance=allowed, context=context)
    if target.target is not None:
        told = {
            name: {"file": str(path), "events": len(side.rows), "lost": etl.loss.describe()}
            for name, path, side, etl in (("a", a, side_a, etl_a), ("b", b, side_b, etl_b))
        }
        target.write({"schema": 1, **told, "per": per, **comparison_json(side_a, side_b, found, limit)})
    if not target.is_standard_output:
        _print(Terminal(colour=colour), (a, b), (side_a, side_b), found, limit)
    for name, etl in (("A", etl_a), ("B", etl_b)):
        say_what_is_missing(etl, name)
    raise typer.Exit(Exit.PASS if found.equal else Exit.FAIL)


def _included(names: list[str] | tuple[str, ...]) -> set[str]:
    for name in names:
        if name not in _WITH:
            raise UsageError(f"--with {name}: it is one of {', '.join(_WITH)}")
    return set(names)


def _tolerance(text: str | None, *, timed: bool) -> int | None:
    """In nanoseconds; None: times are not compared."""
    if not timed:
        if text is not None:
            raise UsageError(f"--tolerance {text}: it goes with --with time")
        return None
    text = text or "1ms"
    number = text.rstrip("nums")
    try:
        value = float(number) * _UNITS[text[len(number) :]]
    except (ValueError, KeyError):
        raise UsageError(f"--tolerance {text} is no time; give a number and ns, us, ms or s") from None
    if not 0 <= value < 1e18:
        raise UsageError(f"--tolerance {text} is out of range")
    return round(value)


def _side(table: EventTable, selection: Selection) -> Side:
    """What was traced and chosen; what the files say of themselves is not compared."""
    from hotswap.trace.diff.meaning import Side

    rows = selection.rows(table)
    return Side(table, rows[table.recorded[rows]])


def _print(
    terminal: Terminal, paths: tuple[Path, Path], sides: tuple[Side, Side], found: Comparison, limit: int
) -> None:
    from hotswap.trace.diff.show import difference_lines, head

    def say(text: str, style: str | None = None) -> None:
        terminal.print(printable(text), style=style, markup=False)

    for name, path, side in zip("AB", paths, sides, strict=True):
        say(f"{name}  {path}: {len(side.rows)} events")
    for reason, names in sorted(found.tokens.ignored.items()):
        why = "as you asked" if reason == "asked" else f"for they hold {reason}"
        say(f"not compared {why}: {_some(sorted(names))}", "dim")
    if found.tokens.undecoded:
        say(f"compared by their bytes, for no schema is known: {found.tokens.undecoded} events", "dim")
    if found.equal:
        say(f"equal in all {len(found.lanes)} lanes", "bold")
        return
    shown = found.differences[:limit] if limit else found.differences
    for number, difference in enumerate(shown):
        if number:
            say("")
        say(
            f"{f'difference {number + 1}' if number else 'first difference'}, {difference.lane}: {difference.change}",
            "bold",
        )
        say(f"  {head()}", "dim")
        for line in difference_lines(*sides, difference):
            say(f"{line.mark if line.mark != '?' else ' '} {line.text}", _STYLES.get(line.mark))
    if len(found.differences) > len(shown):
        more = len(found.differences) - len(shown)
        say(f"… and {more} more difference{'s' if more > 1 else ''}; --limit 0 shows all", "dim")
    _summary(say, found)


def _summary(say: Callable[[str, str | None], None], found: Comparison) -> None:
    differing = [lane for lane in found.lanes if lane.removed or lane.added or lane.times]
    say("", None)
    say(f"{'A':>9} {'B':>9}  event", "dim")
    for name, in_a, in_b in found.counts:
        say(f"{in_a:>9} {in_b:>9}  {name}", None)
    numbers = (
        (sum(lane.removed for lane in differing), "only in A"),
        (sum(lane.added for lane in differing), "only in B"),
        (sum(lane.times for lane in differing), "at another time"),
    )
    told = ", ".join(f"{number} {words}" for number, words in numbers if number)
    say(f"{len(differing)} of {len(found.lanes)} lanes differ; events {told}", None)


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
