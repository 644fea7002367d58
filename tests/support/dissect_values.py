"""Payloads of kernel and classic events as dissect.etl decodes them, for comparison with ours.

dissect.etl is AGPL, so it runs in a process of its own: `python dissect_values.py FILE` prints a JSON line per event
that it decodes: tick, payload length, and the fields in their order. It does not look classic events up by their type,
so that is done here; nor does it know the types that the manifests of the samples' events use.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

Decoded = tuple[int, int, dict[str, int | str | None]]
"""Tick, payload length and fields; binary data as hexadecimal digits, None for what is none of these."""


def dissect_values(path: Path) -> list[Decoded]:
    """The events that dissect.etl decodes."""
    done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=True)
    return [(tick, length, fields) for tick, length, fields in map(json.loads, done.stdout.splitlines())]


def _plain(value: object) -> int | str | None:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)
    return bytes(value).hex() if isinstance(value, bytes) else None


def main(path: str) -> None:
    """Print the events of a file."""
    from dissect.etl import manifest
    from dissect.etl.etl import ETL
    from dissect.etl.exceptions import ManifestNotFoundError

    with Path(path).open("rb") as stream:
        for record in ETL(stream):
            header = record.header
            try:
                if hasattr(header, "opcode"):
                    key = (header.opcode, header.version)
                else:
                    key = (header.header.Version & 0xFF, header.header.Version >> 16)
                known = manifest.lookup(header.provider_id)
                pointer = known.c_parser.EtwPointer
                pointer.size, pointer.type = (8, pointer.cs.uint64) if header.is_64bit else (4, pointer.cs.uint32)
                decoded = known.EVENTS[key].template(header.payload)
            except (ManifestNotFoundError, AttributeError, KeyError, EOFError):
                continue
            values = {name: _plain(value) for name, value in decoded.__values__.items()}
            print(json.dumps([int(header.time_delta), len(header.payload), values]))


if __name__ == "__main__":
    main(sys.argv[1])
