"""Snapshots of a QEMU guest, memory and disks together, by name inside its own disk."""

from __future__ import annotations

from typing import Any

from hotswap.deadline import Deadline
from hotswap.errors import LabFault, UsageError
from hotswap.machine.lease import new_id
from hotswap.machine.qmp import Qmp

_DISK = "disk"


def snapshot_names(qmp: Qmp, deadline: Deadline) -> list[str]:
    """The snapshots that there are, the oldest first."""
    for node in qmp.execute("query-named-block-nodes", deadline=deadline):
        if node.get("node-name") == _DISK:
            return [item["name"] for item in node.get("image", {}).get("snapshots", [])]
    return []


def save_snapshot(qmp: Qmp, name: str, deadline: Deadline) -> None:
    """Keep the guest's present state. UsageError when the name is taken. The guest stands still meanwhile."""
    if name in snapshot_names(qmp, deadline):
        raise UsageError(f"there is a snapshot {name!r} already: choose another name")
    _job(qmp, "snapshot-save", name, deadline)


def load_snapshot(qmp: Qmp, name: str, deadline: Deadline) -> None:
    """Return to a kept state. UsageError, with the known names, when there is none of this name."""
    names = snapshot_names(qmp, deadline)
    if name not in names:
        raise UsageError(f"there is no snapshot {name!r}; there are: {', '.join(names) or 'none'}")
    _job(qmp, "snapshot-load", name, deadline)


def _job(qmp: Qmp, command: str, name: str, deadline: Deadline) -> None:
    id = f"{command}-{new_id()}"
    arguments: dict[str, Any] = {"job-id": id, "tag": name, "vmstate": _DISK, "devices": [_DISK]}
    qmp.execute(command, arguments, deadline=deadline)

    def over() -> dict[str, Any] | None:
        jobs = [job for job in qmp.execute("query-jobs", deadline=deadline) if job["id"] == id]
        return jobs[0] if jobs and jobs[0]["status"] == "concluded" else None

    job = deadline.wait_for(over, f"QEMU's {command} of {name!r}", alive=qmp.alive, interval=0.02)
    qmp.execute("job-dismiss", {"id": id}, deadline=deadline)
    if error := job.get("error"):
        raise LabFault(f"QEMU's {command} of {name!r} failed: {error}")
