"""SOAP 1.2 envelopes of WS-Management: requests taken apart without trust, responses and faults put together."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import NoReturn
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from hotswap.wsman.faults import WsmanCode, WsmanFault, invalid_xml, missing_header

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
MS_WSMAN = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"
IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"

SHELL_URI = f"{SHELL}/cmd"
ANONYMOUS = f"{ADDRESSING}/role/anonymous"
MOST_ENVELOPE = 512_000
LEAST_ENVELOPE = 8192
MOST_TIMEOUT = 60.0

_NAMESPACES = (
    f'xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:x="{TRANSFER}" xmlns:w="{WSMAN}" xmlns:p="{MS_WSMAN}" '
    f'xmlns:rsp="{SHELL}"'
)
_KNOWN_HEADERS = {
    ADDRESSING: {"To", "ReplyTo", "FaultTo", "From", "MessageID", "Action", "RelatesTo"},
    WSMAN: {"ResourceURI", "SelectorSet", "OptionSet", "MaxEnvelopeSize", "OperationTimeout", "Locale"},
    MS_WSMAN: {"DataLocale", "SessionId", "SequenceId", "OperationID", "ActivityId", "FragmentTransfer"},
}
_KNOWN_OPTIONS = {
    "WINRS_NOPROFILE",
    "WINRS_CODEPAGE",
    "WINRS_CONSOLEMODE_STDIN",
    "WINRS_SKIP_CMD_SHELL",
    "WSMAN_CMDSHELL_OPTION_KEEPALIVE",
}
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_SAFE_MARKUP = re.compile(rb"<!\s*(DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WsmanRequest:
    """One request. `timeout` is in seconds, `envelope` the most bytes that the client takes for the response."""

    action: str
    message_id: str
    resource: str
    selectors: dict[str, str]
    options: dict[str, str]
    timeout: float
    envelope: int
    body: ElementTree.Element | None = field(repr=False)

    def content(self, name: str) -> ElementTree.Element:
        """The element of the body, which must have this name (`rsp:` is understood)."""
        if self.body is None or self.body.tag != f"{{{SHELL}}}{name}":
            found = "nothing" if self.body is None else self.body.tag.rpartition("}")[2]
            raise invalid_xml(
                f"The SOAP body must hold rsp:{name}, and has {found}. Retry with the correct XML element."
            )
        return self.body


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of a document without a document type: without one there are no entities."""

    def doctype(self, *_: object) -> NoReturn:
        raise invalid_xml("The message has a document type declaration, which SOAP forbids.")


def parse_xml(data: bytes) -> ElementTree.Element:
    """The root element. WsmanFault when it is no well-formed XML, or has a document type."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            data = re.sub(r"^<\?xml[^>]*\?>", "", data.decode("utf-16")).encode()
        except UnicodeDecodeError as error:
            raise invalid_xml(f"The message is no UTF-16: {error.reason}.") from None
    if _SAFE_MARKUP.search(data):
        raise invalid_xml("The message has a document type declaration, which SOAP forbids.")
    try:
        return ElementTree.fromstring(data, ElementTree.XMLParser(target=_Builder()))
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise invalid_xml(f"The message is not well-formed XML: {error}.") from None


def parse_request(data: bytes) -> WsmanRequest:
    """Take an envelope apart and hold its headers against DSP0226. WsmanFault when they do not stand up to it."""
    root = parse_xml(data)
    header, body = _parts(root)
    if body is not None and body.tag == f"{{{IDENTITY}}}Identify":
        return WsmanRequest(body.tag, "", "", {}, {}, MOST_TIMEOUT, MOST_ENVELOPE, body)
    if header is None:
        raise missing_header("a:Action")
    _refuse_unknown(header)
    action = _required(header, ADDRESSING, "Action", "a:Action")
    message_id = _required(header, ADDRESSING, "MessageID", "a:MessageID")
    _required(header, ADDRESSING, "To", "a:To")
    reply_to = header.find(f"{{{ADDRESSING}}}ReplyTo/{{{ADDRESSING}}}Address")
    if reply_to is None or not (reply_to.text or "").strip():
        raise missing_header("a:ReplyTo")
    if (reply_to.text or "").strip() != ANONYMOUS:
        raise WsmanFault(
            "w:UnsupportedFeature", 0, "Only the anonymous address is supported in a:ReplyTo.", detail="AddressingMode"
        )
    resource = _text(header, WSMAN, "ResourceURI")
    if resource is None:
        raise WsmanFault(
            "a:DestinationUnreachable",
            WsmanCode.INVALID_RESOURCE_URI,
            "The resource URI is missing or it has an incorrect format.",
            detail="InvalidResourceURI",
        )
    return WsmanRequest(
        action, message_id, resource, _selectors(header), _options(header), _timeout(header), _envelope(header), body
    )


def _parts(root: ElementTree.Element) -> tuple[ElementTree.Element | None, ElementTree.Element | None]:
    """Header, and what is in the body."""
    if root.tag != f"{{{SOAP}}}Envelope":
        if root.tag.endswith("}Envelope"):
            raise WsmanFault("", 0, "The SOAP envelope is not of version 1.2.", code="s:VersionMismatch")
        raise invalid_xml(f"The message is no SOAP envelope, but {root.tag}.")
    bodies = root.findall(f"{{{SOAP}}}Body")
    if len(bodies) != 1:
        raise invalid_xml("The SOAP envelope must have one body.")
    if len(bodies[0]) > 1:
        raise invalid_xml("The SOAP body must hold one element at most.")
    return root.find(f"{{{SOAP}}}Header"), bodies[0][0] if len(bodies[0]) else None


def _refuse_unknown(header: ElementTree.Element) -> None:
    for child in header:
        namespace, _, name = child.tag[1:].rpartition("}")
        must = child.get(f"{{{SOAP}}}mustUnderstand", "false") in ("true", "1")
        if must and name not in _KNOWN_HEADERS.get(namespace, set()):
            raise WsmanFault("", 0, f"The header {child.tag} is not understood.", code="s:MustUnderstand")


def _text(header: ElementTree.Element, namespace: str, name: str) -> str | None:
    found = header.findall(f"{{{namespace}}}{name}")
    if len(found) > 1:
        raise WsmanFault(
            "a:InvalidMessageInformationHeader",
            WsmanCode.INVALID_MESSAGE_INFORMATION_HEADER,
            f"The header {name} is there more than once.",
        )
    return (found[0].text or "").strip() or None if found else None


def _required(header: ElementTree.Element, namespace: str, name: str, shown: str) -> str:
    value = _text(header, namespace, name)
    if value is None:
        raise missing_header(shown)
    return value


def _selectors(header: ElementTree.Element) -> dict[str, str]:
    return {
        (one.get("Name") or "").lower(): (one.text or "").strip()
        for one in header.findall(f"{{{WSMAN}}}SelectorSet/{{{WSMAN}}}Selector")
    }


def _options(header: ElementTree.Element) -> dict[str, str]:
    options: dict[str, str] = {}
    for one in header.findall(f"{{{WSMAN}}}OptionSet/{{{WSMAN}}}Option"):
        name = one.get("Name") or ""
        if name not in _KNOWN_OPTIONS and one.get("MustComply", "false") in ("true", "1"):
            raise WsmanFault(
                "w:InvalidOptions",
                WsmanCode.OPTIONS_NOT_SUPPORTED,
                f"The option {name} is not supported, and must be complied with.",
                detail="NotSupported",
            )
        options[name] = (one.text or "").strip()
    return options


def parse_duration(text: str) -> float | None:
    """Seconds of an xs:duration without years and months; None when it is none."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _timeout(header: ElementTree.Element) -> float:
    text = _text(header, WSMAN, "OperationTimeout")
    seconds = MOST_TIMEOUT if text is None else parse_duration(text)
    if seconds is None or seconds <= 0:
        raise WsmanFault(
            "w:InvalidTimeout", WsmanCode.INVALID_TIMEOUT_HEADER, f"The header OperationTimeout is invalid: {text}."
        )
    return min(seconds, MOST_TIMEOUT)


def _envelope(header: ElementTree.Element) -> int:
    text = _text(header, WSMAN, "MaxEnvelopeSize")
    if text is None:
        return MOST_ENVELOPE
    if not text.isdecimal() or int(text) < LEAST_ENVELOPE:
        raise WsmanFault(
            "w:EncodingLimit",
            WsmanCode.MIN_ENVELOPE_SIZE,
            f"The header MaxEnvelopeSize is {text}, and must be {LEAST_ENVELOPE} octets at least.",
            detail="MinimumEnvelopeLimit",
        )
    return min(int(text), MOST_ENVELOPE)


def response(request: WsmanRequest, body: str) -> bytes:
    """The response to a request, `body` being XML with the prefixes s, a, x, w, p and rsp."""
    if request.action.endswith("}Identify"):
        return f'<s:Envelope xmlns:s="{SOAP}"><s:Header/><s:Body>{body}</s:Body></s:Envelope>'.encode()
    return _message(f"{request.action}Response", request.message_id, body)


def fault_message(fault: WsmanFault, message_id: str = "") -> bytes:
    """The envelope of a fault."""
    subcode = f"<s:Subcode><s:Value>{fault.subcode}</s:Value></s:Subcode>" if fault.subcode else ""
    detail = f"<w:FaultDetail>{fault.detail}</w:FaultDetail>" if fault.detail else ""
    if fault.number:
        detail += (
            f'<f:WSManFault xmlns:f="{FAULT}" Code="{fault.number}" Machine="localhost">'
            f"<f:Message>{escape(fault.reason)}</f:Message></f:WSManFault>"
        )
    body = (
        f"<s:Fault><s:Code><s:Value>{fault.code}</s:Value>{subcode}</s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{escape(fault.reason)}</s:Text></s:Reason>'
        f"<s:Detail>{detail}</s:Detail></s:Fault>"
    )
    return _message("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", message_id, body)


def _message(action: str, relates_to: str, body: str) -> bytes:
    related = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else ""
    return (
        f"<s:Envelope {_NAMESPACES}><s:Header><a:Action>{escape(action)}</a:Action>"
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID><a:To>{ANONYMOUS}</a:To>{related}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def element(name: str, text: str = "", /, **attributes: str) -> str:
    """One element of a response body, its text and attributes escaped."""
    shown = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{shown}>{escape(text)}</{name}>"
