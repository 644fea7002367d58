"""What is being done now, on standard error: a live line with the time it takes, or one line a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, RLock, Thread
from time import monotonic

from rich.cells import set_cell_size
from rich.text import Text

from hotswap.cli.output import Terminal

_REFRESH_SECONDS = 0.1
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ERASE = "\r\x1b[2K"


def duration(seconds: float) -> str:
    """A time for people: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


class Progress:
    """Say what begins by calling it: on a terminal one live line with the elapsed time, elsewhere one line a step.

    The live line is drawn by a thread of its own, so it goes on while a step does not. Whatever else is printed
    meanwhile goes through `aside`. With `quiet` nothing is said at all.
    """

    def __init__(self, console: Terminal, *, quiet: bool, steps: bool = True) -> None:
        """Without `steps`, only the live line names them: for a series, of which each part has a line of its own."""
        self._console = console
        self._quiet = quiet
        self._steps = steps
        self._lock = RLock()
        self._live = False
        self._drawn = False
        self._text = ""
        self._begun = 0.0
        self.headline = ""

    def __call__(self, line: str) -> None:
        """Say what begins now."""
        if self._quiet:
            return
        with self._lock:
            self._text, self._begun = line, monotonic()
            if self._live:
                self._draw()
            elif self._steps:
                self._guarded(lambda: self._console.print(Text(f"{line} …", style="dim")))

    def change(self, line: str) -> None:
        """Say how far what was begun is; its time goes on. Only a live line does."""
        with self._lock:
            if self._live and not self._quiet:
                self._text = line

    @contextmanager
    def live(self) -> Iterator[None]:
        """While a command runs."""
        if self._quiet or not self._console.is_live:
            yield
            return
        ended = Event()
        drawer = Thread(target=self._redraw_until, args=(ended,), name="progress", daemon=True)
        self._live = True
        drawer.start()
        try:
            yield
        finally:
            ended.set()
            with self._lock:
                self._live = False
                self._erase()
                self._text = ""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """For lines that stay, on this terminal or on the other one: the live line makes room for them."""
        with self._lock:
            self._erase()
            try:
                yield
            finally:
                if self._live:
                    self._draw()

    def _redraw_until(self, ended: Event) -> None:
        while not ended.wait(_REFRESH_SECONDS):
            with self._lock:
                if self._live:
                    self._draw()

    def _draw(self) -> None:
        if not self._text:
            return
        now = monotonic()
        elapsed = now - self._begun
        frame = _FRAMES[int(now / _REFRESH_SECONDS) % len(_FRAMES)]
        tail = f" {duration(elapsed)}" if elapsed >= 1 else ""
        head = f"{self.headline}: " if self.headline else ""
        line = f"{frame} {head}{self._text} …{tail}"
        width = self._console.width - 1
        if len(line) > width:
            # The time stays in sight, for it is what shows that something happens.
            line = set_cell_size(line, max(0, width - len(tail))).rstrip() + tail
        dim, plain = ("\x1b[2m", "\x1b[0m") if self._console.color_system else ("", "")
        self._write(f"{_ERASE}{dim}{line}{plain}")
        self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = False
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        def write() -> None:
            self._console.file.write(text)
            self._console.file.flush()

        self._guarded(write)

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (OSError, ValueError):
            # The terminal went away: what is being done, clean-up above all, goes on.
            self._quiet = True
            self._live = False
