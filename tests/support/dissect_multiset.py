"""EVENT_HEADER events as dissect.etl sees them, for comparison with our reader.

dissect.etl is AGPL, so it runs in a process of its own: `python dissect_multiset.py FILE` prints one line per event:
tick, pid, tid, raw bytes of the provider GUID, payload length. It parses extended items out of user data and never
separates the payload, so the items are taken off here.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np

Key = tuple[int, int, int, str, int]


def dissect_multiset(path: Path) -> Counter[Key]:
    """What dissect.etl reads: (tick, pid, tid, provider GUID bytes as hex, payload length) with their number."""
    done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=True)
    return Counter(_key(line.split()) for line in done.stdout.splitlines())


def our_multiset(path: Path) -> Counter[Key]:
    """The same of our reader."""
    from hotswap.trace.etl import read_etl

    table = read_etl(path).events
    guids = [kind.provider.bytes_le.hex() for kind in table.kinds]
    headers = [kind.family == "event" for kind in table.kinds]
    columns = (table.tick, table.pid % 2**32, table.tid % 2**32, table.kind, table.payload_length)
    return Counter(
        (tick, pid, tid, guids[kind], length)
        for tick, pid, tid, kind, length in zip(*(np.asarray(c).tolist() for c in columns), strict=True)
        if headers[kind]
    )


def _key(parts: list[str]) -> Key:
    tick, pid, tid, guid, length = parts
    return int(tick), int(pid), int(tid), guid, int(length)


def _payload_length(flags: int, data: bytes) -> int:
    at = 0
    more = flags & 1
    while more:
        at_size, linkage = data[at : at + 2], data[at + 4]
        at += int.from_bytes(at_size, "little")
        more = linkage & 1
    return len(data) - at


def main(path: str) -> None:
    """Print the events of a file."""
    from dissect.etl.etl import ETL
    from dissect.etl.headers.event import EventHeader

    with Path(path).open("rb") as stream:
        for record in ETL(stream):
            header = record.header
            if not isinstance(header, EventHeader):
                continue
            raw = header.header
            guid = bytes(raw.ProviderId).hex()
            length = _payload_length(int(raw.Flags), bytes(header.payload))
            print(int(raw.TimeDelta), int(raw.ProcessId), int(raw.ThreadId), guid, length)


if __name__ == "__main__":
    main(sys.argv[1])
