"""Any trace as Chrome's JSON (Trace Event Format), for viewers that do not read Perfetto's protobuf.

Times are microseconds with three digits behind the point: exact in the file, whatever a reader makes of them.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.schema import Field, InType, OutType
from hotswap.trace.schema import Shape as FieldShape
from hotswap.trace.shape import BEGIN, END, INSTANT, RoleFinder, Roles, Shape, Tables
from hotswap.trace.table import Events, EventTable
from hotswap.trace.text import undecoded, value_text
from hotswap.trace.threads import distinct_threads

Ints = NDArray[np.int64]

_CPUS = 0
"""The process that events without one are shown in; its threads are CPUs."""
_LOSSES = -1
_EXACT = 1 << 53
_PLAIN = (OutType.DEFAULT, OutType.SIGNED, OutType.UNSIGNED, OutType.PID, OutType.TID)


def write_chrome_json(tables: Tables, shape: Shape, stream: TextIO) -> int:
    """Write a trace and return how many events went into it."""
    writer = _Writer(shape, stream)
    stream.write('{"displayTimeUnit":"ns","traceEvents":[\n')
    for table, rows in tables():
        writer.add(table, rows)
    writer.finish()
    stream.write("\n]}\n")
    return writer.written


class _Writer:
    def __init__(self, shape: Shape, stream: TextIO) -> None:
        self.shape, self.stream = shape, stream
        self.base = min(0, shape.first_ns)
        self.finder = RoleFinder(shape.spans)
        self.written = self.first = 0
        self.separator = ""
        self.known: set[tuple[int, int]] = set()
        self.flows: dict[int, list[str]] = {}
        for number, (origin, to) in enumerate(zip(shape.flows.origin.tolist(), shape.flows.to.tolist(), strict=True)):
            for row, end in ((origin, '"ph":"s"'), (to, '"ph":"f","bp":"e"')):
                self.flows.setdefault(row, []).append(f'{end},"id":{number}')
        self.flowing = np.array(sorted(self.flows), np.int64)

    def add(self, table: EventTable, rows: Ints) -> None:
        roles = self.finder.roles(self.first, len(table))
        self._name_places(table, rows)
        # The sort is stable: ends of spans on top come before what begins at the same event.
        parts = [self._on_top(table)]
        for index in np.unique(table.kind[rows]).tolist():
            mine = rows[table.kind[rows] == index]
            parts += [(mine, self._kind(table, index, mine, roles)), self._flows(table, mine)]
        order = np.argsort(np.concatenate([of for of, _ in parts]), kind="stable")
        lines = [line for _, some in parts for line in some]
        if lines:
            self._write(",\n".join([lines[at] for at in order.tolist()]))
        self.written += len(rows)
        self.first += len(table)

    def finish(self) -> None:
        """What got lost, as far as it is known when."""
        for number, loss in enumerate(self.shape.losses):
            ends = (self.shape.first_ns if loss.start is None else loss.start,
                    self.shape.last_ns if loss.end is None else loss.end)  # fmt: skip
            args = {} if loss.cpu is None else {"cpu": loss.cpu}
            for kind, ns in zip("be", ends, strict=True):
                told = {"name": loss.what, "cat": "lost events", "ph": kind, "id": _LOSSES - number, "pid": _CPUS,
                        "tid": 0, "args": args}  # fmt: skip
                self._write(f'{{"ts":{self._us(ns)},{json.dumps(told)[1:]}')

    def _write(self, line: str) -> None:
        self.stream.write(self.separator + line)
        self.separator = ",\n"

    def _us(self, ns: int) -> str:
        whole, rest = divmod(max(0, ns - self.base), 1000)
        return f"{whole}.{rest:03}"

    def _kind(self, table: EventTable, index: int, rows: Ints, roles: Roles) -> list[str]:
        kind = table.kinds[index]
        category, names = json.dumps(kind.giver), [json.dumps(task.name) for task in self.shape.spans.tasks]
        args, where, own = _arguments(table, index, rows), self._where(table, rows), json.dumps(kind.name)
        if not roles.role[rows].any():
            head = f'{{"ph":"i","s":"t","name":{own},"cat":{category}'
            return [f'{head},{at},"args":{{{told}}}}}' for at, told in zip(where, args, strict=True)]
        lines = []
        columns = (roles.role[rows], roles.task[rows], roles.lane[rows])
        for at, told, role, task, lane in zip(where, args, *(column.tolist() for column in columns), strict=True):
            name = own if role == INSTANT else names[task]
            if role == INSTANT:
                what = '"ph":"i","s":"t"'
            elif lane < 0:
                what = '"ph":"B"' if role == BEGIN else '"ph":"E"'
            else:
                what = f'"ph":"{"b" if role == BEGIN else "e"}","id":{lane}'
            shown = "" if role == END and lane < 0 and not told else f',"args":{{{told}}}'
            lines.append(f'{{{what},"name":{name},"cat":{category},{at}{shown}}}')
        return lines

    def _where(self, table: EventTable, rows: Ints) -> list[str]:
        """Time, process and thread of each row, as members of an object."""
        whole, rest = np.divmod(np.maximum(table.ns[rows] - self.base, 0), 1000)
        pairs, number = distinct_threads(*_place(table, rows))
        places = [f'"pid":{pid},"tid":{tid}' for pid, tid in pairs]
        columns = (whole.tolist(), rest.tolist(), number.tolist())
        return [f'"ts":{us}.{ns:03},{places[at]}' for us, ns, at in zip(*columns, strict=True)]

    def _flows(self, table: EventTable, rows: Ints) -> tuple[Ints, list[str]]:
        mine = rows[np.isin(rows + self.first, self.flowing)] if len(self.flowing) else rows[:0]
        found: list[tuple[int, str]] = []
        for row, where in zip(mine.tolist(), self._where(table, mine), strict=True):
            for flow in self.flows[row + self.first]:
                found.append((row, f'{{{flow},"name":"activity","cat":"activity",{where}}}'))
        return np.array([row for row, _ in found], np.int64), [line for _, line in found]

    def _on_top(self, table: EventTable) -> tuple[Ints, list[str]]:
        spans, found = self.shape.spans, list[tuple[int, str]]()
        for role, which, rows in self.finder.on_top(self.first, len(table)):
            for span, row in zip(which.tolist(), (rows - self.first).tolist(), strict=True):
                pid, task = spans.lanes[spans.lane[span]]
                told = {"ph": "b" if role == BEGIN else "e", "id": int(spans.lane[span]), "cat": "pairs",
                        "name": spans.tasks[task].name, "pid": max(pid, 0), "tid": 0, "args": {}}  # fmt: skip
                found.append((row, f'{{"ts":{self._us(int(table.ns[row]))},{json.dumps(told)[1:]}'))
        return np.array([row for row, _ in found], np.int64), [line for _, line in found]

    def _name_places(self, table: EventTable, rows: Ints) -> None:
        pids, tids = _place(table, rows)
        for pid, tid in distinct_threads(pids, tids)[0]:
            if (pid, -1) not in self.known:
                self.known.add((pid, -1))
                name = self.shape.names.process(pid) if pid != _CPUS else "CPUs"
                self._named("process_name", pid, 0, name)
            if (pid, tid) not in self.known:
                self.known.add((pid, tid))
                name = self.shape.names.threads.get((pid, tid), "") if pid != _CPUS else f"CPU {tid}"
                self._named("thread_name", pid, tid, name)

    def _named(self, what: str, pid: int, tid: int, name: str) -> None:
        if name:
            told = {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}
            self._write(json.dumps(told))


def _place(table: EventTable, rows: Ints) -> tuple[Ints, Ints]:
    """Process and thread to show each row in; the CPU where it has none."""
    pid, tid, cpu = table.owner_pid[rows], table.owner_tid[rows], table.cpu[rows]
    bare = (pid <= 0) | (tid <= 0)
    return np.where(bare, _CPUS, pid), np.where(bare, cpu, tid)


def _arguments(table: EventTable, index: int, rows: Ints) -> list[str]:
    """The fields of each row as members of a JSON object."""
    found: dict[int, str] = {}
    if table.kinds[index].schema is not None:
        events = table.kind_events(index)
        wanted = np.zeros(len(table), np.bool_)
        wanted[rows] = True
        chosen = wanted[events.rows]
        columns = [_members(events, name, chosen) for name in events.fields]
        texts = map(",".join, zip(*columns, strict=True)) if columns else [""] * int(np.count_nonzero(chosen))
        found = dict(zip(events.rows[chosen].tolist(), texts, strict=True))
    return [
        found[row] if row in found else _problem(table, row) if table.payload_length[row] else ""
        for row in rows.tolist()
    ]


def _problem(table: EventTable, row: int) -> str:
    return f'"problem":{json.dumps(undecoded(table, row))}' if table.payload_length[row] else ""


def _members(events: Events, name: str, chosen: NDArray[np.bool_]) -> list[str]:
    described, key = events.schema[name], json.dumps(name) + ":"
    values = events.fields[name][chosen].tolist()
    if _is_number(described):
        if (
            described.in_type in (InType.FLOAT, InType.DOUBLE)
            or not values
            or max(values) > _EXACT
            or min(values) < -_EXACT
        ):
            return [f"{key}{_number(value)}" for value in values]
        return [f"{key}{value}" for value in values]
    known: dict[Any, str] = {}
    texts = []
    for value in values:
        hashable = isinstance(value, str | int | bytes)
        text = known.get(value) if hashable else None
        if text is None:
            text = key + json.dumps(value_text(described, value))
            if hashable:
                known[value] = text
        texts.append(text)
    return texts


def _is_number(described: Field) -> bool:
    kind = described.in_type
    plain = described.shape == FieldShape.SCALAR and described.map is None and described.out_type in _PLAIN
    return plain and InType.INT8 <= kind <= InType.DOUBLE


def _number(value: float) -> str:
    """JSON has neither infinities nor whole numbers that all readers can hold."""
    if isinstance(value, float):
        return repr(value) if np.isfinite(value) else f'"{value}"'
    return str(value) if -_EXACT <= value <= _EXACT else f'"{value}"'
