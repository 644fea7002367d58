"""The operations of the remote shell: from a request's bytes to the response's, whoever carries them."""

from __future__ import annotations

import base64
import binascii
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from xml.etree import ElementTree

from hotswap.wsman.faults import WsmanCode, WsmanFault, invalid_xml, unknown_command, unknown_shell
from hotswap.wsman.runner import Runner
from hotswap.wsman.shell import Command, Shell
from hotswap.wsman.soap import (
    ANONYMOUS,
    CONFIG,
    IDENTITY,
    MOST_ENVELOPE,
    SHELL,
    SHELL_URI,
    TRANSFER,
    WSMAN,
    WsmanRequest,
    element,
    fault_message,
    parse_duration,
    parse_request,
    response,
)

MOST_SHELLS = 30
MOST_COMMANDS = 25
# What a Receive response has besides its data, and more.
_RECEIVE_OVERHEAD = 2048
_SIGNALS = {"terminate", "ctrl_c", "ctrl_break"}


class Answer(NamedTuple):
    """An HTTP status and a SOAP envelope."""

    status: int
    body: bytes


class WsmanService:
    """Shells of all clients. Safe for any number of threads; `close` ends what runs."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._shells: dict[str, Shell] = {}
        self._lock = threading.Lock()
        self._operations: dict[tuple[str, str], Callable[[WsmanRequest, str], str]] = {
            (f"{TRANSFER}/Create", SHELL_URI): self._create,
            (f"{TRANSFER}/Delete", SHELL_URI): self._delete,
            (f"{TRANSFER}/Get", SHELL): self._get_shell,
            (f"{TRANSFER}/Get", CONFIG): self._get_config,
            (f"{SHELL}/Command", SHELL_URI): self._command,
            (f"{SHELL}/Send", SHELL_URI): self._send,
            (f"{SHELL}/Receive", SHELL_URI): self._receive,
            (f"{SHELL}/Signal", SHELL_URI): self._signal,
        }

    def handle(self, data: bytes, user: str) -> Answer:
        """Do what an envelope asks for. Faults are answers, too."""
        message_id = ""
        try:
            request = parse_request(data)
            message_id = request.message_id
            if request.action == f"{{{IDENTITY}}}Identify":
                return Answer(200, response(request, _identify()))
            return Answer(200, response(request, self._operation(request)(request, user)))
        except WsmanFault as fault:
            return Answer(500, fault_message(fault, message_id))

    def _operation(self, request: WsmanRequest) -> Callable[[WsmanRequest, str], str]:
        operation = self._operations.get((request.action, request.resource))
        if operation is not None:
            return operation
        if request.resource not in {resource for _, resource in self._operations}:
            raise WsmanFault(
                "a:DestinationUnreachable",
                WsmanCode.INVALID_RESOURCE_URI,
                f"The resource URI {request.resource} is not known here.",
                detail="InvalidResourceURI",
            )
        raise WsmanFault(
            "a:ActionNotSupported",
            WsmanCode.INVALID_ACTIONURI,
            f"The action {request.action} is not supported by the service for {request.resource}.",
        )

    def close(self) -> None:
        """End every shell and its commands."""
        with self._lock:
            shells = list(self._shells.values())
            self._shells.clear()
        for shell in shells:
            shell.close()

    # Operations: each returns what its response's body holds

    def _create(self, request: WsmanRequest, user: str) -> str:
        asked = request.content("Shell")
        shell = Shell(
            id=(asked.get("ShellId") or str(uuid.uuid4())).upper(),
            owner=user,
            folder=_child(asked, "WorkingDirectory"),
            environment={
                one.get("Name") or "": one.text or ""
                for one in asked.findall(f"{{{SHELL}}}Environment/{{{SHELL}}}Variable")
            },
            input_streams=_child(asked, "InputStreams"),
            output_streams=_child(asked, "OutputStreams"),
        )
        if idle := _child(asked, "IdleTimeOut"):
            seconds = parse_duration(idle)
            if seconds is None:
                raise invalid_xml(f"The SOAP packet contains an element IdleTimeOut that is invalid: {idle}.")
            shell.idle_seconds = seconds
        if "" in shell.environment:
            raise invalid_xml("The SOAP packet contains an element Variable that is invalid: it has no Name.")
        self._sweep()
        with self._lock:
            if shell.id in self._shells:
                raise WsmanFault(
                    "w:AlreadyExists", WsmanCode.SHELL_CLIENTID_NOT_VALID, f"The ShellId {shell.id} is in use already."
                )
            if sum(other.owner == user for other in self._shells.values()) >= MOST_SHELLS:
                raise WsmanFault(
                    "w:QuotaLimit",
                    WsmanCode.QUOTA_MAX_SHELLS,
                    f"This user has the most shells that are allowed: {MOST_SHELLS}. Close some.",
                )
            self._shells[shell.id] = shell
        created = (
            f"<x:ResourceCreated><a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters>"
            f"{element('w:ResourceURI', SHELL_URI)}<w:SelectorSet>{element('w:Selector', shell.id, Name='ShellId')}"
            "</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>"
        )
        return created + _describe(shell)

    def _delete(self, request: WsmanRequest, user: str) -> str:
        with self._shell(request, user) as shell, self._lock:
            self._shells.pop(shell.id, None)
        shell.close()
        return ""

    def _get_shell(self, request: WsmanRequest, user: str) -> str:
        with self._shell(request, user) as shell:
            return _describe(shell)

    def _get_config(self, request: WsmanRequest, user: str) -> str:
        size = element("cfg:MaxEnvelopeSizekb", str(MOST_ENVELOPE // 1024))
        return f'<cfg:Config xmlns:cfg="{CONFIG}">{size}{element("cfg:MaxTimeoutms", "60000")}</cfg:Config>'

    def _command(self, request: WsmanRequest, user: str) -> str:
        asked = request.content("CommandLine")
        line = " ".join([_child(asked, "Command"), *(one.text or "" for one in asked.findall(f"{{{SHELL}}}Arguments"))])
        if not line.strip():
            raise invalid_xml("The SOAP packet contains an element CommandLine that is invalid: it has no Command.")
        by_itself = request.options.get("WINRS_SKIP_CMD_SHELL", "").lower() in ("true", "1")
        with self._shell(request, user) as shell:
            if len(shell.commands) >= MOST_COMMANDS:
                raise WsmanFault(
                    "w:QuotaLimit", WsmanCode.QUOTA_LIMIT, f"The shell runs {MOST_COMMANDS} commands, the most allowed."
                )
            try:
                running = self._runner.start(
                    line, shell=not by_itself, folder=shell.folder, environment=shell.environment
                )
            except OSError as error:
                raise WsmanFault(
                    "w:InternalError", 0, f"The command cannot be started: {error}.", code="s:Receiver"
                ) from None
            command = Command(running, asked.get("CommandId"))
            shell.add(command)
        return f"<rsp:CommandResponse>{element('rsp:CommandId', command.id)}</rsp:CommandResponse>"

    def _send(self, request: WsmanRequest, user: str) -> str:
        asked = request.content("Send")
        with self._shell(request, user) as shell:
            for stream in asked.findall(f"{{{SHELL}}}Stream"):
                if stream.get("Name") != "stdin":
                    raise invalid_xml(f"The stream {stream.get('Name')} is no input stream of this shell.")
                try:
                    data = base64.b64decode("".join((stream.text or "").split()), validate=True)
                except binascii.Error:
                    raise invalid_xml("The SOAP packet contains an element Stream that is no base64.") from None
                end = stream.get("End", "false").lower() in ("true", "1")
                _of(shell, stream.get("CommandId")).send(data, end=end, timeout=request.timeout)
        return "<rsp:SendResponse/>"

    def _receive(self, request: WsmanRequest, user: str) -> str:
        wanted = request.content("Receive").find(f"{{{SHELL}}}DesiredStream")
        if wanted is None:
            raise invalid_xml("The SOAP packet contains an element Receive that is invalid: it has no DesiredStream.")
        with self._shell(request, user) as shell:
            command = _of(shell, wanted.get("CommandId"))
            names = (wanted.text or "").split()
            got = command.receive(request.timeout, (request.envelope - _RECEIVE_OVERHEAD) // 4 * 3)
        streams = "".join(
            element("rsp:Stream", base64.b64encode(data).decode(), Name=name, CommandId=command.id)
            for name, data in got.parts
            if name in names
        )
        if got.exit_code is None:
            state = element("rsp:CommandState", CommandId=command.id, State=f"{SHELL}/CommandState/Running")
        else:
            streams += "".join(
                element("rsp:Stream", Name=name, CommandId=command.id, End="true") for name in ("stdout", "stderr")
            )
            code = element("rsp:ExitCode", str(got.exit_code))
            done = f"{SHELL}/CommandState/Done"
            state = f'<rsp:CommandState CommandId="{command.id}" State="{done}">{code}</rsp:CommandState>'
        return f"<rsp:ReceiveResponse>{streams}{state}</rsp:ReceiveResponse>"

    def _signal(self, request: WsmanRequest, user: str) -> str:
        asked = request.content("Signal")
        kind = _child(asked, "Code").rpartition("/")[2].lower()
        if kind not in _SIGNALS:
            raise invalid_xml(f"The signal {_child(asked, 'Code')} is not known.")
        with self._shell(request, user) as shell:
            command = _of(shell, asked.get("CommandId"))
            command.terminate()
            if kind == "terminate":
                del shell.commands[command.id]
        return "<rsp:SignalResponse/>"

    # Shells

    @contextmanager
    def _shell(self, request: WsmanRequest, user: str) -> Iterator[Shell]:
        """The shell that the selectors name, which is not idle meanwhile. Nobody sees those of another user."""
        shell_id = request.selectors.get("shellid")
        if shell_id is None:
            raise WsmanFault(
                "w:InvalidSelectors",
                WsmanCode.INSUFFCIENT_SELECTORS,
                "The selector ShellId is missing.",
                detail="InsufficientSelectors",
            )
        self._sweep()
        with self._lock:
            shell = self._shells.get(shell_id.upper())
            if shell is None or shell.owner != user:
                raise unknown_shell(shell_id)
            shell.busy += 1
        try:
            yield shell
        finally:
            with self._lock:
                shell.busy -= 1
                shell.used = time.monotonic()

    def _sweep(self) -> None:
        """Close what was idle for too long."""
        with self._lock:
            abandoned = [shell for shell in self._shells.values() if shell.abandoned]
            for shell in abandoned:
                del self._shells[shell.id]
        for shell in abandoned:
            shell.close()


def _identify() -> str:
    return (
        f'<wsmid:IdentifyResponse xmlns:wsmid="{IDENTITY}">'
        f"<wsmid:ProtocolVersion>{WSMAN}</wsmid:ProtocolVersion><wsmid:ProductVendor>hotswap-harness"
        "</wsmid:ProductVendor><wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion>"
        "</wsmid:IdentifyResponse>"
    )


def _describe(shell: Shell) -> str:
    fields = {
        "ShellId": shell.id,
        "ResourceUri": SHELL_URI,
        "Owner": shell.owner,
        "ClientIP": "127.0.0.1",
        "IdleTimeOut": f"PT{shell.idle_seconds:.3f}S",
        "InputStreams": shell.input_streams,
        "OutputStreams": shell.output_streams,
        "ShellRunTime": f"PT{time.monotonic() - shell.made:.0f}S",
        "ShellInactivity": f"PT{time.monotonic() - shell.used:.0f}S",
    }
    inside = "".join(element(f"rsp:{name}", value) for name, value in fields.items())
    return f"<rsp:Shell>{inside}</rsp:Shell>"


def _child(parent: ElementTree.Element, name: str) -> str:
    found = parent.find(f"{{{SHELL}}}{name}")
    return "" if found is None else found.text or ""


def _of(shell: Shell, command_id: str | None) -> Command:
    if command_id is None:
        raise WsmanFault("w:InvalidParameter", WsmanCode.NO_COMMANDID, "The CommandId is missing.")
    command = shell.commands.get(command_id) or shell.commands.get(command_id.upper())
    if command is None:
        raise unknown_command(command_id)
    return command
