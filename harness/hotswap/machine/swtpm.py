"""A TPM 2.0 for one QEMU machine: swtpm, with its state in the machine's folder."""

from __future__ import annotations

import os
import shutil
import subprocess

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.qemu_folder import MARK, QemuFolder
from hotswap.machine.storage import os_fault

SOCKET = "tpm.sock"
_STATE = "tpm"


def start_tpm(folder: QemuFolder, deadline: Deadline) -> None:
    """Start it on SOCKET in the machine's folder; it ends with QEMU's connection, or with the machine's processes.

    LabFault names the package when swtpm is not there, and has its words when it does not come up.
    """
    program = shutil.which("swtpm")
    if program is None:
        raise LabFault("swtpm was not found: install the Debian package `swtpm`, or run `ci/setup`")
    (folder.path / _STATE).mkdir(mode=0o700, exist_ok=True)
    argv = [
        *(program, "socket", "--tpm2", "--terminate", "--tpmstate", f"dir={_STATE},mode=0600"),
        *("--ctrl", f"type=unixio,path={SOCKET}", "--log", "file=swtpm.log,level=1"),
    ]
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", MARK: str(folder.path)}
    try:
        with folder.log.open("ab") as log:
            child = subprocess.Popen(
                argv,
                env=environment,
                cwd=folder.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        raise os_fault(f"starting {program}", folder.path, error) from error

    def gone() -> str | None:
        code = child.poll()
        return None if code is None else f"swtpm ended with {code}: {folder.log.read_text(errors='replace')[-200:]}"

    deadline.wait_for(lambda: (folder.path / SOCKET).exists(), "swtpm's socket", alive=gone, interval=0.005)
