"""Mutation score of the swap expectations: a correct trace of a real run, changed in a thousand random ways by seed.

Each change says before anybody is asked who must catch it (support/trace_mutants.py). The score is printed with the
results of the whole run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from hotswap.swap.expectations import SWAP_EXPECTATIONS
from hotswap.swap.plan import SwapPlan
from hotswap.swap.rejudge import read_witnesses
from hotswap.swap.runner import run_swap
from hotswap.trace.etl import EtlFile, parse_etl, read_etl
from hotswap.trace.expect import Verdict
from hotswap.trace.writer import Session, build_etl
from hotswap.trace.writer.table import table_batch
from support import trace_mutants
from support.counts import TRACE_MUTANTS, TRACE_SURVIVOR, tell
from support.trace_mutants import OPERATORS, Equivalent, Mutant, World, asked, is_killed, score

MUTANTS = 1000
SEED = 1
LEAST = 0.95


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The trace of a swap test in the guest, which passed."""
    with _runs_in(tmp_path_factory.mktemp("runs")):
        result = run_swap(SwapPlan(seconds=0.2, rate=800))
    assert result.verdict is Verdict.PASS, result.reason
    return World(read_etl(result.run_folder / "trace.etl"), read_witnesses(result.run_folder))


@contextmanager
def _runs_in(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOTSWAP_RUNS", str(folder))
        yield


def test_the_trace_that_is_changed_is_correct(world: World) -> None:
    results = asked(world.etl, world.witnesses, {expectation.id for expectation in SWAP_EXPECTATIONS})
    assert [item for item in results.values() if item.verdict is not Verdict.PASS] == []
    unchanged = world.edit().build()
    assert len(unchanged.events) == len(world.etl.events)
    assert all(item.verdict is Verdict.PASS for item in asked(unchanged, world.witnesses, set(results)).values())


@pytest.mark.parametrize("operator", OPERATORS)
def test_mutants_are_killed_by_those_who_must(
    world: World, operator: str, record_property: pytest.RecordProperty
) -> None:
    world.random = random.Random(f"{operator} {SEED}")
    result = score(world, operator, MUTANTS // len(OPERATORS))
    equivalent = sum(result.equivalent.values())
    record_property(TRACE_MUTANTS, f"{operator}:{result.killed}:{result.total}:{equivalent}:{SEED}")
    for survivor in result.tell_survivors():
        record_property(TRACE_SURVIVOR, survivor)
    assert result.killed >= LEAST * result.total, result.tell()


@pytest.mark.parametrize("operator", OPERATORS)
def test_mutants_that_were_written_to_a_file_are_killed_as_well(world: World, operator: str) -> None:
    """Some of each operator, through the writer and the reader: the same verdicts as of the table."""
    world.random = random.Random(f"file {operator}")
    done = 0
    while done < 3:
        mutant = OPERATORS[operator](world)
        if isinstance(mutant, Equivalent):
            continue
        edited = mutant.edit.build()
        verdicts = [
            {
                id: item.verdict
                for id, item in asked(etl, mutant.witnesses or world.witnesses, set(mutant.killers)).items()
            }
            for etl in (edited, _through_a_file(edited))
        ]
        assert verdicts[0] == verdicts[1], mutant.what
        done += 1


def _through_a_file(etl: EtlFile) -> EtlFile:
    head = etl.header
    session = Session(
        frequency=etl.events.frequency, first_tick=head.first_tick, start_time=head.start_time,
        processors=max(head.processors, 1), buffer_size=head.buffer_size,
    )  # fmt: skip
    return parse_etl(build_etl(table_batch(etl.events), session))


def test_a_score_can_be_bad_and_names_the_survivors_with_their_slice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever declares an expectation that does not notice sees every mutant survive."""
    world.random = random.Random(1)

    def declared_wrongly(world: World) -> Mutant | Equivalent:
        mutant = trace_mutants.swap(world)
        if isinstance(mutant, Equivalent):
            return mutant
        return Mutant(mutant.operator, mutant.what, mutant.edit, {"threads-gone": Verdict.FAIL}, mutant.rows)

    monkeypatch.setitem(OPERATORS, "wrong", declared_wrongly)
    result = score(world, "wrong", 4)
    assert (result.killed, result.total) == (0, 4)
    assert "survived wrong: the other way round" in result.tell()
    assert "threads-gone: pass" in result.tell()
    assert "+us" in result.tell()
    told = _summary(
        [(TRACE_MUTANTS, "wrong:0:4:0:1"), *((TRACE_SURVIVOR, survivor) for survivor in result.tell_survivors())]
    )
    assert told[0].startswith("trace mutants: 0 of 4 killed (0.0 %)")
    assert sum("survived wrong: the other way round" in line for line in told) == 4
    assert sum("+us" in line for line in told) == 4


def _summary(properties: list[tuple[str, str]]) -> list[str]:
    """What the end of a run says of one test that passed with these properties."""
    lines: list[str] = []
    report = SimpleNamespace(when="call", nodeid="a test", user_properties=properties)
    tell(SimpleNamespace(stats={"passed": [report]}, write_line=lines.append))  # type: ignore[arg-type]
    return lines


def test_a_mutant_is_noticed_by_one_that_was_declared_not_by_any(world: World) -> None:
    world.random = random.Random(2)
    item = world.pick_of("EndpointWork")
    edit = world.edit()
    edit.gone.add(item.row)
    dropped = Mutant("drop", "without work", edit, {"work-once-per-iteration": Verdict.FAIL}, (item.row,))
    assert is_killed(dropped, world, edit.build())[0]
    other = Mutant("drop", "without work", edit, {"work-names-version": Verdict.FAIL}, (item.row,))
    assert not is_killed(other, world, edit.build())[0]
