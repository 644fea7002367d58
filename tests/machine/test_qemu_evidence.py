"""Evidence of a QEMU machine in each of its states: what there is, what is missing and why, and whose fault it was."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import GuestFault, HotswapError, LabFault
from hotswap.machine.evidence import Evidence, Skip, read_manifest
from hotswap.machine.proc import ProcessId
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.qemu_accelerator import find_qemu
from hotswap.machine.qemu_command import QemuSources, qemu_command
from hotswap.machine.qemu_evidence import Subject, collect
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.qemu_panic import panic_of
from hotswap.machine.qemu_process import QemuProcess, make_disk
from hotswap.machine.qemu_profile import qemu_profile
from hotswap.machine.qemu_screen import write_screens
from hotswap.machine.qemu_state import look
from hotswap.machine.unix_socket import listen_unix
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract

START = 300.0
NOTE = r"C:\hotswap\note.txt"
ALWAYS = frozenset({"machine.json", "qmp-events.jsonl", "logs/qemu.log", "logs/console.log"})
ASKED = frozenset({"processes.json", "logs/kernel.log", "logs/agent-virtio.log", "guest/note.txt", "screens/000.png"})
STILL = frozenset({"processors.txt", "screens/000.png", "logs/agent-virtio.log", "guest/note.txt"})
DISK = frozenset({"logs/agent-virtio.log", "guest/note.txt"})


def limit(seconds: float = 60.0) -> Deadline:
    return Deadline.after(seconds)


def qemu(machine: QemuMachine) -> int:
    (process,) = machine.folder.processes()
    return process.pid


def nothing(_machine: QemuMachine) -> None:
    return


def kill_agent(machine: QemuMachine) -> None:
    for process in machine.processes():
        if process.name.startswith("hsagent"):
            machine.control.kill(process, deadline=limit())
    limit().wait_for(
        lambda: not any(each.name.startswith("hsagent") for each in machine.processes()), "the agent's end"
    )


def panic(machine: QemuMachine) -> None:
    machine.control.end("panic")
    limit().wait_for(machine.alive, "the panic")


def freeze(machine: QemuMachine) -> None:
    assert machine._process is not None
    os.kill(qemu(machine), signal.SIGSTOP)
    process = machine._process
    limit().wait_for(lambda: process.frozen, "QEMU to be stopped")


def kill(machine: QemuMachine) -> None:
    os.kill(qemu(machine), signal.SIGKILL)
    limit().wait_for(machine.alive, "QEMU's end")


@dataclass(frozen=True)
class State:
    """How a machine gets there, what it is then called, whose fault it is, and what there must be."""

    reach: Callable[[QemuMachine], object]
    name: str
    family: type[HotswapError] | None
    wanted: frozenset[str]


STATES = {
    "running": State(nothing, "running", None, ALWAYS | ASKED),
    "agent gone": State(kill_agent, "running", None, ALWAYS | ASKED),
    "paused": State(lambda m: m.qmp.execute("stop", deadline=limit()), "paused", LabFault, ALWAYS | STILL),
    "hung": State(lambda m: m.control.hang(), "hung", GuestFault, ALWAYS | STILL | {"memory.kdump"}),
    "panicked": State(panic, "panicked", GuestFault, ALWAYS | STILL | {"memory.kdump"}),
    "powered off": State(lambda m: m.power_off(limit()), "powered-off", GuestFault, ALWAYS | DISK),
    "reset": State(
        lambda m: m.qmp.execute("system_reset", deadline=limit()), "reset", LabFault, ALWAYS | {"screens/000.png"}
    ),
    "killed": State(kill, "ended", LabFault, ALWAYS | DISK),
    "frozen": State(freeze, "frozen", LabFault, ALWAYS | DISK),
}


@contextmanager
def started(build: DriverBuild) -> Iterator[QemuMachine]:
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(build.agent)
    with machine:
        machine.start(Deadline.after(START))
        # As an agent's file, and known to be on the disk.
        machine.control.put("/var/lib/hotswap/prefix/drive_c/hotswap/note.txt", b"written before", deadline=limit())
        yield machine
    assert machine.folder.processes() == []
    assert not machine.folder.path.exists()


@pytest.mark.parametrize("state", STATES)
def test_there_is_evidence_in_every_state_and_it_says_whose_fault_it_was(
    build: DriverBuild, tmp_path: Path, state: str
) -> None:
    expected = STATES[state]
    with started(build) as machine:
        expected.reach(machine)
        files = machine.diagnose(tmp_path, Deadline.after(90))
        blame = machine.blame(Deadline.after(10))
    assert (type(blame) if blame else None) is expected.family
    facts = json.loads((tmp_path / "machine.json").read_text())
    assert facts["state"] == expected.name
    assert facts["fault_of"] == {None: None, GuestFault: "guest", LabFault: "lab"}[expected.family]
    assert facts["clock"]["at_start"]["offset_error_ms"] < 250
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    pieces = {piece["name"]: piece for piece in manifest["pieces"]}
    missing = {name: pieces.get(name) for name in expected.wanted if pieces.get(name, {}).get("sha256") is None}
    assert missing == {}
    for piece in pieces.values():
        if piece["sha256"] is None:
            assert piece["problem"], piece
        else:
            content = (tmp_path / piece["name"]).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (piece["sha256"], piece["size"])
    found = {path.relative_to(tmp_path).as_posix() for path in files}
    assert found == {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    if "guest/note.txt" in expected.wanted:
        assert (tmp_path / "guest/note.txt").read_bytes() == b"written before"


def test_a_guest_that_is_about_to_end_by_itself_is_not_taken_for_a_qemu_that_does_not_answer(
    build: DriverBuild,
) -> None:
    with started(build) as machine:
        machine.control.end("power-off")
        process = machine._process
        assert process is not None
        limit().wait_for(
            lambda: any(event.name == "SHUTDOWN" for event in process.qmp.events), "the shutdown", interval=0.001
        )
        blame = machine.blame(limit())
    assert isinstance(blame, GuestFault), blame
    assert "guest-shutdown" in str(blame)


def test_a_panic_ends_every_wait_at_once_and_leaves_a_dump_that_can_be_read(build: DriverBuild, tmp_path: Path) -> None:
    with started(build) as machine:
        transport = machine.connect_agent(build.agent, limit())
        with Agent(
            transport, AgentContract.load(build.agent_contract), build.codes, reconnection=machine.reconnection()
        ) as agent:
            agent.hello(deadline=limit())
            machine.control.end("panic")
            deadline = Deadline.after(60)

            def ping() -> None:
                while not deadline.expired:
                    agent.ping(deadline=deadline)

            with pytest.raises(LabFault, match="panicked"):
                ping()
            assert deadline.remaining > 20
        machine.diagnose(tmp_path, Deadline.after(90))
    assert "sysrq triggered crash" in (tmp_path / "logs/console.log").read_text().lower().replace(":", "")
    events = [json.loads(line) for line in (tmp_path / "qmp-events.jsonl").read_text().splitlines()]
    (told,) = [event for event in events if event["event"] == "GUEST_PANICKED"]
    assert told["data"]["action"] == "pause"
    assert datetime.fromisoformat(told["utc"]).tzinfo is not None
    assert [event["ns"] for event in events] == sorted(event["ns"] for event in events)
    assert b"Linux version" in b"".join(kdump_pages((tmp_path / "memory.kdump").read_bytes()))


def kdump_pages(flat: bytes) -> Iterator[bytes]:
    """The pages of a kdump file in makedumpfile's flattened format (makedumpfile's IMPLEMENTATION, diskdump_mod.h)."""
    assert flat.startswith(b"makedumpfile\0")
    parts: dict[int, bytes] = {}
    at = 4096
    while (head := struct.unpack_from(">qq", flat, at))[0] >= 0:
        parts[head[0]] = flat[at + 16 : at + 16 + head[1]]
        at += 16 + head[1]
    image = bytearray(max(offset + len(part) for offset, part in parts.items()))
    for offset, part in parts.items():
        image[offset : offset + len(part)] = part
    assert image[:8] == b"KDUMP   "
    # struct disk_dump_header: signature, version, six names of 65 bytes, time, status, block size, sub header's size.
    block, sub, bitmap = struct.unpack_from("<iii", image, 8 + 4 + 6 * 65 + 2 + 4 + 16 + 4)
    assert block == 4096
    descriptors = (1 + sub + bitmap) * block
    second = image[(1 + sub) * block + bitmap * block // 2 : descriptors]
    for number in range(sum(byte.bit_count() for byte in second)):
        offset, size, flags, _ = struct.unpack_from("<qIIQ", image, descriptors + number * 24)
        data = bytes(image[offset : offset + size])
        yield zlib.decompress(data) if flags & 1 else data


def test_a_start_that_fails_leaves_evidence_before_it_cleans_up(build: DriverBuild, tmp_path: Path) -> None:
    machine = QemuMachine(load_profile("standin"), fork=False)
    machine.keep_evidence(tmp_path)
    with pytest.raises(LabFault):
        machine.start(Deadline.after(3))
    assert not machine.folder.path.exists()
    assert machine.diagnose(tmp_path), "asked again it says what there is"
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert {"machine.json", "logs/console.log"} <= {piece["name"] for piece in manifest["pieces"] if piece["sha256"]}


def test_firmware_tells_on_the_debug_port_what_it_does(tmp_path: Path) -> None:
    profile = replace(qemu_profile(load_profile("windows-server-2025-bios")), memory_mib=128, processors=1)
    folder = QemuFolder(tmp_path)
    for number in range(len(profile.disks)):
        make_disk(tmp_path / f"disk{number or ''}.qcow2", 1, limit())
    argv = qemu_command(find_qemu().program, profile, "tcg", QemuSources(), name="debug")
    process = QemuProcess(folder, argv, limit())
    try:
        process.resume(limit())
        limit().wait_for(
            lambda: folder.debug.exists() and "SeaBIOS (version" in folder.debug.read_text(errors="replace"),
            "the BIOS's words",
            alive=process.alive,
        )
    finally:
        process.kill()


def test_whoever_waits_for_a_frozen_qemu_is_told_when_its_connection_is_closed(build: DriverBuild) -> None:
    with started(build) as machine:
        freeze(machine)
        told: list[BaseException] = []

        def ask() -> None:
            try:
                machine.qmp.execute("query-status", deadline=Deadline.after(60))
            except LabFault as error:
                told.append(error)

        waiting = threading.Thread(target=ask)
        waiting.start()
        qmp = machine.qmp
        machine.kill()
        waiting.join(30)
        assert not waiting.is_alive()
    assert len(told) == 1
    with pytest.raises(LabFault, match="QEMU's query-status"):
        qmp.execute("query-status", deadline=Deadline.after(1))


def test_evidence_has_a_deadline_also_when_nothing_answers(build: DriverBuild, tmp_path: Path) -> None:
    with started(build) as machine:
        machine.control.hang()
        deadline = Deadline.after(20)
        machine.diagnose(tmp_path, deadline)
        assert not deadline.expired


# What QEMU says of a Windows guest with the enlightenment hv-crash, by qapi/run-state.json. Made up, and replayed: it
# was not recorded of real Windows.
WINDOWS_PANIC: dict[str, Any] = {
    "action": "pause",
    "info": {
        "type": "hyper-v",
        "arg1": 0x50,
        "arg2": 3,
        "arg3": -0x1FFF0000,
        "arg4": 0x7FFF_FFFF_FFFF_FFFF,
        "arg5": 0,
    },
}
REPLAYED_ANSWERS: dict[str, Any] = {
    "qmp_capabilities": {},
    "query-status": {"status": "guest-panicked", "running": False},
    "query-chardev": [{"label": "agent", "filename": "disconnected:unix:agent.sock,server=on", "frontend-open": True}],
    "human-monitor-command": "CPU#0\r\nRAX=0000000000000050",
}


def test_the_crash_registers_of_windows_are_a_bug_check_with_its_parameters() -> None:
    found = panic_of(WINDOWS_PANIC)
    assert found.code == 0x50
    assert found.parameters == (3, 0xFFFF_FFFF_E001_0000, 0x7FFF_FFFF_FFFF_FFFF, 0)
    assert found.told == ": bug check 0x00000050 (0x3, 0xFFFFFFFFE0010000, 0x7FFFFFFFFFFFFFFF, 0x0)"


def replay(server: socket.socket) -> None:
    """One client of QMP: a greeting, answers as above, an error for all else, and the panic after the negotiation."""
    stream, _ = server.accept()
    version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "replayed"}

    def send(message: dict[str, Any]) -> None:
        stream.sendall(json.dumps(message).encode() + b"\r\n")

    with stream:
        send({"QMP": {"version": version, "capabilities": []}})
        held = ""
        while data := stream.recv(4096):
            # The client ends its messages with nothing.
            held += data.decode()
            try:
                asked, end = json.JSONDecoder().raw_decode(held)
            except ValueError:
                continue
            held = held[end:].lstrip()
            command, id = asked["execute"], {"id": asked["id"]} if "id" in asked else {}
            if command in REPLAYED_ANSWERS:
                send({"return": REPLAYED_ANSWERS[command], **id})
            else:
                send({"error": {"class": "GenericError", "desc": f"{command} was not recorded"}, **id})
            if command == "qmp_capabilities":
                stamp = {"seconds": 1_800_000_000, "microseconds": 250_000}
                send({"event": "GUEST_PANICKED", "data": WINDOWS_PANIC, "timestamp": stamp})


def test_a_replayed_panic_of_windows_is_named_in_the_evidence(tmp_path: Path, build: DriverBuild) -> None:
    folder = QemuFolder(tmp_path / "machine")
    folder.path.mkdir()
    panicked = threading.Event()
    with listen_unix(folder.control) as server, subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as stand_in:
        thread = threading.Thread(target=replay, args=(server,), daemon=True)
        thread.start()
        process = QemuProcess(folder, (), limit(), attach=ProcessId.of(stand_in.pid), on_panic=panicked.set)
        assert panicked.wait(20)
        state = look(process, None, None, limit())
        told = ": bug check 0x00000050 (0x3, 0xFFFFFFFFE0010000, 0x7FFFFFFFFFFFFFFF, 0x0)"
        assert (state.name, state.of_guest, state.cause) == ("panicked", True, f"the guest panicked{told}")
        subject = Subject(
            name="replayed",
            machine=folder,
            process=process,
            control=None,
            state=state,
            qemu="replayed",
            accelerator="kvm",
            memory_mib=64,
            standin=False,
            clock=None,
            bug_checks=build.codes.bug_checks,
        )
        collect(tmp_path / "evidence", subject, limit())
        process.qmp.close()
        thread.join(10)
        assert stand_in.stdin is not None
        stand_in.stdin.close()
    facts = json.loads((tmp_path / "evidence/machine.json").read_text())
    assert facts["panic"] == {
        "kind": "hyper-v",
        "bug_check": "0x00000050",
        "name": "PAGE_FAULT_IN_NONPAGED_AREA",
        "parameters": ["0x0000000000000003", "0xFFFFFFFFE0010000", "0x7FFFFFFFFFFFFFFF", "0x0000000000000000"],
    }
    assert facts["agent_port"] == {"name": "org.hotswap.agent.0", "guest": True, "host": False}
    (event,) = [json.loads(line) for line in (tmp_path / "evidence/qmp-events.jsonl").read_text().splitlines()]
    assert (event["event"], event["utc"]) == ("GUEST_PANICKED", "2027-01-15T08:00:00.250000+00:00")
    assert "RAX=" in (tmp_path / "evidence/processors.txt").read_text()
    manifest = read_manifest(tmp_path / "evidence")
    assert manifest is not None
    missing = {piece["name"]: piece["problem"] for piece in manifest["pieces"] if piece["sha256"] is None}
    assert "was not recorded" in missing["memory"]
    assert "not ext4" in missing["guest"]


@pytest.mark.parametrize(
    "data",
    [{"action": "pause"}, {"info": {"type": "hyper-v", "arg1": 1}}, {"info": {"type": "s390"}}, {"info": "none"}],
)
def test_a_panic_without_parameters_has_none(data: dict[str, Any]) -> None:
    found = panic_of(data)
    assert (found.code, found.parameters, found.told) == (None, (), "")
    assert "bug_check" not in found.to_json()


# The manifest itself


def test_a_source_that_fails_costs_no_other_and_says_why(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path / "evidence", limit())
    with evidence.step("one/good", "a test") as path:
        path.write_bytes(b"good")
    with evidence.step("bad", "a test") as path:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    with evidence.step("left out", "a test"):
        raise Skip("it is too large")
    with evidence.step("nothing", "a test"):
        pass
    with evidence.step("noted", "a test") as path:
        path.write_bytes(b"part")
        evidence.note("cut short")
    files = evidence.finish(state="test")
    assert [path.name for path in files] == ["good", "noted", "evidence.json"]
    manifest = read_manifest(tmp_path / "evidence")
    assert manifest is not None
    told = {piece["name"]: (piece["size"], piece["problem"]) for piece in manifest["pieces"]}
    assert told == {
        "one/good": (4, None),
        "bad": (None, "OSError: [Errno 28] No space left on device"),
        "left out": (None, "it is too large"),
        "nothing": (None, "there is nothing"),
        "noted": (4, "cut short"),
    }
    assert sorted(path.name for path in (tmp_path / "evidence").rglob("*") if path.is_file()) == [
        "evidence.json",
        "good",
        "noted",
    ]


def test_a_second_collection_keeps_what_the_first_had(tmp_path: Path) -> None:
    for name in ("first", "second", "first"):
        evidence = Evidence(tmp_path, limit())
        with evidence.step(name, "a test") as path:
            path.write_bytes(name.encode())
        evidence.finish(**({"state": name} if name == "second" else {}))
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest["state"] == "second"
    assert [piece["name"] for piece in manifest["pieces"]] == ["second", "first"]


def test_a_folder_that_cannot_be_made_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    evidence = Evidence(tmp_path / "file" / "evidence", limit())
    assert not evidence.usable
    assert evidence.finish() == []


def test_pictures_are_kept_once_and_the_index_says_when_each_was_seen(tmp_path: Path) -> None:
    files = write_screens(tmp_path / "screens", (("1", b"a"), ("2", b"b"), ("3", b"a")))
    assert [path.name for path in files] == ["000.png", "001.png", "index.json"]
    index = json.loads(files[-1].read_text())
    assert [(entry["utc"], entry["file"]) for entry in index] == [("1", "000.png"), ("2", "001.png"), ("3", "000.png")]
