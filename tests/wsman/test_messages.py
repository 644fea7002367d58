"""What the service answers to messages that are not as they should be, by DSP0226 and MS-WSMV."""

from __future__ import annotations

import base64
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from xml.dom import minidom

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.wsman.faults import WsmanCode
from hotswap.wsman.runner import RunningCommand, WineRunner, split_line
from hotswap.wsman.service import MOST_SHELLS, WsmanService
from hotswap.wsman.soap import MOST_ENVELOPE, parse_duration
from support.wsman_messages import GET, SHELL, Fault, envelope, fault_of, texts

DELETE = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete"
COMMAND = "<rsp:CommandLine><rsp:Command>{}</rsp:Command></rsp:CommandLine>"


class ShellRunner:
    """Runs commands by this computer's own shell: the protocol does not care."""

    def start(self, line: str, *, shell: bool, folder: str, environment: Mapping[str, str]) -> RunningCommand:
        if line == "missing":
            raise FileNotFoundError(2, "No such file or directory")
        return WineRunner("/bin/sh", {**os.environ, **environment}, "/").start(  # type: ignore[arg-type]
            f'-c "{line}"', shell=False, folder="", environment=environment
        )


@pytest.fixture
def service() -> Iterator[WsmanService]:
    service = WsmanService(ShellRunner())
    yield service
    service.close()


def ask(service: WsmanService, message: bytes, user: str = "me") -> minidom.Document:
    status, body = service.handle(message, user)
    assert status == 200, body
    return minidom.parseString(body)


def refused(service: WsmanService, message: bytes, user: str = "me") -> Fault:
    status, body = service.handle(message, user)
    assert status == 500
    return fault_of(body)


def open_shell(service: WsmanService, user: str = "me") -> str:
    return texts(ask(service, envelope(), user), "ShellId")[0]


def run(service: WsmanService, shell_id: str, line: str) -> str:
    answer = ask(service, envelope(f"{SHELL}/Command", COMMAND.format(line), shell_id=shell_id))
    return texts(answer, "CommandId")[0]


def receive_message(shell_id: str, command_id: str, **named: str) -> bytes:
    body = f'<rsp:Receive><rsp:DesiredStream CommandId="{command_id}">stdout stderr</rsp:DesiredStream></rsp:Receive>'
    return envelope(f"{SHELL}/Receive", body, shell_id=shell_id, **named)


def send_message(shell_id: str, command_id: str, text: str, end: str = "false") -> bytes:
    body = f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{command_id}" End="{end}">{text}</rsp:Stream></rsp:Send>'
    return envelope(f"{SHELL}/Send", body, shell_id=shell_id)


def receive_all(service: WsmanService, shell_id: str, command_id: str, **named: str) -> tuple[bytes, int, int]:
    """All of standard output, the exit code, and the length of the longest answer."""
    data, longest = b"", 0
    while True:
        body = service.handle(receive_message(shell_id, command_id, **named), "me").body
        longest = max(longest, len(body))
        answer = minidom.parseString(body)
        for stream in answer.getElementsByTagNameNS("*", "Stream"):
            if stream.getAttribute("Name") == "stdout":
                data += base64.b64decode("".join(node.data for node in stream.childNodes))
        if codes := texts(answer, "ExitCode"):
            return data, int(codes[0]), longest


def running_in(group: int) -> bytes:
    """Processes of a group that run: this computer may have nobody who buries orphans."""
    return subprocess.run(["pgrep", "-g", str(group), "-r", "RSD"], capture_output=True).stdout


def test_a_shell_is_opened_described_and_closed(service: WsmanService) -> None:
    answer = ask(service, envelope())
    shell_id = texts(answer, "ShellId")[0]
    assert texts(answer, "Selector") == [shell_id]
    assert texts(answer, "Action") == ["http://schemas.xmlsoap.org/ws/2004/09/transfer/CreateResponse"]
    described = ask(service, envelope(GET, "", resource=SHELL, shell_id=shell_id))
    assert texts(described, "Owner") == ["me"]
    ask(service, envelope(DELETE, "", shell_id=shell_id))
    assert refused(service, envelope(DELETE, "", shell_id=shell_id)).subcode == "w:InvalidSelectors"


def test_a_response_relates_to_its_request(service: WsmanService) -> None:
    message = envelope()
    sent = texts(minidom.parseString(message), "MessageID")
    assert texts(ask(service, message), "RelatesTo") == sent
    spoilt = envelope(size="1")
    assert texts(minidom.parseString(service.handle(spoilt, "me").body), "RelatesTo") == []


def test_a_command_runs_with_input_output_and_exit_code(service: WsmanService) -> None:
    shell_id = open_shell(service)
    command_id = run(service, shell_id, "cat; exit 7")
    data = bytes(range(256))
    ask(service, send_message(shell_id, command_id, base64.b64encode(data).decode()))
    ask(service, send_message(shell_id, command_id, base64.b64encode(data).decode(), "true"))
    assert receive_all(service, shell_id, command_id)[:2] == (data * 2, 7)


def test_output_is_cut_to_what_the_client_takes(service: WsmanService) -> None:
    shell_id = open_shell(service)
    command_id = run(service, shell_id, "head -c 3000000 /dev/zero")
    data, code, longest = receive_all(service, shell_id, command_id, size="20000")
    assert (len(data), code) == (3_000_000, 0)
    assert 15_000 < longest <= 20_000


def test_a_receive_without_output_times_out_and_can_be_repeated(service: WsmanService) -> None:
    shell_id = open_shell(service)
    command_id = run(service, shell_id, "read x; echo $x")
    begun = time.monotonic()
    fault = refused(service, receive_message(shell_id, command_id, timeout="PT0.2S"))
    assert 0.15 < time.monotonic() - begun < 3
    assert (fault.code, fault.subcode, fault.number) == (
        "s:Receiver",
        "w:TimedOut",
        WsmanCode.OPERATION_TIMEDOUT,
    )
    ask(service, send_message(shell_id, command_id, base64.b64encode(b"hi\n").decode()))
    assert receive_all(service, shell_id, command_id)[0] == b"hi\n"


def test_a_signal_ends_a_command_and_its_children(service: WsmanService) -> None:
    shell_id = open_shell(service)
    command_id = run(service, shell_id, "echo $$; sleep 987 &amp; sleep 987")
    body = f'<rsp:Signal CommandId="{command_id}"><rsp:Code>{SHELL}/signal/ctrl_c</rsp:Code></rsp:Signal>'
    first = ask(service, receive_message(shell_id, command_id))
    group = int(base64.b64decode(texts(first, "Stream")[0]))
    ask(service, envelope(f"{SHELL}/Signal", body, shell_id=shell_id))
    assert receive_all(service, shell_id, command_id)[1] == 0xC000013A
    assert running_in(group) == b""
    ask(service, envelope(f"{SHELL}/Signal", body.replace("ctrl_c", "terminate"), shell_id=shell_id))
    assert refused(service, receive_message(shell_id, command_id)).subcode == "w:InvalidParameter"


def test_closing_a_shell_ends_what_runs_in_it(service: WsmanService) -> None:
    shell_id = open_shell(service)
    command_id = run(service, shell_id, "echo $$; sleep 987")
    group = int(base64.b64decode(texts(ask(service, receive_message(shell_id, command_id)), "Stream")[0]))
    ask(service, envelope(DELETE, "", shell_id=shell_id))
    assert running_in(group) == b""


def test_identify_needs_no_headers(service: WsmanService) -> None:
    message = envelope(body="<wsmid:Identify/>").decode()
    head, rest = message.split("<s:Header>")
    answer = ask(service, (head + rest.partition("</s:Header>")[2]).encode())
    assert texts(answer, "ProtocolVersion") == ["http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"]


def test_the_configuration_tells_the_largest_envelope(service: WsmanService) -> None:
    config = "http://schemas.microsoft.com/wbem/wsman/1/config"
    answer = ask(service, envelope(GET, "", resource=config))
    assert texts(answer, "MaxEnvelopeSizekb") == [str(MOST_ENVELOPE // 1024)]


BOMB = "<!DOCTYPE s [" + "".join(
    f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x"}">' for n in range(10)
) + "]>"  # fmt: skip
EXTERNAL = '<!DOCTYPE s [<!ENTITY file SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"not xml",
        b"<s:Envelope",
        b"\xff\xfe<\x00s\x00",
        b"<a/>",
        b"\x00" * 50,
        envelope(prolog=BOMB, body="<rsp:Shell>&e9;</rsp:Shell>"),
        envelope(prolog=EXTERNAL, body="<rsp:Shell><rsp:InputStreams>&file;</rsp:InputStreams></rsp:Shell>"),
        envelope(prolog='<?xml version="1.0"?>\n<!DOCTYPE s>'),
        envelope(prolog=EXTERNAL).decode().encode("utf-16"),
        envelope(prolog='<?xml version="1.0" encoding="no-such-encoding"?>'),
        envelope(body="&undefined;"),
        envelope(body="<rsp:Shell/><rsp:Shell/>"),
        envelope(body="<rsp:Other/>"),
        envelope(body=""),
        envelope(body="<rsp:Shell><rsp:IdleTimeOut>soon</rsp:IdleTimeOut></rsp:Shell>"),
    ],
)
def test_what_is_no_xml_or_not_the_right_one_is_a_schema_error(service: WsmanService, message: bytes) -> None:
    begun = time.monotonic()
    fault = refused(service, message)
    assert time.monotonic() - begun < 1
    assert (fault.code, fault.subcode, fault.number) == ("s:Sender", "w:SchemaValidationError", WsmanCode.INVALID_XML)
    assert "root:" not in fault.reason


def test_utf_16_is_read(service: WsmanService) -> None:
    ask(service, ('<?xml version="1.0" encoding="utf-16"?>' + envelope().decode()).encode("utf-16"))


@pytest.mark.parametrize("header", ["Action", "MessageID", "To", "ReplyTo"])
def test_a_missing_header_is_named(service: WsmanService, header: str) -> None:
    fault = refused(service, envelope(without=header))
    assert (fault.subcode, fault.number) == (
        "a:MessageInformationHeaderRequired",
        WsmanCode.MESSAGE_INFORMATION_HEADER_REQUIRED,
    )
    assert f"a:{header}" in fault.reason


@pytest.mark.parametrize(
    ("message", "code", "subcode", "number", "detail"),
    [
        (envelope(soap="http://schemas.xmlsoap.org/soap/envelope/"), "s:VersionMismatch", "", 0, ""),
        (envelope(more='<w:Odd s:mustUnderstand="true"/>'), "s:MustUnderstand", "", 0, ""),
        (envelope(more="<a:To>twice</a:To>"), "s:Sender", "a:InvalidMessageInformationHeader", 2150858767, ""),
        (envelope(resource=None), "s:Sender", "a:DestinationUnreachable", 2150858811, "InvalidResourceURI"),
        (envelope(resource="urn:x"), "s:Sender", "a:DestinationUnreachable", 2150858811, "InvalidResourceURI"),
        (envelope("urn:action"), "s:Sender", "a:ActionNotSupported", 2150858753, ""),
        (envelope(f"{SHELL}/Connect"), "s:Sender", "a:ActionNotSupported", 2150858753, ""),
        (envelope(size="8191"), "s:Sender", "w:EncodingLimit", 2150858878, "MinimumEnvelopeLimit"),
        (envelope(size="much"), "s:Sender", "w:EncodingLimit", 2150858878, "MinimumEnvelopeLimit"),
        (envelope(timeout="soon"), "s:Sender", "w:InvalidTimeout", 2150858881, ""),
        (envelope(timeout="PT0S"), "s:Sender", "w:InvalidTimeout", 2150858881, ""),
        (envelope(reply_to="http://elsewhere"), "s:Sender", "w:UnsupportedFeature", 0, "AddressingMode"),
        (
            envelope(more='<w:OptionSet><w:Option Name="X" MustComply="true">1</w:Option></w:OptionSet>'),
            "s:Sender",
            "w:InvalidOptions",
            2150858833,
            "NotSupported",
        ),
        (envelope(DELETE, ""), "s:Sender", "w:InvalidSelectors", 2150858842, "InsufficientSelectors"),
        (envelope(DELETE, "", shell_id="0"), "s:Sender", "w:InvalidSelectors", 2150858843, "UnexpectedSelectors"),
    ],
)
def test_what_cannot_be_done_is_a_fault_of_its_own(
    service: WsmanService, message: bytes, code: str, subcode: str, number: int, detail: str
) -> None:
    fault = refused(service, message)
    assert (fault.code, fault.subcode, fault.number, fault.detail) == (code, subcode, number, detail)


def test_an_unknown_option_that_need_not_be_complied_with_is_ignored(service: WsmanService) -> None:
    ask(service, envelope(more='<w:OptionSet><w:Option Name="X">1</w:Option></w:OptionSet>'))


def test_nobody_uses_the_shell_of_another(service: WsmanService) -> None:
    shell_id = open_shell(service)
    assert refused(service, envelope(DELETE, "", shell_id=shell_id), "other").number == WsmanCode.UNEXPECTED_SELECTORS
    ask(service, envelope(DELETE, "", shell_id=shell_id))


def test_a_user_has_so_many_shells_and_no_more(service: WsmanService) -> None:
    for _ in range(MOST_SHELLS):
        open_shell(service)
    fault = refused(service, envelope())
    assert (fault.subcode, fault.number) == ("w:QuotaLimit", WsmanCode.QUOTA_MAX_SHELLS)
    open_shell(service, "other")


def test_an_idle_shell_is_closed(service: WsmanService) -> None:
    body = "<rsp:Shell><rsp:IdleTimeOut>PT0.01S</rsp:IdleTimeOut></rsp:Shell>"
    shell_id = texts(ask(service, envelope(body=body)), "ShellId")[0]
    kept = open_shell(service)
    until = time.monotonic() + 0.02
    while time.monotonic() < until:
        pass
    assert refused(service, envelope(DELETE, "", shell_id=shell_id)).number == WsmanCode.UNEXPECTED_SELECTORS
    ask(service, envelope(DELETE, "", shell_id=kept))


def test_bad_commands_are_told_apart(service: WsmanService) -> None:
    shell_id = open_shell(service)
    command_id = run(service, shell_id, "read x")

    def number(message: bytes) -> int:
        return refused(service, message).number

    assert number(receive_message(shell_id, "00000000")) == WsmanCode.INVALID_PARAMETER
    assert number(send_message(shell_id, "00000000", "")) == WsmanCode.INVALID_PARAMETER
    assert number(send_message(shell_id, command_id, "no base64!")) == WsmanCode.INVALID_XML
    assert number(send_message(shell_id, command_id, "").replace(b"stdin", b"pr")) == WsmanCode.INVALID_XML
    assert number(envelope(f"{SHELL}/Receive", "<rsp:Receive/>", shell_id=shell_id)) == WsmanCode.INVALID_XML
    assert number(envelope(f"{SHELL}/Command", COMMAND.format(""), shell_id=shell_id)) == WsmanCode.INVALID_XML
    signal = f'<rsp:Signal CommandId="{command_id}"><rsp:Code>louder</rsp:Code></rsp:Signal>'
    assert number(envelope(f"{SHELL}/Signal", signal, shell_id=shell_id)) == WsmanCode.INVALID_XML
    no_id = receive_message(shell_id, command_id).replace(f'CommandId="{command_id}"'.encode(), b"")
    assert number(no_id) == WsmanCode.NO_COMMANDID
    missing = refused(service, envelope(f"{SHELL}/Command", COMMAND.format("missing"), shell_id=shell_id))
    assert (missing.code, missing.subcode) == ("s:Receiver", "w:InternalError")
    again = COMMAND.format("true").replace("<rsp:CommandLine>", f'<rsp:CommandLine CommandId="{command_id}">')
    assert number(envelope(f"{SHELL}/Command", again, shell_id=shell_id)) == WsmanCode.SHELLCOMMAND_CLIENTID_NOT_VALID


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 1500), count=st.integers(0, 40), put=st.binary(max_size=20))
def test_no_spoilt_message_is_more_than_a_fault(at: int, count: int, put: bytes) -> None:
    message = envelope()
    spoilt = message[:at] + put + message[at + count :]
    status, body = WsmanService(ShellRunner()).handle(spoilt, "me")
    assert status in (200, 500)
    minidom.parseString(body)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT20S", 20.0), ("PT1M0.5S", 60.5), ("P1DT1H", 90000.0), ("PT", None), ("P", None), ("20", None), ("P1Y", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@given(st.lists(st.text(alphabet='ab" \\', max_size=8), min_size=1, max_size=4))
def test_a_command_line_is_taken_apart_as_it_was_put_together(arguments: list[str]) -> None:
    assert list(split_line(subprocess.list2cmdline(arguments))) == arguments
