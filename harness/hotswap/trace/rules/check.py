"""Asking the rules of a file about a trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hotswap.errors import LabFault, UsageError
from hotswap.trace.expect import Verdict, combine, reason
from hotswap.trace.rules.answer import Answer
from hotswap.trace.rules.load import RulesFile
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.rule import Rule
from hotswap.trace.rules.trace_file import TraceFile

SCHEMA = 1


def check_rules(file: RulesFile, rules: Sequence[Rule], trace: TraceFile) -> Iterator[Answer]:
    """The answer of each rule. Raises UsageError, with the line of the rule, for one that cannot be asked."""
    return ask_rules(file, rules, trace.view)


def ask_rules(file: RulesFile, rules: Sequence[Rule], view: View) -> Iterator[Answer]:
    """The same of a trace that is no complete file."""
    for rule in rules:
        try:
            yield rule.answer(view)
        except UsageError as error:
            raise UsageError(f"{file.path}:{file.lines[rule.id]}: {rule.id}: {error}") from error
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            # A condition or statement of the user's own: only they are run here.
            if not _in_file(error, file.path):
                raise
            raise UsageError(
                f"{file.path}:{_line(error, file.path)}: {rule.id}: {type(error).__name__}: {error}"
            ) from error


def _frames(error: BaseException, path: Path) -> list[int]:
    lines, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines


def _in_file(error: BaseException, path: Path) -> bool:
    return bool(_frames(error, path))


def _line(error: BaseException, path: Path) -> int:
    return _frames(error, path)[-1]


def answers_json(file: RulesFile, trace: TraceFile, answers: Sequence[Answer]) -> dict[str, object]:
    """For machines: the verdict of all, why, what is missing from the trace, and each answer with its events."""
    results = [answer.result for answer in answers]
    return {
        "schema": SCHEMA,
        "rules": str(file.path),
        "file": str(trace.etl.path),
        "verdict": str(combine(results)),
        "reason": why(answers),
        "missing": list(dict.fromkeys(loss.what for loss in trace.view.evidence.losses)),
        "results": [answer.to_json() for answer in answers],
    }


def failures_json(file: RulesFile, trace: Path, failures: Sequence[Answer]) -> dict[str, object]:
    """The same of a trace that failed while it was written: only what failed was told."""
    return {
        "schema": SCHEMA,
        "rules": str(file.path),
        "file": str(trace),
        "verdict": str(Verdict.FAIL),
        "reason": why(failures),
        "missing": ["the trace is still being written"],
        "results": [answer.to_json() for answer in failures],
    }


def why(answers: Sequence[Answer]) -> str:
    """Why the verdict of all is what it is, in one sentence."""
    results = [answer.result for answer in answers]
    if combine(results) is Verdict.PASS:
        return f"all {len(results)} rules hold" if len(results) > 1 else f"{results[0].id} holds"
    return reason(results)


def write_pictures(folder: Path, answers: Sequence[Answer]) -> list[Path]:
    """Write the proof of each answer that has one as `<id>.svg`; LabFault when that fails."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for answer in answers:
            if answer.rows:
                path = folder / f"{_file_name(answer.id)}.svg"
                partial = path.with_suffix(".tmp")
                partial.write_text(answer.picture(), encoding="utf-8")
                written.append(partial.replace(path))
    except OSError as error:
        raise LabFault(f"writing pictures to {folder}: {error.strerror or error}") from error
    return written


def _file_name(id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in id)
