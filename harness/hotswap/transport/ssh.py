"""The agent over SSH: a command on a channel, its standard streams the byte stream; bulk files over SFTP."""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Literal

import paramiko

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault, UsageError
from hotswap.transport.agent import Agent
from hotswap.transport.base import FILE_CHUNK_BYTES
from hotswap.transport.keys import ssh_fingerprint

Stage = Literal["connect", "key exchange", "host key", "authentication", "channel", "file transfer"]

_LOG = "hotswap.ssh"
_KEEP_ALIVE_SECONDS = 10
_LOOK_SECONDS = 0.1
_WINDOW_BYTES = 1 << 22
_PACKET_BYTES = 1 << 15
_CLOSE_SECONDS = 5.0
_STDERR_LINES = 20


class SshError(LabFault):
    """SSH did not work; `stage` says how far it came."""

    def __init__(self, stage: Stage, target: str, reason: str) -> None:
        super().__init__(f"SSH to {target}: {stage} failed: {reason}")
        self.stage = stage


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where a guest's SSH server is, who it is, and what is there.

    `key` is the file of the private key, `host_key` the server's pinned public key (`ssh-ed25519 AAAA...`), `command`
    what starts the agent in the guest's shell (`hsagent --attach`), `drive_c` what SFTP calls the guest's drive C:
    (`/C:` on Windows).
    """

    port: int
    user: str
    key: Path
    host_key: str
    command: str
    drive_c: str = "/C:"
    host: str = "127.0.0.1"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"

    def sftp_path(self, guest_path: str) -> str:
        r"""What SFTP calls `C:\...`; UsageError for another drive."""
        drive, _, rest = guest_path.replace("\\", "/").partition(":/")
        if drive.upper() != "C":
            raise UsageError(f"{guest_path!r} is no path on drive C: of the guest")
        return f"{self.drive_c}/{rest}"


class SshConnection:
    """One authenticated connection, for one agent and any number of files. `close` ends it and all on it."""

    def __init__(self, target: SshTarget, transport: paramiko.Transport) -> None:
        self.target = target
        self._transport = transport

    @classmethod
    def open(cls, target: SshTarget, deadline: Deadline) -> SshConnection:
        """Connect, check the host key, log in. SshError says which of these failed."""
        logging.getLogger(_LOG).addHandler(logging.NullHandler())  # else paramiko's threads write to standard error
        name = str(target)
        try:
            connected = socket.create_connection((target.host, target.port), deadline.remaining or 0.001)
        except OSError as error:
            raise SshError("connect", name, f"{error.strerror or error}; does the guest's SSH server run?") from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(connected, _WINDOW_BYTES, _PACKET_BYTES)
        try:
            transport.set_log_channel(_LOG)
            transport.daemon = True
            # The server shows the key of the kind that is pinned, or none.
            try:
                transport.get_security_options().key_types = [target.host_key.split()[0]]
            except (IndexError, ValueError):
                raise UsageError(f"the host key pinned for {name} is of no kind that is known here") from None
            transport.banner_timeout = transport.handshake_timeout = deadline.remaining
            try:
                transport.start_client(timeout=deadline.remaining)
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise SshError("key exchange", name, _words(error)) from error
            if not transport.initial_kex_done:
                raise SshError("key exchange", name, "what listens there did not answer in time")
            _check_host_key(target, transport)
            _log_in(target, transport, deadline)
            transport.set_keepalive(_KEEP_ALIVE_SECONDS)
        except BaseException:
            transport.close()
            raise
        return cls(target, transport)

    def open_session(self, deadline: Deadline) -> paramiko.Channel:
        """A channel with nothing started on it yet."""
        try:
            return self._transport.open_session(timeout=deadline.remaining)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise SshError("channel", str(self.target), _words(error)) from error

    def agent(self, deadline: Deadline) -> SshTransport:
        """Start the agent's command; the stream owns this connection from now on."""
        return SshTransport(self, self.execute(self.target.command, deadline))

    def execute(self, command: str, deadline: Deadline) -> paramiko.Channel:
        """Start a command in the guest's shell. Reading and writing its channel takes as long as it likes."""
        try:
            channel = self._transport.open_session(timeout=deadline.remaining)
            channel.settimeout(deadline.remaining)
            channel.exec_command(command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise SshError("channel", str(self.target), f"starting `{command}`: {_words(error)}") from error
        channel.settimeout(None)
        return channel

    def push(self, agent: Agent, source: Path, guest_path: str, deadline: Deadline) -> str:
        """Copy a file into the guest over SFTP; it appears when it is whole. Returns its SHA-256 (hex).

        The agent reads it back in the guest: LabFault when it is not the same.
        """
        data = source.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        target = self.target.sftp_path(guest_path)
        partial = f"{target}.{token_hex(4)}.part"
        try:
            with self._sftp(deadline) as sftp:
                try:
                    with sftp.open(partial, "wb") as file:
                        file.set_pipelined(True)
                        file.write(data)
                    sftp.posix_rename(partial, target)
                except BaseException:
                    with suppress(OSError, paramiko.SSHException):
                        sftp.remove(partial)
                    raise
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise SshError("file transfer", str(self.target), f"writing {target}: {_words(error)}") from error
        if (found := agent.file_hash(guest_path, deadline=deadline)) != digest:
            raise LabFault(f"SFTP to {self.target}: {guest_path} has SHA-256 {found} in the guest, {digest} was sent")
        return digest

    def pull(self, agent: Agent, guest_path: str, deadline: Deadline) -> bytes:
        """Copy a file out of the guest over SFTP. The agent hashes it there: LabFault when it is not the same."""
        source = self.target.sftp_path(guest_path)
        try:
            with self._sftp(deadline) as sftp, sftp.open(source, "rb") as file:
                file.prefetch()
                data = file.read()
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise SshError("file transfer", str(self.target), f"reading {source}: {_words(error)}") from error
        digest = hashlib.sha256(data).hexdigest()
        if (found := agent.file_hash(guest_path, limit=len(data), deadline=deadline)) != digest:
            raise LabFault(f"SFTP from {self.target}: {guest_path} has SHA-256 {found} in the guest, {digest} arrived")
        return data

    def _sftp(self, deadline: Deadline) -> paramiko.SFTPClient:
        sftp = paramiko.SFTPClient.from_transport(self._transport, _WINDOW_BYTES, _PACKET_BYTES)
        if sftp is None:
            raise paramiko.SSHException("the server opened no SFTP session")
        if (channel := sftp.get_channel()) is not None:
            channel.settimeout(deadline.remaining)
        return sftp

    def gone(self) -> str | None:
        """None while the connection is there, else what became of it."""
        if self._transport.is_active():
            return None
        error = self._transport.get_exception()
        return f"the SSH connection to {self.target} has ended{f': {_words(error)}' if error else ''}"

    def close(self) -> None:
        """End the connection."""
        self._transport.close()


class SshTransport:
    """The agent's stream over a channel. `connection` takes files besides, and ends with the stream."""

    chunk_bytes = FILE_CHUNK_BYTES

    def __init__(self, connection: SshConnection, channel: paramiko.Channel) -> None:
        self.connection = connection
        self._channel = channel
        self._channel.settimeout(_LOOK_SECONDS)
        self._closed = False
        self._cut: str | None = None
        self._writing = threading.Lock()
        self._words: deque[str] = deque(maxlen=_STDERR_LINES)

    def read(self, size: int, deadline: Deadline) -> bytes:
        """As Transport.read."""
        while not self._closed:
            try:
                data = self._channel.recv(size)
            except TimeoutError:
                self._listen()
                if deadline.expired:
                    raise DeadlineExpired("reading from the agent over SSH: nothing came") from None
                continue
            except (OSError, EOFError, paramiko.SSHException):
                data = b""
            if not data:
                self._listen()
            return data
        return b""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """As Transport.write."""
        with self._writing:
            if self._cut is not None:
                raise BrokenPipeError(self._cut)
            rest = memoryview(data)
            while rest:
                if self._closed or self._channel.closed:
                    raise BrokenPipeError("the SSH channel is closed")
                try:
                    sent = self._channel.send(bytes(rest[:_PACKET_BYTES]))
                except TimeoutError:
                    sent = 0
                except (OSError, EOFError, paramiko.SSHException) as error:
                    raise BrokenPipeError(f"the SSH channel broke: {_words(error)}") from error
                rest = rest[sent:]
                if rest and not sent and deadline.expired:
                    if len(rest) != len(data):
                        self._cut = f"a write was given up after {len(data) - len(rest)} of {len(data)} bytes"
                    raise DeadlineExpired("writing to the agent over SSH: it takes no more data")

    def close(self) -> None:
        """End the agent's input, wait a moment for its command to end, and end the connection."""
        if self._closed:
            return
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()
            self._channel.status_event.wait(0 if self.connection.gone() else _CLOSE_SECONDS)
        self._closed = True
        self._channel.close()
        self.connection.close()

    def alive(self) -> str | None:
        """None while the command runs, else how it or the connection ended."""
        if self._channel.exit_status_ready() and (code := self._channel.recv_exit_status()) != -1:
            said = "; its last words: " + " | ".join(self._words) if self._words else "; it said nothing on stderr"
            return f"the agent's command on {self.connection.target} has ended, exit code {code}{said}"
        if (gone := self.connection.gone()) is not None:
            return gone
        return "the agent's SSH channel is closed" if self._channel.closed else None

    def _listen(self) -> None:
        """Take what the command has said on standard error."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            while self._channel.recv_stderr_ready():
                said = self._channel.recv_stderr(1 << 16)
                if not said:
                    break
                self._words.extend(line.strip() for line in said.decode(errors="replace").splitlines())


def connect_ssh(target: SshTarget, deadline: Deadline) -> SshTransport:
    """The agent over a connection of its own. SshError says what failed."""
    connection = SshConnection.open(target, deadline)
    try:
        return connection.agent(deadline)
    except BaseException:
        connection.close()
        raise


def _check_host_key(target: SshTarget, transport: paramiko.Transport) -> None:
    shown = transport.get_remote_server_key()
    found = f"{shown.get_name()} {shown.get_base64()}"
    if found.split() != target.host_key.split()[:2]:
        raise SshError(
            "host key",
            str(target),
            f"the server has the key {ssh_fingerprint(found)}, but {ssh_fingerprint(target.host_key)} is pinned for "
            "this machine: this is another server, or the guest was made anew",
        )


def _log_in(target: SshTarget, transport: paramiko.Transport, deadline: Deadline) -> None:
    name = str(target)
    try:
        key = paramiko.Ed25519Key(filename=str(target.key))
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise SshError("authentication", name, f"reading the key {target.key}: {_words(error)}") from error
    transport.auth_timeout = deadline.remaining
    try:
        transport.auth_publickey(target.user, key)
    except paramiko.AuthenticationException as error:
        raise SshError(
            "authentication", name, f"the server does not take the key {key.fingerprint} of this user: {_words(error)}"
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise SshError("authentication", name, _words(error)) from error


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
