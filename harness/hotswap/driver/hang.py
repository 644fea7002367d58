"""Where the threads of a driver host are that does not answer: from a minidump of it, while it lives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hotswap.driver.crash import Frame, GuestImages, frames_of_threads

_SHOWN = 3
_IDLE = frozenset({"LaneThread", "DpWaitSlice", "PlainThread", "LoadThread"})
"""Functions of the drivers in which a thread waits for work, and hangs nothing."""


@dataclass(frozen=True, slots=True)
class HungThread:
    """One thread that is in code of a driver, innermost frame first."""

    id: int
    frames: tuple[Frame, ...]

    @property
    def functions(self) -> tuple[str, ...]:
        """Those of the drivers, innermost first, with their place."""
        return tuple(
            f"{symbol.function} {symbol.file.rpartition('/')[2]}:{symbol.line}" if symbol.file else symbol.function
            for frame in self.frames
            for symbol in frame.symbols
        )

    @property
    def idle(self) -> bool:
        """Whether it waits for work: the innermost function of a driver is one that does."""
        return self.functions[0].partition(" ")[0] in _IDLE


@dataclass(frozen=True, slots=True)
class Hang:
    """Every thread in code of a driver; those that wait for work come last."""

    threads: tuple[HungThread, ...]
    problems: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The threads that do not wait for work, each with the innermost functions of the drivers."""
        busy = [thread for thread in self.threads if not thread.idle]
        if not busy:
            return "no thread is at work in a driver"
        told = [f"thread 0x{thread.id:x} in {' <- '.join(thread.functions[:_SHOWN])}" for thread in busy[:_SHOWN]]
        return "; ".join(told) + (f"; and {len(busy) - _SHOWN} more" if len(busy) > _SHOWN else "")

    @property
    def text(self) -> str:
        """For evidence: all stacks."""
        lines: list[str] = []
        for thread in self.threads:
            lines += [f"thread 0x{thread.id:x}{' (waits for work)' if thread.idle else ''}"]
            lines += [f"#{number:<2} {frame}" for number, frame in enumerate(thread.frames)] + [""]
        return "\n".join([*lines, *(f"note: {problem}" for problem in self.problems)]) + "\n"


def read_hang(dump: bytes, built: Iterable[Path], guest: GuestImages) -> Hang:
    """Explain a dump of a process that lives. `built`: images whose .pdb may lie beside them. LabFault: no minidump."""
    stacks, problems = frames_of_threads(dump, built, guest)
    threads = [HungThread(id, frames) for id, frames in stacks.items() if any(frame.symbols for frame in frames)]
    return Hang(tuple(sorted(threads, key=lambda each: (each.idle, each.id))), tuple(problems))
