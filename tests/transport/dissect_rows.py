"""Run as a program (dissect.etl is AGPL): prints what it finds in an .etl file, as JSON."""

import json
import sys
from pathlib import Path

from dissect.etl.etl import ETL

rows = []
with Path(sys.argv[1]).open("rb") as file:
    etl = ETL(file)
    for buffer in etl.buffers():
        for record in buffer:
            header = record.header
            if type(header).__name__ != "EventHeader":
                continue
            raw = header.header
            length = raw.Size - 80  # extended items included: dissect does not tell them from the payload
            rows.append((raw.TimeDelta, raw.ProcessId, raw.ThreadId, bytes(raw.ProviderId).hex(), length))
    print(json.dumps({"rows": rows, "buffers": etl.logfile_header.buffers_written}))
