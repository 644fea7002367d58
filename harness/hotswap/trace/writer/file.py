"""Writing an `.etl` as a session does: events into the buffers of their processors, full buffers into the file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.framing import BUFFER_HEADER_SIZE, BufferFlag
from hotswap.trace.modes import (
    MODE_APPEND,
    MODE_CIRCULAR,
    MODE_NEW_FILE,
    MODE_NO_PER_PROCESSOR,
    MODE_PREALLOCATE,
)
from hotswap.trace.writer.batch import Batch, gather_words
from hotswap.trace.writer.buffers import FLAGS_AT, OpenBuffer, header_buffer, seal
from hotswap.trace.writer.rows import Row
from hotswap.trace.writer.session import Ending, Session, header_event

Ints = NDArray[np.int64]
PLAIN = Session()
"""A sequential file of one processor."""


class EtlWriter:
    """A session that writes into a file, from its first buffer to its end. Use `with`, or `close`.

    Each processor fills a buffer of its own; a buffer that is full is written. Sequence numbers are given when a buffer
    is begun, so that with several processors they do not follow the order in the file; so it is in Windows' files.
    A circular file begins again behind its first buffer when it is full. A sequential one with a size ends there: what
    comes later is not written. In mode new-file `next_file` opens the next one.
    """

    def __init__(
        self, stream: BinaryIO, session: Session = PLAIN, *, next_file: Callable[[], BinaryIO] | None = None
    ) -> None:
        """Write the first buffer. `stream` must be seekable, and stays open."""
        if session.mode & MODE_NEW_FILE and session.maximum_file_size and next_file is None:
            raise UsageError("mode new-file needs a next file")
        if session.mode & MODE_APPEND:
            raise UsageError("mode append continues a file: use append_etl")
        self.session = session
        self._stream = stream
        self._next_file = next_file
        self._open: dict[int, OpenBuffer] = {}
        self._last: dict[int, int] = {}
        self._sequence = 0
        self._begun = 0
        self._end_tick = session.first_tick
        self._full = self._closed = False
        self._lost_flags: dict[int, BufferFlag] = {}
        self._begin_file()

    @classmethod
    def appending(cls, stream: BinaryIO, session: Session, buffers: int, last_sequence: int) -> EtlWriter:
        """Go on behind the `buffers` of a file, the last of which has this sequence number."""
        writer = cls(io.BytesIO(), replace(session, mode=session.mode & ~MODE_APPEND))
        writer.session, writer._stream = session, stream
        writer._sequence, writer._buffers = last_sequence, buffers - 1
        writer._place = stream.seek(0, io.SEEK_END)
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    def write(self, events: Iterable[Row] | Batch) -> None:
        """Log events, those of one processor in time order. Raises UsageError for an impossible one."""
        batch = events if isinstance(events, Batch) else Batch.of(events)
        if not len(batch):
            return
        self._check(batch)
        if not self.session.flush_every:
            self._fill(batch, np.arange(len(batch)))
            return
        # The flush timer goes by the latest time that the session has seen.
        period = self.session.flush_every
        now = np.maximum.accumulate(np.append(self._end_tick, batch.tick))
        turns = now // period
        cuts = np.flatnonzero(turns[1:] != turns[:-1])
        for begin, end in zip([0, *cuts], [*cuts, len(batch)], strict=True):
            if begin or turns[1] != turns[0]:
                self.flush(int(turns[begin + 1]) * period)
            self._fill(batch, np.arange(begin, end))

    def flush(self, tick: int | None = None) -> None:
        """Write all buffers that hold events, as at `tick` (their last events' by default)."""
        for buffer in sorted(self._open.values(), key=lambda each: each.sequence):
            self._write_buffer(buffer, buffer.last_tick if tick is None else tick)
        self._open.clear()

    def update_header(self) -> None:
        """Write into the header how many buffers there are, as some writers do while they run."""
        self._stream.seek(0)
        self._stream.write(self._header_buffer(Ending(self._buffers + 1)))

    def lose_events(self, cpu: int, count: int = 1) -> None:
        """The session has no room for some events of a processor: its next buffer says so, and the header counts."""
        self._lost_flags[cpu] = self._lost_flags.get(cpu, BufferFlag(0)) | BufferFlag.EVENTS_LOST
        self.session = replace(self.session, events_lost=self.session.events_lost + count)

    def lose_buffer(self, cpu: int) -> None:
        """A buffer of a processor is never written: its sequence number is missing, and the header counts it."""
        self._sequence += 1
        self._lost_flags[cpu] = self._lost_flags.get(cpu, BufferFlag(0)) | BufferFlag.BUFFER_LOST
        self.session = replace(self.session, buffers_lost=self.session.buffers_lost + 1)

    def close(self) -> None:
        """Write what is left, and into the header what the file holds. A session that is never stopped skips that."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        self._end_file()

    # Files

    def _begin_file(self) -> None:
        self._buffers = 0
        """Written behind the first one, those that were written over among them."""
        self._place = self._last_place = 0
        self._stream.seek(0)
        first = self._header_buffer(Ending())
        self._stream.write(first)
        self._place = len(first)
        most = self.session.most_buffers
        if self.session.mode & MODE_PREALLOCATE and most is not None:
            self._stream.seek(most * self.session.buffer_size - 1)
            self._stream.write(b"\0")

    def _end_file(self) -> None:
        session = self.session
        if self._last_place and session.lost_flag:
            self._patch_flags(session.lost_flag)
        if not session.closed:
            return
        if self._last_place:
            self._patch_flags(BufferFlag.FLUSH_MARKER)
        self._stream.seek(0)
        end_time = session.filetime(self._end_tick)
        self._stream.write(self._header_buffer(Ending(self._buffers + 1, end_time)))
        if session.mode & MODE_PREALLOCATE:
            self._stream.truncate(self._place)

    def _header_buffer(self, ending: Ending) -> bytes:
        behind = Batch.of(self.session.head_events).words.tobytes()
        return header_buffer(self.session, header_event(self.session, ending) + behind)

    def _patch_flags(self, more: int) -> None:
        """Add flags to the buffer that was written last."""
        self._last_flags |= BufferFlag(more)
        self._stream.seek(self._last_place + FLAGS_AT)
        self._stream.write(int(self._last_flags).to_bytes(2, "little"))

    def _write_buffer(self, buffer: OpenBuffer, tick: int) -> None:
        most, mode = self.session.most_buffers, self.session.mode
        if most is not None and self._buffers + 1 >= most:
            if mode & MODE_NEW_FILE and self._next_file is not None:
                self._end_file()
                self._stream = self._next_file()
                self._begin_file()
            elif not mode & MODE_CIRCULAR:
                self._full = True
        if self._full:
            return
        content = seal(self.session, buffer, tick)
        place = self._place
        if most is not None and mode & MODE_CIRCULAR:
            place = self.session.buffer_size * (1 + self._buffers % (most - 1))
        self._stream.seek(place)
        self._stream.write(content)
        self._buffers += 1
        self._last_place, self._last_flags = (
            place,
            BufferFlag(int.from_bytes(content[FLAGS_AT : FLAGS_AT + 2], "little")),
        )
        self._place = max(self._place, place + len(content))
        self._end_tick = max(self._end_tick, buffer.last_tick)

    # Buffers

    def _check(self, batch: Batch) -> None:
        for cpu in np.unique(batch.cpu).tolist():
            self.session.check_cpu(cpu)
            ticks = np.append(self._last.get(cpu, np.iinfo(np.int64).min), batch.tick[batch.cpu == cpu])
            back = np.flatnonzero(ticks[1:] < ticks[:-1])
            if len(back):
                raise UsageError(f"events of CPU {cpu} are not in time order at tick {ticks[back[0] + 1]}")
            self._last[cpu] = int(ticks[-1])
        largest = int(batch.length.max()) * 8
        if largest > self.session.buffer_size - BUFFER_HEADER_SIZE:
            raise UsageError(f"an event of {largest} bytes does not fit into a buffer of {self.session.buffer_size}")

    def _fill(self, batch: Batch, rows: Ints) -> None:
        """Put some rows into the buffers of their processors, and write those that run full on the way."""
        if not len(rows):
            return
        length = batch.length
        start = np.cumsum(length) - length
        shared = bool(self.session.mode & MODE_NO_PER_PROCESSOR)
        lanes = np.zeros(len(rows), np.int64) if shared else batch.cpu[rows]
        begun: list[tuple[int, OpenBuffer]] = []
        full: list[tuple[int, OpenBuffer]] = []
        for cpu in np.unique(lanes).tolist():
            mine = rows[lanes == cpu]
            words = gather_words(batch.words, start[mine], length[mine])
            self._fill_lane(cpu, mine, words, np.cumsum(length[mine]), batch.tick[mine], begun, full)
        for _, buffer in sorted(begun, key=lambda each: each[0]):
            buffer.sequence = self._next_sequence()
        for row, buffer in sorted(full, key=lambda each: each[0]):
            self._write_buffer(buffer, int(batch.tick[row]))
        self._end_tick = self._end_tick if self._full else max(self._end_tick, int(batch.tick[rows].max()))

    def _fill_lane(
        self,
        cpu: int,
        rows: Ints,
        words: NDArray[np.uint64],
        ends: Ints,
        ticks: Ints,
        begun: list[tuple[int, OpenBuffer]],
        full: list[tuple[int, OpenBuffer]],
    ) -> None:
        """One processor's events. `ends` are in words."""
        buffer = self._open.pop(cpu, None)
        at = done = 0
        while at < len(rows):
            if buffer is None:
                buffer = OpenBuffer(cpu, flags=self._lost_flags.pop(cpu, BufferFlag(0)))
                begun.append((int(rows[at]), buffer))
            room = (self.session.buffer_size - buffer.used) // 8
            stop = int(np.searchsorted(ends, done + room, "right"))
            if stop > at:
                upto = int(ends[stop - 1])
                buffer.add(words[done:upto], int(ticks[stop - 1]))
                at, done = stop, upto
            if at < len(rows):
                full.append((int(rows[at]), buffer))
                buffer = None
        if buffer is not None:
            self._open[cpu] = buffer

    def _next_sequence(self) -> int:
        self._begun += 1
        self._sequence += 1
        if self._begun == self.session.gap_before:
            self._sequence += 1
        return self._sequence
