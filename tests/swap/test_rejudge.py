"""A run's folder holds all that its verdict rests on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.swap.rejudge import read_witnesses, rejudge, witnesses_to_json
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.trace.expect import Verdict, combine
from support.swap_trace import Run, good_run


def saved(run: Run, folder: Path) -> Path:
    results = run.evaluate()
    assert results
    (folder / "evidence").mkdir()
    (folder / "evidence" / "witnesses.json").write_bytes(witnesses_to_json(run.witnesses))
    (folder / "trace.etl").write_bytes(run.to_bytes())
    return folder


@given(st.builds(SwapWitnesses))
def test_witnesses_come_back_as_they_were(witnesses: SwapWitnesses) -> None:
    assert msgspec.json.decode(witnesses_to_json(witnesses), type=SwapWitnesses) == witnesses


def test_a_run_is_judged_again_from_its_folder(tmp_path: Path) -> None:
    run = good_run()
    run.remove(run.find("EndpointWork", Worker=1)[3])
    folder = saved(run, tmp_path)
    again = {item.id: item for item in rejudge(folder)}
    assert again == run.evaluate()
    assert again["work-once-per-iteration"].verdict is Verdict.FAIL
    without = rejudge(folder, disabled={"work-once-per-iteration"})
    assert combine(without) is Verdict.PASS


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"expected_versions": "x"}'])
def test_a_folder_without_witnesses_is_bad_input(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "evidence").mkdir()
    if content is not None:
        (tmp_path / "evidence" / "witnesses.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"witnesses\.json"):
        read_witnesses(tmp_path)
