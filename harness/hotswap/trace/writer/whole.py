"""Whole files of events that are there already: new ones, and ones that a later session goes on with."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from hotswap.errors import UsageError
from hotswap.trace.etl import read_etl
from hotswap.trace.modes import MODE_APPEND, MODE_COMPRESSED, MODE_NEW_FILE
from hotswap.trace.writer.batch import Batch
from hotswap.trace.writer.file import PLAIN, EtlWriter
from hotswap.trace.writer.rows import Row
from hotswap.trace.writer.session import Session


def write_etl(path: Path, events: Iterable[Row] | Batch, session: Session = PLAIN) -> list[Path]:
    """Write a file with these events, those of one processor in time order, and return what was written.

    In mode new-file `path` has `%d` in its name, which becomes 1, 2, and so on. Raises UsageError for an impossible
    event; no file is left then.
    """
    written: list[tuple[Path, Path]] = []
    streams: list[BinaryIO] = []

    def opened() -> BinaryIO:
        target = path.with_name(path.name.replace("%d", str(len(written) + 1)))
        partial = target.with_name(f".{target.name}.partial")
        written.append((partial, target))
        streams.append(partial.open("w+b"))
        return streams[-1]

    if session.mode & MODE_NEW_FILE and "%d" not in path.name:
        raise UsageError(f"{path}: mode new-file needs %d in the name")
    try:
        with EtlWriter(opened(), session, next_file=opened) as writer:
            writer.write(events)
        for stream in streams:
            stream.close()
        for partial, target in written:
            partial.replace(target)
    finally:
        for stream in streams:
            stream.close()
        for partial, _ in written:
            partial.unlink(missing_ok=True)
    return [target for _, target in written]


def build_etl(events: Iterable[Row] | Batch, session: Session = PLAIN) -> bytes:
    """The bytes of `write_etl`."""
    stream = io.BytesIO()
    with EtlWriter(stream, session) as writer:
        writer.write(events)
    return stream.getvalue()


def append_etl(path: Path, events: Iterable[Row] | Batch, session: Session) -> None:
    """Add events to a file as a later session in mode append does.

    As documented, time must be system time, and buffer size, processors and clock type those of the file. Its first
    buffer keeps the start of the first session, and gets the new end, and the losses of both.
    """
    before = read_etl(path)
    header = before.header
    theirs = (header.buffer_size, header.processors, header.clock_type, header.mode & MODE_COMPRESSED)
    if theirs != (session.buffer_size, session.processors, session.clock_type, 0) or session.compression is not None:
        raise UsageError(f"{path}: appending needs the buffer size, processors and clock type of the file, plain")
    session = replace(
        session,
        mode=session.mode | MODE_APPEND,
        first_tick=header.first_tick,
        start_time=header.start_time,
        events_lost=header.events_lost + session.events_lost,
        buffers_lost=header.buffers_lost + session.buffers_lost,
    )
    partial = path.with_name(f".{path.name}.partial")
    shutil.copyfile(path, partial)
    try:
        last = int(before.buffers["sequence"].max())
        with (
            partial.open("r+b") as stream,
            EtlWriter.appending(stream, session, len(before.buffers), last) as writer,
        ):
            writer.write(events)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
