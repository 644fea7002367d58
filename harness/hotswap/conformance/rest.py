"""Whether the threads of a driver host rest, as the computer that it runs on sees them.

Nobody inside can tell a thread that waits from one whose wait has been satisfied and that has not run yet. The
scheduler can: the first sleeps, the second is ready to run. So two looks at every thread with a request to the driver
in between are enough: who slept at both and has not run since has nothing to do. (A thread may also sleep because it
waits for an answer of the guest's server; that serves one after the other, and the request came later.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault

_LEARN_SECONDS = 10.0
_TIMES = 3
_STATE, _SWITCHES, _FORCED = b"State:\t", b"\nvoluntary_ctxt_switches:\t", b"\nnonvoluntary_ctxt_switches:\t"

Mark = Mapping[int, int]
"""How often each thread has been switched away from; all of them sleep."""


class Rest(Protocol):
    """Sees whether all threads of a driver host rest."""

    def mark(self, polling: Collection[int]) -> Mark | None:
        """To be compared after a request to the driver; None: one does not sleep. `polling`: lanes not looked at."""
        ...

    def unchanged(self, mark: Mark, polling: Collection[int]) -> bool:
        """Whether none has run since the mark, or is about to."""
        ...


class HostThreads:
    """The threads of a process of this computer (proc(5)).

    `serve` makes one request that the driver answers at once, `run_on_lane` one that a lane answers; by these it is
    learned which threads they are.
    """

    def __init__(self, pid: int, serve: Callable[[], object], run_on_lane: Callable[[int], object], lanes: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._files: dict[int, int] = {}
        self._serving: frozenset[int] = frozenset()
        deadline = Deadline.after(_LEARN_SECONDS)
        try:
            self._serving = self._learn(serve, deadline, "the threads that serve requests")
            self._lanes = [
                self._learn(lambda number=number: run_on_lane(number), deadline, f"the thread of lane {number}")  # type: ignore[misc]
                for number in range(lanes)
            ]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def mark(self, polling: Collection[int]) -> Mark | None:
        """See `Rest`."""
        counts: dict[int, int] = {}
        for tid, (asleep, count) in self._look(self._ignored(polling)).items():
            if not asleep:
                return None
            counts[tid] = count
        return counts

    def unchanged(self, mark: Mark, polling: Collection[int]) -> bool:
        """See `Rest`."""
        return self.mark(polling) == mark

    def _ignored(self, polling: Collection[int]) -> frozenset[int]:
        return self._serving.union(*(self._lanes[lane] for lane in polling))

    def _learn(self, request: Callable[[], object], deadline: Deadline, what: str) -> frozenset[int]:
        """Who runs each time that a request is made: one thread, and those that serve every request."""

        def who() -> frozenset[int] | None:
            found = []
            for _ in range(_TIMES):
                before = self._look(self._serving)
                request()
                after = self._look(self._serving)
                found.append(frozenset(tid for tid, seen in after.items() if before.get(tid) != seen))
            same = frozenset.intersection(*found)
            # The first request wakes whoever has slept since the driver started.
            return same if len(same) == 1 and found[-1] == same else None

        try:
            return deadline.wait_for(who, what)
        except DeadlineExpired as error:
            raise LabFault(f"it cannot be told which of its threads do what: {error}") from error

    def _look(self, ignored: frozenset[int]) -> dict[int, tuple[bool, int]]:
        """Of every thread but these, whether it sleeps, and how often it was switched away from."""
        found = {}
        for task in self._tasks.iterdir():
            tid = int(task.name)
            if tid not in ignored and (seen := self._read(tid)) is not None:
                found[tid] = seen
        for tid in self._files.keys() - found.keys() - ignored:
            os.close(self._files.pop(tid))
        return found

    def _read(self, tid: int) -> tuple[bool, int] | None:
        """None: it has ended."""
        with suppress(FileNotFoundError, ProcessLookupError):
            if tid not in self._files:
                self._files[tid] = os.open(self._tasks / f"{tid}/status", os.O_RDONLY)
            text = os.pread(self._files[tid], 8192, 0)
            state = text[text.index(_STATE) + len(_STATE)]
            return state == ord("S"), _number(text, _SWITCHES) + _number(text, _FORCED)
        return None


def _number(text: bytes, name: bytes) -> int:
    begin = text.index(name) + len(name)
    return int(text[begin : text.index(b"\n", begin)])
