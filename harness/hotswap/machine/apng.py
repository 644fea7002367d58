"""A moving picture out of still ones: PNG files of one size become one APNG, which every browser plays.

https://www.w3.org/TR/png-3/ (acTL, fcTL, fdAT). The pixels are not touched: frames keep their compressed bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_MS = 65_535


def animate(frames: Sequence[tuple[int, bytes]]) -> bytes:
    """Frames are (milliseconds, PNG). Played once.

    ValueError: there is none, one is no PNG file, or they are not all of one size and kind of pixel.
    """
    if not frames:
        raise ValueError("there is no picture")
    parsed = [(milliseconds, list(_chunks(picture))) for milliseconds, picture in frames]
    header = _one(parsed[0][1], b"IHDR")
    width, height = struct.unpack_from(">II", header)
    out = [_SIGNATURE, _chunk(b"IHDR", header)]
    out += [_chunk(kind, data) for kind, data in parsed[0][1] if kind in (b"PLTE", b"tRNS")]
    out.append(_chunk(b"acTL", struct.pack(">II", len(parsed), 1)))
    sequence = 0
    for number, (milliseconds, chunks) in enumerate(parsed):
        if _one(chunks, b"IHDR") != header:
            raise ValueError(f"picture {number} is not of the size and kind of the first")
        delay = max(1, min(milliseconds, _MOST_MS))
        out.append(_chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, width, height, 0, 0, delay, 1000, 0, 0)))
        sequence += 1
        for kind, data in chunks:
            if kind == b"IDAT" and number == 0:
                out.append(_chunk(b"IDAT", data))
            elif kind == b"IDAT":
                out.append(_chunk(b"fdAT", struct.pack(">I", sequence) + data))
                sequence += 1
    out.append(_chunk(b"IEND", b""))
    return b"".join(out)


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not picture.startswith(_SIGNATURE):
        raise ValueError("it is no PNG file")
    at, kind = len(_SIGNATURE), b""
    while at + 12 <= len(picture):
        size, kind = struct.unpack_from(">I4s", picture, at)
        data = picture[at + 8 : at + 8 + size]
        if len(data) != size or picture[at + 8 + size : at + 12 + size] != _check(kind, data):
            raise ValueError("the PNG file is cut or damaged")
        yield kind, data
        at += 12 + size
    if kind != b"IEND":
        raise ValueError("the PNG file is cut or damaged")


def _one(chunks: Sequence[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    found = [data for kind, data in chunks if kind == wanted]
    if len(found) != 1:
        raise ValueError(f"the PNG file has {len(found)} chunks {wanted.decode()}")
    return found[0]


def _check(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(kind + data))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + _check(kind, data)
