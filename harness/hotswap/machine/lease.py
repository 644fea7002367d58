"""Leases: every resource is on disk, with its owner, before it is made; so the next run removes what a killed one left.

A lease is `<kind>.<id>.<pid>.<start time>.json` in `leases` of the cache. Its name alone says whose it is and what
to remove; so a file that a full disk or a power cut left half written still does its work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from filelock import FileLock, Timeout

from hotswap.machine.proc import Owner, ProcessId, boot_id, pid_namespace
from hotswap.machine.storage import make_folder, os_fault
from hotswap.paths import cache_home

SCHEMA = 1
_NAME = re.compile(r"(?P<kind>[a-z][a-z-]*)\.(?P<id>[0-9a-z-]+)\.(?P<pid>[0-9]{1,10})\.(?P<started>[0-9]{1,20})\.json")


def new_id() -> str:
    """A short random name for a resource."""
    return token_hex(5)


@dataclass(frozen=True, slots=True)
class Lease:
    """One leased resource: what it is, whose, and where its lease file lies."""

    kind: str
    id: str
    owner: ProcessId
    path: Path

    @classmethod
    def take(cls, kind: str, id: str, *, owner: Owner | None = None, **resources: str | int) -> Lease:
        """Write a lease of the calling process, or of `owner`: one that outlives the calling process.

        LabFault when it cannot be written: then make nothing either.
        """
        owner = owner or Owner.own()
        pid, started = owner.process.pid, owner.process.started
        folder = make_folder(leases_home(), "the lease folder")
        lease = cls(kind, id, owner.process, folder / f"{kind}.{id}.{pid}.{started}.json")
        text = json.dumps(
            {
                "schema": SCHEMA,
                "kind": kind,
                "id": id,
                **owner.to_json(),
                "taken": datetime.now(UTC).isoformat(),
                "resources": resources,
            }
        )
        try:
            lease.path.write_text(text + "\n")
        except OSError as error:
            lease.path.unlink(missing_ok=True)
            raise os_fault("writing the lease", lease.path, error) from error
        return lease

    @classmethod
    def of_file(cls, path: Path) -> Lease | None:
        """The lease a file name speaks of; None when it is no lease's name."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        return cls(match["kind"], match["id"], ProcessId(int(match["pid"]), int(match["started"])), path)

    def release(self) -> None:
        """Forget a resource that is gone."""
        self.path.unlink(missing_ok=True)

    def owner_is_dead(self) -> bool:
        """Whether the owner is surely gone: never true of one that lives, or whose process ids we cannot see."""
        try:
            content = json.loads(self.path.read_text())
            boot, namespace = content["boot"], content["pid_namespace"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            boot, namespace = boot_id(), pid_namespace()
        return Owner(self.owner, boot, namespace).is_dead()


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did: names of leases as `kind.id`, and why the rest of the dead ones is still there."""

    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def leases_home() -> Path:
    """Where leases lie."""
    return cache_home() / "leases"


def leases() -> Iterator[Lease]:
    """All leases that lie there now; files with other names are nobody's business."""
    try:
        entries = sorted(leases_home().iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if lease := Lease.of_file(entry):
            yield lease


def sweep_leases(removers: Mapping[str, Callable[[str], None]]) -> SweepReport:
    """Remove what dead owners left: `removers[kind](id)` ends processes and deletes files, and may be repeated.

    Only one sweep works at a time; a second one leaves the work to the first. A remover that fails is reported, and
    its lease stays for the next sweep.
    """
    report = SweepReport()
    if not leases_home().is_dir():
        return report
    try:
        with FileLock(leases_home() / "sweep.lock", timeout=0):
            for lease in leases():
                remove = removers.get(lease.kind)
                if remove is not None and lease.owner_is_dead():
                    _remove(lease, remove, report)
    except (Timeout, OSError):
        return report
    return report


def release_own(removers: Mapping[str, Callable[[str], None]]) -> SweepReport:
    """As `sweep_leases`, but what the calling process itself leases: what it makes no use of any more."""
    report = SweepReport()
    own = ProcessId.own()
    for lease in leases():
        remove = removers.get(lease.kind)
        if remove is not None and lease.owner == own:
            _remove(lease, remove, report)
    return report


def _remove(lease: Lease, remove: Callable[[str], None], report: SweepReport) -> None:
    name = f"{lease.kind}.{lease.id}"
    try:
        remove(lease.id)
        lease.release()
    except Exception as error:
        # One leftover that resists must neither hide the others nor stop the run that swept.
        report.failed[name] = f"{type(error).__name__}: {error}"
    else:
        report.removed.append(name)
