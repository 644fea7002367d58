"""Starts an endpoint as a process: its own environment for NTLM, its own interpreter for its speed."""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.transport.keys import make_certificate, write_secret
from hotswap.transport.ssh import SshTarget
from hotswap.wsman.authentication import Account

_STOP_SECONDS = 10.0


class EndpointProcess:
    """An endpoint with an account and a certificate made for it; `fingerprint` is the certificate's SHA-256 (hex).

    Ends with the `with` block, and with this process.
    """

    @classmethod
    def for_wine(cls, folder: Path, loader: str, environment: Mapping[str, str], deadline: Deadline) -> EndpointProcess:
        """Its commands run in a Wine prefix of this computer, which the environment names."""
        return cls(folder, {"kind": "wine", "loader": loader, "environment": dict(environment)}, deadline)

    @classmethod
    def for_guest(cls, folder: Path, target: SshTarget, deadline: Deadline) -> EndpointProcess:
        """Its commands run in the Wine prefix of a guest, over SSH."""
        return cls(folder, {"kind": "ssh", "target": {**asdict(target), "key": str(target.key)}}, deadline)

    def __init__(self, folder: Path, runner: Mapping[str, Any], deadline: Deadline) -> None:
        """`folder` takes its secrets and its log. LabFault when it does not start."""
        self.account = Account(f"user-{secrets.token_hex(4)}", secrets.token_urlsafe(24))
        self.certificate = folder / "certificate.pem"
        self.fingerprint = make_certificate(self.certificate, folder / "certificate.key")
        # As NTLM libraries read it: domain, user, password.
        write_secret(folder / "ntlm", f":{self.account.user}:{self.account.password}\n".encode())
        self._log = folder / "endpoint.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hotswap.wsman"],
                env={**os.environ, "NTLM_USER_FILE": str(folder / "ntlm")},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wanted = {
            "runner": {**runner, "folder": str(folder)},
            "user": self.account.user,
            "password": self.account.password,
            "certificate": str(self.certificate),
            "key": str(folder / "certificate.key"),
        }
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], deadline.remaining)[0]:
            self.close()
            raise DeadlineExpired("starting the WS-Management endpoint: it did not say its port in time")
        said = self._process.stdout.readline()
        if not said.strip().isdigit():
            self.close()
            words = " | ".join(self._log.read_text(errors="replace").splitlines()[-3:])
            raise LabFault(f"starting the WS-Management endpoint: it ended and said {words or 'nothing'}")
        self.port = int(said)

    def close(self) -> None:
        """End it and what it runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> EndpointProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
