"""The agent over WinRM: a command of a remote shell, its standard streams carried by Send and Receive."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal

import requests
from requests.adapters import HTTPAdapter
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.transport.base import FILE_CHUNK_BYTES
from hotswap.wsman.faults import WsmanCode

Stage = Literal["connect", "certificate", "authentication", "shell", "command", "send", "receive"]

_OPERATION_SECONDS = 20
_LEAST_SECONDS = 2
_CLOSE_SECONDS = 5
_VERDICT_SECONDS = 1.0
_IDLE_TIMEOUT = "PT7200S"
_UTF8 = 65001
# Of an envelope besides its data, and more.
_OVERHEAD_BYTES = 4096


class WinRmError(LabFault):
    """WinRM did not work; `stage` says at what, `fault` is Windows' number for it where it sent one."""

    def __init__(self, stage: Stage, target: str, reason: str, fault: int | None = None) -> None:
        super().__init__(f"WinRM to {target}: {stage} failed: {reason}")
        self.stage = stage
        self.fault = fault


@dataclass(frozen=True, slots=True)
class WinRmTarget:
    """Where a guest's WinRM is and who may use it.

    `fingerprint` is the SHA-256 (hex) of the certificate that is pinned, `command` what starts the agent
    (`C:\\hotswap\\hsagent.exe`, with `arguments`), `envelope_bytes` no more than the server's MaxEnvelopeSizekb allows.
    """

    port: int
    user: str
    password: str = field(repr=False)
    fingerprint: str
    command: str
    arguments: tuple[str, ...] = ("--attach",)
    authentication: Literal["ntlm", "basic"] = "ntlm"
    envelope_bytes: int = 512_000
    host: str = "127.0.0.1"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


class _PinnedAdapter(HTTPAdapter):
    """Takes one certificate and no other, whatever name it is for."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool: Any) -> None:
        """As HTTPAdapter.init_poolmanager."""
        super().init_poolmanager(
            connections, maxsize, block=block, assert_fingerprint=self._fingerprint, assert_hostname=False, **pool
        )


class _Protocol(Protocol):
    """pywinrm's protocol with the certificate pinned, and with envelopes as large as the server takes."""

    def __init__(self, target: WinRmTarget, seconds: int) -> None:
        super().__init__(
            endpoint=f"https://{target.host}:{target.port}/wsman",
            transport=target.authentication,
            username=target.user,
            password=target.password,
            server_cert_validation="ignore",  # the adapter looks at it
            operation_timeout_sec=seconds,
            read_timeout_sec=seconds + 5,
            proxy=None,
        )
        self._envelope = target.envelope_bytes
        self.transport.build_session().mount("https://", _PinnedAdapter(target.fingerprint))

    def build_wsman_header(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """As Protocol.build_wsman_header."""
        header: dict[str, Any] = super().build_wsman_header(*arguments, **named)
        header["env:Header"]["w:MaxEnvelopeSize"]["#text"] = str(self._envelope)
        return header


class WinRmConnection:
    """One remote shell, kept from stream to stream; `close` ends it. Streams are made one after the other."""

    def __init__(self, target: WinRmTarget) -> None:
        """Connects to nothing yet."""
        self.target = target
        self._shell: str | None = None

    def agent(self, deadline: Deadline) -> WinRmTransport:
        """Start the agent's command in the shell, which is opened when there is none (any more)."""
        protocol = self.protocol(deadline)
        try:
            kept = self._shell
            shell = kept or self._open(protocol)
            try:
                return WinRmTransport(self, shell, self._run(protocol, shell))
            except WinRmError as error:
                if kept is None or error.fault != WsmanCode.UNEXPECTED_SELECTORS:
                    raise
                # It was idle for too long, or the guest was started again.
                shell = self._open(protocol)
                return WinRmTransport(self, shell, self._run(protocol, shell))
        finally:
            protocol.transport.close_session()

    def _open(self, protocol: _Protocol) -> str:
        with told("shell", self.target):
            self._shell = str(protocol.open_shell(codepage=_UTF8, idle_timeout=_IDLE_TIMEOUT))
        return self._shell

    def _run(self, protocol: _Protocol, shell: str) -> str:
        with told("command", self.target):
            # By itself and on pipes: cmd.exe and a console would change what passes through.
            command = protocol.run_command(
                shell, self.target.command, self.target.arguments, console_mode_stdin=False, skip_cmd_shell=True
            )
        return str(command)

    def protocol(self, deadline: Deadline | None = None) -> _Protocol:
        """A session of its own for requests that end by this deadline."""
        seconds = _OPERATION_SECONDS if deadline is None else min(_OPERATION_SECONDS, ceil(deadline.remaining))
        return _Protocol(self.target, max(_LEAST_SECONDS, seconds))

    def close(self) -> None:
        """End the shell and what runs in it; nothing is said when it is gone already."""
        shell, self._shell = self._shell, None
        if shell is not None:
            protocol = self.protocol(Deadline.after(_CLOSE_SECONDS))
            with contextlib.suppress(WinRmError), told("shell", self.target):
                protocol.close_shell(shell)
            protocol.transport.close_session()


class WinRmTransport:
    """The agent's stream over a command of a shell. One thread receives, for a Receive cannot be called off."""

    chunk_bytes = FILE_CHUNK_BYTES

    def __init__(self, connection: WinRmConnection, shell: str, command: str) -> None:
        self._connection = connection
        self._shell = shell
        self._command = command
        self._sender = connection.protocol()
        self._piece = (connection.target.envelope_bytes - _OVERHEAD_BYTES) // 4 * 3
        self._writing = threading.Lock()
        self._changed = threading.Condition()
        self._held = bytearray()
        self._words = bytearray()
        self._ended: str | None = None
        self._closed = False
        self._receiver = threading.Thread(target=self._receive, name="winrm-receiver", daemon=True)
        self._receiver.start()

    def _receive(self) -> None:
        protocol = self._connection.protocol()
        ended: str | None = None
        try:
            while ended is None:
                try:
                    with told("receive", self._connection.target):
                        out, err, code, done = protocol.get_command_output_raw(self._shell, self._command)
                except WinRMOperationTimeoutError:
                    continue  # the agent has nothing to say; asking keeps the shell from being idle
                except WinRmError as error:
                    out, err, code, done, ended = b"", b"", 0, False, str(error)
                with self._changed:
                    self._held += out
                    self._words = (self._words + err)[-4096:]
                    if done:
                        said = " | ".join(self._words.decode(errors="replace").split("\n")).strip(" |")
                        ended = (
                            f"the agent's command over WinRM has ended, exit code {code}; it said {said or 'nothing'}"
                        )
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._ended = ended or "the WinRM receiver ended"
                self._changed.notify_all()
            protocol.transport.close_session()

    def read(self, size: int, deadline: Deadline) -> bytes:
        """As Transport.read."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: self._held or self._ended or self._closed, min(deadline.remaining, threading.TIMEOUT_MAX)
            )
            if not there:
                raise DeadlineExpired("reading from the agent over WinRM: nothing came")
            if self._closed:
                return b""
            data = bytes(self._held[:size])
            del self._held[:size]
            return data

    def write(self, data: bytes, deadline: Deadline) -> None:
        """As Transport.write. After a Send that failed nobody knows what arrived: the stream is broken then."""
        with self._writing:
            for at in range(0, len(data), self._piece):
                if (gone := self.alive()) is not None:
                    raise BrokenPipeError(gone)
                if deadline.expired:
                    self._break("a write was given up at its deadline")
                    raise DeadlineExpired("writing to the agent over WinRM: it takes no more data")
                try:
                    with told("send", self._connection.target):
                        self._sender.send_command_input(self._shell, self._command, data[at : at + self._piece])
                except WinRMOperationTimeoutError:
                    self._break("the agent took no input within the operation's time")
                    raise BrokenPipeError("the agent took no input within the operation's time") from None
                except WinRmError as error:
                    self._break(str(error))
                    raise BrokenPipeError(str(error)) from error

    def _break(self, cause: str) -> None:
        """Note that the stream is broken. That the command has ended says more than that it takes no input."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, _VERDICT_SECONDS)
            self._ended = self._ended or cause
            self._changed.notify_all()

    def close(self) -> None:
        """End the agent's input and its command; the shell stays for the next one."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        protocol = self._connection.protocol(Deadline.after(_CLOSE_SECONDS))
        # The signal also brings the pending Receive its end.
        with contextlib.suppress(WinRmError, WinRMOperationTimeoutError), told("command", self._connection.target):
            protocol.cleanup_command(self._shell, self._command)
        protocol.transport.close_session()
        self._receiver.join(_CLOSE_SECONDS)
        with self._writing:
            self._sender.transport.close_session()

    def alive(self) -> str | None:
        """None while the command runs, else how it or the connection ended."""
        if self._closed:
            return "the stream was closed"
        return self._ended


@contextmanager
def told(stage: Stage, target: WinRmTarget) -> Iterator[None]:
    """Turn what pywinrm and requests raise into a WinRmError that says what failed."""
    name = str(target)
    try:
        yield
    except WSManFaultError as error:
        number = error.wsman_fault_code
        code = f"{WsmanCode.describe(number)}: " if number is not None else f"{error.fault_subcode or ''} "
        raise WinRmError(stage, name, f"{code}{' '.join(error.reason.split())}", number) from error
    except InvalidCredentialsError as error:
        raise WinRmError("authentication", name, f"the server does not take this user's password: {error}") from error
    except WinRMTransportError as error:
        raise WinRmError(stage, name, f"the server answered with HTTP status {error.code}") from error
    except requests.exceptions.SSLError as error:
        reason = str(error)
        if "Fingerprints did not match" in reason:
            reason = "Fingerprints did not match" + reason.partition("Fingerprints did not match")[2].split("')")[0]
            reason += f"; {target.fingerprint} is pinned for this machine: this is another server"
        raise WinRmError("certificate", name, reason) from error
    except requests.exceptions.RequestException as error:
        refused = isinstance(error, requests.exceptions.ConnectionError) and "refused" in str(error)
        stage = "connect" if refused or isinstance(error, requests.exceptions.ConnectTimeout) else stage
        advice = "; does the guest's WinRM listen?" if stage == "connect" else ""
        raise WinRmError(stage, name, f"{_words(error)}{advice}") from error
    except (WinRMError, AssertionError, StopIteration, ValueError) as error:
        raise WinRmError(stage, name, f"the answer makes no sense: {_words(error)}") from error


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
