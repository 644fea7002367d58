"""Strategies for raw events of any kind of header, and for buffers of them, mostly right."""

from __future__ import annotations

from uuid import UUID

from hypothesis import strategies as st

from support.raw_events import classic, event, instance, item, message, perfinfo, system, unknown

GUIDS = st.sampled_from(
    [
        UUID("22fb2cd6-0e7b-422b-a0c7-2fad1fd0e716"),
        UUID("3d6fa8d0-fe05-11d0-9dda-00c04fd7ba7c"),
        UUID("bbccf6c1-6cd1-48c4-80ff-839482e37671"),
    ]
)
TICKS = st.one_of(st.integers(0, 100), st.integers(-(2**63), 2**63 - 1))
PAYLOADS = st.binary(max_size=20)
BITS = st.sampled_from([32, 64])
ITEMS = st.lists(st.tuples(st.sampled_from([1, 6, 11, 11, 12, 12, 99]), st.binary(max_size=20)), max_size=3).map(
    lambda some: b"".join(item(kind, data, last=at == len(some) - 1) for at, (kind, data) in enumerate(some))
)


def any_events() -> st.SearchStrategy[bytes]:
    """One event, whole as far as its size goes."""
    return st.one_of(
        st.builds(event, TICKS, GUIDS, st.sampled_from([0, 3, 0xFFFE]), PAYLOADS, bits=BITS, items=ITEMS,
                  opcode=st.sampled_from([0, 0xFE])),
        st.builds(classic, TICKS, GUIDS, st.integers(0, 3), PAYLOADS, bits=BITS),
        st.builds(instance, TICKS, GUIDS, st.integers(0, 3), PAYLOADS, bits=BITS),
        st.builds(system, TICKS, st.integers(0, 3), PAYLOADS, bits=BITS, compact=st.booleans(),
                  version=st.sampled_from([2, 0x8302, 0xFFFF])),
        st.builds(perfinfo, TICKS, st.integers(0, 3), PAYLOADS, bits=BITS, version=st.sampled_from([2, 0x8102])),
        st.builds(message, st.integers(0, 2), st.integers(0, 255), st.binary(max_size=40), PAYLOADS),
        st.builds(unknown, st.sampled_from([0x05, 0x0D, 0x0F, 0x77]), PAYLOADS),
    )  # fmt: skip


def streams() -> st.SearchStrategy[bytes]:
    """The events of a buffer, now and then with the end mark and something behind it."""
    padded = any_events().map(lambda each: each + bytes(-len(each) % 8))
    tails = st.sampled_from([b"", b"", b"\xff" * 16, b"\xff" * 16 + bytes(24), b"\0" * 4, b"\x13\xc0" * 6])
    return st.builds(lambda events, tail: b"".join(events) + tail, st.lists(padded, max_size=8), tails)
