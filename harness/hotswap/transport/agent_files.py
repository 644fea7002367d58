"""Operations of the agent on files of the guest: whole, and checked by SHA-256 at both ends."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.errors import HotswapError
from hotswap.transport.agent_calls import AgentCalls
from hotswap.transport.connection import AgentLost, PendingReply
from hotswap.transport.protocol import AgentProtocolError, PayloadReader, PayloadWriter
from hotswap.transport.replies import FileStat

_ALL_BYTES = (1 << 64) - 1


class FileCalls(AgentCalls):
    """Files. Guest paths are Windows paths."""

    def put(self, source: Path | bytes, guest_path: str, *, deadline: Deadline) -> str:
        """Write a file, with the folders it needs; it appears when it is whole. Returns its SHA-256 (hex).

        The agent checks the hash before it renames the file into place.
        """
        data = source.read_bytes() if isinstance(source, Path) else source
        what = f"put {guest_path}"
        transfer = secrets.randbits(64)
        step = self._file_chunk
        digest = hashlib.sha256(data)
        chunks = (
            PayloadWriter().text(guest_path).u64(transfer, at).data(data[at : at + step]).finish()
            for at in range(0, max(len(data), 1), step)
        )
        try:
            for _ in self._stream("FileWrite", chunks, deadline, what):
                pass
            self._commit(guest_path, transfer, len(data), digest.digest(), deadline, what)
        except AgentLost:
            raise
        except HotswapError as error:
            self._discard(guest_path, transfer, error)
            raise
        return digest.hexdigest()

    def copy(self, guest_source: str, guest_path: str, *, size: int, sha256: str, deadline: Deadline) -> None:
        """Copy a file within the guest, off a disc for example; it appears when it is whole.

        `size` and `sha256` (hex) are what it has to have, or the agent refuses it.
        """
        what = f"copy {guest_source} to {guest_path}"
        transfer = secrets.randbits(64)
        payload = PayloadWriter().text(guest_source).text(guest_path).u64(transfer).finish()
        try:
            self._call("FileCopy", payload, deadline, what, run_async=True).finish()
            self._commit(guest_path, transfer, size, bytes.fromhex(sha256), deadline, what)
        except AgentLost:
            raise
        except HotswapError as error:
            self._discard(guest_path, transfer, error)
            raise

    def _commit(self, guest_path: str, transfer: int, size: int, digest: bytes, deadline: Deadline, what: str) -> None:
        payload = PayloadWriter().text(guest_path).u64(transfer, size).data(digest).finish()
        self._call("FileCommit", payload, deadline, what, run_async=True).finish()
        self.changes.file_made(guest_path)

    def get(self, guest_path: str, *, deadline: Deadline) -> bytes:
        """Read a file, as long as it is now; one that is being written may be. What came is checked by its SHA-256."""
        what = f"get {guest_path}"
        step = self._file_chunk

        def read(at: int) -> bytes:
            return PayloadWriter().text(guest_path).u64(at).u32(step).finish()

        size, first = self._part(self._call("FileRead", read(0), deadline, what))
        # The guest hashes it while the rest is on its way.
        hashed = self._begin_hash(guest_path, size, deadline)
        rest = self._stream("FileRead", (read(at) for at in range(len(first), size, step)), deadline, what)
        data = b"".join((first, *(self._part(reader)[1] for reader in rest)))
        if len(data) < size or self._digest(hashed, deadline) != hashlib.sha256(data[:size]).hexdigest():
            raise AgentProtocolError(f"{what}: what arrived is not what is there, or it changes while it is read")
        return data[:size]

    def read(self, guest_path: str, offset: int, size: int, *, deadline: Deadline) -> tuple[int, bytes]:
        """How large a file is now, and what is there from `offset` on: at most `size` bytes, and one chunk of them.

        For a file that is being written: nothing checks that two reads belong together.
        """
        payload = PayloadWriter().text(guest_path).u64(offset).u32(min(size, self._file_chunk)).finish()
        return self._part(self._call("FileRead", payload, deadline, f"read {guest_path}"))

    def remove(self, guest_path: str, *, deadline: Deadline) -> None:
        """Delete a file, or an empty folder."""
        self._call("FileRemove", PayloadWriter().text(guest_path).finish(), deadline, f"remove {guest_path}").finish()
        self.changes.file_removed(guest_path)

    def file_hash(self, guest_path: str, *, limit: int | None = None, deadline: Deadline) -> str:
        """SHA-256 (hex) of a file, or of its first `limit` bytes."""
        return self._digest(self._begin_hash(guest_path, _ALL_BYTES if limit is None else limit, deadline), deadline)

    def stat(self, guest_path: str, *, deadline: Deadline) -> FileStat:
        """Size, attributes and time of a file or folder."""
        reader = self._call("FileStat", PayloadWriter().text(guest_path).finish(), deadline, f"stat {guest_path}")
        answer = FileStat(reader.u32(), reader.u64(), reader.u64())
        reader.finish()
        return answer

    def _begin_hash(self, guest_path: str, limit: int, deadline: Deadline) -> PendingReply:
        payload = PayloadWriter().text(guest_path).u64(limit).finish()
        code = self.contract["HsAgentOpFileHash"]
        return self.connection.send(code, payload, deadline, what=f"hash {guest_path}", run_async=True)

    def _digest(self, pending: PendingReply, deadline: Deadline) -> str:
        reader = self.open_reply(pending.result(deadline), pending.what)
        reader.u64()
        digest = reader.data()
        reader.finish()
        return digest.hex()

    def _part(self, reader: PayloadReader) -> tuple[int, bytes]:
        """What a FileRead brings: the file's size, and bytes of it."""
        size, part = reader.u64(), reader.data()
        reader.finish()
        return size, part

    @property
    def _file_chunk(self) -> int:
        return min(self.contract["HSAGENT_FILE_CHUNK"], self.connection.transport.chunk_bytes)

    def _discard(self, guest_path: str, transfer: int, cause: HotswapError) -> None:
        """Remove what a failed `put` left; the cause is what the caller hears of."""
        payload = PayloadWriter().text(guest_path).u64(transfer).finish()
        try:
            self._call("FileDiscard", payload, Deadline.after(2.0), f"discard {guest_path}")
        except HotswapError as error:
            cause.add_note(f"what was written so far may be left in the guest: {error}")
