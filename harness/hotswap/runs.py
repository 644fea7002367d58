"""Runs that were: found, told apart, and removed. Only folders that `RunFolder.create` named are ever looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

from hotswap.errors import LabFault, UsageError
from hotswap.machine.proc import Owner
from hotswap.machine.storage import remove_tree
from hotswap.paths import runs_home

VERDICTS = ("pass", "fail", "inconclusive")
LAST = "last"
_NAME = re.compile(r"(?P<when>[0-9]{8}T[0-9]{6}Z)-[0-9a-f]{6}")
_GONE = re.compile(rf"\.pruned-{_NAME.pattern}-[0-9a-f]{{6}}")
_WHEN = "%Y%m%dT%H%M%SZ"
# Between the folder and its first run.json lie milliseconds; who takes longer was killed there.
_UNNAMED_OWNER = timedelta(hours=1)
_SHOWN_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder as it is now. `state`: running, ended, killed, lab-fault, or unknown without a `run.json`."""

    path: Path
    when: datetime
    """UTC, to the second."""
    state: str
    verdict: str
    reason: str
    seconds: float | None
    """From the first line of the timeline to the last; None without one."""
    content: Mapping[str, Any] = field(repr=False)
    """`run.json`; empty when there is none that can be read."""

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def is_running(self) -> bool:
        """Whether something may still write into it."""
        return self.state == "running"

    @property
    def outcome(self) -> str:
        """The verdict, or the state of a run that did not come to one."""
        return self.state if self.state in ("running", "killed", "lab-fault") else self.verdict

    @property
    def command(self) -> str:
        """The line that repeats it; empty when it does not say."""
        return str(self._environment.get("command") or self.test or "")

    @property
    def test(self) -> str | None:
        """The pytest id of the test that made it, if one did."""
        test = self.content.get("test")
        return test if isinstance(test, str) else None

    @property
    def seed(self) -> int | None:
        """The seed of its plan."""
        plan = self._environment.get("plan")
        seed = plan.get("seed") if isinstance(plan, dict) else None
        return seed if isinstance(seed, int) else None

    @property
    def report(self) -> Path:
        """Where its report is, if it has one."""
        return self.path / "report.html"

    @property
    def _environment(self) -> Mapping[str, Any]:
        environment = self.content.get("environment")
        return environment if isinstance(environment, dict) else {}

    def to_json(self) -> dict[str, Any]:
        """One row of `runs list --json`."""
        return {
            "id": self.id,
            "when": self.when.isoformat(),
            "state": self.state,
            "verdict": self.verdict,
            "reason": self.reason,
            "seconds": self.seconds,
            "seed": self.seed,
            "command": self.command,
            "test": self.test,
            "run_folder": str(self.path),
        }


def find_runs(home: Path | None = None) -> list[Run]:
    """All runs, the newest first. LabFault when the folder is there and cannot be read."""
    return [_read(path) for path in _folders(home or runs_home())]


def find_run(wanted: str, home: Path | None = None) -> Run:
    """A run by its id, a prefix that only it has, the path of its folder (or a file in it), or `last`.

    UsageError in one line: none, or several.
    """
    home = home or runs_home()
    folders = _folders(home)
    if wanted == LAST:
        if not folders:
            raise UsageError(f"there is no run in {home} yet; HOTSWAP_RUNS says where runs are kept")
        return _read(folders[0])
    found = [path for path in folders if wanted and path.name.startswith(wanted)]
    exact = [path for path in found if path.name == wanted]
    if len(exact or found) == 1:
        return _read((exact or found)[0])
    if found:
        some = ", ".join(path.name for path in found[:_SHOWN_CANDIDATES])
        more = f" and {len(found) - _SHOWN_CANDIDATES} more" if len(found) > _SHOWN_CANDIDATES else ""
        raise UsageError(f"{wanted!r} is the beginning of {len(found)} runs: {some}{more}; give more of it")
    if wanted and (given := _of_path(Path(wanted))) is not None:
        return _read(given)
    raise UsageError(f"there is no run {wanted!r} in {home}; `hotswap runs list` shows those there are")


def _of_path(path: Path) -> Path | None:
    try:
        whole = path.resolve()
        return next((folder for folder in (whole, *whole.parents[:2]) if _is_run_folder(folder)), None)
    except (OSError, RuntimeError, ValueError):
        return None


def run_ids(home: Path | None = None) -> list[str]:
    """The ids of all runs, the newest first, without a look inside: for completion."""
    return [path.name for path in _folders(home or runs_home())]


def _folders(home: Path) -> list[Path]:
    try:
        found = [path for path in home.iterdir() if _is_run_folder(path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LabFault(
            f"reading the runs in {home}: {error.strerror}; set HOTSWAP_RUNS to the folder they are in"
        ) from error
    return sorted(found, key=lambda path: path.name, reverse=True)


def _is_run_folder(path: Path) -> bool:
    """By name and content: what else lies in the folder of the runs is nobody's business here."""
    ours = _NAME.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()
    return ours and ((path / "run.json").is_file() or (path / "timeline.jsonl").is_file())


def _read(path: Path) -> Run:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    when = datetime.strptime(match["when"], _WHEN).replace(tzinfo=UTC)
    content = _summary(path)
    state, reason = str(content.get("state", "ended")), str(content.get("reason", ""))
    if not content:
        young = datetime.now(UTC) - when < _UNNAMED_OWNER
        state = "running" if young else "unknown"
        reason = "it has no run.json that can be read"
    elif state == "running" and _owner_is_dead(content):
        state, reason = "killed", "the process that ran it was killed before its end"
    verdict = content.get("verdict")
    return Run(path, when, state, verdict if verdict in VERDICTS else "inconclusive", reason, _seconds(path), content)


def _summary(path: Path) -> dict[str, Any]:
    try:
        content = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _owner_is_dead(content: Mapping[str, Any]) -> bool:
    """As `mark_killed_runs` finds out; one that names no owner may live."""
    try:
        return Owner.of_json(content["owner"]).is_dead()
    except (KeyError, TypeError, AttributeError, OverflowError):
        return False


def _seconds(path: Path) -> float | None:
    try:
        with (path / "timeline.jsonl").open("rb") as file:
            first = json.loads(file.readline())["ns"]
            size = file.seek(0, 2)
            file.seek(max(0, size - 65536))
            # The last line of a killed run may be a part of one.
            whole = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        last = json.loads(whole[-1])["ns"]
        return round(float(last - first) / 1e9, 3)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


@dataclass(frozen=True, slots=True)
class Selection:
    """What to prune: runs of these verdicts (empty: of any) that are older than this, but for the newest `keep`."""

    keep: int = 0
    older_than: timedelta | None = None
    verdicts: frozenset[str] = frozenset()

    def of(self, runs: Sequence[Run], now: datetime) -> list[Run]:
        """The runs to remove, oldest last, of `runs` with the newest first. Never one that is running."""
        fitting = [run for run in runs if not run.is_running and (not self.verdicts or run.verdict in self.verdicts)]
        return [run for run in fitting[self.keep :] if self.older_than is None or now - run.when > self.older_than]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: runs, their bytes on the disk, and those that resisted with the reason."""

    removed: tuple[Run, ...]
    freed: int
    failed: Mapping[str, str]


def prune(runs: Iterable[Run], removed: Callable[[Run], None] | None = None) -> Pruned:
    """Remove these runs, whole or not at all as far as others see; goes on when one resists."""
    gone: list[Run] = []
    failed: dict[str, str] = {}
    freed = 0
    for run in runs:
        try:
            size = disk_usage(run.path)
            remove_run(run.path)
        except OSError as error:
            failed[run.id] = error.strerror or str(error)
            continue
        freed += size
        gone.append(run)
        if removed:
            removed(run)
    return Pruned(tuple(gone), freed, failed)


def remove_run(path: Path) -> None:
    """Remove one run folder: out of everybody's sight first, so that no half of it is ever listed."""
    gone = path.with_name(f".pruned-{path.name}-{token_hex(3)}")
    path.rename(gone)
    remove_tree(gone)


def remove_leftovers(home: Path | None = None) -> None:
    """Finish what a killed `prune` began."""
    try:
        left = [path for path in (home or runs_home()).iterdir() if _GONE.fullmatch(path.name)]
    except OSError:
        return
    for path in left:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)


def disk_usage(path: Path) -> int:
    """Bytes that a folder takes on the disk, its files and folders together."""
    total = 0
    for entry in (path, *path.rglob("*")):
        try:
            total += entry.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total
