"""A connection to an agent that stays: when the stream breaks, calls go on over another one, and nothing runs twice."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from queue import SimpleQueue
from typing import NamedTuple

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, HotswapError, LabFault
from hotswap.transport.base import FILE_CHUNK_BYTES as _FULL_CHUNK
from hotswap.transport.base import Reconnection, Transport
from hotswap.transport.connection import Connection, PendingReply
from hotswap.transport.protocol import (
    AgentContract,
    AgentProtocolError,
    Frame,
    FrameDecoder,
    PayloadReader,
    PayloadWriter,
    encode_frame,
)
from hotswap.transport.replies import JournalState

_PAUSE_SECONDS = 0.02
_GREETING_SECONDS = 0.25
# How often nothing is answered before this many bytes are sent that mean nothing: see `_filler`.
_FILLERS = {3: 1 << 16, 4: 1 << 20, 5: 1 << 22}
# A request that arrives damaged so often will not arrive.
_DAMAGED_LIMIT = 5


class _Repeat(NamedTuple):
    """What the repeating thread is to write for a call; `counted` in `_behind`, `filler` bytes that go before it."""

    pending: PendingReply
    frame: Frame
    counted: bool = False
    filler: bytes = b""


class ReturningConnection(Connection):
    """As Connection, for an agent that outlives its streams and keeps a journal of its answers.

    A lost stream is replaced: the agent must be the same process (its session id says so), and what was asked and not
    answered is asked again under the same ids, so that the journal answers what ran and only the rest runs. `returns`
    counts how often that happened. AgentLost comes when the stream is away for too long, or when another agent
    answers: then nobody can tell what ran.
    """

    def __init__(
        self, transport: Transport, contract: AgentContract, reconnection: Reconnection, *, nonce: int | None = None
    ) -> None:
        self.reconnection = reconnection
        self.patience = reconnection.ask_after
        self.returns = 0
        self._hello = contract["HsAgentOpHello"]
        self._session: bytes | None = None
        self._away: str | None = None
        self._behind = 0
        self._unanswered = 0
        self._closing = False
        self._damaged: dict[int, int] = {}
        self._repeats: SimpleQueue[_Repeat | None] = SimpleQueue()
        super().__init__(transport, contract, nonce=nonce)
        self._repeater = threading.Thread(target=self._repeat, name="agent-repeater", daemon=True)
        self._repeater.start()

    @property
    def silence(self) -> str:
        """As Connection.silence."""
        if (away := self._away) is not None:
            return f"the stream to the agent is away ({away})"
        return "the agent did not answer in time, but its stream is there"

    def expect_end(self) -> None:
        """As Connection.expect_end."""
        self._closing = True

    def close(self) -> None:
        """End the stream; the agent stays. Calls that wait end with AgentLost."""
        self._closing = True
        super().close()
        self._repeats.put(None)
        self._repeater.join()

    def ask_again(self, pending: PendingReply) -> None:
        """Ask the agent's journal what became of a request, and act on the answer when it comes."""
        if self._away is None:
            payload = PayloadWriter().u64(self.nonce, pending.request_id).finish()
            question = Frame(self.contract["HsAgentOpJournal"], 0, self.nonce, next(self._ids), payload)
            filler = self._filler(self._unanswered, self.transport)
            self._unanswered += 1
            self._repeats.put(_Repeat(_Question(self, question, pending), question, filler=filler))

    def settle(self, pending: PendingReply, state: JournalState) -> None:
        """The journal's answer about a request: one that never came is sent again, one that ran is asked for."""
        if state is JournalState.UNKNOWN:
            self._repeats.put(_Repeat(pending, pending.request))
        elif state is not JournalState.RUNNING:
            # The journal looks at the id alone: no need to send what was long.
            self._repeats.put(_Repeat(pending, replace(pending.request, payload=b"")))

    # Writing

    def _write(self, pending: PendingReply, data: bytes, deadline: Deadline) -> None:
        """As Connection._write. What a broken stream does not take goes over the next one, in its turn."""
        with self._matching:
            if self._away is not None:
                return
            if self._behind:
                self._repeats.put(_Repeat(pending, pending.request))
                return
        self._push(data, deadline)

    def _push(self, data: bytes, deadline: Deadline) -> None:
        """Write; a stream that takes it in part, or not at all, is closed, so that the reader brings another one."""
        transport = self.transport
        try:
            transport.write(data, deadline)
        except OSError:
            transport.close()
        except DeadlineExpired:
            transport.close()
            raise

    def _repeat(self) -> None:
        """The repeating thread: the reader must not write, for it may be what the agent waits for."""
        while (item := self._repeats.get()) is not None:
            with self._sending:
                try:
                    if self._still_wanted(item.pending):
                        data = item.filler + encode_frame(self.contract, item.frame)
                        self._push(data, Deadline.after(self.reconnection.seconds))
                except DeadlineExpired:
                    pass  # the stream is closed by now: over the next one all is repeated
                finally:
                    with self._matching:
                        self._behind -= item.counted

    def _still_wanted(self, pending: PendingReply) -> bool:
        with self._matching:
            if self._lost is not None or self._away is not None:
                return False
            if isinstance(pending, _Question):
                self._waiting.setdefault(pending.request_id, []).append(pending)
            return pending.request_id in self._waiting

    def _filler(self, unanswered: int, transport: Transport) -> bytes:
        """Bytes for an agent that waits for the rest of a request that was cut, of this client or of one before it.

        It gives the request up when it has as many bytes as that should have. Over a port that is not needed.
        """
        size = _FILLERS.get(unanswered, 0)
        return bytes(size) if size <= transport.chunk_bytes or transport.chunk_bytes >= _FULL_CHUNK else b""

    # Reading

    def _deliver(self, frame: Frame) -> None:
        self._unanswered = 0
        if frame.nonce == self.nonce and frame.flags & self.contract["HSAGENT_FLAG_REPLY"]:
            if frame.op == self._hello and not frame.flags & self.contract["HSAGENT_FLAG_ERROR"]:
                self._session = self._session or _session_of(frame)
            if self._came_damaged(frame):
                with self._matching:
                    waiting = self._waiting.get(frame.id, [])[:1]
                for pending in waiting:
                    self._repeats.put(_Repeat(pending, pending.request))
                return
            self._damaged.pop(frame.id, None)
        super()._deliver(frame)

    def _came_damaged(self, reply: Frame) -> bool:
        """Whether the reply says that the request did not arrive whole, and it may be sent again."""
        if not reply.flags & self.contract["HSAGENT_FLAG_ERROR"]:
            return False
        reader = PayloadReader(reply.payload, "a request")
        try:
            domain, code = reader.u32(), reader.u32()
        except AgentProtocolError:
            return False
        if (domain, code) != (self.contract["HsAgentDomainProtocol"], self.contract["HsAgentProtocolBadPayload"]):
            return False
        self._damaged[reply.id] = self._damaged.get(reply.id, 0) + 1
        return self._damaged[reply.id] <= _DAMAGED_LIMIT

    def _read(self) -> None:
        """The reading thread: reads streams until one is not replaced."""
        while True:
            cause = self._read_stream()
            if self._closing:
                self._lose(cause)
                return
            with self._matching:
                self._away = cause
            self.transport.close()
            try:
                self._come_back(cause)
            except HotswapError as error:
                self._lose(str(error))
                return
            self.returns += 1
            self._repeat_all()

    def _repeat_all(self) -> None:
        """Ask everything again that has no answer; questions about it are put anew by whoever waits."""
        with self._matching:
            for request_id in [key for key, several in self._waiting.items() if isinstance(several[0], _Question)]:
                del self._waiting[request_id]
            for _, several in sorted(self._waiting.items()):
                self._repeats.put(_Repeat(several[0], several[0].request, counted=True))
                self._behind += 1
            self._away = None

    def _come_back(self, cause: str) -> None:
        """Replace the transport by one at whose other end the same agent answers."""
        limit = Deadline.after(self.reconnection.seconds)
        last = "nothing"

        def attempt() -> Transport | None:
            nonlocal last
            try:
                # Half of the time: one that hangs must not be the only one.
                return self._attempt(limit.within(self.reconnection.seconds / 2))
            except _AnotherAgent:
                raise
            except (LabFault, OSError) as error:
                last = str(error)
                return None

        self.transport = limit.wait_for(
            attempt,
            f"the stream to the agent to come back ({cause})",
            alive=lambda: "this side closed the stream" if self._closing else self.reconnection.gone(),
            interval=_PAUSE_SECONDS,
            last_seen=lambda: last,
        )
        if self._closing:
            self.transport.close()

    def _attempt(self, deadline: Deadline) -> Transport:
        transport = self.reconnection.connect(deadline)
        try:
            self._decoder = FrameDecoder(self.contract, skipped=self._decoder.skipped, damaged=self._decoder.damaged)
            self._recognise(self._greet(transport, deadline))
        except BaseException:
            transport.close()
            raise
        return transport

    def _recognise(self, session: bytes) -> None:
        """Raises when it is not the agent that was spoken to before, and that matters."""
        with self._matching:
            waiting = [several[0] for several in self._waiting.values()]
        asked = [one.what for one in waiting if not isinstance(one, _Question) and one.request.op != self._hello]
        if self._session is None and not asked:
            self._session = session
        if self._session == session:
            return
        fate = f"; whether this ran is not known: {', '.join(asked)}" if asked else ""
        raise _AnotherAgent(f"another agent answers than before: it, or its guest, was started again{fate}")

    def _greet(self, transport: Transport, deadline: Deadline) -> bytes:
        """Say hello over a new stream until it is answered; returns the agent's session id."""
        hello = Frame(self._hello, 0, self.nonce, next(self._ids), b"")
        # Where answers take longer, an agent that has only just been started for this stream does, too: what is sent to
        # it in vain, the fillers above all, it has to read before the hello that it will answer.
        patience = _GREETING_SECONDS * max(1.0, self.patience)
        for attempt in itertools.count():
            transport.write(self._filler(attempt, transport) + encode_frame(self.contract, hello), deadline)
            reply = self._await(transport, hello.id, deadline.within(patience))
            if reply is not None:
                return _session_of(reply)
            if deadline.expired:
                break
        raise DeadlineExpired("greeting the agent: there is a stream, but no agent answers on it")

    def _await(self, transport: Transport, request_id: int, deadline: Deadline) -> Frame | None:
        """The reply to the greeting, None when it does not come; what else comes meanwhile is delivered."""
        found: Frame | None = None
        while found is None:
            try:
                data = transport.read(1 << 16, deadline)
            except DeadlineExpired:
                return None
            if not data:
                raise DeadlineExpired(f"greeting the agent: {transport.alive() or 'the new stream ended at once'}")
            for frame in self._decoder.feed(data):
                if (frame.nonce, frame.id) == (self.nonce, request_id) and frame.op == self._hello:
                    found = frame
                else:
                    self._deliver(frame)
        return found


class _AnotherAgent(HotswapError):
    """What answers is not the agent that was spoken to."""


class _Question(PendingReply):
    """A question about another request; its answer is acted upon by whoever reads it."""

    def __init__(self, connection: ReturningConnection, request: Frame, about: PendingReply) -> None:
        super().__init__(connection, request, f"journal of request {about.request_id}")
        self._returning = connection
        self._about = about

    def deliver(self, reply: Frame | None) -> None:
        """As PendingReply.deliver."""
        if reply is not None and not reply.flags & self._returning.contract["HSAGENT_FLAG_ERROR"]:
            self._returning.settle(self._about, JournalState(PayloadReader(reply.payload, self.what).u32()))


def _session_of(hello: Frame) -> bytes:
    """The session id in the reply to a hello."""
    reader = PayloadReader(hello.payload, "hello")
    for _ in range(4):
        reader.u32()
    reader.data()
    return reader.data()
