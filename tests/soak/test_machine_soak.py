"""`ci/soak machine`: a few forks and a few kills, and that it sees what is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap.machine.lease import Lease
from hotswap.machine.qemu_folder import MARK, machines_home
from hotswap.paths import cache_home
from hotswap.soak import __main__ as command
from hotswap.soak import machine
from hotswap.soak.machine import left_behind


def test_forks_and_kills_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Other tests leave machines on purpose: only what is built is shared with them.
    for built in ("drivers", "signing", "standin", "tools", "wine"):
        if (cache_home() / built).exists():
            (tmp_path / built).symlink_to(cache_home() / built)
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path))
    code = command.main(["machine", "--forks", "2", "--kills", "3", "--quiet", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["verdict"], told["problems"]) == (0, "pass", [])
    assert (told["forks"], told["kills"]) == (2, 3)


def test_a_process_and_a_folder_that_nobody_leases_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else another test's sweep might remove them.
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path))
    folder = machines_home() / "0000000000"
    folder.mkdir(parents=True)
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, env={MARK: str(folder)})  # fmt: skip
    try:
        assert child.stdout is not None
        child.stdout.readline()
        found = [line for line in left_behind() if folder.name in line]
        assert found == [f"process {child.pid} of machine {folder.name} is left", f"the folder {folder} is left"]
    finally:
        child.kill()
        child.communicate()
        folder.rmdir()


def test_a_machine_that_another_starts_or_stops_meanwhile_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path))
    going, coming = machines_home() / "1111111111", machines_home() / "2222222222"
    going.mkdir(parents=True)
    leases = machine.leases

    def meanwhile() -> object:
        """One ends and another begins after the folders were listed, before the leases are."""
        going.rmdir()
        Lease.take("qemu", coming.name)
        coming.mkdir()
        return leases()

    monkeypatch.setattr(machine, "leases", meanwhile)
    assert left_behind() == []
