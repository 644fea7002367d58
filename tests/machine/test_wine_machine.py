"""Machine `wine` as its users see it: independent, complete, and gone without a trace."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault, UsageError
from hotswap.machine.lease import leases
from hotswap.machine.proc import command_name, environment
from hotswap.machine.wine import WineMachine
from hotswap.machine.wine_prefix import clones_home, templates_home
from hotswap.machine.wine_process import driver_hosts, prefix_processes

START = 60.0
STOP = 30.0
KEY = r"HKLM\Software\HotSwapTest"


def started() -> WineMachine:
    machine = WineMachine()
    machine.start(Deadline.after(START))
    return machine


def guest(machine: WineMachine, *argv: str) -> str:
    """Run a program of the guest and return what it wrote."""
    done = subprocess.run(
        machine.wine.command(*argv),
        env=machine.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return done.stdout.decode()


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and modification time."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def test_a_started_machine_runs_drivers_and_a_stopped_one_leaves_nothing(cache: Path) -> None:
    machine = WineMachine()
    assert machine.alive() == "not started"
    machine.start(Deadline.after(START))
    prefix = machine.folder.prefix
    assert machine.alive() is None
    assert [lease.id for lease in leases()] == [machine.id]

    hosts = machine.driver_host_processes()
    images = {image.name for host in hosts for image in machine.mapped_images(host.pid)}
    assert "mountmgr.sys" in images, "the driver host has no driver mapped"
    assert all(host.alive() and host.pid in machine.task_ids(host.pid) for host in hosts)
    everything = machine.processes()
    assert all(os.getsid(process.pid) != os.getsid(0) for process in everything), "Ctrl-C would reach the guest"

    machine.stop(Deadline.after(STOP))
    assert prefix_processes(prefix) == []
    assert not any(process.alive() for process in everything)
    assert [*clones_home().iterdir()] == []
    assert [*leases()] == []
    assert machine.alive() == "stopped"
    assert all(machine.task_ids(host.pid) == frozenset() for host in hosts)
    machine.stop(Deadline.after(STOP))


def test_no_process_of_the_guest_has_its_heap_where_wine_needs_its_page(cache: Path) -> None:
    with started() as machine:
        if not machine.wine.launcher:
            pytest.skip("cannot be shown here: this container does not allow personality(2)")
        processes = [process for process in machine.processes() if command_name(process.pid) != "wineserver64"]
        assert len(processes) > 3
        for process in processes:
            assert Path(f"/proc/{process.pid}/personality").read_text().strip() == "00040000", process
            (heap,) = (line for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines() if "[heap]" in line)
            assert int(heap.partition("-")[0], 16) < 0x7D100000, "right behind the loader"


def test_the_users_wine_home_display_and_environment_are_left_alone(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".wine").mkdir(parents=True)
    (home / ".wine" / "system.reg").write_text("mine")
    before = tree(home)
    for name, value in {"HOME": str(home), "DISPLAY": ":77", "WAYLAND_DISPLAY": "w", "MY_SECRET": "s"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WINEPREFIX", raising=False)
    with started() as machine:
        guest(machine, "reg", "add", KEY, "/v", "x", "/d", "1", "/f")
        known = {*machine.environment, "WINELOADERNOEXEC", "WINEPRELOADRESERVE", "WINESERVERSOCKET"}
        for process in machine.processes():
            names = {name.decode() for name in environment(process.pid)}
            assert not names & {"DISPLAY", "WAYLAND_DISPLAY", "MY_SECRET"}
            assert environment(process.pid)[b"HOME"] == os.fsencode(machine.folder.home)
            assert names <= known, f"{process} was given more than the profile says"
        links = [path for path in machine.folder.prefix.rglob("*") if path.is_symlink()]
        outside = [path for path in links if not path.resolve().is_relative_to(machine.folder.prefix)]
        # Wine itself names the serial ports of this host.
        names = {path.name for path in outside if not path.name.startswith("com")}
        assert names == {"z:"}, "the guest has links into this host"
    assert tree(home) == before


def test_what_a_guest_writes_reaches_neither_the_template_nor_another_machine(cache: Path) -> None:
    (template,) = (path for path in templates_home().iterdir() if path.is_dir())
    before = tree(template / "prefix")
    with started() as first:
        guest(first, "reg", "add", KEY, "/v", "marker", "/d", "of the first", "/f")
        guest(first, "cmd", "/c", r"echo changed>>C:\windows\win.ini")
        assert "of the first" in guest(first, "reg", "query", KEY)
        with started() as second:
            with pytest.raises(subprocess.CalledProcessError):
                guest(second, "reg", "query", KEY)
            assert "changed" not in second.host_path(r"C:\windows\win.ini").read_text()
            assert "changed" in first.host_path(r"C:\windows\win.ini").read_text()
    assert tree(template / "prefix") == before


def test_two_machines_are_independent(cache: Path) -> None:
    with started() as first, started() as second:
        mine, other = {*first.driver_host_processes()}, {*second.driver_host_processes()}
        assert mine
        assert other
        assert not mine & other
        first.kill()
        assert first.alive() == f"machine {first.id} was killed"
        assert first.processes() == []
        assert second.alive() is None
        assert {*second.driver_host_processes()} == other
        assert "HotSwap" in guest(second, "cmd", "/c", "echo HotSwap")


def test_a_guest_path_names_the_same_file_inside(cache: Path, tmp_path: Path) -> None:
    text = tmp_path / "mit Leerzeichen und Ümläuten.txt"
    text.write_text("seen from inside")
    with started() as machine:
        own = machine.host_path(r"C:\hotswap test\ä.txt")
        own.parent.mkdir()
        own.write_text("of the guest")
        assert machine.guest_path(own) == r"C:\hotswap test\ä.txt"
        assert machine.guest_path(text).startswith("Z:\\")
        for path, content in ((own, "of the guest"), (text, "seen from inside")):
            assert content in guest(machine, "cmd", "/c", "type", machine.guest_path(path))
        with pytest.raises(UsageError, match="backslash"):
            machine.guest_path(tmp_path / "a\\b")
        with pytest.raises(UsageError, match="drive C"):
            machine.host_path(r"D:\x")


def test_a_driver_host_that_dies_is_missed_from_outside(cache: Path) -> None:
    with started() as machine:
        hosts = machine.driver_host_processes()
        hosts[0].kill()
        Deadline.after(10).wait_for(lambda: hosts[0] not in machine.driver_host_processes(), "its end")
        assert machine.mapped_images(hosts[0].pid) == frozenset()
        assert machine.alive() is None


def test_a_machine_whose_wineserver_dies_says_so_and_keeps_the_first_cause(cache: Path) -> None:
    with started() as machine:
        (server,) = (p for p in machine.processes() if "wineserver" in Path(f"/proc/{p.pid}/comm").read_text())
        server.kill()
        cause = Deadline.after(10).wait_for(machine.alive, "the machine's end")
        assert cause == f"the wineserver of machine {machine.id} ended with -9"
        machine.kill()
        assert machine.alive() == cause
        with pytest.raises(LabFault, match="wineserver"):
            machine.connect_agent(Path("agent.exe"), Deadline.after(5))


def test_evidence_can_be_had_in_every_state(cache: Path, tmp_path: Path) -> None:
    machine = WineMachine()

    def evidence(state: str) -> dict[str, Path]:
        files = machine.diagnose(tmp_path / state)
        assert all(path.is_file() for path in files)
        return {path.name: path for path in files}

    assert json.loads(evidence("new")["processes.json"].read_text()) == {"machine": "not started", "processes": []}
    machine.start(Deadline.after(START))
    running = evidence("running")
    assert {"processes.json", "wineserver.log", "wineboot.log", "services.txt", "system.reg"} <= {*running}
    assert "MountMgr" in running["services.txt"].read_text()
    processes = json.loads(running["processes.json"].read_text())["processes"]
    (first, *_) = (process for process in processes if process["name"] == "winedevice.exe")
    assert first["tasks"]
    assert any(image.endswith(".sys") for process in processes for image in process["images"])
    machine.kill()
    killed = evidence("killed")
    assert "was killed" in killed["processes.json"].read_text()
    assert {"wineserver.log", "system.reg"} <= {*killed}
    assert "services.txt" not in killed
    machine.stop(Deadline.after(STOP))
    assert {*evidence("stopped")} >= {"processes.json", "problems.txt"}
    (tmp_path / "file").write_text("")
    assert machine.diagnose(tmp_path / "file") == []


def test_a_hanging_guest_does_not_keep_the_diagnosis(cache: Path, tmp_path: Path) -> None:
    with started() as machine:
        (server,) = (p for p in machine.processes() if "wineserver" in Path(f"/proc/{p.pid}/comm").read_text())
        subprocess.run(["kill", "-STOP", str(server.pid)], check=True)
        files = {path.name for path in machine.diagnose(tmp_path / "hung", Deadline.after(1))}
        assert {"processes.json", "problems.txt"} <= files
        # Orderly does not work on a stopped server; force must, within the deadline.
        machine.stop(Deadline.after(5))
        assert driver_hosts(machine.folder.prefix) == []
        assert not machine.folder.path.exists()


def test_a_start_that_fails_leaves_nothing(cache: Path) -> None:
    machine = WineMachine()
    with pytest.raises(DeadlineExpired):
        machine.start(Deadline.after(0.0))
    assert machine.processes() == []
    assert not machine.folder.path.exists()
    assert [*leases()] == []
    with pytest.raises(LabFault, match="only once"):
        machine.start(Deadline.after(START))


def test_snapshots_are_refused_with_advice() -> None:
    with pytest.raises(UsageError, match="start a fresh one"):
        WineMachine().snapshot("x", Deadline.after(1))
    with pytest.raises(UsageError, match="start a fresh one"):
        WineMachine().restore("x", Deadline.after(1))


def test_the_kernel_image_is_the_guests_own(cache: Path) -> None:
    with started() as machine:
        inside = machine.host_path(r"C:\windows\system32\ntoskrnl.exe")
        assert machine.ntoskrnl.read_bytes() == inside.read_bytes()


def test_the_agents_stream_is_its_standard_input_and_output(cache: Path) -> None:
    """Any program will do here: the guest's own command interpreter answers on its stream, too."""
    with started() as machine:
        shell = machine.host_path(r"C:\windows\system32\cmd.exe")
        stream = machine.connect_agent(shell, Deadline.after(START))
        assert machine.host_path(r"C:\hotswap\cmd.exe").read_bytes() == shell.read_bytes()
        stream.write(b"ver\r\n", Deadline.after(10))
        seen = b""
        deadline = Deadline.after(START)
        while b"Windows" not in seen and (part := stream.read(4096, deadline)):
            seen += part
        assert b"Windows" in seen
        assert stream.alive() is None
        machine.kill()
        while stream.read(4096, Deadline.after(10)):
            pass
        assert stream.alive() is not None
        stream.close()


def test_an_agent_that_is_not_there_is_told(cache: Path, tmp_path: Path) -> None:
    with started() as machine, pytest.raises(LabFault, match=r"no such agent\.exe.*does not exist"):
        machine.connect_agent(tmp_path / "no such agent.exe", Deadline.after(START))
