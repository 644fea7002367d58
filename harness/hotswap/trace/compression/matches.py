"""Finding repetitions, for the compressors. Simple and greedy: it makes test files, not small ones."""

from __future__ import annotations

from collections.abc import Iterator


def find_matches(
    data: bytes, *, window: int, longest: int = 1 << 32, begin: int = 0, end: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """Cut data[begin:end] into (offset back, length >= 3, 0) and (0, 1, literal byte).

    Matches reach at most `window` bytes back, also before `begin`, and are at most `longest` bytes long.
    """
    end = len(data) if end is None else end
    latest: dict[bytes, int] = {}
    for earlier in range(max(0, begin - window), begin):
        latest[data[earlier : earlier + 3]] = earlier
    at = begin
    while at < end:
        key = data[at : at + 3]
        found = latest.get(key, -1)
        length = 0
        if len(key) == 3 and found >= 0 and at - found <= window:
            length = 3
            most = min(longest, end - at)
            while length < most and data[found + length] == data[at + length]:
                length += 1
            length = min(length, most)
        step = length if length >= 3 else 1
        yield (at - found, length, 0) if length >= 3 else (0, 1, data[at])
        for passed in range(at, at + step):
            latest[data[passed : passed + 3]] = passed
        at += step
