"""The evidence of a run, as its report lists it: what there is, where it is from, and what could not be had and why."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hotswap.machine.evidence import MANIFEST, read_manifest
from hotswap.machine.qemu_screen import ANIMATION, SCREENS

FOLDER = "evidence"
_PICTURE_BYTES = 512 << 10
"""A larger picture is only linked: the report is one file that is sent around."""


@dataclass(frozen=True, slots=True)
class PieceView:
    """One file, or one that is missing: then `link` is empty. `size` is a text."""

    name: str
    link: str
    size: str
    source: str
    problem: str


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """`state` and `cause` are the machine's when it was looked at; empty: nobody looked. `screen` is a data URL."""

    state: str
    cause: str
    there: tuple[PieceView, ...]
    missing: tuple[PieceView, ...]
    screen: str
    screen_link: str


def evidence_view(run: Path) -> EvidenceView:
    """Of a run folder, as it is now."""
    folder = run / FOLDER
    manifest = read_manifest(folder) or {"pieces": []}
    pieces = [_piece(item) for item in manifest["pieces"] if isinstance(item, Mapping)]
    listed = {piece.name for piece in pieces} | {MANIFEST}
    pieces = [*_unlisted(folder, listed), *pieces]
    screen, link = _screen(folder, {piece.name for piece in pieces if piece.link})
    return EvidenceView(
        str(manifest.get("state") or ""),
        str(manifest.get("cause") or ""),
        tuple(piece for piece in pieces if piece.link),
        tuple(piece for piece in pieces if not piece.link),
        screen,
        link,
    )


def _piece(item: Mapping[str, Any]) -> PieceView:
    name, size = str(item.get("name")), item.get("size")
    link = _link(name) if isinstance(size, int) else ""
    told = _size(size) if isinstance(size, int) else ""
    return PieceView(name, link, told, str(item.get("source") or ""), str(item.get("problem") or ""))


def _unlisted(folder: Path, listed: set[str]) -> list[PieceView]:
    """Files that no list names: what the harness itself wrote there."""
    found = []
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in listed and not path.name.startswith("."):
                found.append(PieceView(name, _link(name), _size(path.stat().st_size), "the harness", ""))
    except OSError:
        return found
    return found


def _link(name: str) -> str:
    return f"{FOLDER}/{quote(name)}"


def _size(size: int) -> str:
    if size < 1 << 10:
        return f"{size} B"
    return f"{size / (1 << 10):.0f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"


def _screen(folder: Path, there: set[str]) -> tuple[str, str]:
    """The moving picture of the screen, or its last still one."""
    stills = sorted(name for name in there if name.startswith(f"{SCREENS}/") and name[len(SCREENS) + 1 :][:3].isdigit())
    moving = f"{SCREENS}/{ANIMATION}"
    name = moving if moving in there else stills[-1] if stills else ""
    if not name:
        return "", ""
    try:
        content = (folder / name).read_bytes()
    except OSError:
        return "", ""
    if len(content) > _PICTURE_BYTES:
        return "", _link(name)
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}", _link(name)
