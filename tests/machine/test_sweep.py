"""What `kill -9` leaves is removed by the next run, and nothing else is."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.machine.building import build_folder
from hotswap.machine.lease import Lease, leases
from hotswap.machine.proc import ProcessId
from hotswap.machine.sweep import sweep
from hotswap.machine.wine import WineMachine
from hotswap.machine.wine_prefix import BUILD_KIND, clones_home, templates_home
from hotswap.machine.wine_process import prefix_processes

OWNER = """
from hotswap.deadline import Deadline
from hotswap.machine.wine import WineMachine
machine = WineMachine(progress=lambda text: print(text, flush=True))
machine.start(Deadline.after(120))
print(machine.id, flush=True)
input()
"""

INTERRUPTED = """
from hotswap.deadline import Deadline
from hotswap.machine.wine import WineMachine
try:
    with WineMachine(progress=lambda text: print(text, flush=True)) as machine:
        machine.start(Deadline.after(120))
        print("started", flush=True)
        input()
except KeyboardInterrupt:
    print("interrupted")
"""


def owner() -> subprocess.Popen[str]:
    """Another run: it starts a machine, prints its id, and would never end by itself."""
    return subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    # A guest that kept the owner's pipes would keep us here.
    child.communicate(timeout=60)


@pytest.mark.parametrize("moment", ["building", "started"])
def test_an_interrupted_run_cleans_up_by_itself(request: pytest.FixtureRequest, moment: str) -> None:
    request.getfixturevalue("empty_cache" if moment == "building" else "cache")
    run = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert moment in line(run)
        if moment == "building":
            Deadline.after(60).wait_for(lambda: [*templates_home().glob("build-*/prefix/drive_c")], "the build")
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=120)[0] == "interrupted\n"
        assert [*leases()] == []
        assert [*clones_home().glob("*")] == []
        assert [*templates_home().glob("build-*")] == []
    finally:
        kill(run)
        sweep()


def test_the_machine_of_a_killed_run_is_removed_and_a_living_one_is_unharmed(cache: Path) -> None:
    first, second = owner(), owner()
    try:
        dead, living = line(first), line(second)
        kill(first)
        theirs = prefix_processes(clones_home() / dead / "prefix")
        unharmed = {*prefix_processes(clones_home() / living / "prefix")}
        assert theirs, "a wineserver held with -p outlives its owner: else this test shows nothing"
        # The next start sweeps, too.
        with WineMachine() as machine:
            machine.start(Deadline.after(180))
            assert {path.name for path in clones_home().iterdir()} == {living, machine.id}
            assert not any(process.alive() for process in theirs)
            # On a busy computer a service of it may have started meanwhile.
            assert {*prefix_processes(clones_home() / living / "prefix")} >= unharmed
            assert {lease.id for lease in leases()} == {living, machine.id}
        kill(second)
        assert sweep().removed == [f"wine.{living}"]
    finally:
        for child in (first, second):
            kill(child)
        sweep()
    assert [*clones_home().iterdir()] == []


def test_a_half_built_template_of_a_killed_build_is_removed(empty_cache: Path) -> None:
    builder = owner()
    try:
        assert "building the Wine template" in line(builder)

        def half_built() -> Path | None:
            found = [path.parents[4] for path in templates_home().glob("build-*/prefix/drive_c/windows/system32/*.dll")]
            return found[0] if found else None

        build = Deadline.after(60).wait_for(half_built, "the build to fill its prefix")
        at_work = prefix_processes(build / "prefix")
        assert sweep().removed == [], "a living builder was robbed"
        assert build.is_dir()
        assert any(process.alive() for process in at_work)
        kill(builder)
        assert prefix_processes(build / "prefix"), "Wine outlives its owner: else this test shows nothing"
        removed = sweep().removed
        assert sorted(name.split(".")[0] for name in removed) == ["wine", BUILD_KIND]
        assert prefix_processes(build / "prefix") == []
        assert [path for path in templates_home().iterdir() if path.is_dir()] == []
        assert [*clones_home().glob("*")] == []
    finally:
        kill(builder)
        sweep()


def test_folders_that_lost_their_lease_are_removed_and_leased_ones_are_not(empty_cache: Path) -> None:
    orphans = [clones_home() / "0123456789", build_folder(templates_home(), "0123456789")]
    mine = clones_home() / "abcdef"
    other = templates_home() / "somebodys-template"
    for folder in (*orphans, mine, other):
        (folder / "prefix").mkdir(parents=True)
    Lease.take("wine", "abcdef")
    sweep()
    assert not any(folder.exists() for folder in orphans)
    assert mine.exists()
    assert other.exists()


def test_a_process_of_another_prefix_is_never_touched(empty_cache: Path, tmp_path: Path) -> None:
    orphan = clones_home() / "0123456789" / "prefix"
    orphan.mkdir(parents=True)
    children = {
        prefix: subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"WINEPREFIX": prefix})
        for prefix in (str(orphan), f"{orphan}2", str(tmp_path), "")
    }
    try:
        Deadline.after(60).wait_for(lambda: prefix_processes(orphan), "the child's environment")
        sweep()
        assert children[str(orphan)].wait(60) == -9
        assert [child.poll() for prefix, child in children.items() if prefix != str(orphan)] == [None] * 3
    finally:
        for child in children.values():
            child.kill()
            child.communicate()


def test_an_end_is_not_sent_to_a_later_process_with_the_same_id() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        ProcessId(child.pid, 1).kill()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.2)
        child.communicate(b"\n")
        assert child.returncode == 0


def test_a_sweep_of_nothing_makes_nothing(empty_cache: Path) -> None:
    assert sweep().removed == []
    assert [*empty_cache.iterdir()] == []
