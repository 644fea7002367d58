"""The agent as a child process: its standard input and output are the stream."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import threading
from collections import deque
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, UsageError
from hotswap.transport.base import FILE_CHUNK_BYTES

_PIPE_BYTES = 1 << 20
_STDERR_LINES = 20
_STDERR_LINE_BYTES = 4096
# An agent that ends in an orderly way finishes its trace first; that has limits of 5 s each in the agent.
_GRACE_SECONDS = 12.0


class PipeTransport:
    """Owns the process: `close` ends its input, waits for it, and kills it when it does not go.

    The process must have been started with pipes for stdin and stdout, and unbuffered (`bufsize=0`); stderr, when it
    is a pipe, is read along. Its last lines are told when the agent dies.
    """

    chunk_bytes = FILE_CHUNK_BYTES

    def __init__(self, process: subprocess.Popen[bytes], errors: Path | None = None) -> None:
        """`errors`: the file that stderr goes to, when it is no pipe."""
        if process.stdin is None or process.stdout is None:
            raise UsageError("a pipe transport needs a process with pipes for stdin and stdout")
        self.process = process
        self._errors = errors
        self._stdin = process.stdin.fileno()
        self._stdout = process.stdout.fileno()
        self._stderr = process.stderr.fileno() if process.stderr else None
        self._pidfd = os.pidfd_open(process.pid)
        self._wake_read, self._wake_write = os.pipe()
        self._stop_read, self._stop_write = os.pipe()
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._stopped = False
        self._closing = threading.Lock()
        self._closed = False
        self._cut: str | None = None
        self._words: deque[str] = deque(maxlen=_STDERR_LINES)
        self._word = b""
        os.set_blocking(self._stdin, False)
        for end in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):  # only speed is at stake: the user's pipe quota may be used up
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._poll = select.poll()
        for source in (self._stdout, self._pidfd, self._wake_read, self._stderr):
            if source is not None:
                self._poll.register(source, select.POLLIN)
        self._poll_in = select.poll()
        self._poll_in.register(self._stdin, select.POLLOUT)
        self._poll_in.register(self._pidfd, select.POLLIN)
        self._poll_in.register(self._stop_read, select.POLLIN)

    def read(self, size: int, deadline: Deadline) -> bytes:
        """As Transport.read."""
        with self._reading:
            while not self._closed:
                ready = dict(self._poll.poll(deadline.remaining * 1000))
                if self._stderr in ready:
                    self._listen()
                if self._stdout in ready:
                    return os.read(self._stdout, size)
                if self._pidfd in ready or self._wake_read in ready:
                    return b""
                if not ready and deadline.expired:
                    raise DeadlineExpired("reading from the agent: nothing came")
            return b""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """As Transport.write."""
        with self._writing:
            self._write(data, deadline)

    def _write(self, data: bytes, deadline: Deadline) -> None:
        if self._cut is not None:
            raise BrokenPipeError(self._cut)
        rest = memoryview(data)
        while rest:
            if self._stopped:
                raise BrokenPipeError("the stream was closed")
            try:
                rest = rest[os.write(self._stdin, rest) :]
                continue
            except BlockingIOError:
                pass
            ready = dict(self._poll_in.poll(deadline.remaining * 1000))
            if self._pidfd in ready:
                raise BrokenPipeError("the agent has ended")
            if not ready and deadline.expired:
                if len(rest) != len(data):
                    self._cut = f"a write was given up after {len(data) - len(rest)} of {len(data)} bytes"
                raise DeadlineExpired("writing to the agent: it takes no more data")

    def close(self) -> None:
        """As Transport.close; waits for the agent, which first finishes a trace that runs."""
        with self._closing:
            if self._closed:
                return
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self._stopped = True
            os.write(self._stop_write, b"!")
            with self._writing:
                self.process.stdin.close()
            try:
                self.process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            os.write(self._wake_write, b"!")
            with self._reading:
                self._closed = True
                if self._stderr is not None:
                    self._listen()
                self.process.stdout.close()
                if self.process.stderr is not None:
                    self.process.stderr.close()
                for end in (self._pidfd, self._wake_read, self._wake_write, self._stop_read, self._stop_write):
                    os.close(end)

    def alive(self) -> str | None:
        """None while the process runs, else how it ended and its last lines on stderr."""
        code = self.process.poll()
        if code is None:
            return None
        how = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        if not self._closed and self._stderr is not None and self._reading.acquire(blocking=False):
            try:
                self._listen()
            finally:
                self._reading.release()
        words = [*self._words, self._word.decode(errors="replace")] if self._word else list(self._words)
        if self._errors is not None:
            words += _last_lines(self._errors)
        said = "; its last words: " + " | ".join(words) if words else "; it said nothing on stderr"
        return f"the agent's process {self.process.pid} has ended, {how}{said}"

    def _listen(self) -> None:
        """Take what stderr has now, without waiting for more."""
        assert self._stderr is not None
        while select.select([self._stderr], [], [], 0)[0]:
            said = os.read(self._stderr, 65536)
            if not said:
                self._poll_forget(self._stderr)
                return
            *lines, self._word = (self._word + said).split(b"\n")
            self._word = self._word[-_STDERR_LINE_BYTES:]
            self._words.extend(line.decode(errors="replace").strip() for line in lines)

    def _poll_forget(self, source: int) -> None:
        with contextlib.suppress(KeyError):
            self._poll.unregister(source)
        self._stderr = None


def _last_lines(path: Path) -> list[str]:
    """The end of a log; nothing when it cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - _STDERR_LINE_BYTES))
        lines = log.read().decode(errors="replace").splitlines()
        return [line.strip() for line in lines[-_STDERR_LINES:]]
    return []
