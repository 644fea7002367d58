"""The events that the host driver can write, read from driver/include/hotswap_events.h, where they are stated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from hotswap.errors import LabFault
from hotswap.paths import package_data

_EVENT = re.compile(r"\bEVENT\(\s*(\w+)\s*,[^)]*?,\s*(\w+)\s*\)")
_MACRO = re.compile(r"#define\s+(HOTSWAP_\w*FIELDS\w*)\(F\)([^\n]*)")
_FIELD = re.compile(r"\bF\(\s*(\w+)\s*,\s*(\w+)\s*\)")


@cache
def host_events() -> Mapping[str, Mapping[str, str]]:
    """Payload fields with their types (`UINT32`, `NTSTATUS`) by event name, in the order of the header.

    Raises LabFault when the header cannot be read.
    """
    header = package_data("driver") / "include" / "hotswap_events.h"
    try:
        text = header.read_text()
    except OSError as error:
        raise LabFault(f"reading the trace events in {header}: {error.strerror}") from error
    text = re.sub(r"/\*.*?\*/", " ", text.replace("\\\n", " "), flags=re.DOTALL)
    fields = {name: {field: kind for kind, field in _FIELD.findall(body)} for name, body in _MACRO.findall(text)}
    return {name: fields[macro] for name, macro in _EVENT.findall(text) if macro in fields}
