"""Reading bytes from front to back, never beyond their end."""

from __future__ import annotations

from hotswap.trace.schema import MetadataError


class Cursor:
    """Where one is in some bytes. Whatever is taken is there, or there is a MetadataError."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    @property
    def left(self) -> int:
        """How many bytes follow."""
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise MetadataError(f"{count} bytes wanted at {self.at} of {len(self.data)}")
        self.at += count
        return part

    def number(self, size: int, *, big: bool = False) -> int:
        """The next unsigned number of `size` bytes."""
        return int.from_bytes(self.take(size), "big" if big else "little")

    def terminated(self, width: int) -> bytes:
        """What stands before the next NUL of `width` bytes; the cursor goes behind it."""
        end = self.at
        while (end := self.data.find(b"\0" * width, end)) >= 0 and (end - self.at) % width:
            end += 1
        if end < 0:
            raise MetadataError(f"a string without an end at {self.at}")
        text = self.take(end - self.at)
        self.take(width)
        return text
