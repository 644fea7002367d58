"""QMP, QEMU's control socket: the one place where asyncio is used, behind one thread and blocking calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - `socket` is the path here
from time import monotonic_ns, time, time_ns
from typing import Any, TypeVar

from qemu.qmp import ExecuteError, QMPClient, QMPError, Runstate
from qemu.qmp.events import EventListener

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine.unix_socket import connect_unix

T = TypeVar("T")

# The library logs each lost connection as an error; here it is an exception, and told once.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class QmpRefused(LabFault):
    """QEMU refused a command; the message has its own words."""


@dataclass(frozen=True, slots=True)
class QmpEvent:
    """One event of QEMU: seconds since 1970 by this host's clock, name, data."""

    time: float
    name: str
    data: Mapping[str, Any]

    def line(self) -> bytes:
        """As a line of JSON with the members of a run's timeline: `utc`, `ns` (monotonic), `event`, and `data`."""
        ns = monotonic_ns() - (time_ns() - int(self.time * 1e9))
        utc = datetime.fromtimestamp(self.time, UTC).isoformat()
        return (json.dumps({"utc": utc, "ns": ns, "event": self.name, "data": self.data}) + "\n").encode()


class Qmp:
    """A connection to one QEMU. Safe for any number of threads; `close` when done. Keeps every event that came."""

    def __init__(
        self,
        socket: Path,
        deadline: Deadline,
        alive: Callable[[], str | None],
        *,
        journal: Path | None = None,
        heard: Callable[[QmpEvent], None] | None = None,
    ) -> None:
        """Connect, waiting for the socket. Raises DeadlineExpired, also when `alive` says that QEMU has ended.

        `journal` is a file that each event is added to as it comes; `heard` is told of it on a thread that must not
        wait.
        """
        self._heard = heard or (lambda _event: None)
        self._journal = -1 if journal is None else os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._alive = self.alive = alive
        self._events: list[QmpEvent] = []
        self._came = threading.Condition()
        self._client = QMPClient("hotswap")
        self._closing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)
        self._thread.start()
        self._listening: asyncio.Task[None] | None = None
        self._stream: Socket | None = None
        try:
            # QEMU makes the file a moment before it listens.
            stream = deadline.wait_for(
                lambda: _listening(socket, deadline), "QEMU's control socket", alive=alive, interval=0.005
            )
            self._stream = stream
            stream.setblocking(False)
            self._run(self._open(stream), "connecting to QEMU", deadline)
        except BaseException:
            self.close()
            raise

    async def _open(self, stream: Socket) -> None:
        listener = EventListener()
        self._client.register_listener(listener)
        self._listening = asyncio.get_running_loop().create_task(self._listen(listener))
        await self._client.connect(stream)

    async def _listen(self, listener: EventListener) -> None:
        async for message in listener:
            stamp = message.get("timestamp")
            when = stamp["seconds"] + stamp["microseconds"] / 1e6 if isinstance(stamp, dict) else time()
            data = message.get("data")
            event = QmpEvent(when, str(message["event"]), data if isinstance(data, dict) else {})
            with self._came:
                self._events.append(event)
                self._came.notify_all()
            with contextlib.suppress(OSError):  # a full disk must not cost the connection
                if self._journal >= 0:
                    os.write(self._journal, event.line())
            self._heard(event)

    @property
    def events(self) -> tuple[QmpEvent, ...]:
        """All that came since the connection was made, in order."""
        with self._came:
            return tuple(self._events)

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, *, deadline: Deadline) -> Any:
        """Run a command and return its answer.

        Raises QmpRefused when QEMU refuses, LabFault when QEMU or the connection is gone, DeadlineExpired.
        """
        return self._run(self._client.execute(command, arguments), f"QEMU's {command}", deadline)

    def human(self, line: str, *, deadline: Deadline) -> str:
        """Run a command of the human monitor, for what QMP has not."""
        return str(self.execute("human-monitor-command", {"command-line": line}, deadline=deadline))

    def wait_event(self, *names: str, since: int = 0, deadline: Deadline) -> QmpEvent:
        """The first event of these names from number `since` on. Raises DeadlineExpired, at once when QEMU ends."""

        def found() -> QmpEvent | None:
            return next((event for event in self.events[since:] if event.name in names), None)

        return deadline.wait_for(found, f"QEMU's event {' or '.join(names)}", alive=self._gone, interval=0.01)

    def _gone(self) -> str | None:
        return self._alive() if self._listening is None or self._listening.done() else None

    def close(self) -> None:
        """End the connection, not QEMU. Harmless when repeated, also by several threads: each waits for the end."""
        with self._closing:
            if self._loop.is_closed():
                return
            # It may be broken already, or QEMU gone.
            with contextlib.suppress(LabFault):
                self._run(self._end(), "closing QEMU's control socket", Deadline.after(5.0))
            # Whoever still waits for an answer of a QEMU that gives none is told now.
            with contextlib.suppress(LabFault):
                self._run(_cancel_others(), "ending what waits for QEMU", Deadline.after(1.0))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            if self._journal >= 0:
                os.close(self._journal)

    async def _end(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        # When QEMU ends at the same time, the library's own clean-up trips over its second run.
        if self._client.runstate in (Runstate.RUNNING, Runstate.DISCONNECTING):
            with contextlib.suppress(AssertionError):
                await self._client.disconnect()
        elif self._stream is not None:
            self._stream.close()

    def _run(self, coroutine: Coroutine[Any, Any, T], what: str, deadline: Deadline) -> T:
        try:
            future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:
            coroutine.close()
            raise LabFault(f"{what}: {self._alive() or 'the connection is closed'}") from error
        try:
            return future.result(deadline.remaining)
        except CancelledError as error:
            raise LabFault(f"{what}: {self._alive() or 'the connection was closed'}") from error
        except TimeoutError:
            future.cancel()
            raise DeadlineExpired(f"{what}: no answer in time; {self._alive() or 'QEMU runs'}") from None
        except ExecuteError as error:
            raise QmpRefused(f"{what}: {error}") from error
        except (QMPError, OSError, EOFError) as error:
            raise LabFault(f"{what}: {self._alive() or f'{type(error).__name__}: {error}'}") from error


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _listening(path: Path, deadline: Deadline) -> Socket | None:
    try:
        return connect_unix(path, deadline)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
