"""The verifier's table of what was taken, driven natively: no single endpoint driver gets it into these states."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hotswap.paths import package_data

HERE = Path(__file__).parent
POOL, THREAD, EVENT, HANDLE, REFERENCE = 0x01, 0x02, 0x04, 0x08, 0x10
HANDLES, ALL = EVENT | HANDLE, 0x1F
ROOM = 4096
QUOTA_EXCEEDED = 0xC0000044
V1, V2 = 0, 1


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("table") / "table_feed"
    sample = package_data("driver") / "sample"
    flags = ["-std=c17", "-Wall", "-Wextra", "-Werror", "-g"]
    sources = [HERE / "native" / "table_feed.c", sample / "verifier_table.c"]
    subprocess.run(["clang", *flags, f"-I{HERE / 'native'}", f"-I{sample}", *sources, "-o", program], check=True)
    return program


class Feed:
    """A list of commands for the program, and what it said to them."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._lines: list[str] = []

    def take(self, image: int, kind: int, key: int, size: int = 0) -> None:
        self._lines.append(f"take {image} {kind:x} {key:x} {size}")

    def give(self, image: int, kinds: int, key: int) -> None:
        self._lines.append(f"give {image} {kinds:x} {key:x}")

    def left(self, image: int, kinds: int = ALL) -> None:
        self._lines.append(f"left {image} {kinds:x}")

    def run(self) -> tuple[list[bool], list[list[tuple[int, ...]]], list[int]]:
        """Which takes found room; (kind, key, count, bytes) of each `left`, sorted; the status of each image."""
        done = subprocess.run(
            self._program, input="\n".join(self._lines), capture_output=True, text=True, check=True, timeout=60
        )
        *answers, status = done.stdout.splitlines()
        takes, lefts = [], []
        said = iter(answers)
        for line in self._lines:
            if line.startswith("take"):
                takes.append(next(said) == "1")
            elif line.startswith("left"):
                entries = [item.split(":") for item in next(said).split()]
                lefts.append(sorted((int(a, 16), int(b, 16), int(c), int(d)) for a, b, c, d in entries))
        return takes, lefts, [int(value, 16) for value in status.split()]


@pytest.fixture
def feed(program: Path) -> Feed:
    return Feed(program)


def test_what_was_given_back_is_gone_and_the_rest_is_there(feed: Feed) -> None:
    feed.take(V1, POOL, 0x1000, 16)
    feed.take(V1, POOL, 0x2000, 32)
    feed.take(V1, EVENT, 0x40)
    feed.give(V1, POOL, 0x1000)
    feed.left(V1)
    feed.left(V1)
    assert feed.run()[1] == [[(POOL, 0x2000, 1, 32), (EVENT, 0x40, 1, 0)], []]


def test_a_block_that_one_image_took_and_another_frees_counts_for_the_one_that_took_it(feed: Feed) -> None:
    feed.take(V1, POOL, 0x1000, 16)
    feed.give(V2, POOL, 0x1000)
    feed.left(V1)
    feed.left(V2)
    assert feed.run()[1] == [[], []]


def test_a_reference_that_both_took_is_given_back_by_the_image_that_lets_go(feed: Feed) -> None:
    for image in (V1, V2, V2):
        feed.take(image, REFERENCE, 0x8000)
    feed.give(V2, REFERENCE, 0x8000)
    feed.give(V2, REFERENCE, 0x8000)
    feed.left(V1)
    feed.left(V2)
    assert feed.run()[1] == [[(REFERENCE, 0x8000, 1, 0)], []]


def test_references_of_one_object_are_counted_each(feed: Feed) -> None:
    for _ in range(5):
        feed.take(V1, REFERENCE, 0x8000)
    feed.give(V1, REFERENCE, 0x8000)
    feed.left(V1)
    assert feed.run()[1] == [[(REFERENCE, 0x8000, 4, 0)]]


def test_closing_a_handle_gives_back_an_event_and_nothing_of_another_kind(feed: Feed) -> None:
    feed.take(V1, EVENT, 0x40)
    feed.take(V1, REFERENCE, 0x40)
    feed.give(V1, HANDLES, 0x40)
    feed.left(V1)
    assert feed.run()[1] == [[(REFERENCE, 0x40, 1, 0)]]


@pytest.mark.parametrize(("first", "second"), [(POOL, POOL), (EVENT, HANDLE)])
def test_what_is_taken_again_was_given_back_unseen_and_belongs_to_its_new_owner(
    feed: Feed, first: int, second: int
) -> None:
    feed.take(V1, first, 0x1000, 16)
    feed.take(V2, second, 0x1000, 48)
    feed.left(V1)
    feed.left(V2)
    assert feed.run()[1] == [[], [(second, 0x1000, 1, 48)]]


def test_giving_back_what_was_not_taken_changes_nothing(feed: Feed) -> None:
    feed.take(V1, POOL, 0x1000, 16)
    feed.give(V1, POOL, 0x2000)
    feed.give(V1, REFERENCE, 0x1000)
    feed.left(V1)
    assert feed.run()[1] == [[(POOL, 0x1000, 1, 16)]]


def test_a_failed_allocation_is_nothing_taken(feed: Feed) -> None:
    feed.take(V1, POOL, 0, 16)
    feed.left(V1)
    takes, left, _ = feed.run()
    assert (takes, left) == ([True], [[]])


def test_a_take_that_finds_no_room_marks_its_image_and_room_comes_back(feed: Feed) -> None:
    for number in range(ROOM + 2):
        feed.take(V2 if number >= ROOM else V1, POOL, 0x10000 + 16 * number, 16)
    feed.left(V1)
    for number in range(ROOM):
        feed.take(V1, POOL, 0x10000 + 16 * number, 16)
    feed.left(V1)
    takes, left, status = feed.run()
    assert takes == [True] * ROOM + [False] * 2 + [True] * ROOM
    assert [len(entries) for entries in left] == [ROOM, ROOM]
    assert status[:2] == [0, QUOTA_EXCEEDED]


def test_room_comes_back_with_everything_that_is_given_back(feed: Feed) -> None:
    for number in range(2 * ROOM):
        feed.take(V1, POOL, 0x10000 + 16 * number, 16)
        feed.give(V2 if number % 2 else V1, POOL, 0x10000 + 16 * number)
    feed.left(V1)
    assert feed.run() == ([True] * (2 * ROOM), [[]], [0] * 8)


def test_taking_out_one_kind_leaves_the_others(feed: Feed) -> None:
    feed.take(V1, THREAD, 0x7000)
    feed.take(V1, HANDLE, 0x44)
    feed.left(V1, THREAD)
    feed.left(V1)
    assert feed.run()[1] == [[(THREAD, 0x7000, 1, 0)], [(HANDLE, 0x44, 1, 0)]]
