"""What the commands on the events of a trace share: which are meant, reading them, and what is said of losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hotswap.cli.output import Terminal
from hotswap.cli.progress import Progress
from hotswap.errors import UsageError

if TYPE_CHECKING:
    from hotswap.trace.etl import EtlFile
    from hotswap.trace.schemas.files import GivenSchemas
    from hotswap.trace.select import Selection
    from hotswap.trace.source import ChosenEvents

File = Annotated[Path, typer.Argument(metavar="FILE", help="An .etl.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="[PATH]", help="Write JSON to this file, or to standard output.")
]
Colour = Annotated[
    bool | None,
    typer.Option(
        "--color/--no-color", help="Colours also when this is no terminal (for less -R), or none at all.",
        show_default=False,
    ),
]  # fmt: skip

Manifests = Annotated[
    list[Path] | None,
    typer.Option("--manifest", metavar="FILE", help="A .man that describes events of the trace; repeatable."),
]
Formats = Annotated[
    list[Path] | None,
    typer.Option("--tmf", metavar="FILE", help="A .tmf that describes WPP messages of the trace; repeatable."),
]
_MOST_SECONDS = 9e9
"""What 64 bits hold of nanoseconds."""
_OPTIONS: dict[str, Any] = {
    "event": Annotated[
        list[str] | None, typer.Option("--event", "-e", metavar="NAME", help="Only events of this name (* and ?).")
    ],
    "provider": Annotated[
        list[str] | None, typer.Option("--provider", "-p", metavar="NAME", help="Only of this provider, name or GUID.")
    ],
    "pid": Annotated[list[int] | None, typer.Option("--pid", metavar="N", help="Only of this process.")],
    "tid": Annotated[list[int] | None, typer.Option("--tid", metavar="N", help="Only of this thread.")],
    "cpu": Annotated[list[int] | None, typer.Option("--cpu", metavar="N", help="Only of this processor.")],
    "after": Annotated[
        float | None, typer.Option("--after", metavar="SECONDS", help="Only from this time on, since the start.")
    ],
    "before": Annotated[float | None, typer.Option("--before", metavar="SECONDS", help="Only before this time.")],
    "where": Annotated[
        list[str] | None,
        typer.Option("--where", "-w", metavar="FIELD=VALUE", help="Only where a field holds this; != < > <= >=, too."),
    ],
    "manifest": Manifests,
    "tmf": Formats,
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events are meant, and what describes them, as it was typed."""

    event: Sequence[str] | None = None
    provider: Sequence[str] | None = None
    pid: Sequence[int] | None = None
    tid: Sequence[int] | None = None
    cpu: Sequence[int] | None = None
    after: float | None = None
    before: float | None = None
    where: Sequence[str] | None = None
    manifest: Sequence[Path] | None = None
    tmf: Sequence[Path] | None = None

    def schemas(self) -> GivenSchemas:
        """The files that describe events. Raises UsageError for one that does not."""
        return given_schemas(self.manifest, self.tmf)

    def selection(self) -> Selection:
        """The same for the table. Raises UsageError for a condition that is none."""
        from hotswap.trace.select import Condition, Selection

        return Selection(
            self.event or (),
            self.provider or (),
            self.pid or (),
            self.tid or (),
            self.cpu or (),
            _nanoseconds("--after", self.after),
            _nanoseconds("--before", self.before),
            [Condition.parse(text) for text in self.where or ()],
        )


def _nanoseconds(option: str, seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if not abs(seconds) < _MOST_SECONDS:
        raise UsageError(f"{option} is {seconds:g}; give seconds since the session started")
    return round(seconds * 1e9)


def selects(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options that choose events; they come to it as its keyword `chosen`."""

    def with_options(**given: Any) -> None:
        command(chosen=Chosen(**{name: given.pop(name) for name in _OPTIONS}), **given)

    own = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.name != "chosen"
    ]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    arguments = [parameter for parameter in own if parameter.default is inspect.Parameter.empty]
    options = [parameter for parameter in own if parameter.default is not inspect.Parameter.empty]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*arguments, *added, *options)
    ]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    return with_options


assert [field.name for field in fields(Chosen)] == list(_OPTIONS)


def open_chosen(file: Path, chosen: Chosen, progress: Progress, *, traced: bool = False) -> ChosenEvents:
    """The events of a trace that are meant; `traced`: without that of the file's own header."""
    progress(f"reading {file.name}")
    from hotswap.trace.etl import open_etl
    from hotswap.trace.source import ChosenEvents

    selection, share = chosen.selection(), Share(progress, f"reading {file.name}")
    return ChosenEvents(open_etl(file, chosen.schemas(), share).need_events(), selection, traced, share)


class Share:
    """Tells how much is done, in whole percents: what is done soon anyway needs no number."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress, self._what, self._told = progress, what, -1

    def __call__(self, done: float) -> None:
        """`done` is 0 to 1."""
        percent = int(100 * done)
        if percent != self._told and percent < 100:
            self._told = percent
            self._progress.change(f"{self._what}: {percent} %")


def given_schemas(manifests: Sequence[Path] | None, formats: Sequence[Path] | None) -> GivenSchemas:
    """What describes events beside the trace. Raises UsageError for a file that does not."""
    from hotswap.trace.schemas.files import read_schemas

    return read_schemas(manifests or (), formats or ())


def progress_of(quiet: bool) -> Progress:
    """A live line on standard error, where that is a terminal."""
    return Progress(Terminal(stderr=True), quiet=quiet, steps=False)


def say_what_is_missing(etl: EtlFile, name: str = "") -> None:
    """Loss and damage are said, not left to be found out. `name` tells one of several traces."""
    said = []
    if etl.loss.any:
        said.append(f"lost: {etl.loss.describe()}")
    if etl.problems:
        said.append(f"{len(etl.problems)} problems with the file, first: {etl.problems[0].message}")
    for line in said:
        Terminal(stderr=True).print(f"{name}{': ' if name else ''}{line}", style="yellow", markup=False)
