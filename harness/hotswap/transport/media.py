"""Bulk files on a disc: an ISO image that a machine attaches, found again in the guest and checked there by hash."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from hotswap.deadline import Deadline
from hotswap.errors import LabFault, UsageError
from hotswap.transport.agent import Agent, AgentError

LABEL = "hotswap-media.json"
"""A file in the disc's root that names the disc and lists what is on it."""
_DRIVES = "DEFGHIJKLMNOPQRSTUVWXYZ"
# What Joliet has room for; UDF takes longer names, but not every guest reads that.
_NAME_LIMIT = 64
_FORBIDDEN = frozenset('*/:;?\\"<>|')


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file of a disc: its path in it (with `/`), size in bytes, SHA-256 (hex)."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Media:
    """An image and what is on it; `label_sha256` is the hash of LABEL, which no other disc has."""

    image: Path
    volume: str
    files: tuple[MediaFile, ...]
    label_sha256: str


def build_media(image: Path, files: Mapping[str, Path | bytes], *, volume: str = "HOTSWAP") -> Media:
    """Write an ISO image with these files (path in it: content). It appears when it is whole.

    Names are kept in Joliet and in UDF; plain ISO 9660 has numbers in their place. UsageError for names that do not
    fit, LabFault when the image cannot be written.
    """
    for name in files:
        _check_name(name)
    if LABEL in files:
        raise UsageError(f"{LABEL} is the disc's own file")
    listed = tuple(_describe(name, content) for name, content in sorted(files.items()))
    label = json.dumps(
        {"id": secrets.token_hex(16), "files": {one.name: {"size": one.size, "sha256": one.sha256} for one in listed}},
        indent=1,
    ).encode()
    partial = image.with_name(f".{image.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write(partial, {**dict(sorted(files.items())), LABEL: label}, volume)
        partial.replace(image)
    except (PyCdlibException, OSError) as error:
        raise LabFault(f"writing the disc image {image}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return Media(image, volume, listed, hashlib.sha256(label).hexdigest())


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or str(path) != name or ".." in path.parts:
        raise UsageError(f"a file on a disc needs a plain relative path with '/', not {name!r}")
    for part in path.parts:
        if len(part) > _NAME_LIMIT or any(letter in _FORBIDDEN or letter < " " for letter in part):
            raise UsageError(
                f"{part!r} is no name for a file on a disc: {_NAME_LIMIT} characters at most, and none of "
                f"{' '.join(sorted(_FORBIDDEN))}"
            )


def _describe(name: str, content: Path | bytes) -> MediaFile:
    if isinstance(content, bytes):
        return MediaFile(name, len(content), hashlib.sha256(content).hexdigest())
    try:
        with content.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return MediaFile(name, content.stat().st_size, digest)
    except OSError as error:
        raise LabFault(f"reading {content} for a disc: {error.strerror}") from error


def _write(image: Path, files: Mapping[str, Path | bytes], volume: str) -> None:
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, udf="2.60", vol_ident=volume)
    try:
        plain = _add_folders(iso, files)
        for number, (name, content) in enumerate(files.items()):
            parent = plain[str(PurePosixPath(name).parent)]
            called, path = f"{parent}/F{number:07}.;1", f"/{name}"
            if isinstance(content, bytes):
                iso.add_fp(io.BytesIO(content), len(content), called, joliet_path=path, udf_path=path)
            else:
                iso.add_file(str(content), called, joliet_path=path, udf_path=path)
        iso.write(str(image))
    finally:
        iso.close()


def _add_folders(iso: pycdlib.PyCdlib, names: Iterable[str]) -> dict[str, str]:
    """Make the folders of these files; returns how plain ISO 9660 calls each."""
    plain = {".": ""}
    for name in names:
        for folder in reversed(PurePosixPath(name).parents[:-1]):
            if str(folder) not in plain:
                called = f"{plain[str(folder.parent)]}/D{len(plain):07}"
                iso.add_directory(called, joliet_path=f"/{folder}", udf_path=f"/{folder}")
                plain[str(folder)] = called
    return plain


def find_media(agent: Agent, media: Media, *, deadline: Deadline) -> str:
    """The guest's drive with this disc in it, such as `D:`. LabFault when there is none."""
    seen: list[str] = []
    for letter in _DRIVES:
        try:
            found = agent.file_hash(f"{letter}:\\{LABEL}", deadline=deadline)
        except AgentError:
            continue
        if found == media.label_sha256:
            return f"{letter}:"
        seen.append(f"{letter}: has another one")
    raise LabFault(f"the disc {media.image.name} is in no drive of the guest ({', '.join(seen) or 'no disc at all'})")


def check_media(agent: Agent, media: Media, *, deadline: Deadline) -> dict[str, str]:
    """Hash every file of the disc in the guest. Returns the guest's paths; LabFault when one is not as written."""
    drive = find_media(agent, media, deadline=deadline)
    paths = {one.name: f"{drive}\\{one.name.replace('/', chr(92))}" for one in media.files}
    for one in media.files:
        found = agent.file_hash(paths[one.name], deadline=deadline)
        if found != one.sha256:
            raise LabFault(f"{paths[one.name]} has SHA-256 {found} in the guest, {one.sha256} was written on the disc")
    return paths
