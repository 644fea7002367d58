"""`hotswap machine`: machines that live on between commands, and end with `stop`, `rm` or `sweep`."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Done, hotswap
from filelock import FileLock

from hotswap.deadline import Deadline
from hotswap.driver.build import build_drivers
from hotswap.machine.lease import leases, leases_home
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.qemu_folder import QemuFolder, machines_home
from hotswap.machine.qemu_live import read_record, release_kept
from hotswap.machine.sweep import sweep

USAGE = 2


@pytest.fixture(scope="module")
def prepared() -> None:
    """Image and template, made by the first test of all that needs them: no command waits for that."""
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(build_drivers().agent)
    machine.prepare(Deadline.after(600))


@pytest.fixture
def kept(runs: Path, prepared: None) -> Iterator[str]:
    """A machine that lives on, forked by the command."""
    done = hotswap("machine", "fork", "--quiet", runs=runs)
    assert done.code == 0, done.err
    id = done.out.strip()
    yield id
    folder = QemuFolder(machines_home() / id)
    left = folder.path.exists()
    for process in folder.processes():
        process.kill()
    sweep()
    release_kept(id)
    assert not left, "the test left a machine"


def run(runs: Path, *arguments: str) -> Done:
    done = hotswap("machine", *arguments, runs=runs)
    assert done.code == 0, done.err
    return done


def test_a_machine_lives_on_and_is_used_by_commands_of_their_own(kept: str, runs: Path, tmp_path: Path) -> None:
    folder = QemuFolder(machines_home() / kept)
    (lease,) = [lease for lease in leases() if lease.id == kept]
    assert lease.owner == read_record(folder).process, "QEMU itself owns it"
    assert f"qemu.{kept}" not in sweep().removed
    listed = json.loads(run(runs, "list", "--json").out)
    assert {"id": kept, "profile": "standin", "state": "running", "pid": lease.owner.pid} in listed["machines"]

    (tmp_path / "file").write_bytes(b"there and back")
    run(runs, "push", kept[:6], str(tmp_path / "file"), r"C:\hotswap\file.txt")
    run(runs, "snapshot", kept, "with-file")
    said = json.loads(run(runs, "exec", kept, "--json", "--", "cmd", "/c", "del", r"C:\hotswap\file.txt").out)
    assert (said["exit_code"], said["timed_out"]) == (0, False)
    gone = hotswap("machine", "pull", kept, r"C:\hotswap\file.txt", str(tmp_path / "none"), runs=runs)
    assert gone.code == 1
    assert "ERROR_FILE_NOT_FOUND" in gone.err
    run(runs, "restore", kept, "with-file")
    run(runs, "pull", kept, r"C:\hotswap\file.txt", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"there and back"
    failed = hotswap("machine", "exec", kept, "--", "cmd", "/c", "exit", "7", runs=runs)
    assert failed.code == 1

    run(runs, "screenshot", kept, str(tmp_path / "screen.png"))
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert "panic" not in run(runs, "console", kept, "--log").out
    told = run(runs, "evidence", kept, str(tmp_path / "evidence"), "--memory").out
    assert told.startswith("the machine is running")
    assert (tmp_path / "evidence" / "memory.kdump").stat().st_size > 1 << 20
    assert (tmp_path / "evidence" / "logs" / "kernel.log").read_text()
    assert run(runs, "exec", kept, "--", "cmd", "/c", "echo", "here").out == "here\n"
    assert hotswap("machine", "evidence", kept, str(tmp_path / "screen.png"), runs=runs).code == 2
    run(runs, "stop", kept)
    assert folder.processes() == []
    assert not folder.path.exists()
    assert kept not in {lease.id for lease in leases()}


class Terminal:
    """A command on a pseudo-terminal, and somebody who types."""

    def __init__(self, runs: Path, *arguments: str) -> None:
        self._mine, its = os.openpty()
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hotswap", "machine", *arguments],
            env={**os.environ, "HOTSWAP_RUNS": str(runs), "TERM": "dumb"},
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
        os.close(its)

    def type(self, text: bytes) -> None:
        os.write(self._mine, text)

    def expect(self, text: bytes, *, typing: bytes = b"") -> None:
        """`typing` is typed again and again: a command that takes over its terminal forgets what was typed before."""

        def come() -> bool:
            self.type(typing)
            while select.select([self._mine], [], [], 0)[0]:
                try:
                    self.seen += os.read(self._mine, 4096)
                except OSError:  # the command has ended
                    break
            return text in self.seen

        Deadline.after(120).wait_for(
            come, f"{text!r} on the terminal", interval=1, last_seen=lambda: repr(self.seen[-500:])
        )
        self.seen = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._mine)


def test_shell_and_console_join_a_terminal_to_the_guest(kept: str, runs: Path) -> None:
    with Terminal(runs, "shell", kept) as shell:
        # What is typed before the shell reads is lost, and the sum is not in what is echoed.
        shell.expect(b"# ")
        shell.type(b"read name < /proc/sys/kernel/hostname; echo sum=$((40+2)) on $name\r")
        shell.expect(f"sum=42 on hs-{kept}".encode())
        shell.type(b"exit\r")
        assert shell.process.wait(60) == 0
    with Terminal(runs, "console", kept) as console:
        console.expect(b"# ", typing=b"\r")
        console.type(b"echo sum=$((40+3))\r")
        console.expect(b"sum=43")
        console.type(b"\x1d")
        assert console.process.wait(60) == 0
    assert "sum=43" in run(runs, "console", kept, "--log").out
    run(runs, "rm", kept)


def test_a_machine_whose_qemu_died_is_told_and_swept(kept: str, runs: Path) -> None:
    folder = QemuFolder(machines_home() / kept)
    # Whoever starts a machine sweeps first: not under this test.
    with FileLock(leases_home() / "sweep.lock"):
        (qemu,) = folder.processes()
        qemu.kill()
        folder.kill(Deadline.after(10))
        listed = json.loads(run(runs, "list", "--json").out)
        (mine,) = [machine for machine in listed["machines"] if machine["id"] == kept]
        assert mine["state"].startswith("gone")
        done = hotswap("machine", "exec", kept, "--", "cmd", runs=runs)
        assert done.code == 4
        assert "is not there any more" in done.err
    sweep()
    assert not folder.path.exists()
    assert kept not in {lease.id for lease in leases()}


def test_a_dry_run_prints_the_command_line_and_makes_nothing(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache"))
    words = json.loads(run(runs, "start", "windows-11-uefi", "--dry-run", "--json").out)["command"]
    assert "tpm-crb,tpmdev=tpm0" in words
    assert any("OVMF_CODE_4M.secboot.fd" in word for word in words)
    assert "restrict=on" in run(runs, "fork", "standin", "--dry-run").out
    assert not [*tmp_path.glob("cache/qemu/machines/*")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("start", "windows-11-uefi"), "is a Windows, which lives no longer than a command"),
        (("build", "windows-11-uefi"), "needs its medium, windows.iso: it is not in "),
        (("build", "wine"), "nothing of it has to be built"),
        (("start", "hyperv-windows-11"), "is planned and cannot run yet"),
        (("start", "vax"), "unknown machine 'vax'"),
        (("start", "wine"), "lives no longer than a command"),
        (("exec", "nobody", "--", "cmd"), "'nobody' is no machine that lives on"),
        (("push", "nobody", "/no/such/file", r"C:\x"), "/no/such/file is no file"),
        (("rm", "nobody"), "'nobody' is no machine that lives on"),
        (("exec", "--seconds", "0", "last", "--", "cmd"), "--seconds is 0"),
    ],
)
def test_bad_input_ends_in_one_line(runs: Path, arguments: tuple[str, ...], message: str) -> None:
    done = hotswap("machine", *arguments, runs=runs)
    assert done.code == USAGE
    assert message in done.complaint()
