"""A TPM 2.0 for one QEMU machine: swtpm, with its state in the machine's folder."""

from __future__ import annotations

import shutil
import subprocess

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.qemu_folder import QemuFolder

TPM_SOCKET = "tpm.sock"
_STATE = "tpm"
_END_SECONDS = 5.0


class Tpm:
    """A running swtpm at TPM_SOCKET in the machine's folder.

    It ends with QEMU's connection, with `end`, or with the machine's processes: it is marked as one of them.
    """

    def __init__(self, folder: QemuFolder, deadline: Deadline) -> None:
        """LabFault names the package when swtpm is not there, and has its words when it does not come up."""
        program = shutil.which("swtpm")
        if program is None:
            raise LabFault("swtpm was not found: install the Debian package `swtpm`, or run `ci/setup`")
        (folder.path / _STATE).mkdir(mode=0o700, exist_ok=True)
        socket = folder.path / TPM_SOCKET
        socket.unlink(missing_ok=True)
        argv = [
            *(program, "socket", "--tpm2", "--terminate", "--tpmstate", f"dir={_STATE},mode=0600"),
            *("--ctrl", f"type=unixio,path={TPM_SOCKET}", "--log", "file=swtpm.log,level=1"),
        ]
        self._child = folder.spawn(argv)

        def gone() -> str | None:
            code = self._child.poll()
            return None if code is None else f"swtpm ended with {code}: {folder.log.read_text(errors='replace')[-200:]}"

        try:
            deadline.wait_for(socket.exists, "swtpm's socket", alive=gone, interval=0.005)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Let it end by itself, for QEMU is gone and its state is to be whole, and then by force."""
        try:
            self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
