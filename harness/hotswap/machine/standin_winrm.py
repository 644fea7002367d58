"""WinRM to a stand-in guest, which has none of its own: an endpoint on this host that runs its commands over SSH."""

from __future__ import annotations

from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.transport.ssh import SshTarget
from hotswap.transport.winrm import WinRmConnection, WinRmTarget, WinRmTransport
from hotswap.wsman.process import EndpointProcess

_AGENT = r"C:\hotswap\hsagent.exe"
_FOLDER = "winrm"


class StandinWinRm:
    """The endpoint, which is a process that ends with this one, and the shell that is kept on it."""

    def __init__(self, machine_folder: Path, target: SshTarget, deadline: Deadline) -> None:
        """`machine_folder` is only for this user; the endpoint's secrets go there. LabFault when it does not start."""
        folder = machine_folder / _FOLDER
        folder.mkdir(exist_ok=True)
        self.endpoint = EndpointProcess.for_guest(folder, target, deadline)
        account = self.endpoint.account
        self._connection = WinRmConnection(
            WinRmTarget(self.endpoint.port, account.user, account.password, self.endpoint.fingerprint, _AGENT)
        )

    def agent(self, deadline: Deadline) -> WinRmTransport:
        """The agent's stream."""
        return self._connection.agent(deadline)

    def close(self) -> None:
        """End the shell and the endpoint."""
        self._connection.close()
        self.endpoint.close()
