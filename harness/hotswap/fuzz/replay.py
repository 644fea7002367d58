"""Steps as JSON, so that a finding can be run again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hotswap.errors import UsageError
from hotswap.fuzz.script import Step
from hotswap.transport.replies import ScriptItem


def steps_to_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Their content, with bytes as hexadecimal digits."""
    return [
        {
            "item": [*step.item[:4], step.item.data.hex(), step.item.out_size],
            "method": step.method,
            "expected": None if step.expected is None else sorted(step.expected),
            "flags": [step.pended, step.may_cancel, step.closed, step.in_shutdown],
        }
        for step in steps
    ]


def steps_from_json(content: Sequence[dict[str, Any]]) -> list[Step]:
    """What `steps_to_json` wrote. UsageError for anything else."""
    try:
        steps = []
        for entry in content:
            action, slot, handle, code, data, out_size = entry["item"]
            item = ScriptItem(action, slot, handle, code, bytes.fromhex(data), out_size)
            expected = None if entry["expected"] is None else frozenset(entry["expected"])
            steps.append(Step(item, entry["method"], expected, *entry["flags"]))
        return steps
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"this is no list of fuzz steps: {error}") from error
