"""The events that prove an answer, drawn: lanes of the workers concerned, what lies around, each event numbered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hotswap.report.format import duration
from hotswap.report.model import Part, TraceModel, swap_parts, worker_text
from hotswap.swap.swap_trace import END_OF_TIME
from hotswap.trace.expect import status_text
from hotswap.trace.places import place_moments, spread

WIDTH, LEFT, RIGHT = 1000.0, 128.0, 24.0
LANE, TOP = 40.0, 40.0
_MAX_LANES = 8
_AROUND = 2
_MARK_GAP = 19.0


@dataclass(frozen=True, slots=True)
class Box:
    """An iteration or a part of a swap."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    """`iteration`, `timeout`, `open` (no end in the trace) or `part`."""
    slot: int
    label: str
    title: str
    proof: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A signal, from the call to its return (`width`), or another event without a length."""

    x: float
    y: float
    width: float
    kind: str
    """`accepted`, `set` (the event was set already), `pending` or `event`."""
    title: str
    proof: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """The number of an event of the slice, and the line from it down to its lane."""

    number: int
    x: float
    at: float
    y: float


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a place."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane by its top, its name and how its worker waits."""

    y: float
    name: str
    detail: str


@dataclass
class SliceView:
    """A picture in a box of `WIDTH` x `height`, and its words for those who cannot see it."""

    height: float
    summary: str
    lanes: list[Lane] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    times: list[Label] = field(default_factory=list)


def slice_view(model: TraceModel, rows: Sequence[int]) -> SliceView | None:
    """Draw a slice with its surroundings; None when it is empty or not of this trace.

    Time is drawn with gaps by their order of magnitude, so that what lies microseconds apart is seen beside what lies
    seconds apart; the times below are exact.
    """
    rows = sorted({row for row in rows if 0 <= row < len(model.table)})
    return _Drawing(model, rows).draw() if rows else None


class _Drawing:
    def __init__(self, model: TraceModel, rows: list[int]) -> None:
        self.model = model
        self.rows = rows
        self.proof = set(rows)
        self.tick = model.table.tick
        self.lane_of = {row: self._lane(row) for row in rows}
        lanes = sorted(set(self.lane_of.values()))[:_MAX_LANES]
        self.lanes = {lane: number for number, lane in enumerate(lanes)}

    def _lane(self, row: int) -> tuple[int, int]:
        """(0, 0) swaps, (1, 0) what belongs to no worker, (2, worker)."""
        event = self.model.table.row(row)
        name, fields = str(event["event"]), event["fields"]
        if name.startswith("Swap"):
            return (0, 0)
        worker = fields.get("Worker") if isinstance(fields, dict) else None
        return (2, int(worker)) if isinstance(worker, int) else (1, 0)

    def draw(self) -> SliceView:
        view = SliceView(TOP + len(self.lanes) * LANE + 34, self._summary())
        runs, signals, swaps = self._iterations(), self._signals(), self._swaps()
        ticks = {int(self.tick[row]) for row in self.rows}
        for i in runs:
            it = self.model.trace.iterations
            ticks |= {int(it.begin[i])} | ({int(it.end[i])} if it.end[i] != END_OF_TIME else set())
        ticks |= {int(self.model.trace.signals.begin[i]) for i in signals}
        ticks |= {int(self.model.trace.signals.end[i]) for i in signals}
        ticks |= {tick for parts in swaps.values() for part in parts for tick in (part.first, part.last or part.first)}
        place = self._places(sorted(ticks))
        for (kind, worker), number in self.lanes.items():
            text = ("Swap", "Host", f"Worker {worker}")[kind]
            detail = worker_text(self.model.definition(worker)) if kind == 2 else ""
            view.lanes.append(Lane(TOP + number * LANE, text, detail))
        self._draw_swaps(view, swaps, place)
        self._draw_iterations(view, runs, place)
        self._draw_signals(view, signals, place)
        self._draw_pending(view, place)
        self._draw_events(view, place)
        self._draw_marks(view, place)
        return view

    def _summary(self) -> str:
        first, last = int(self.tick[self.rows[0]]), int(self.tick[self.rows[-1]])
        span = duration((last - first) * 1e6 / self.model.table.frequency)
        plural = "s" if len(self.rows) > 1 else ""
        within = f" within {span}" if len(self.rows) > 1 else ""
        return f"{len(self.rows)} event{plural}{within}, numbered as in the text below"

    def _workers(self) -> list[int]:
        return [worker for kind, worker in self.lanes if kind == 2]

    def _iterations(self) -> list[int]:
        """Iterations of the workers concerned: those of the slice, and the nearest before and after each event."""
        runs = self.model.trace.iterations
        chosen: set[int] = set()
        for worker in self._workers():
            mine = np.flatnonzero(runs.worker == worker)
            for row in self.rows:
                if self.lane_of[row] != (2, worker):
                    continue
                at = int(np.searchsorted(runs.begin[mine], self.tick[row], "right"))
                chosen |= {int(i) for i in mine[max(0, at - _AROUND) : at + _AROUND]}
        return sorted(chosen)

    def _signals(self) -> list[int]:
        """Signals of the slice, and of the same events of a worker those nearest to each event of the slice."""
        signals = self.model.trace.signals
        named = self._events_named()
        chosen = set(
            np.flatnonzero(np.isin(signals.begin_row, self.rows) | np.isin(signals.end_row, self.rows)).tolist()
        )
        for worker in self._workers():
            events = named.get(worker)
            chosen_events = True if events is None else np.isin(signals.event, events)
            mine = np.flatnonzero((signals.worker == worker) & chosen_events)
            for row in self.rows:
                if self.lane_of[row] == (2, worker):
                    at = int(np.searchsorted(signals.begin[mine], self.tick[row], "right"))
                    chosen |= {int(i) for i in mine[max(0, at - _AROUND) : at + _AROUND]}
        return sorted(chosen)

    def _events_named(self) -> dict[int, list[int]]:
        """By worker, the events (of its wait) that the slice is about; a worker that is not here: all."""
        named: dict[int, list[int]] = {}
        for row in self.rows:
            fields = self.model.table.row(row)["fields"]
            if isinstance(fields, dict) and "EventIndex" in fields and "Worker" in fields:
                named.setdefault(int(fields["Worker"]), []).append(int(fields["EventIndex"]))
        return named

    def _swaps(self) -> dict[int, list[Part]]:
        numbers = {s.number: swap_parts(s) for s in self.model.trace.swaps if self.proof & set(s.rows)}
        return numbers if (0, 0) in self.lanes else {}

    def _places(self, ticks: list[int]) -> dict[int, float]:
        """Where each moment lies: gaps grow with the logarithm of their length."""
        return place_moments(ticks, self.model.table.frequency / 1e6, LEFT + 20, WIDTH - LEFT - RIGHT - 40)

    def _top(self, lane: tuple[int, int]) -> float:
        return TOP + self.lanes[lane] * LANE

    def _draw_swaps(self, view: SliceView, swaps: dict[int, list[Part]], place: dict[int, float]) -> None:
        for parts in swaps.values():
            for part in parts:
                x, y = place[part.first], self._top((0, 0))
                width = max(1.5, place[part.last or part.first] - x)
                view.boxes.append(
                    Box(x, y + 6, width, 20, "part " + part.name.replace(" ", "-"), 0, part.name, part.name, False)
                )

    def _draw_iterations(self, view: SliceView, chosen: Iterable[int], place: dict[int, float]) -> None:
        runs, versions = self.model.trace.iterations, self.model.versions
        for i in chosen:
            x, y = place[int(runs.begin[i])], self._top((2, int(runs.worker[i])))
            ended = int(runs.end[i]) != END_OF_TIME
            width = max(4.0, place[int(runs.end[i])] - x) if ended else 26.0
            status, version = int(runs.status[i]) & 0xFFFFFFFF, int(runs.version[i])
            kind = "open" if not ended else "timeout" if status == 0x102 else "iteration"
            title = f"iteration {int(runs.iteration[i])} of version {version}, {status_text(status, wait=True)}"
            slot = versions.index(version) if version in versions else len(versions)
            proof = int(runs.row[i]) in self.proof or int(runs.end_row[i]) in self.proof
            label = f"v{version}" if width > 24 else ""
            view.boxes.append(Box(x, y + 3, width, 16, kind, slot, label, title + ("" if ended else ", no end"), proof))

    def _draw_signals(self, view: SliceView, chosen: Iterable[int], place: dict[int, float]) -> None:
        signals = self.model.trace.signals
        for i in chosen:
            lane = (2, int(signals.worker[i]))
            if lane not in self.lanes:
                continue
            taken = bool(signals.accepted[i])
            title = f"signal of event {int(signals.event[i])}, {'accepted' if taken else 'the event was set already'}"
            proof = int(signals.begin_row[i]) in self.proof or int(signals.end_row[i]) in self.proof
            kind = "accepted" if taken else "set"
            x = place[int(signals.begin[i])]
            width = round(place[int(signals.end[i])] - x, 2)
            view.ticks.append(Tick(x, self._top(lane) + 23, width, kind, title, proof))

    def _draw_pending(self, view: SliceView, place: dict[int, float]) -> None:
        """Calls that signalled an event of the slice and had not returned when the trace ended."""
        pending = self.model.trace.signals.pending
        for row, worker in zip(pending.row.tolist(), pending["Worker"].tolist(), strict=True):
            if row in self.proof and (2, worker) in self.lanes:
                x, y = place[int(self.tick[row])], self._top((2, worker)) + 23
                view.ticks.append(Tick(x, y, 0.0, "pending", "signal whose call did not return", True))

    def _draw_events(self, view: SliceView, place: dict[int, float]) -> None:
        """What is neither a signal nor the begin or end of an iteration."""
        for row in self.rows:
            lane, name = self.lane_of[row], self.model.table.kinds[int(self.model.table.kind[row])].name
            if lane in self.lanes and not name.startswith(("Signal", "Iteration")):
                view.ticks.append(Tick(place[int(self.tick[row])], self._top(lane) + 11, 0.0, "event", name, True))

    def _draw_marks(self, view: SliceView, place: dict[int, float]) -> None:
        numbered = [(n, row) for n, row in enumerate(self.rows, 1) if self.lane_of[row] in self.lanes]
        spots = spread([place[int(self.tick[row])] for _, row in numbered], _MARK_GAP, WIDTH - RIGHT)
        first, said = int(self.tick[self.rows[0]]), -1e9
        for (number, row), x in zip(numbered, spots, strict=True):
            at = place[int(self.tick[row])]
            y = self._top(self.lane_of[row]) + 3
            view.marks.append(Mark(number, round(x, 2), at, y))
            if at - said > 60:
                after = duration((int(self.tick[row]) - first) * 1e6 / self.model.table.frequency)
                text = f"+{after}" if int(self.tick[row]) != first else "0"
                view.times.append(Label(at, view.height - 12, text))
                said = at
