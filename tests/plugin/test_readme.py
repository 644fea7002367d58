"""What the README says of writing tests, held to the code and to the header that it speaks of."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import hotswap.testing
from hotswap import pytest_plugin
from hotswap.driver.host_events import host_events
from hotswap.testing.trace_event import field_name

SECTION = (Path(__file__).parents[2] / "README.md").read_text().partition("## Write a test")[2].partition("\n## ")[0]


def table(heading: str) -> list[list[str]]:
    """The cells of the rows below a heading row that begins with this."""
    _, found, body = SECTION.partition(f"\n| {heading}")
    assert found, f"the README has no table {heading!r}"
    rows = body.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_fields_of_the_events_in_the_readme_are_those_of_the_header() -> None:
    told: dict[str, list[str]] = {}
    for events, fields in table("Event"):
        for name in quoted(events):
            assert name not in told
            told[name] = quoted(fields)
    stated = {name: [field_name(field) for field in fields] for name, fields in host_events().items()}
    assert told == {name: stated[name] for name in told}
    assert len(told) >= 12
    assert {"IterationBegin", "SignalEnd", "SwapReleased", "SwapEnd", "WorkerStop"} <= told.keys()


@pytest.mark.parametrize("row", table("Fixture"), ids=lambda row: row[0].strip("`"))
def test_each_fixture_has_the_annotation_and_the_members_that_the_readme_tells(row: list[str]) -> None:
    (fixture,), (annotation,) = quoted(row[0]), quoted(row[1])
    kind = getattr(hotswap.testing, annotation)
    made = inspect.unwrap(getattr(pytest_plugin, fixture)._get_wrapped_function())
    returned = made.__annotations__["return"].removeprefix("Iterator[").removesuffix("]")
    assert kind.__name__ == returned
    held_to(kind, quoted(row[2].rpartition(": ")[2]))


@pytest.mark.parametrize(("kind", "begins"), [("Worker", "A worker has"), ("Swap", "A swap has")])
def test_what_the_readme_says_workers_and_swaps_have_they_have(kind: str, begins: str) -> None:
    _, found, text = SECTION.partition(begins)
    assert found
    held_to(getattr(hotswap.testing, kind), quoted(text.partition(".\n")[0].partition(". ")[0]))


def held_to(kind: type, members: list[str]) -> None:
    """Methods are written with brackets, and nothing else is."""
    known = {*dir(kind), *kind.__annotations__}
    if inspect.isfunction(vars(kind).get("__init__")) and not dataclasses.is_dataclass(kind):
        known |= set(re.findall(r"self\.(\w+)", inspect.getsource(kind.__init__)))
    for member in members:
        name = member.removesuffix("()")
        assert name in known, f"{kind.__name__} has no {name}"
        assert callable(getattr(kind, name, None)) == member.endswith("()"), member
