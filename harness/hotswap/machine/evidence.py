"""A folder of evidence and its manifest: each file with its hash, source and time, and why another is not there.

Evidence is collected when things are broken already: each source is tried on its own, none may take the time of all,
and nothing here raises.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hotswap.deadline import Deadline
from hotswap.machine.lease import new_id

MANIFEST = "evidence.json"
SCHEMA = 1


@dataclass(slots=True)
class Piece:
    """One piece of evidence: a file by its name in the folder, with SHA-256 (hex) and size in bytes, or a problem.

    `source` says where it is from, `taken` when (UTC). None for hash and size: there is no file, `problem` says why.
    A file with a problem is there in part, or needs that said about it.
    """

    name: str
    source: str
    taken: str
    sha256: str | None = None
    size: int | None = None
    problem: str | None = None


class Skip(Exception):
    """Raised inside a step: this piece is left out, and why."""


class Evidence:
    """Collects into a folder within a deadline. `finish` writes the manifest and returns the files."""

    def __init__(self, folder: Path, deadline: Deadline) -> None:
        self.folder = folder
        self.deadline = deadline
        self.pieces: list[Piece] = []
        self.usable = True
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            self.usable = False

    def limit(self, seconds: float, share: float = 0.5) -> Deadline:
        """For one source: so many seconds at most, and no more than a share of what is left for all."""
        return self.deadline.within(min(seconds, self.deadline.remaining * share))

    @contextmanager
    def step(self, name: str, source: str) -> Iterator[Path]:
        """Give a path to write this piece to. What goes wrong inside is the piece's problem, and goes no further.

        The file appears when it is whole. A step that writes none has left it out.
        """
        piece = Piece(name, source, datetime.now(UTC).isoformat())
        self.pieces.append(piece)
        path = self.folder / name
        partial = path.with_name(f".{path.name}.{new_id()}")
        there = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            if not partial.exists():
                raise Skip("there is nothing")
            partial.replace(path)
            there = True
        except Skip as why:
            piece.problem = str(why)
        except Exception as error:
            piece.problem = f"{type(error).__name__}: {error}"
        finally:
            _unlink(partial)
        if there:
            self._measure(piece, path)

    def missing(self, name: str, source: str, why: str) -> None:
        """Say that a piece could not be had."""
        self.pieces.append(Piece(name, source, datetime.now(UTC).isoformat(), problem=why))

    def note(self, problem: str) -> None:
        """Add to the last piece what has to be known about it."""
        self.pieces[-1].problem = problem

    def adopt(self, path: Path, source: str) -> None:
        """A file that lies in the folder already."""
        piece = Piece(path.relative_to(self.folder).as_posix(), source, datetime.now(UTC).isoformat())
        self.pieces.append(piece)
        self._measure(piece, path)

    def _measure(self, piece: Piece, path: Path) -> None:
        try:
            with path.open("rb") as content:
                piece.sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            piece.size = path.stat().st_size
        except OSError as error:
            piece.problem = f"reading it back: {error.strerror}"

    def finish(self, **facts: object) -> list[Path]:
        """Write the manifest, after what an earlier collection into this folder wrote; returns this one's files."""
        files = [self.folder / piece.name for piece in self.pieces if piece.sha256 is not None]
        if not self.usable:
            return files
        mine = {piece.name for piece in self.pieces}
        earlier = read_manifest(self.folder) or {"pieces": []}
        kept = [one for one in earlier["pieces"] if isinstance(one, dict) and one.get("name") not in mine]
        pieces = [*kept, *(asdict(piece) for piece in self.pieces)]
        content = {**earlier, "schema": SCHEMA, **facts, "pieces": pieces}
        target = self.folder / MANIFEST
        partial = target.with_name(f".{MANIFEST}.{new_id()}")
        try:
            partial.write_text(json.dumps(content, indent=1, default=str) + "\n")
            partial.replace(target)
            files.append(target)
        except OSError:
            _unlink(partial)
        return files


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder of evidence; None when there is none that can be read."""
    try:
        content = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("pieces"), list) else None


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
