"""SOAP faults of WS-Management (DSP0226) and Windows (MS-WSMV), with Windows' own numbers."""

from __future__ import annotations

from enum import IntEnum

_WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman"


class WsmanCode(IntEnum):
    """ERROR_WSMAN_* and ERROR_WINRS_* of wsmerror.h, as far as they are told here."""

    RESOURCE_NOT_FOUND = 2150858752
    INVALID_ACTIONURI = 2150858753
    INVALID_MESSAGE_INFORMATION_HEADER = 2150858767
    MESSAGE_INFORMATION_HEADER_REQUIRED = 2150858769
    INVALID_SOAP_BODY = 2150858791
    OPERATION_TIMEDOUT = 2150858793
    ENCODING_LIMIT = 2150858805
    INVALID_PARAMETER = 2150858810
    INVALID_RESOURCE_URI = 2150858811
    INVALID_SELECTORS = 2150858813
    QUOTA_LIMIT = 2150858815
    INVALID_XML = 2150858819
    OPTIONS_NOT_SUPPORTED = 2150858833
    INSUFFCIENT_SELECTORS = 2150858842
    UNEXPECTED_SELECTORS = 2150858843
    MIN_ENVELOPE_SIZE = 2150858878
    INVALID_TIMEOUT_HEADER = 2150858881
    NO_COMMANDID = 2150859141
    QUOTA_MAX_SHELLS = 2150859173
    SHELLCOMMAND_CLIENTID_NOT_VALID = 2150859220
    SHELL_CLIENTID_NOT_VALID = 2150859221

    @classmethod
    def describe(cls, code: int | str | None) -> str:
        """`ERROR_WSMAN_OPERATION_TIMEDOUT (2150858793)`; the number alone when it is none of these."""
        try:
            known = cls(int(code or 0))
        except ValueError:
            return str(code)
        prefix = "ERROR_WINRS_" if known.name.startswith("SHELL") else "ERROR_WSMAN_"
        return f"{prefix}{known.name} ({known.value})"


class WsmanFault(Exception):
    """What a request is answered with when it cannot be done.

    `code` is SOAP's (`s:Sender`, `s:Receiver`, ...), `subcode` WS-Management's (`w:InvalidSelectors`; empty: none),
    `number` Windows' own (0: none), `detail` the last part of a wsman:FaultDetail URI.
    """

    def __init__(self, subcode: str, number: int, reason: str, *, code: str = "s:Sender", detail: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.subcode = subcode
        self.number = int(number)
        self.reason = reason
        self.detail = f"{_WSMAN}/faultDetail/{detail}" if detail else ""


def missing_header(name: str) -> WsmanFault:
    """A header that must be there is not."""
    return WsmanFault(
        "a:MessageInformationHeaderRequired",
        WsmanCode.MESSAGE_INFORMATION_HEADER_REQUIRED,
        f"A required header is missing: {name}",
    )


def invalid_xml(what: str) -> WsmanFault:
    """The message is no XML, or not the XML that the operation takes."""
    return WsmanFault("w:SchemaValidationError", WsmanCode.INVALID_XML, what)


def unknown_shell(shell_id: str) -> WsmanFault:
    """As Windows answers for a shell that is gone."""
    return WsmanFault(
        "w:InvalidSelectors",
        WsmanCode.UNEXPECTED_SELECTORS,
        f"The request for the Windows Remote Shell with ShellId {shell_id} failed because the shell was not found on "
        "the server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the "
        "server. Provide the correct ShellId or create a new shell and retry the operation.",
        detail="UnexpectedSelectors",
    )


def unknown_command(command_id: str) -> WsmanFault:
    """As Windows answers for a command that is not the shell's."""
    return WsmanFault(
        "w:InvalidParameter",
        WsmanCode.INVALID_PARAMETER,
        f"The parameter is incorrect: the shell has no command with CommandId {command_id}.",
    )


def timed_out() -> WsmanFault:
    """Nothing happened within the operation's time; clients ask again."""
    return WsmanFault(
        "w:TimedOut",
        WsmanCode.OPERATION_TIMEDOUT,
        "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.",
        code="s:Receiver",
    )
