"""The drive of a QEMU machine: a disc is put in and taken out while the guest runs, and files come on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from hotswap.deadline import Deadline
from hotswap.machine.qmp import Qmp
from hotswap.transport.agent import Agent
from hotswap.transport.media import Media, build_media, check_media
from hotswap.transport.replies import ServiceState

DRIVE = "disc"
"""The drive's name in QEMU."""
_EJECT_SECONDS = 10.0


class DiscDrive(Protocol):
    """A machine with a drive."""

    def insert_disc(self, image: Path, deadline: Deadline) -> None:
        """Put a disc in, so that the guest sees it."""
        ...

    def eject_disc(self, deadline: Deadline) -> None:
        """Take it out."""
        ...


def insert(qmp: Qmp, image: Path, deadline: Deadline) -> None:
    """Close the drive's tray over this image. QmpRefused when a disc is in it that the guest does not let go."""
    arguments = {"id": DRIVE, "filename": str(image), "format": "raw", "read-only-mode": "read-only"}
    qmp.execute("blockdev-change-medium", arguments, deadline=deadline)


def eject(qmp: Qmp, deadline: Deadline) -> None:
    """Take out what is in the drive. QmpRefused when the guest does not let go of it."""
    qmp.execute("eject", {"id": DRIVE}, deadline=deadline)


class DiscFiles:
    """As the agent, for a deployment whose files are on a disc in the guest's drive: they are copied in the guest."""

    def __init__(self, agent: Agent, media: Media, paths: dict[str, str]) -> None:
        """`paths`: where each file of the disc is in the guest."""
        self._agent = agent
        self._files = {one.name: one for one in media.files}
        self._paths = paths

    def put(self, source: Path, guest_path: str, *, deadline: Deadline) -> str:
        """Copy a file of the disc; returns its SHA-256 (hex), which the agent has checked."""
        name = source.name
        file = self._files[name]
        self._agent.copy(self._paths[name], guest_path, size=file.size, sha256=file.sha256, deadline=deadline)
        return file.sha256

    def remove(self, guest_path: str, *, deadline: Deadline) -> None:
        """As Agent.remove."""
        self._agent.remove(guest_path, deadline=deadline)

    def service_find(self, name: str, *, deadline: Deadline) -> ServiceState | None:
        """As Agent.service_find."""
        return self._agent.service_find(name, deadline=deadline)

    def service_create(self, name: str, guest_path: str, *, deadline: Deadline) -> None:
        """As Agent.service_create."""
        self._agent.service_create(name, guest_path, deadline=deadline)

    def service_delete(self, name: str, *, deadline: Deadline) -> None:
        """As Agent.service_delete."""
        self._agent.service_delete(name, deadline=deadline)


@contextmanager
def files_on_disc(
    drive: DiscDrive, folder: Path, agent: Agent, files: Sequence[Path], deadline: Deadline
) -> Iterator[DiscFiles]:
    """Put a disc with these files into the drive, its content checked in the guest; at the end it is taken out."""
    image = folder / "files.iso"
    media = build_media(image, {file.name: file for file in files})
    try:
        drive.insert_disc(image, deadline)
        try:
            yield DiscFiles(agent, media, check_media(agent, media, deadline=deadline))
        finally:
            drive.eject_disc(Deadline.after(max(deadline.remaining, _EJECT_SECONDS)))
    finally:
        image.unlink(missing_ok=True)
