"""OpenSSH's server on this computer's loopback, for tests and benchmarks: it runs the agent of a Wine guest."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.paths import cache_home
from hotswap.transport.keys import make_ssh_key
from hotswap.transport.ssh import SshTarget

_LISTENING = "Server listening on"
_STOP_SECONDS = 10.0


class LocalSshd:
    """A server with keys of its own, which takes one key and listens on 127.0.0.1. Ends with the `with` block."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], command: str, drive_c: Path, *, options: str = ""
    ) -> None:
        """`environment` is that of the commands, `command` starts the agent, `drive_c` is the guest's drive C: here.

        `options` are further lines of sshd_config.
        """
        self._root = _server_root()
        host_key = make_ssh_key(folder / "host_key")
        public = make_ssh_key(folder / "user_key")
        (folder / "authorized_keys").write_text(f"{public}\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self._folder = folder
        self._log = folder / "sshd.log"
        self._config = folder / "sshd_config"
        variables = " ".join(f'"{name}={value}"' for name, value in environment.items())
        self._config.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host_key'}\nPidFile none\n"
            f"AuthorizedKeysFile {folder / 'authorized_keys'}\nStrictModes no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUsePAM no\nPrintMotd no\n"
            f"Subsystem sftp {self._root}/usr/lib/openssh/sftp-server\nSetEnv {variables}\n{options}\n"
        )
        self.target = SshTarget(
            port=port,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            key=folder / "user_key",
            host_key=host_key,
            command=command,
            drive_c=str(drive_c),
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, deadline: Deadline) -> None:
        """Start it and wait until it listens. LabFault with what it said when it does not."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        libraries = f"{self._root}/usr/lib/x86_64-linux-gnu"
        with self._log.open("wb") as log:
            # It must end with us, whatever ends us.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", f"{self._root}/usr/sbin/sshd", "-D", "-e", "-f", str(self._config)],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": libraries},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process = self._process
        deadline.wait_for(
            lambda: _LISTENING in self.log,
            "the SSH server to listen",
            alive=lambda: None if process.poll() is None else f"sshd ended with {process.returncode}: {self.log}",
        )

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """End it; sessions end with their connections."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_STOP_SECONDS)
            self._process = None

    def __enter__(self) -> LocalSshd:
        self.start(Deadline.after(20.0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _server_root() -> str:
    """The folder below which Debian's openssh-server lies: the root, or where ci/setup unpacked it."""
    for root in ("", str(cache_home() / "tools/openssh")):
        if Path(f"{root}/usr/sbin/sshd").exists():
            return root
    raise LabFault("there is no SSH server to test with: run ci/setup, or install openssh-server")
