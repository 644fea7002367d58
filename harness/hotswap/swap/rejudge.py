"""The verdict on a run that has ended, worked out again from its folder: trace and witnesses are all it rests on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from hotswap.errors import UsageError
from hotswap.swap.expectations import evaluate
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.trace.etl import read_etl
from hotswap.trace.expect import ExpectationResult

WITNESSES = "evidence/witnesses.json"


def witnesses_to_json(witnesses: SwapWitnesses) -> bytes:
    """What `read_witnesses` reads."""
    plain = msgspec.to_builtins(witnesses, str_keys=True, order="deterministic")
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def read_witnesses(folder: Path) -> SwapWitnesses:
    """The witnesses of a run. Raises UsageError for a folder that has none, or whose are not to be understood."""
    path = folder / WITNESSES
    try:
        return msgspec.json.decode(path.read_bytes(), type=SwapWitnesses)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"the witnesses of the run cannot be read from {path}: {error}") from error


def rejudge(folder: Path, *, restart: bool = False, disabled: Collection[str] = ()) -> tuple[ExpectationResult, ...]:
    """Ask the expectations of today about a run, except those `disabled`. `restart`: it was of runtime `plain`.

    Raises UsageError where the folder does not hold trace and witnesses.
    """
    return evaluate(read_etl(folder / "trace.etl"), read_witnesses(folder), restart=restart, disabled=disabled)
