"""Requests and their replies over one stream: a reader thread brings each reply to whoever waits for it."""

from __future__ import annotations

import itertools
import secrets
import threading
from queue import Empty, SimpleQueue

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.transport.base import Transport
from hotswap.transport.protocol import AgentContract, Frame, FrameDecoder, encode_frame

_READ_BYTES = 1 << 20
_READ_SECONDS = 3600.0


class AgentLost(LabFault):
    """The agent died or its stream broke; the message names the cause, which every later call repeats."""


class PendingReply:
    """A request that was sent; its reply comes in `result`."""

    def __init__(self, connection: Connection, request: Frame, what: str) -> None:
        self._connection = connection
        self._box: SimpleQueue[Frame | None] = SimpleQueue()
        self._reply: Frame | None = None
        self.request = request
        self.request_id = request.id
        self.what = what

    def deliver(self, reply: Frame | None) -> None:
        """Called by the reader: the reply, or None when none will come."""
        self._box.put(reply)

    @property
    def done(self) -> bool:
        """Whether `result` returns or raises without waiting."""
        return self._reply is not None or not self._box.empty()

    def result(self, deadline: Deadline) -> Frame:
        """The reply, which may be an error reply.

        Raises AgentLost when the agent is gone, DeadlineExpired when no reply came in time (one that comes later is
        still there for another call).
        """
        if self._reply is not None:
            return self._reply
        patience = self._connection.patience
        while True:
            try:
                reply = self._box.get(timeout=min(deadline.remaining, patience))
                break
            except Empty:
                if deadline.expired:
                    silence = self._connection.silence
                    raise DeadlineExpired(f"{self.what}: {silence} (request {self.request_id})") from None
                self._connection.ask_again(self)
                patience *= 2
        if reply is None:
            self._box.put(None)
            raise self._connection.lost_while(self.what)
        self._reply = reply
        return reply


class Connection:
    """Numbers the requests of one client, sends them, and matches the replies.

    Owns the transport. Safe for any number of threads. `skipped_bytes` counts what came in between frames. The stream's
    end is the agent's: see ReturningConnection for an agent that stays.
    """

    patience = threading.TIMEOUT_MAX
    """Seconds without an answer after which it is asked for again."""

    def __init__(self, transport: Transport, contract: AgentContract, *, nonce: int | None = None) -> None:
        self.contract = contract
        self.nonce = secrets.randbits(64) if nonce is None else nonce
        self.transport = transport
        self._decoder = FrameDecoder(contract)
        self._ids = itertools.count(1)
        self._sending = threading.Lock()
        self._waiting: dict[int, list[PendingReply]] = {}
        self._matching = threading.Lock()
        self._lost: str | None = None
        self._reader = threading.Thread(target=self._read, name="agent-reader", daemon=True)
        self._reader.start()

    @property
    def skipped_bytes(self) -> int:
        """Bytes from the agent that belong to no sound frame."""
        return self._decoder.skipped

    @property
    def waiting(self) -> tuple[str, ...]:
        """What the calls that have no answer yet are about."""
        with self._matching:
            return tuple(pending.what for several in self._waiting.values() for pending in several)

    @property
    def reading(self) -> bool:
        """Whether the stream is open."""
        return self._reader.is_alive()

    @property
    def silence(self) -> str:
        """What is known while an answer does not come."""
        return "the agent did not answer in time, but its process and stream are there"

    def ask_again(self, pending: PendingReply) -> None:
        """Called while its answer does not come. A stream that loses nothing needs no question."""

    def send(
        self,
        op: int,
        payload: bytes,
        deadline: Deadline,
        *,
        what: str,
        run_async: bool = False,
        repeat: int | None = None,
    ) -> PendingReply:
        """Send a request. `repeat` sends the id of an earlier request again, to get its answer out of the journal."""
        with self._sending:
            request_id = next(self._ids) if repeat is None else repeat
            flags = self.contract["HSAGENT_FLAG_ASYNC"] if run_async else 0
            pending = PendingReply(self, Frame(op, flags, self.nonce, request_id, payload), what)
            data = encode_frame(self.contract, pending.request)
            with self._matching:
                if self._lost is not None:
                    raise self.lost_while(what)
                self._waiting.setdefault(request_id, []).append(pending)
            try:
                self._write(pending, data, deadline)
            except OSError as error:
                self._lose(self.transport.alive() or f"the stream to the agent broke: {error}")
                raise self.lost_while(what) from error
            except DeadlineExpired as error:
                with self._matching:
                    self._waiting[request_id].remove(pending)
                raise DeadlineExpired(f"{what}: {error}") from error
            return pending

    def _write(self, pending: PendingReply, data: bytes, deadline: Deadline) -> None:
        """Called with `_sending` held."""
        self.transport.write(data, deadline)

    def lost_while(self, what: str) -> AgentLost:
        """The error for a call that the loss of the agent ended."""
        return AgentLost(f"{what}: {self._lost or 'the agent is gone'}")

    def wait_lost(self, deadline: Deadline) -> str:
        """Wait until the stream has ended; returns the cause. Raises DeadlineExpired."""
        self._reader.join(min(deadline.remaining, threading.TIMEOUT_MAX))
        if self._reader.is_alive():
            raise DeadlineExpired("waiting for the agent to end: its stream is still open")
        return self._lost or "the stream has ended"

    def expect_end(self) -> None:
        """The agent was asked to end: do not look for it when its stream does."""

    def close(self) -> None:
        """End the stream, and with it an agent that does not stay; calls that wait end with AgentLost."""
        self._lose("this side closed the stream")
        self.transport.close()
        self._reader.join()

    def _read(self) -> None:
        self._lose(self._read_stream())

    def _read_stream(self) -> str:
        """Deliver what comes until the stream ends; returns why it did."""
        while True:
            try:
                data = self.transport.read(_READ_BYTES, Deadline.after(_READ_SECONDS))
            except DeadlineExpired:
                continue
            except OSError as error:
                return self.transport.alive() or f"the stream from the agent broke: {error}"
            if not data:
                return self.transport.alive() or self._after_end()
            for frame in self._decoder.feed(data):
                self._deliver(frame)

    def _after_end(self) -> str:
        """The stream has ended; the process that belongs to it may need a moment to end as well."""
        try:
            return Deadline.after(2.0).wait_for(self.transport.alive, "the agent's process to end")
        except DeadlineExpired:
            return "the agent closed its stream, but its process lives"

    def _deliver(self, frame: Frame) -> None:
        if frame.nonce != self.nonce or not frame.flags & self.contract["HSAGENT_FLAG_REPLY"]:
            return
        with self._matching:
            waiting = self._waiting.pop(frame.id, [])
        for pending in waiting:
            pending.deliver(frame)

    def _lose(self, cause: str) -> None:
        """Latch the first cause and end every call that waits."""
        with self._matching:
            if self._lost is None:
                self._lost = cause
            waiting = [pending for several in self._waiting.values() for pending in several]
            self._waiting.clear()
        for pending in waiting:
            pending.deliver(None)
