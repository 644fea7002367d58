"""Machines that live on without the process that started them: a record in their folder, and a lease that QEMU owns."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hotswap.errors import LabFault, UsageError
from hotswap.machine.lease import leases, new_id
from hotswap.machine.proc import ProcessId
from hotswap.machine.qemu_folder import QemuFolder, machines_home
from hotswap.machine.standin_identity import Identity

_FILE = "machine.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What has to be known of a machine to come back to it."""

    profile: str
    process: ProcessId
    identity: Identity
    agent: str | None
    """SHA-256 (hex) of the agent in the guest; None: there is none yet."""


def write_record(folder: QemuFolder, record: Record) -> None:
    """Write it whole."""
    content = {
        "schema": 1,
        "profile": record.profile,
        "pid": record.process.pid,
        "started": record.process.started,
        "name": record.identity.name,
        "mac": record.identity.mac,
        "agent": record.agent,
    }
    partial = folder.path / f".{_FILE}.{new_id()}"
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(folder.path / _FILE)


def read_record(folder: QemuFolder) -> Record:
    """UsageError when there is no such machine."""
    try:
        content = json.loads((folder.path / _FILE).read_text())
        return Record(
            content["profile"],
            ProcessId(content["pid"], content["started"]),
            Identity(content["name"], content["mac"]),
            content["agent"],
        )
    except FileNotFoundError:
        known = ", ".join(kept_machines()) or "none"
        raise UsageError(f"there is no machine {folder.path.name!r} that lives on; there are: {known}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabFault(f"reading {folder.path / _FILE}: {error}; `hotswap machine rm` removes the machine") from error


def kept_machines() -> list[str]:
    """The ids of machines that live on."""
    found = machines_home().glob(f"*/{_FILE}")
    return sorted(path.parent.name for path in found)


def find_kept(wanted: str) -> str:
    """The id that is meant by an id, the beginning of one, or `last`. UsageError when it is none, or several."""
    known = kept_machines()
    if wanted == "last" and known:
        return max(known, key=lambda id: (machines_home() / id / _FILE).stat().st_mtime_ns)
    found = [id for id in known if id.startswith(wanted)]
    if len(found) != 1:
        what = "is no machine that lives on" if not found else f"is the beginning of {len(found)}"
        raise UsageError(f"{wanted!r} {what}; there are: {', '.join(known) or 'none'}")
    return found[0]


def release_kept(id: str) -> None:
    """Forget the lease of a machine that is gone."""
    for lease in leases():
        if lease.kind == "qemu" and lease.id == id:
            lease.release()
