"""Still pictures become a moving one without a change to their pixels, and what cannot be one is refused."""

from __future__ import annotations

import struct
import zlib

import pytest

from hotswap.machine.apng import animate


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(value: int, width: int = 3) -> bytes:
    """RGB, `width` times 2 pixels of one grey."""
    rows = b"".join(b"\0" + bytes([value] * 3 * width) for _ in range(2))
    header = struct.pack(">IIBBBBB", width, 2, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def parts(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + size]
        assert png[at + 8 + size : at + 12 + size] == struct.pack(">I", zlib.crc32(kind + data))
        found.append((kind, data))
        at += 12 + size
    return found


def test_frames_keep_their_bytes_and_have_their_times() -> None:
    found = parts(animate([(40, picture(1)), (1500, picture(2)), (99_000, picture(3))]))
    assert [kind for kind, _ in found] == [
        b"IHDR", b"acTL", b"fcTL", b"IDAT", b"fcTL", b"fdAT", b"fcTL", b"fdAT", b"IEND",
    ]  # fmt: skip
    assert struct.unpack(">II", found[1][1]) == (3, 1)
    controls = [data for kind, data in found if kind == b"fcTL"]
    assert [struct.unpack_from(">I", data)[0] for data in controls] == [0, 1, 3]
    assert [struct.unpack_from(">HH", data, 20) for data in controls] == [(40, 1000), (1500, 1000), (65535, 1000)]
    pixels = [found[3][1], *(data[4:] for kind, data in found if kind == b"fdAT")]
    assert [zlib.decompress(data)[1] for data in pixels] == [1, 2, 3]


@pytest.mark.parametrize(
    ("pictures", "why"),
    [
        ([], "no picture"),
        ([b"GIF89a"], "no PNG"),
        ([picture(1)[:-6]], "cut or damaged"),
        ([picture(1).replace(b"IDAT", b"IDAU")], "cut or damaged"),
        ([picture(1), picture(1, width=4)], "picture 1 is not of the size"),
    ],
)
def test_what_cannot_be_one_is_refused(pictures: list[bytes], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        animate([(100, each) for each in pictures])
