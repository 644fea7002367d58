"""Evidence of a Wine machine: what can be seen from outside, in every state of the guest."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotswap.deadline import Deadline
from hotswap.machine.proc import PROC, ProcessId, command_name
from hotswap.machine.wine_folder import PrefixFolder
from hotswap.machine.wine_process import mapped_images, prefix_processes


def collect(
    folder: Path,
    machine: PrefixFolder,
    *,
    verdict: Callable[[], str | None],
    dumps: Callable[[], list[Path]],
    query: list[str],
    environment: dict[str, str],
    deadline: Deadline,
) -> list[Path]:
    """Write evidence files into `folder` and return them; what could not be had stands in `problems.txt`.

    `query` is a command that asks the living guest for its services; it is run only while the guest lives, and is
    given half of the deadline, because a guest under diagnosis may hang.
    """
    files: list[Path] = []
    problems: list[str] = []

    @contextmanager
    def step(name: str) -> Iterator[Path]:
        # Evidence is collected when things are broken already: one failure must not cost the rest.
        path = folder / name
        try:
            yield path
        except Exception as error:
            problems.append(f"{name}: {type(error).__name__}: {error}")
        else:
            files.append(path)

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return []
    gone: str | None = None
    with step("processes.json") as path:
        gone = verdict()
        found = prefix_processes(machine.prefix)
        facts = {"machine": gone or "alive", "processes": [_facts(process) for process in found]}
        path.write_text(json.dumps(facts, indent=1) + "\n")
    if machine.logs.is_dir():
        for log in sorted(machine.logs.iterdir()):
            with step(f"logs/{log.name}") as path:
                path.parent.mkdir(exist_ok=True)
                shutil.copyfile(log, path)
    for dump in dumps():
        with step(dump.name) as path:
            shutil.copyfile(dump, path)
    if gone is None:
        with step("services.txt") as path, path.open("wb") as output:
            subprocess.run(
                query,
                env=environment,
                cwd=machine.path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=deadline.within(deadline.remaining / 2).remaining,
                check=True,
            )
    with step("system.reg") as path:
        # As last written to disk; the living guest's newer values are in services.txt.
        shutil.copyfile(machine.prefix / "system.reg", path)
    if problems:
        with step("problems.txt") as path:
            path.write_text("\n".join(problems) + "\n")
    return files


def _facts(process: ProcessId) -> dict[str, Any]:
    base = PROC / str(process.pid)
    tasks = []
    for task in sorted(base.glob("task/*"), key=lambda path: int(path.name)):
        tasks.append(
            {
                "tid": int(task.name),
                "name": _text(task / "comm"),
                "wchan": _text(task / "wchan"),
                "state": _text(task / "stat").rpartition(")")[2][:2].strip(),
                "syscall": _text(task / "syscall"),
            }
        )
    return {
        "pid": process.pid,
        "started": process.started,
        "name": command_name(process.pid),
        "command": _text(base / "cmdline").replace("\0", " ").strip(),
        "status": _text(base / "status").splitlines(),
        "images": sorted(str(path) for path in mapped_images(process.pid)),
        "maps": _text(base / "maps").splitlines(),
        "tasks": tasks,
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").rstrip("\n")
    except OSError as error:
        return f"({error.strerror})"
