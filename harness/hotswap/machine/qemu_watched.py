"""A QEMU machine that is watched: what became of its guest and whose fault that is, its evidence, its screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hotswap.codes import CodeTable
from hotswap.deadline import Deadline
from hotswap.errors import HotswapError, LabFault
from hotswap.machine.base import Machine
from hotswap.machine.clock_check import ClockCheck
from hotswap.machine.qemu_accelerator import QemuInstall
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.qemu_process import QemuProcess
from hotswap.machine.qemu_profile import QemuProfile
from hotswap.machine.qemu_screen import ScreenRecorder
from hotswap.machine.qemu_state import GuestState, look
from hotswap.machine.standin_control import StandinControl


class WatchedMachine(Machine):
    """What is known of a guest when it goes wrong. `_began` and `_let_go_of_recorder` belong to its start and end."""

    id: str
    profile: QemuProfile
    qemu: QemuInstall
    folder: QemuFolder
    clock: ClockCheck | None
    _process: QemuProcess | None
    _agent: Path | None

    def __init__(self) -> None:
        self._recorder: ScreenRecorder | None = None
        self._events_at_start = 0
        self._wrong: GuestState | None = None
        self._evidence: Path | None = None
        self._collected: list[Path] | None = None

    def _outside(self) -> StandinControl | None:
        """The control port of a guest that has one."""
        return None

    def _began(self) -> None:
        """It has started: what happens from now on is the guest's doing."""
        if self._process is not None:
            self._events_at_start = len(self._process.qmp.events)
            if self._evidence is not None:
                self._recorder = ScreenRecorder(self._process.qmp, self.folder.path)

    def _begins_again(self) -> None:
        self._wrong, self._events_at_start = None, 0

    def _failed_start(self) -> None:
        if self._process is not None and self._evidence is not None:
            self._collected = self.diagnose(self._evidence)

    def _close_recorder(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None

    def state(self, deadline: Deadline) -> GuestState:
        """What has become of guest and QEMU, and by whom."""
        if self._wrong is None:
            found = look(
                self._process,
                self._outside(),
                self.alive(),
                deadline,
                since=self._events_at_start,
                slowdown=self.slowdown,
            )
            if found.of_guest is None:
                return found
            # The first cause stays: what is done to the machine from now on is our own doing.
            self._wrong = found
        return self._wrong

    def blame(self, deadline: Deadline) -> HotswapError | None:
        """As Machine.blame: panics, hangs, resets and ends are told apart by QMP's events and QEMU's process."""
        return self.state(deadline).error()

    def keep_evidence(self, folder: Path) -> None:
        """As Machine.keep_evidence."""
        self._evidence = folder

    def diagnose(self, folder: Path, deadline: Deadline | None = None, *, memory: bool | None = None) -> list[Path]:
        """As Machine.diagnose; `evidence.json` lists all of it. `memory`: as in qemu_evidence.collect."""
        from hotswap.machine.qemu_evidence import SECONDS, Subject, collect

        if self._collected is not None and folder == self._evidence:
            # By the start that failed: there is nothing left to look at.
            return self._collected
        deadline = deadline or Deadline.after(SECONDS)
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
        subject = Subject(
            name=self.id,
            machine=self.folder,
            process=self._process,
            control=self._outside(),
            state=self.state(deadline.within(deadline.remaining / 2)),
            qemu=self.qemu.version,
            accelerator=vars(self)["accelerator"].name if "accelerator" in vars(self) else "not chosen",
            memory_mib=self.profile.memory_mib,
            standin=self.profile.boot == "standin",
            clock=self.clock,
            bug_checks=self._bug_checks(),
            pictures=recorder.pictures if recorder is not None else (),
        )
        return collect(folder, subject, deadline, memory=memory)

    def _bug_checks(self) -> Mapping[int, str]:
        """Names, from beside the agent, when one was expected."""
        try:
            return CodeTable.load(self._agent.with_name("codes.json")).bug_checks if self._agent else {}
        except LabFault:
            return {}
