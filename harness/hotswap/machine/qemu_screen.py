"""Pictures of a guest's screen: one now, or one a while during a test, each only when the screen has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.apng import animate
from hotswap.machine.lease import new_id
from hotswap.machine.qmp import Qmp
from hotswap.machine.storage import os_fault

SCREENS = "screens"
INDEX = "index.json"
ANIMATION = "screen.png"
_SECONDS = 1.0
_TAKE_SECONDS = 5.0
_MOST = 60


def take_screen(qmp: Qmp, machine: Path, deadline: Deadline) -> bytes:
    """The guest's screen as a PNG file; `machine` is QEMU's folder. LabFault when QEMU cannot."""
    partial = machine / f"screen-{new_id()}.png"
    try:
        qmp.execute("screendump", {"filename": partial.name, "format": "png"}, deadline=deadline)
        return partial.read_bytes()
    except OSError as error:
        raise os_fault("taking a picture of the screen", partial, error) from error
    finally:
        partial.unlink(missing_ok=True)


class ScreenRecorder:
    """Keeps the last pictures of a screen that changes, in memory until they are wanted."""

    def __init__(self, qmp: Qmp, machine: Path, *, seconds: float = _SECONDS, most: int = _MOST) -> None:
        """Begin. `seconds` between two looks, `most` pictures are kept: the newest."""
        self._qmp = qmp
        self._machine = machine
        self._seconds = seconds
        self._kept: deque[tuple[str, bytes]] = deque(maxlen=most)
        self._last = ""
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._record, name="screen-recorder", daemon=True)
        self._thread.start()

    def _record(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self.look(Deadline.after(_TAKE_SECONDS))
            except LabFault:
                # QEMU is gone, or busy with its end: there is nothing more to see.
                return

    def look(self, deadline: Deadline) -> None:
        """Take a picture now, and keep it when it shows something new."""
        picture = take_screen(self._qmp, self._machine, deadline)
        digest = hashlib.sha256(picture).hexdigest()
        with self._guard:
            if digest != self._last:
                self._last = digest
                self._kept.append((datetime.now(UTC).isoformat(), picture))

    def close(self) -> None:
        """End. What was seen stays."""
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def pictures(self) -> tuple[tuple[str, bytes], ...]:
        """(UTC, PNG), in order."""
        with self._guard:
            return tuple(self._kept)


def write_screens(folder: Path, pictures: tuple[tuple[str, bytes], ...]) -> list[Path]:
    """Write pictures as `000.png` and so on, each only once, with an index that says which was seen from when on.

    Several become a moving one as well (APNG), as fast as it was; not when the screen changed its size meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    index = []
    for when, picture in pictures:
        digest = hashlib.sha256(picture).hexdigest()
        if digest not in names:
            names[digest] = f"{len(names):03}.png"
            _write(folder / names[digest], picture)
        index.append({"utc": when, "file": names[digest], "sha256": digest})
    _write(folder / INDEX, (json.dumps(index, indent=1) + "\n").encode())
    files = [*(folder / name for name in names.values()), folder / INDEX]
    if len(names) > 1:
        with contextlib.suppress(ValueError):
            _write(folder / ANIMATION, animate(_timed(pictures)))
            files.append(folder / ANIMATION)
    return files


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{new_id()}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _timed(pictures: tuple[tuple[str, bytes], ...]) -> list[tuple[int, bytes]]:
    """With the milliseconds that each was seen; the last one stands a second."""
    begins = [datetime.fromisoformat(when) for when, _ in pictures]
    ends = [*begins[1:], begins[-1] + timedelta(seconds=1)]
    return [
        (int((end - begin).total_seconds() * 1000), picture)
        for begin, end, (_, picture) in zip(begins, ends, pictures, strict=True)
    ]
