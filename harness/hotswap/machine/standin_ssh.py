"""SSH into a stand-in guest: keys made for this machine alone, and a way to its port on this host's loopback."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.qemu_command import GUEST_ADDRESS
from hotswap.machine.qmp import Qmp
from hotswap.machine.standin_control import StandinControl
from hotswap.machine.standin_view import DRIVE_C
from hotswap.transport.keys import make_ssh_key
from hotswap.transport.ssh import SshTarget

_CLIENT_KEY, _HOST_KEY = "ssh-client-key", "ssh-host-key"
_GREETING_SECONDS = 5.0
_FORWARD = re.compile(r"^\s*TCP\[HOST_FORWARD\]\s+\S+\s+127\.0\.0\.1\s+(\d+)\s+(\S+)\s+(\d+)\s", re.MULTILINE)


def forward(qmp: Qmp, guest_port: int, deadline: Deadline) -> int:
    """A free port on 127.0.0.1 that leads to a port of the guest; the same again when it was asked for before."""
    if (known := _forwarded(qmp, guest_port, deadline)) is not None:
        return known
    said = qmp.human(f"hostfwd_add net0 tcp:127.0.0.1:0-{GUEST_ADDRESS}:{guest_port}", deadline=deadline).strip()
    port = _forwarded(qmp, guest_port, deadline)
    if port is None:
        raise LabFault(
            f"forwarding a port of 127.0.0.1 to the guest's port {guest_port}: QEMU said {said or 'nothing'}"
        )
    return port


def _forwarded(qmp: Qmp, guest_port: int, deadline: Deadline) -> int | None:
    for here, _, there in _FORWARD.findall(qmp.human("info usernet", deadline=deadline)):
        if int(there) == guest_port:
            return int(here)
    return None


def _greets(port: int) -> bool:
    """Whether a server says who it is. QEMU takes a connection before the guest does."""
    try:
        with socket.create_connection(("127.0.0.1", port), _GREETING_SECONDS) as stream:
            return stream.recv(4) == b"SSH-"
    except OSError:
        return False


def forget_keys(folder: Path) -> None:
    """The guest has a new disk, and so neither of the keys: the next start makes others."""
    for name in (_CLIENT_KEY, _HOST_KEY, f"{_HOST_KEY}.pub"):
        (folder / name).unlink(missing_ok=True)


def start_ssh(control: StandinControl, qmp: Qmp, folder: Path, guest_port: int, deadline: Deadline) -> SshTarget:
    """Make keys for guest and client in the machine's folder, give the guest its own, and start its server."""
    client, host = folder / _CLIENT_KEY, folder / _HOST_KEY
    if not client.exists():
        public, host_public = make_ssh_key(client), make_ssh_key(host)
        control.put("/etc/ssh/host_key", host.read_bytes(), mode=0o600, deadline=deadline)
        control.put("/etc/ssh/host_key.pub", f"{host_public}\n".encode(), deadline=deadline)
        control.put("/etc/ssh/authorized_keys", f"{public}\n".encode(), mode=0o600, deadline=deadline)
        # The guest has it now, and nobody here needs it.
        host.unlink()
        (folder / f"{_HOST_KEY}.pub").write_text(host_public)
    control.ask("ssh", deadline=deadline)
    port = forward(qmp, guest_port, deadline)

    def log() -> str:
        return (
            control.read("/var/log/sshd.log", 500, deadline=Deadline.after(5.0)).decode(errors="replace") or "nothing"
        )

    deadline.wait_for(
        lambda: _greets(port),
        "the guest's SSH server",
        alive=qmp.alive,
        interval=0.05,
        last_seen=lambda: f"its log: {log()}",
    )
    return SshTarget(
        port=port,
        user="root",
        key=client,
        host_key=(folder / f"{_HOST_KEY}.pub").read_text(),
        command="hsagent --attach",
        drive_c=DRIVE_C,
    )
