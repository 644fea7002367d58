"""Reading a trace while it is written: what it holds so far, in time order, without a wait that burns the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.trace.follow.follower import Follower
from hotswap.trace.follow.order import PerProcessor, Together, Watermark
from hotswap.trace.follow.prefix import Prefix
from hotswap.trace.follow.source import FileSource, TraceSource
from hotswap.trace.schemas.files import NOTHING_GIVEN, GivenSchemas

__all__ = ["FileSource", "Follower", "PerProcessor", "Prefix", "Together", "TraceSource", "Watermark", "follow"]


@contextmanager
def follow(
    path: Path,
    deadline: Deadline,
    *,
    alive: Callable[[], str | None] | None = None,
    watermark: Watermark | None = None,
    given: GivenSchemas = NOTHING_GIVEN,
) -> Iterator[Follower]:
    """A follower of a file, which need not be there yet: `with follow(path, deadline) as tables: for table in tables`.

    `alive` watches whoever writes it, `watermark` says what may be handed out (PerProcessor unless told otherwise),
    `given` describes events that the trace does not.
    """
    deadline.wait_for(path.exists, f"the trace {path} to be begun", alive=alive, interval=0.1)
    with FileSource(path) as source:
        yield Follower(source, deadline, alive=alive, watermark=watermark, given=given)
