"""Evidence of a QEMU machine, in every state of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.qemu_process import QemuProcess
from hotswap.machine.standin_control import StandinControl

_SECONDS = 5.0
_LOG_BYTES = 1 << 20
_GUEST_LOGS = ("agent-virtio", "agent-com2", "wineserver", "wineboot", "sshd")


def collect(
    folder: Path,
    machine: QemuFolder,
    process: QemuProcess | None,
    gone: str | None,
    control: StandinControl | None,
    deadline: Deadline | None = None,
) -> list[Path]:
    """Write evidence into `folder` and return its files; `problems.txt` says what could not be had. Never raises."""
    deadline = deadline or Deadline.after(_SECONDS)
    files: list[Path] = []
    problems: list[str] = []

    @contextmanager
    def step(name: str) -> Iterator[Path]:
        # Evidence is collected when things are broken already: one failure must not cost the rest.
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
        except Exception as error:
            problems.append(f"{name}: {type(error).__name__}: {error}")
        else:
            files.append(path)

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return []
    with step("machine.json") as path:
        events = [asdict(event) for event in process.qmp.events] if process is not None else []
        path.write_text(json.dumps({"machine": gone or "alive", "events": events}, indent=1, default=dict) + "\n")
    for log in (machine.log, machine.console):
        if log.exists():
            with step(f"logs/{log.name}") as path:
                shutil.copyfile(log, path)
    if gone is None and control is not None:
        with step("processes.json") as path:
            found = control.processes(deadline=deadline.within(deadline.remaining / 2))
            path.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
        for name in _GUEST_LOGS:
            with step(f"logs/{name}.log") as path:
                text = control.read(
                    f"/var/log/{name}.log", _LOG_BYTES, deadline=deadline.within(deadline.remaining / 2)
                )
                path.write_bytes(text)
    if problems:
        with step("problems.txt") as path:
            path.write_text("\n".join(problems) + "\n")
    return files
