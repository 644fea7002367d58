"""Envelopes as clients send them, to be spoilt by tests; answers are taken apart by another XML reader than ours."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from xml.dom import minidom

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CREATE = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create"
GET = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
OPEN_SHELL = (
    "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams></rsp:Shell>"
)


def envelope(
    action: str = CREATE,
    body: str = OPEN_SHELL,
    *,
    resource: str | None = f"{SHELL}/cmd",
    shell_id: str | None = None,
    more: str = "",
    without: str = "",
    soap: str = "http://www.w3.org/2003/05/soap-envelope",
    timeout: str = "PT5S",
    size: str = "153600",
    reply_to: str = ANONYMOUS,
    prolog: str = "",
) -> bytes:
    """A request; `without` names a header to leave out, `more` are further headers."""
    headers = {
        "To": "<a:To>https://127.0.0.1/wsman</a:To>",
        "ReplyTo": f'<a:ReplyTo><a:Address s:mustUnderstand="true">{reply_to}</a:Address></a:ReplyTo>',
        "MaxEnvelopeSize": f'<w:MaxEnvelopeSize s:mustUnderstand="true">{size}</w:MaxEnvelopeSize>',
        "MessageID": f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID>",
        "OperationTimeout": f"<w:OperationTimeout>{timeout}</w:OperationTimeout>",
        "Action": f'<a:Action s:mustUnderstand="true">{action}</a:Action>',
    }
    if resource is not None:
        headers["ResourceURI"] = f'<w:ResourceURI s:mustUnderstand="true">{resource}</w:ResourceURI>'
    if shell_id is not None:
        headers["SelectorSet"] = f'<w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>'
    headers.pop(without, None)
    return (
        f'{prolog}<s:Envelope xmlns:s="{soap}" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        f'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{SHELL}" '
        f'xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
        f"<s:Header>{''.join(headers.values())}{more}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


@dataclass(frozen=True)
class Fault:
    """What a fault says."""

    code: str
    subcode: str
    number: int
    reason: str
    detail: str


def texts(document: minidom.Document, name: str) -> list[str]:
    """The texts of all elements of this local name."""
    found = document.getElementsByTagNameNS("*", name)
    return ["".join(node.data for node in one.childNodes if node.nodeType == node.TEXT_NODE) for one in found]


def fault_of(answer: bytes) -> Fault:
    """The fault in an answer, which must be one."""
    document = minidom.parseString(answer)
    assert document.getElementsByTagNameNS("*", "Fault"), answer
    values = texts(document, "Value")
    windows = document.getElementsByTagNameNS("*", "WSManFault")
    return Fault(
        code=values[0],
        subcode=values[1] if len(values) > 1 else "",
        number=int(windows[0].getAttribute("Code")) if windows else 0,
        reason=texts(document, "Text")[0],
        detail=(texts(document, "FaultDetail") or [""])[0].rpartition("/")[2],
    )
