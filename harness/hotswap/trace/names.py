"""What processes and threads are called, from the events that say it: starts, rundowns, images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hotswap.trace.table import Events, EventTable

_PROCESS_ID = ("processid", "process_id", "pid")
_PROCESS_NAME = ("imagefilename", "imagename", "processname", "process_name")
_THREAD_ID = ("tthreadid", "threadid", "thread_id", "tid")
_THREAD_NAME = ("threadname", "thread_name")
_IMAGE = ("filename",)
_PROGRAM = re.compile(r"\.exe$", re.IGNORECASE)


@dataclass
class Names:
    """Names by process, and by process and thread. Takes the tables of a trace one after the other."""

    processes: dict[int, str] = field(default_factory=dict)
    threads: dict[tuple[int, int], str] = field(default_factory=dict)
    _images: dict[int, str] = field(default_factory=dict)

    def add(self, table: EventTable) -> None:
        """What the events of a table say; who was named first keeps its name."""
        for index, kind in enumerate(table.kinds):
            if kind.schema is None:
                continue
            fields = {described.name.lower(): described.name for described in kind.schema.fields}
            process, thread = _first(fields, _PROCESS_ID), _first(fields, _THREAD_ID)
            named, called, image = (_first(fields, names) for names in (_PROCESS_NAME, _THREAD_NAME, _IMAGE))
            if process is None or not (named or (thread and called) or image):
                continue
            events = table.kind_events(index)
            if named is not None and thread is None:
                self._take(events, process, named)
            elif thread is not None and called is not None:
                for pid, tid, text in _rows(events, process, thread, called):
                    if text:
                        self.threads.setdefault((pid, tid), text)
            elif image is not None and thread is None:
                for pid, text in _rows(events, process, image):
                    if _PROGRAM.search(text):
                        self._images.setdefault(pid, _basename(text))

    def process(self, pid: int) -> str:
        """The name of a process; empty where none is known."""
        return self.processes.get(pid) or self._images.get(pid, "")

    def _take(self, events: Events, process: str, named: str) -> None:
        for pid, text in _rows(events, process, named):
            if text:
                self.processes.setdefault(pid, _basename(text))


def _first(fields: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def _rows(events: Events, *names: str) -> Iterator[tuple[Any, ...]]:
    """Numbers, and the text that they are called by."""
    columns = [events.fields[name].tolist() for name in names if name in events.fields]
    if len(columns) < len(names):
        return
    for values in zip(*columns, strict=True):
        if all(isinstance(value, int) for value in values[:-1]) and isinstance(values[-1], str):
            yield values


def _basename(path: str) -> str:
    return re.split(r"[\\/]", path)[-1] or path
