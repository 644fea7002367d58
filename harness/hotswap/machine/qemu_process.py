"""One running QEMU: started in its machine's folder, driven over QMP, watched, and ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from threading import Thread
from typing import Any

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.proc import ProcessId, state_letter
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.qemu_panic import panic_of
from hotswap.machine.qemu_space import over_budget
from hotswap.machine.qmp import Qmp, QmpEvent
from hotswap.machine.storage import MIB, os_fault
from hotswap.machine.unix_socket import connect_unix, listen_unix

_STATE_BYTES = 1 << 20
_LAST_LINES = 3
_KILL_SECONDS = 10.0
_LOOK_SECONDS = 0.2


class QemuProcess:
    """A QEMU that waits for `cont`; `qmp` is its control socket. Ends with `quit` or `kill`."""

    def __init__(
        self,
        folder: QemuFolder,
        argv: Sequence[str],
        deadline: Deadline,
        *,
        attach: ProcessId | None = None,
        on_panic: Callable[[], None] | None = None,
        overlay_mib: int | None = None,
    ) -> None:
        """Start it and connect, or connect to one that runs already (`attach`).

        `on_panic` is called, on a thread of its own, when the guest panics. `overlay_mib`: it is ended when its disks
        take more than that here. LabFault with QEMU's own words when it does not come up; it is gone then.
        """
        self.folder = folder
        self._overlay_mib = overlay_mib
        self._near_budget = False
        self.cause: str | None = None
        self.panic: QmpEvent | None = None
        """The guest's panic, if there was one: from then on its processors stand still."""
        self._on_panic = on_panic
        self._child = folder.spawn(argv) if attach is None else None
        self.id = attach or ProcessId.of(self._child.pid if self._child else 0)
        try:
            self.qmp = Qmp(folder.control, deadline, self.ended, journal=folder.events, heard=self._heard)
            self._watch_space(deadline)
        except BaseException:
            if attach is None:
                self.kill()
            raise

    def _heard(self, event: QmpEvent) -> None:
        if event.name == "GUEST_PANICKED" and self.panic is None:
            self.panic = event
            if self._on_panic is not None:
                Thread(target=self._on_panic, name="qemu-panic", daemon=True).start()
        # It comes once, and before the write that is meant: from now on somebody has to look.
        if event.name == "BLOCK_WRITE_THRESHOLD" and not self._near_budget:
            self._near_budget = True
            Thread(target=self._look_until_end, name="qemu-space", daemon=True).start()

    def _look_until_end(self) -> None:
        Deadline(inf).wait_for(self.ended, "the end of QEMU", interval=_LOOK_SECONDS)

    def _watch_space(self, deadline: Deadline) -> None:
        """Have QEMU tell when a disk grows beyond the budget: then it is ended even if nobody asks for it."""
        if self._overlay_mib is None:
            return
        for node in self.qmp.execute("query-named-block-nodes", {"flat": True}, deadline=deadline):
            if node["node-name"].startswith("disk") and node["drv"] == "file":
                # By place in the file, of which it has written no more than that: holes make it less.
                limit = {"node-name": node["node-name"], "write-threshold": self._overlay_mib * MIB}
                self.qmp.execute("block-set-write-threshold", limit, deadline=deadline)

    def _hold_budget(self) -> None:
        if self._overlay_mib is None or self.cause is not None:
            return
        if (why := over_budget(self.folder.path, self._overlay_mib)) is not None and self._end() is None:
            self.cause = f"QEMU of machine {self.folder.path.name} was ended: {why}"
            self.id.kill()

    def alive(self) -> str | None:
        """None while it and its guest run, else the first cause of their end."""
        if self.panic is not None:
            return f"the guest of machine {self.folder.path.name} panicked{panic_of(self.panic.data).told}"
        return self.ended()

    def ended(self) -> str | None:
        """None while the process is there, else the first cause of its end."""
        self._hold_budget()
        if self.cause is None and (how := self._end()) is not None:
            self.cause = f"QEMU of machine {self.folder.path.name} {how}{self._said()}"
        return self.cause

    @property
    def frozen(self) -> bool:
        """Whether a signal has stopped it, so that it answers nothing."""
        return self.ended() is None and state_letter(self.id.pid) in ("T", "t")

    def _end(self) -> str | None:
        if self._child is None:
            return None if self.id.alive() else "is not there any more"
        code = self._child.poll()
        return None if code is None else f"ended with {code}"

    def _ended_within(self, deadline: Deadline) -> None:
        with contextlib.suppress(DeadlineExpired, subprocess.TimeoutExpired):
            if self._child is not None:
                self._child.wait(deadline.remaining)
            else:
                deadline.wait_for(lambda: not self.id.alive(), "the end of QEMU")

    def _said(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.folder.log.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:]
            if lines:
                return f"; its last words: {' | '.join(lines)}"
        return ""

    def resume(self, deadline: Deadline) -> None:
        """Let the guest run."""
        self.qmp.execute("cont", deadline=deadline)

    def save(self, state: Path, deadline: Deadline) -> None:
        """Stop the guest and write the state of its devices; its memory is in its file already (x-ignore-shared)."""
        self.qmp.execute("stop", deadline=deadline)
        self._ignore_shared(deadline)
        gate = self.folder.path / "migrate.sock"
        with listen_unix(gate) as server:
            server.settimeout(deadline.remaining)
            taken: list[bytes] = []
            reader = Thread(target=_receive, args=(server, taken), name="qemu-state", daemon=True)
            reader.start()
            self.qmp.execute("migrate", {"uri": f"unix:{gate.name}"}, deadline=deadline)
            self._migrated("saving the state", deadline)
            reader.join(deadline.remaining)
        gate.unlink(missing_ok=True)
        if not taken:
            raise LabFault(f"saving the state of machine {self.folder.path.name}: QEMU sent nothing")
        try:
            partial = state.with_name(f".{state.name}.partial")
            partial.write_bytes(taken[0])
            partial.replace(state)
        except OSError as error:
            raise os_fault("saving a machine's state", state, error) from error

    def load(self, state: Path, deadline: Deadline) -> None:
        """Take over the devices' state of a template, whose memory this QEMU was started with."""
        self._ignore_shared(deadline)
        gate = self.folder.path / "migrate.sock"
        self.qmp.execute("migrate-incoming", {"uri": f"unix:{gate.name}"}, deadline=deadline)
        try:
            content = state.read_bytes()
            with connect_unix(gate, deadline) as stream:
                stream.settimeout(deadline.remaining)
                stream.sendall(content)
        except OSError as error:
            raise LabFault(f"loading the state {state}: {self.alive() or error}") from error
        self._migrated("loading the state", deadline)
        gate.unlink(missing_ok=True)

    def _ignore_shared(self, deadline: Deadline) -> None:
        wanted = [{"capability": name, "state": True} for name in ("x-ignore-shared", "events")]
        self.qmp.execute("migrate-set-capabilities", {"capabilities": wanted}, deadline=deadline)

    def _migrated(self, what: str, deadline: Deadline) -> None:
        def over() -> dict[str, Any] | None:
            answer = self.qmp.execute("query-migrate", deadline=deadline)
            return answer if answer.get("status") in ("completed", "failed") else None

        answer = deadline.wait_for(over, f"{what} of machine {self.folder.path.name}", alive=self.alive, interval=0.005)
        if answer["status"] == "failed":
            why = answer.get("error-desc") or self._said() or "QEMU does not say why"
            raise LabFault(f"{what} of machine {self.folder.path.name} failed: {why}")

    def quit(self, deadline: Deadline) -> None:
        """End it in an orderly way, its disks complete, else by force."""
        if self.ended() is None and not self.frozen:
            # The connection may break before the answer comes.
            with contextlib.suppress(LabFault):
                self.qmp.execute("quit", deadline=deadline)
            self._ended_within(deadline)
        self.kill()

    def detach(self) -> None:
        """Let go of it: it goes on without this process."""
        self.qmp.close()
        if self._child is not None:
            # Nobody here waits for it any more, and that is meant.
            self._child.returncode = 0

    def kill(self) -> None:
        """SIGKILL."""
        if self.cause is None and self._end() is None:
            self.cause = f"QEMU of machine {self.folder.path.name} was killed"
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        else:
            self.id.kill()
            self._ended_within(Deadline.after(_KILL_SECONDS))
        if hasattr(self, "qmp"):
            self.qmp.close()


def _receive(server: Any, taken: list[bytes]) -> None:
    try:
        stream, _ = server.accept()
        with stream:
            parts = []
            while part := stream.recv(_STATE_BYTES):
                parts.append(part)
            taken.append(b"".join(parts))
    except OSError:
        return


def make_overlay(disk: Path, backing: Path, backing_format: str, deadline: Deadline) -> None:
    """A qcow2 file over another disk, which stays as it is. LabFault with qemu-img's own words."""
    _image("create", "-q", "-f", "qcow2", "-b", str(backing), "-F", backing_format, str(disk), deadline=deadline)


def make_disk(disk: Path, size_gib: int, deadline: Deadline) -> None:
    """An empty qcow2 file."""
    _image("create", "-q", "-f", "qcow2", str(disk), f"{size_gib}G", deadline=deadline)


def _image(*arguments: str, deadline: Deadline) -> None:
    try:
        done = subprocess.run(
            ["qemu-img", *arguments],
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline.remaining,
        )
    except FileNotFoundError as error:
        raise LabFault("qemu-img was not found: install the Debian package `qemu-utils`, or run `ci/setup`") from error
    except subprocess.TimeoutExpired as error:
        raise DeadlineExpired(f"`qemu-img {arguments[0]}` did not end in time") from error
    if done.returncode != 0:
        raise LabFault(f"`qemu-img {arguments[0]}` ended with {done.returncode}: {done.stderr.strip()}")
