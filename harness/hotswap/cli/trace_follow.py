"""What `hotswap trace show|check --follow` share: a trace that is still being written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotswap.cli.output import Terminal
from hotswap.deadline import Deadline
from hotswap.errors import UsageError

if TYPE_CHECKING:
    from hotswap.trace.follow import Follower
    from hotswap.trace.schemas.files import GivenSchemas

Follow = Annotated[
    bool, typer.Option("--follow", help="Of a trace that is still being written, until its session is stopped.")
]
For = Annotated[
    float | None,
    typer.Option("--for", metavar="SECONDS", help="With --follow: no longer than this.", show_default=False),
]
_A_YEAR = 365 * 86_400.0


def check_follow(follow: bool, seconds: float | None, others: Sequence[tuple[str, bool]]) -> None:
    """Raise UsageError for options that do not go together; `others` do not go with --follow."""
    if seconds is not None and not follow:
        raise UsageError("--for is for --follow")
    if seconds is not None and not 0 < seconds <= _A_YEAR:
        raise UsageError(f"--for is {seconds:g}; it must be more than 0 and no more than a year")
    for name, given in others:
        if follow and given:
            raise UsageError(f"{name} is for a trace that is complete, not for --follow")


@contextmanager
def followed(file: Path, seconds: float | None, given: GivenSchemas | None = None) -> Iterator[Follower]:
    """A follower of a file that may not be there yet."""
    from hotswap.trace.follow import follow
    from hotswap.trace.schemas.files import NOTHING_GIVEN

    deadline = Deadline.after(_A_YEAR if seconds is None else seconds)
    with follow(file, deadline, given=given or NOTHING_GIVEN) as follower:
        yield follower


def say_how_it_ended(follower: Follower) -> None:
    """What was lost, damaged or late, on standard error."""
    said = []
    if follower.loss.any:
        said.append(f"lost: {follower.loss.describe()}")
    if follower.problems:
        said.append(f"{len(follower.problems)} problems with the file, first: {follower.problems[0].message}")
    if follower.late:
        said.append(f"{follower.late} events came too late to be shown in their place")
    for line in said:
        Terminal(stderr=True).print(line, style="yellow", markup=False)
