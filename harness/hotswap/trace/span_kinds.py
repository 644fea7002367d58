"""What kinds of events begin and end something: by their opcode, by how their names end, or as it was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.event_kind import EventKind
from hotswap.trace.row_keys import Keys

Ints = NDArray[np.int64]

START, STOP = 1, 2
"""Opcodes win:Start and win:Stop."""
_ENDINGS = {"begin": "end", "start": "stop", "enter": "leave"}
_ENDS = {"begin": "begin", "start": "start", "enter": "enter",
         "end": "end", "stop": "stop", "leave": "leave", "exit": "leave"}  # fmt: skip
_ENDING = re.compile(r"[ /_:.-]?(Begin|Start|Enter|End|Stop|Leave|Exit|BEGIN|START|ENTER|END|STOP|LEAVE|EXIT"
                     r"|(?<=[^a-z])(?:begin|start|enter|end|stop|leave|exit))$")  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A pair asked for: `Begin:End`, or `Begin:End:Field,...` for a key besides which nothing counts."""

    first: str
    second: str
    per: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Pair:
        """From its text form. Raises UsageError."""
        parts = text.split(":")
        if not 2 <= len(parts) <= 3 or not all(part.strip() for part in parts):
            raise UsageError(f"the pair {text!r} is not BEGIN:END or BEGIN:END:FIELD,...")
        per = Keys.parse(parts[2:]).per
        return cls(parts[0].strip(), parts[1].strip(), per)

    @property
    def name(self) -> str:
        """What its spans are called."""
        return f"{self.first} → {self.second}"


@dataclass(frozen=True)
class Task:
    """What spans have in common."""

    name: str
    provider: str
    begins: tuple[int, ...] = ()
    """The kinds that begin its spans."""
    asked: bool = False
    """It was asked for; its events can begin and end other spans, too."""


@dataclass(frozen=True)
class Roles:
    """By kind: what its events do, and of which task."""

    role: Ints
    """START, STOP or 0."""
    task: Ints
    tasks: tuple[Task, ...]

    @classmethod
    def of(cls, kinds: Sequence[EventKind], by_name: bool) -> Roles:
        """Of the kinds of a trace; without `by_name` none begins or ends anything."""
        role, task = np.zeros(len(kinds), np.int64), np.full(len(kinds), -1, np.int64)
        if not by_name:
            return cls(role, task, ())
        members: dict[tuple[str, str], dict[int, list[int]]] = {}
        for index, kind in enumerate(kinds):
            for key, one in _readings(kind):
                members.setdefault(key, {}).setdefault(one, []).append(index)
        tasks: list[Task] = []
        # What the opcode says comes before what the name says.
        for _, found in sorted(members.items(), key=lambda item: item[0][0][0]):
            if not all(found.get(one) and any(role[index] == 0 for index in found[one]) for one in (START, STOP)):
                continue
            for one in (START, STOP):
                for index in found[one]:
                    if role[index] == 0:
                        role[index], task[index] = one, len(tasks)
            first = kinds[found[START][0]]
            tasks.append(Task(base_name(first.name), first.giver, tuple(found[START])))
        return cls(role, task, tuple(tasks))


def _readings(kind: EventKind) -> list[tuple[tuple[str, str], int]]:
    """What an event of this kind could begin or end: by its opcode, and by how its name ends."""
    found: list[tuple[tuple[str, str], int]] = []
    giver = f"{kind.provider} {kind.provider_name}"
    if kind.family == "event" and kind.opcode in (START, STOP):
        if kind.task:
            found.append(((f"0 {giver}", f"task {kind.task}"), kind.opcode))
        elif base_name(kind.name) and not kind.name.startswith("id "):
            found.append(((f"0 {giver}", f"name {base_name(kind.name)}"), kind.opcode))
    ending = _ENDING.search(kind.name)
    if ending is not None and kind.family in ("event", "classic") and ending.start() > 0:
        word = _ENDS[ending[1].lower()]
        begins = word in _ENDINGS
        for family in (
            [word] if begins else [first for first, last in _ENDINGS.items() if word == last or word == "end"]
        ):
            found.append(((f"1 {giver}", f"{family} {kind.name[: ending.start()]}"), START if begins else STOP))
    return found


def base_name(name: str) -> str:
    """A name without its Begin, Start, End, ...; the name itself where that is all of it."""
    ending = _ENDING.search(name)
    return name[: ending.start()] if ending and ending.start() else name
