"""`hotswap runs`: what was run, what came of it, and making room."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len, set_cell_size

from hotswap.cli import complete
from hotswap.cli.output import VERDICT_STYLES, Exit, JsonTarget, Terminal, shorten
from hotswap.cli.progress import Progress, duration
from hotswap.errors import LabFault, UsageError

if TYPE_CHECKING:
    from hotswap.runs import Pruned, Run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, show, open and remove past runs.")

_DEFAULT_LIMIT = 30
_SLICE_LINES = 40
# A run.json that is JSON, but not one of ours: what can be shown of it is shown.
_DAMAGE = (AttributeError, KeyError, TypeError, ValueError)
_NARROW = 50

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's id, the beginning of one, its folder, or `last`.",
        autocompletion=complete.runs,
    ),
]
VerdictOption = Annotated[
    list[str] | None,
    typer.Option(
        "--verdict",
        metavar="VERDICT",
        help="Only runs of this verdict: pass, fail or inconclusive; may be repeated.",
        autocompletion=complete.choices("pass", "fail", "inconclusive"),
    ),
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="[PATH]", help="Write JSON to this file, or to standard output."),
]


@app.command("list")
def list_(
    verdict: VerdictOption = None,
    limit: Annotated[
        int | None, typer.Option(help="At most this many, 0: all. [default: 30, with --json all]", show_default=False)
    ] = None,
    json_: JsonOption = None,
) -> None:
    """List the runs, the newest first."""
    from hotswap.runs import find_runs

    target = JsonTarget(json_)
    verdicts = _verdicts(verdict)
    if limit is not None and limit < 0:
        raise UsageError(f"--limit is {limit}; it must not be negative")
    runs = [run for run in find_runs() if not verdicts or (run.verdict in verdicts and not run.is_running)]
    most = (0 if target.target else _DEFAULT_LIMIT) if limit is None else limit
    shown = runs[:most] if most else runs
    target.write({"schema": 1, "total": len(runs), "runs": [run.to_json() for run in shown]})
    if not target.is_standard_output:
        _print_list(shown, len(runs))


def _print_list(runs: list[Run], total: int) -> None:
    console = Terminal()
    if not total:
        from hotswap.paths import runs_home

        console.print(f"no runs in {shorten(runs_home())}", markup=False)
        return
    now = datetime.now(UTC)
    for run in runs:
        took = "" if run.seconds is None else duration(run.seconds)
        head, outcome, middle = f"{run.id}  {_age(now - run.when):>11}  ", f"{run.outcome:<12}", f"  {took:>8}  "
        room = console.columns - len(head) - len(outcome)
        console.print(head, end="", markup=False)
        console.print(outcome, end="", style=VERDICT_STYLES[run.verdict], markup=False)
        console.print(_cut(f"{middle}{_why_and_how(run, room - len(middle))}", room), markup=False)
    if total > len(runs):
        console.print(f"… and {total - len(runs)} more; --limit 0 shows all", style="dim", markup=False)


@app.command()
def show(run: RunArgument, json_: JsonOption = None) -> None:
    """Show one run: what it was, what did not hold, with the events that show it, and its files."""
    from hotswap.runs import disk_usage, find_run

    target = JsonTarget(json_)
    found = find_run(run)
    if target.target:
        target.write(_run_json(found))
    if target.is_standard_output:
        return
    console = Terminal()
    console.print(f"run      {found.id}", markup=False)
    console.print(
        f"verdict  {found.verdict} ({_one_line(found.reason)})", style=VERDICT_STYLES[found.verdict], markup=False
    )
    took = "" if found.seconds is None else f", took {duration(found.seconds)}"
    console.print(
        f"when     {_local(found.when)}{took}{'' if found.state == 'ended' else f', {found.state}'}", markup=False
    )
    for name, value in _facts(found):
        console.print(f"{name:<8} {value}", markup=False)
    try:
        _print_open_questions(console, found)
    except _DAMAGE as error:
        problem = f"{type(error).__name__}: {error}"
        console.print(f"\nthe expectations in run.json cannot be read: {problem}", markup=False)
    console.print(f"\nfolder   {shorten(found.path)} ({_size(disk_usage(found.path))})", markup=False)
    for path in sorted(found.path.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            console.print(f"  {_size(path.stat().st_size):>9}  {path.relative_to(found.path)}", markup=False)


def _run_json(run: Run) -> dict[str, Any]:
    if not run.content:
        raise LabFault(f"run {run.id} has no run.json that can be read; see {run.path}")
    # Killed is what its own last word cannot say.
    return {**run.content, "state": run.state, "reason": run.reason}


def _facts(run: Run) -> list[tuple[str, str]]:
    content, environment = run.content, run.content.get("environment")
    facts = [("command", run.command)]
    if isinstance(environment, dict):
        runtime = environment.get("runtime_in_use") or environment.get("runtime")
        facts.append(("machine", f"{environment.get('machine')}, runtime {runtime}"))
    if run.seed is not None:
        facts.append(("seed", str(run.seed)))
    with suppress(*_DAMAGE):
        if isinstance(content.get("events"), int):
            counts = (
                f"{content['events']:,} events, {content['signals']:,} signals, {content['iterations']:,} iterations"
            )
            facts.append(("trace", counts))
        for phase in content.get("phases") or ():
            hold = phase["microseconds"]["hold"]
            held = "no call was held" if hold is None else f"held {hold:,.0f} µs"
            facts.append(("swap", f"{phase['from']} → {phase['to']}: {phase['status']}, {held}"))
    return [(name, value) for name, value in facts if value]


def _print_open_questions(console: Terminal, run: Run) -> None:
    """Expectations that did not pass, each with its slice: the first lines of a long one."""
    slices = run.content.get("slices") or {}
    for item in run.content.get("expectations") or ():
        if item["verdict"] == "pass":
            continue
        console.print(
            f"\n{item['verdict']}  {item['id']}: {item['message']}", style=VERDICT_STYLES[item["verdict"]], markup=False
        )
        lines = str(slices.get(item["id"], "")).splitlines()
        for line in lines[:_SLICE_LINES]:
            console.print(f"  {line}", markup=False)
        if len(lines) > _SLICE_LINES:
            console.print(f"  … and {len(lines) - _SLICE_LINES} more lines, in the report", style="dim", markup=False)


@app.command("open")
def open_(run: RunArgument = "last") -> None:
    """Open a run's report in the browser; without a display, print where it is."""
    from hotswap.runs import find_run

    found = find_run(run)
    if not found.report.is_file():
        raise UsageError(f"run {found.id} has no report (it is {found.outcome}): {_one_line(found.reason)}")
    if not _has_display():
        Terminal(stderr=True).print("there is no display here; the report is this file:", markup=False)
    elif _start_browser(found.report):
        return
    else:
        Terminal(stderr=True).print("no browser could be started; the report is this file:", markup=False)
    Terminal().print(str(found.report), markup=False)


def _has_display() -> bool:
    names = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in names)


def _start_browser(report: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(report.as_uri())
    except webbrowser.Error:
        return False


@app.command("prune")
def prune_(
    keep: Annotated[
        int, typer.Option(help="Keep the newest N of the runs that the other options choose.", metavar="N")
    ] = 0,
    older_than: Annotated[
        float | None, typer.Option(help="Only runs that began more than so many days ago.", metavar="DAYS")
    ] = None,
    verdict: VerdictOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be removed, and remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json_: JsonOption = None,
) -> None:
    """Remove run folders. Never one of a run that still runs, nor what is no run's folder."""
    from hotswap.runs import Pruned, Selection, disk_usage, find_runs, prune, remove_leftovers

    target = JsonTarget(json_)
    if not keep and older_than is None and not verdict:
        raise UsageError(
            "say which runs to remove: --keep N, --older-than DAYS or --verdict VERDICT (--older-than 0: all of them)"
        )
    if keep < 0:
        raise UsageError(f"--keep is {keep}; it must not be negative")
    selection = Selection(keep, None if older_than is None else _days(older_than), _verdicts(verdict))
    runs = find_runs()
    chosen = selection.of(runs, datetime.now(UTC))
    console = Terminal(stderr=target.is_standard_output)
    running = sum(run.is_running for run in runs)
    left = f"; {running} still running" if running else ""
    if not chosen:
        console.print(f"nothing to remove: {_runs(len(runs))} here{left}", markup=False)
        target.write(_pruned_json(Pruned((), 0, {}), dry_run=dry_run))
        return
    if dry_run:
        done = Pruned(tuple(chosen), sum(disk_usage(run.path) for run in chosen), {})
        if not target.is_standard_output:
            _print_list(chosen, len(chosen))
        what = f"would remove {_runs(len(chosen))} of {len(runs)} and free"
    else:
        if not yes:
            _ask(f"Remove {_runs(len(chosen))} of {len(runs)}, from {chosen[-1].id} to {chosen[0].id}?")
        progress = Progress(Terminal(stderr=True), quiet=quiet, steps=False)
        with progress.live():
            progress(f"removing {_runs(len(chosen))}")
            remove_leftovers()
            done = prune(chosen)
        what = f"removed {_runs(len(done.removed))} of {len(runs)}, freed"
    console.print(f"{what} {_size(done.freed)}{left}", markup=False)
    target.write(_pruned_json(done, dry_run=dry_run))
    if done.failed:
        first, why = next(iter(done.failed.items()))
        raise LabFault(
            f"{_runs(len(done.failed))} could not be removed, first {first}: {why}; make the folder writable"
        )


def _pruned_json(done: Pruned, *, dry_run: bool) -> dict[str, Any]:
    removed = [run.id for run in done.removed]
    return {
        "schema": 1,
        "dry_run": dry_run,
        "removed": removed,
        "freed_bytes": done.freed,
        "failed": dict(done.failed),
    }


def _ask(question: str) -> None:
    """Go on only after a yes. Where nobody can be asked, evidence is not thrown away on a guess."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} There is no terminal to ask on: add --yes, or --dry-run to see them")
    if not typer.confirm(question, err=True):
        Terminal(stderr=True).print("nothing was removed", markup=False)
        raise typer.Exit(Exit.PASS)


def _verdicts(given: list[str] | None) -> frozenset[str]:
    from hotswap.runs import VERDICTS

    for verdict in given or ():
        if verdict not in VERDICTS:
            raise UsageError(f"unknown verdict {verdict!r}; known are: {', '.join(VERDICTS)}")
    return frozenset(given or ())


def _days(days: float) -> timedelta:
    try:
        age = timedelta(days=days)
    except (ValueError, OverflowError):
        age = timedelta(-1)
    if age < timedelta(0):
        raise UsageError(f"--older-than is {days:g} days; it must be a number that is not negative")
    return age


def _why_and_how(run: Run, room: int) -> str:
    """The reason, then what made the run: on a terminal the reason is cut first, and a narrow one has only that."""
    made_by = run.command or "unknown command"
    if run.seed is not None and "--seed" not in made_by:
        made_by += f" (seed {run.seed})"
    reason = _one_line(run.reason)
    if room < _NARROW:
        return _cut(reason, room)
    made_by = _cut(made_by, max(room // 3, room - cell_len(reason) - 4))
    return f"{_cut(reason, room - cell_len(made_by) - 4)}  [{made_by}]"


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    for unit, size in (("day", 1440), ("h", 60), ("min", 1)):
        if minutes >= size:
            count = minutes // size
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''} ago"
    return "just now"


def _local(when: datetime) -> str:
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, room: int) -> str:
    if cell_len(text) <= room:
        return text
    return f"{set_cell_size(text, max(0, room - 1)).rstrip()}…"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"


def _size(count: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
