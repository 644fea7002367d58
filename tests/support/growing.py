"""Files that grow while somebody reads them, driven by hand."""

from __future__ import annotations

import io


class States:
    """A source that goes on to the next state of a file each time it is waited for."""

    name = "states.etl"

    def __init__(self, states: list[bytes]) -> None:
        self.states, self.at, self.waits = states, 0, 0
        self.left: str | None = None

    def size(self) -> int:
        return len(self.states[self.at])

    def read(self, offset: int, size: int) -> bytes:
        return self.states[self.at][offset : offset + size]

    def gone(self) -> str | None:
        return self.left

    def wait(self, seconds: float) -> None:
        self.waits += 1
        self.at = min(self.at + 1, len(self.states) - 1)

    def close(self) -> None:
        pass


class Racing(States):
    """One that goes on between any two looks at it, too."""

    def size(self) -> int:
        self.wait(0.0)
        return super().size()

    def read(self, offset: int, size: int) -> bytes:
        self.wait(0.0)
        return super().read(offset, size)


class Recording(io.BytesIO):
    """A file that keeps each of its states."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[bytes] = []

    def write(self, data: bytes) -> int:  # type: ignore[override]
        written = super().write(data)
        self.states.append(self.getvalue())
        return written
