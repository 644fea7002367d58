"""Evidence of a QEMU machine, in every state of it: what of it is tried depends on what answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.clock_check import ClockCheck, check_clock, read_clocks
from hotswap.machine.disk_files import flat_disk
from hotswap.machine.evidence import Evidence, Skip
from hotswap.machine.proc import command_line
from hotswap.machine.qemu_command import AGENT_PORT
from hotswap.machine.qemu_dump import dump_memory, memory_formats
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.qemu_panic import panic_of
from hotswap.machine.qemu_process import QemuProcess
from hotswap.machine.qemu_screen import SCREENS, take_screen, write_screens
from hotswap.machine.qemu_state import GuestState
from hotswap.machine.standin_control import GuestClock, StandinControl
from hotswap.machine.standin_view import AGENT_FOLDER

SECONDS = 60.0
"""What a collection may take when nobody says it."""
_LOG_BYTES = 1 << 20
_FILE_BYTES = 16 << 20
_ASK_SECONDS = 5.0
_LOGS = "/var/log"
# Files of the agent's folder that are evidence: trace files, journals, minidumps. The programs there are known.
_KINDS = (".etl", ".log", ".dmp", ".json", ".txt")


@dataclass(frozen=True, slots=True)
class Subject:
    """The machine that evidence is taken of. What cannot be reached any more is None."""

    name: str
    machine: QemuFolder
    process: QemuProcess | None
    control: StandinControl | None
    state: GuestState
    qemu: str
    accelerator: str
    memory_mib: int
    standin: bool
    clock: ClockCheck | None
    pictures: tuple[tuple[str, bytes], ...] = ()
    """What was seen of the screen before: (UTC, PNG)."""
    bug_checks: Mapping[int, str] | None = None


def collect(folder: Path, subject: Subject, deadline: Deadline, *, memory: bool | None = None) -> list[Path]:
    """Write evidence into `folder` and return its files; `evidence.json` lists them, and what could not be had and why.

    `memory`: whether to dump the guest's memory; None: when it panicked or hangs. Never raises.
    """
    evidence = Evidence(folder, deadline)
    if not evidence.usable:
        return []
    state = subject.state
    _machine(evidence, subject)
    _logs(evidence, subject)
    _screens(evidence, subject)
    if state.answers and subject.control is not None:
        _ask_guest(evidence, subject.control)
    if state.name in ("panicked", "hung", "paused"):
        _stopped_guest(evidence, subject)
    if memory if memory is not None else state.name in ("panicked", "hung"):
        _memory(evidence, subject)
    if not state.answers or subject.control is None:
        _disk(evidence, subject)
    return evidence.finish(state=state.name, cause=state.cause, collected=datetime.now(UTC).isoformat())


def _machine(evidence: Evidence, subject: Subject) -> None:
    with evidence.step("machine.json", "the harness and QMP") as path:
        process, state = subject.process, subject.state
        content: dict[str, object] = {
            "schema": 1,
            "machine": subject.name,
            "state": state.name,
            "cause": state.cause,
            "fault_of": {True: "guest", False: "lab", None: None}[state.of_guest],
            "qemu": subject.qemu,
            "accelerator": subject.accelerator,
            "qmp_status": state.status,
            "clock": _clock(subject, evidence.limit(_ASK_SECONDS)),
            "panic": None,
        }
        if process is not None:
            content["process"] = {"pid": process.id.pid, "command": command_line(process.id.pid) or None}
            if process.panic is not None:
                content["panic"] = panic_of(process.panic.data).to_json(subject.bug_checks)
            if state.qmp_answers:
                content["agent_port"] = _agent_port(process, evidence.limit(_ASK_SECONDS))
        path.write_text(json.dumps(content, indent=1) + "\n")


def _clock(subject: Subject, deadline: Deadline) -> dict[str, object]:
    """How the guest's time relates to the host's, whose UTC is in all other files.

    `guest_started` is when the guest's own counting of seconds (console, kernel log) began, by the host's clock.
    """
    content: dict[str, object] = {"at_start": asdict(subject.clock) if subject.clock else None, "now": None}
    if not subject.state.answers or (control := subject.control) is None:
        return content
    seen: list[GuestClock] = []

    def guest() -> tuple[int, int]:
        seen.append(control.clock(deadline=deadline))
        return seen[-1].real, seen[-1].monotonic

    try:
        first, last = read_clocks(guest), read_clocks(guest)
        content["now"] = asdict(check_clock(first, last))
        started = (last.host_time - seen[-1].monotonic) / 1e9
        content["guest_started"] = datetime.fromtimestamp(started, UTC).isoformat()
    except LabFault as error:
        content["problem"] = str(error)
    return content


def _agent_port(process: QemuProcess, deadline: Deadline) -> dict[str, object]:
    """Whether somebody in the guest, and on this host, has the agent's port open."""
    try:
        for port in process.qmp.execute("query-chardev", deadline=deadline):
            if port.get("label") == "agent":
                connected = not str(port.get("filename", "")).startswith("disconnected:")
                return {"name": AGENT_PORT, "guest": bool(port.get("frontend-open")), "host": connected}
    except LabFault as error:
        return {"name": AGENT_PORT, "problem": str(error)}
    return {"name": AGENT_PORT, "problem": "QEMU has no such port"}


def _logs(evidence: Evidence, subject: Subject) -> None:
    machine = subject.machine
    wanted = (
        ("qmp-events.jsonl", machine.events, "QMP, as it came"),
        ("logs/qemu.log", machine.log, "QEMU's own words"),
        ("logs/console.log", machine.console, "the guest's first serial port"),
        ("logs/debug.log", machine.debug, "the guest's debug port"),
    )
    for name, source, told in wanted:
        if source.exists():
            with evidence.step(name, told) as path:
                shutil.copyfile(source, path)
        elif source != machine.debug:
            evidence.missing(name, told, "QEMU has not made it")


def _screens(evidence: Evidence, subject: Subject) -> None:
    pictures = subject.pictures
    if subject.process is not None and subject.state.qmp_answers:
        try:
            now = take_screen(subject.process.qmp, subject.machine.path, evidence.limit(_ASK_SECONDS))
            if not pictures or pictures[-1][1] != now:
                pictures = (*pictures, (datetime.now(UTC).isoformat(), now))
        except LabFault as error:
            evidence.missing(f"{SCREENS}/{len(pictures):03}.png", "the guest's screen", str(error))
    elif not pictures:
        evidence.missing(f"{SCREENS}/000.png", "the guest's screen", f"QEMU cannot be asked: {subject.state.cause}")
    if pictures:
        try:
            for path in write_screens(evidence.folder / SCREENS, pictures):
                evidence.adopt(path, "the guest's screen")
        except OSError as error:
            evidence.missing(SCREENS, "the guest's screen", str(error))


def _ask_guest(evidence: Evidence, control: StandinControl) -> None:
    """Through the port beside Windows: it answers also when the agent does not."""
    source = "the guest's control port"
    with evidence.step("processes.json", source) as path:
        found = control.processes(deadline=evidence.limit(_ASK_SECONDS))
        path.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
        if not any(each.name.startswith("hsagent") for each in found):
            evidence.note("no agent runs in the guest")
    with evidence.step("logs/kernel.log", source) as path:
        path.write_bytes(control.kernel_log(_LOG_BYTES, deadline=evidence.limit(_ASK_SECONDS)))
    for guest, name, most in ((_LOGS, "logs", _LOG_BYTES), (AGENT_FOLDER, "guest", _FILE_BYTES)):
        try:
            names = control.files(guest, deadline=evidence.limit(_ASK_SECONDS))
        except LabFault as error:
            evidence.missing(name, source, str(error))
            continue
        for each in names:
            if each.endswith(_KINDS):
                with evidence.step(f"{name}/{each}", f"{source}: {guest}/{each}") as path:
                    path.write_bytes(control.read(f"{guest}/{each}", most, deadline=evidence.limit(SECONDS)))


def _stopped_guest(evidence: Evidence, subject: Subject) -> None:
    """What QEMU knows of a guest that answers nothing; one that still spins is stopped for it."""
    assert subject.process is not None
    qmp = subject.process.qmp
    with evidence.step("processors.txt", "QEMU's `info registers -a`") as path:
        if subject.state.name == "hung":
            qmp.execute("stop", deadline=evidence.limit(_ASK_SECONDS))
        path.write_text(qmp.human("info registers -a", deadline=evidence.limit(_ASK_SECONDS)))


def _memory(evidence: Evidence, subject: Subject) -> None:
    source = "QEMU's dump-guest-memory"
    if subject.process is None or not subject.state.qmp_answers:
        evidence.missing("memory", source, f"QEMU cannot be asked: {subject.state.cause}")
        return
    qmp = subject.process.qmp
    try:
        formats = memory_formats(qmp, evidence.limit(_ASK_SECONDS), windows=not subject.standin)
    except LabFault as error:
        evidence.missing("memory", source, str(error))
        return
    for format, name in formats:
        with evidence.step(name, f"{source}, format {format}") as path:
            dump_memory(qmp, subject.machine.path, subject.memory_mib, format, path, evidence.limit(SECONDS, share=0.7))
        if evidence.pieces[-1].problem is None:
            return


def _disk(evidence: Evidence, subject: Subject) -> None:
    """Files out of the disk of a guest that cannot be asked."""
    source = "the guest's disk"
    if not subject.standin:
        evidence.missing("guest", source, "this guest's disk is not ext4, and nothing here reads its file system")
        return
    if subject.process is not None and subject.state.qmp_answers and subject.state.name == "hung":
        source = "the guest's disk, without what only its memory has"
    if not subject.machine.disk.exists():
        evidence.missing("guest", source, "the machine has no disk")
        return
    try:
        limit = evidence.limit(SECONDS, share=0.9)
        with flat_disk(subject.machine.disk, subject.machine.path, limit) as disk:
            for guest, name, most in ((_LOGS, "logs", _LOG_BYTES), (AGENT_FOLDER, "guest", _FILE_BYTES)):
                for file in disk.files(guest, limit):
                    if file.name.endswith(_KINDS):
                        with evidence.step(f"{name}/{file.name}", f"{source}: {guest}/{file.name}") as path:
                            if file.size > most:
                                raise Skip(f"it has {file.size} bytes, more than {most}")
                            disk.copy(f"{guest}/{file.name}", path, limit)
    except (LabFault, OSError) as error:
        evidence.missing("guest", source, str(error))
