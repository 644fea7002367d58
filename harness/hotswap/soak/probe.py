"""What is measured between the steps of a soak: processes from /proc, and files."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow

from hotswap.driver.build import whole_builds
from hotswap.machine.lease import leases, leases_home
from hotswap.machine.proc import PROC, ProcessId, environment
from hotswap.machine.qemu_folder import machines_home, templates_home
from hotswap.machine.standin_image import images_home
from hotswap.machine.wine_prefix import clones_home
from hotswap.paths import cache_home, runs_home
from hotswap.runs import run_ids
from hotswap.soak.trend import Bound

# A leak of one in a hundred steps is found. Memory is noisy: by pages in the guest, and in Python, whose runs differ in
# the size of their traces, by megabytes.
GUEST_BOUNDS = {
    "memory": Bound("KiB", 4.0, min_samples=12),
    "threads": Bound("threads", 0.01),
    "open files": Bound("files", 0.01),
}
HARNESS_BOUNDS = {
    **GUEST_BOUNDS,
    "memory": Bound("KiB", 64.0, min_samples=12),
    "child processes": Bound("processes", 0.01),
    "guest processes": Bound("processes", 0.01),
    "leases": Bound("leases", 0.01),
    "files in the cache": Bound("files", 0.01),
    "files of its runs": Bound("files", 0.01),
}


def process_figures(pid: int) -> dict[str, float]:
    """Resident memory in KiB, threads and open files of one process; empty when it is gone."""
    try:
        fields = dict(
            line.split(":", 1) for line in (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
        )
        files = len(os.listdir(PROC / str(pid) / "fd"))  # noqa: PTH208 - names only, thousands of them
        return {
            "memory": float(fields["VmRSS"].split()[0]),
            "threads": float(fields["Threads"]),
            "open files": float(files),
        }
    except (OSError, KeyError, ValueError):
        return {}


def harness_figures(run_folders: Collection[Path]) -> dict[str, float]:
    """Of this process, and of what it leaves outside itself. `run_folders`: those of the soak's own runs."""
    _give_back()
    own = ProcessId.own()
    found = list(leases())
    others = {lease.id for lease in found if lease.owner != own}
    return {
        **process_figures(own.pid),
        "child processes": float(len(psutil.Process().children(recursive=True))),
        "guest processes": float(sum(1 for _ in _guest_processes(others))),
        "leases": float(sum(lease.owner == own for lease in found)),
        "files in the cache": float(sum(1 for _ in _cache_files(others))),
        "files of its runs": float(sum(1 for _ in _run_files(run_folders))),
    }


def _give_back() -> None:
    """What only waits to be collected, or is free and kept for the next run, is no growth."""
    gc.collect()
    pyarrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):
        # glibc only.
        ctypes.CDLL(None).malloc_trim(0)


def _guest_processes(others: Collection[str]) -> Iterator[int]:
    """Processes of prefixes in the cache that nobody else leases."""
    home = os.fsencode(clones_home()) + b"/"
    for pid in psutil.pids():
        prefix = environment(pid).get(b"WINEPREFIX", b"")
        if prefix.startswith(home) and os.fsdecode(prefix[len(home) :].partition(b"/")[0]) not in others:
            yield pid


def _cache_files(others: Collection[str]) -> Iterator[Path]:
    """Without what others make and remove there at the same time: their guests and leases, and whole builds."""
    skipped = {home / id for home in (clones_home(), machines_home()) for id in others}
    skipped |= {home / f"build-{id}" for home in (templates_home(), images_home()) for id in others}
    skipped |= set(whole_builds())
    lease_folder = leases_home()
    for folder, folders, files in os.walk(cache_home()):
        here = Path(folder)
        folders[:] = [name for name in folders if here / name not in skipped]
        for name in files:
            if here != lease_folder or not any(f".{id}." in name for id in others):
                yield here / name


def _run_files(run_folders: Collection[Path]) -> Iterator[Path]:
    """In the folder of the runs: those of its own runs, and strays. Runs that others make there are theirs."""
    home = runs_home()
    theirs = set(run_ids(home)) - {path.name for path in run_folders}
    for folder, folders, files in os.walk(home):
        if Path(folder) == home:
            folders[:] = [name for name in folders if name not in theirs]
        for name in files:
            yield Path(folder) / name
