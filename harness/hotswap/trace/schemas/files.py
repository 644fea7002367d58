"""Schemas that are given as files: instrumentation manifests and trace message formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import UsageError
from hotswap.trace.framing import Problem
from hotswap.trace.schemas.manifest import Manifest, parse_manifest
from hotswap.trace.schemas.tmf import TraceFormats, parse_tmf
from hotswap.trace.schemas.xml_tree import XmlError

_MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class GivenSchemas:
    """What a user has given beside the trace. Those given first count more."""

    manifests: tuple[Manifest, ...] = ()
    formats: tuple[TraceFormats, ...] = ()
    problems: tuple[Problem, ...] = ()
    """What in them made no sense, with path and line."""


NOTHING_GIVEN = GivenSchemas()


def read_schemas(manifests: Sequence[Path] = (), formats: Sequence[Path] = ()) -> GivenSchemas:
    """Read `.man` and `.tmf` files. Raises UsageError for one that cannot be read or is no such file."""
    problems: list[Problem] = []
    read_manifests, read_formats = list[Manifest](), list[TraceFormats]()
    for path in manifests:
        try:
            manifest = parse_manifest(_bytes(path), str(path))
        except XmlError as error:
            raise UsageError(f"{path}:{error.line}: {error}") from None
        problems += _located(path, manifest.problems)
        read_manifests.append(manifest)
    for path in formats:
        read = parse_tmf(_text(path), str(path))
        if not read.messages:
            raise UsageError(f"{path}:{read.problems[0].line}: {read.problems[0]}")
        problems += _located(path, read.problems)
        read_formats.append(read)
    return GivenSchemas(tuple(read_manifests), tuple(read_formats), tuple(problems))


def _located(path: Path, errors: Sequence[XmlError]) -> list[Problem]:
    return [Problem("bad-manifest", f"{path}:{error.line}: {error}; it is left out", 0) for error in errors]


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is too large for a manifest ({path.stat().st_size} bytes)")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"reading {path}: {error.strerror or error}") from error


def _text(path: Path) -> str:
    data = _bytes(path)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")
