"""Decodes all fields of a trace, part by part: `python -m hotswap.soak.etl_decode FILE`. Prints how many, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hotswap.trace.etl import open_etl


def main(path: Path) -> None:
    """Events that were traced, and those whose payload was decoded."""
    etl = open_etl(path)
    decoded = 0
    for table in etl.chunks():
        kinds = [index for index, kind in enumerate(table.kinds) if kind.schema is not None and kind.hook < 0]
        decoded += sum(len(table.kind_events(index)) for index in kinds)
    print(json.dumps({"events": etl.recorded, "decoded": decoded}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
