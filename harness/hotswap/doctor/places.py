"""Folders, disks, cores, memory, samples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from hotswap.doctor.check import Check, State
from hotswap.doctor.environment import project_folder
from hotswap.machine.profile import load_profile
from hotswap.machine.storage import MIB
from hotswap.machine.wine_prefix import templates_home
from hotswap.paths import cache_home, runs_home

_BUILD_MIB = 64
_RUN_MIB = 64
_MEMORY_MIB = 1024
_CORES = 2


def checks() -> Iterator[Check]:
    """Everything that is a matter of room."""
    profile = load_profile("wine")
    built = any(templates_home().glob("*/template.json"))
    space = profile.number("template", "clone_free_mib", 64) if built else profile.number("template", "free_mib", 1024)
    purpose = "built drivers, the Wine template, guests"
    yield _folder("cache folder", cache_home(), space + _BUILD_MIB, purpose, "HOTSWAP_CACHE")
    yield _folder("runs folder", runs_home(), _RUN_MIB, "run folders", "HOTSWAP_RUNS")
    yield _cores()
    yield _memory()
    yield _samples()


def _folder(name: str, path: Path, mib: int, purpose: str, variable: str) -> Check:
    """A folder that can be written, or made, with room on its disk. Nothing is written to find out."""
    there = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    mend = f"export {variable}=/a/folder/on/another/disk"
    if not there.is_dir():
        return Check(name, State.MISSING, f"{there} is in the way: it is no folder", purpose, mend, True, path=path)
    if not os.access(there, os.W_OK | os.X_OK):
        return Check(name, State.MISSING, f"{there} cannot be written", purpose, mend, True, path=path)
    free = shutil.disk_usage(there).free // MIB
    made = "" if there == path else " (not made yet)"
    text = f"{path}{made}, {free / 1024:.1f} GiB free"
    if free < mib:
        return Check(name, State.MISSING, f"{text}, {mib} MiB needed", purpose, mend, True, path=path)
    return Check(name, State.OK, text, purpose, None, True, path=path)


def _cores() -> Check:
    count = len(os.sched_getaffinity(0))
    name, purpose = "cores", "driver threads that really run at once"
    if count < _CORES:
        return Check(name, State.DEGRADED, f"{count}; with {_CORES} a swap meets calls under way", purpose)
    return Check(name, State.OK, f"{count}, load {os.getloadavg()[0]:.1f}", purpose)


def _memory() -> Check:
    memory = psutil.virtual_memory()
    text = f"{memory.available / (1 << 30):.1f} of {memory.total / (1 << 30):.1f} GiB available"
    name, purpose = "memory", "a guest (about 150 MB) and the evaluation of its trace"
    if memory.available // MIB < _MEMORY_MIB:
        return Check(name, State.DEGRADED, f"{text}; {_MEMORY_MIB} MiB are comfortable", purpose)
    return Check(name, State.OK, text, purpose)


def _samples() -> Check:
    """Where the tests look for real traces (design, section 6)."""
    name, purpose = "real samples", "tests of the trace reader on files that Windows wrote"
    project = project_folder()
    default = project.parent / "shared" / "etl-samples" if project else None
    given = os.environ.get("HOTSWAP_ETL_SAMPLES")
    folder = Path(given) if given else default
    mend = "export HOTSWAP_ETL_SAMPLES=/the/folder/of/the/samples"
    if folder is None:
        return Check(name, State.MISSING, "HOTSWAP_ETL_SAMPLES is not set (optional)", purpose, mend)
    if not (folder / "expected.json").is_file():
        return Check(name, State.MISSING, f"no expected.json in {folder} (optional)", purpose, mend, path=folder)
    count = sum(1 for _ in folder.rglob("*.etl"))
    return Check(name, State.OK, f"{count} files in {folder}", purpose, path=folder)
