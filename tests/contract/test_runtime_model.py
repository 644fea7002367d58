"""The compat runtime's rundown, driven natively by threads and interrupts: orders that no guest can be made to have.

`driver/proxy` itself is compiled for this machine (native/platform.h stands for the kernel), with the fast path of
wrapper.asm written out in C. What must hold: no call is inside while all are stalled (R19), a call never runs in an
image that a swap has put out of force (R17), a nested call stays in the version of the call around it and never waits
(R29), an interrupt or DPC on top of any step of its thread neither slips through nor hangs (R31), the first held call
is told once for a stall, and a call that comes late for an extension that has gone reaches nobody (R4).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hotswap.paths import package_data

HERE = Path(__file__).parent / "native"
PROXY = ("rundown", "stall", "wrapper", "tell", "lookup", "swap", "register", "extension", "memory")
KERNEL = ("atomics.h", "kernel.c", "platform.h")
HEADERS = ("proxy/rundown.h", "proxy/proxy.h", "proxy/image_endpoints.h")
CONTRACTS = ("include/driverproxy.h", "include/driverproxy_compat.h", "include/endpoint.h")
FLAGS = ("-std=gnu17", "-Wall", "-Wextra", "-Werror", "-Wno-multichar", "-DHS_BUILDING_DRIVERPROXY")
HANG_SECONDS = 120


def build(
    folder: Path,
    *flags: str,
    main: str = "stress",
    more: Sequence[str] = (),
    library: str = "-lpthread",
    edit: tuple[str, str, str] | None = None,
    base: Path | None = None,
) -> Path:
    """The program, made from a copy of the sources in `folder`; `edit`: (file, old text, new text).

    `base` is the folder of a program made the same way but for the edit: only what is edited is compiled again.
    """
    driver = package_data("driver")
    parts = (*PROXY, *more)
    sources = [*(driver / name for name in (*HEADERS, *CONTRACTS)), *(driver / "proxy" / f"{name}.c" for name in parts)]
    for source in (*sources, *(HERE / name for name in (*KERNEL, f"{main}.c"))):
        text = source.read_text()
        if edit is not None and source.name == edit[0]:
            assert text.count(edit[1]) == 1, f"the defect does not fit {source.name} any more"
            text = text.replace(edit[1], edit[2])
        (folder / source.name).write_text(text)
    program = folder / main
    files = [path.name for path in sorted(folder.glob("*.c"))]
    if base is not None and edit is not None:
        for made in base.glob("*.o"):
            shutil.copy(made, folder)
        files = [edit[0]]
    subprocess.run(["clang", *FLAGS, *flags, "-c", *files], cwd=folder, check=True)
    objects = [path.name for path in sorted(folder.glob("*.o"))]
    subprocess.run(["clang", *objects, library, "-lpthread", "-o", program], cwd=folder, check=True)
    return program


def stress(
    program: Path,
    keys: str,
    *,
    interrupts: bool = False,
    recreate: bool = False,
    seconds: float = 1.0,
    drain_ms: int = 60_000,
) -> tuple[dict[str, int], str]:
    """The program's counts and all that it wrote."""
    arguments = [str(seconds), keys, str(int(interrupts)), str(int(recreate)), str(drain_ms)]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=HANG_SECONDS)
    said = f"{done.stdout}{done.stderr}(exit {done.returncode})"
    counts = {name: int(value) for name, _, value in (line.partition("=") for line in done.stdout.split()) if value}
    return counts, said


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("model"), "-O2")


def watching() -> tuple[Sequence[str], str]:
    """Flags and library of ThreadSanitizer, which says when two accesses are ordered by luck only."""
    # Debian's clang is without its own of that library, and comes with gcc's, which has the same interface.
    asked = subprocess.run(["clang", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True)
    library = asked.stdout.strip() if Path(asked.stdout.strip()).is_absolute() else "-fsanitize=thread"
    return ("-O1", "-g", "-fsanitize=thread"), library


@pytest.fixture(scope="module")
def watched_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags, library = watching()
    return build(tmp_path_factory.mktemp("watched"), *flags, library=library)


@pytest.mark.parametrize("recreate", [False, True], ids=["one-extension", "made-anew"])
@pytest.mark.parametrize("interrupts", [False, True], ids=["threads", "interrupts"])
@pytest.mark.parametrize("keys", ["spread", "one"], ids=["slots-at-home", "slots-displaced"])
def test_no_order_of_calls_swaps_and_deletes_lets_one_through(
    program: Path, keys: str, interrupts: bool, recreate: bool
) -> None:
    counts, said = stress(
        program, keys, interrupts=interrupts, recreate=recreate, drain_ms=60_000 if keys == "spread" else 200
    )
    assert counts.get("violations") == 0, said
    assert min(counts["calls"], counts["nested"], counts["held"]) > 0, said
    assert (counts["interrupts"] > 0) == interrupts, said
    assert (counts["deleted"] > 0) == recreate, said
    # Only a call nested in one that found no slot (more threads inside than its window has) may make a drain time out.
    assert counts["timed_out"] == 0 or keys == "one", said


@pytest.mark.parametrize(
    ("keys", "interrupts", "recreate"),
    [("spread", False, False), ("spread", True, False), ("one", False, False), ("spread", False, True)],
    ids=["threads", "interrupts", "slots-displaced", "made-anew"],
)
def test_every_access_is_ordered(watched_program: Path, keys: str, interrupts: bool, recreate: bool) -> None:
    drain_ms = 60_000 if keys == "spread" else 200
    counts, said = stress(watched_program, keys, interrupts=interrupts, recreate=recreate, drain_ms=drain_ms)
    assert "ThreadSanitizer" not in said, said
    assert counts.get("violations") == 0, said
    assert counts["calls"] > 0, said


@dataclass(frozen=True, slots=True)
class Defect:
    """A text of the sources, what it becomes, the load that shows it, and what is said then."""

    file: str
    old: str
    new: str
    says: str
    keys: str = "spread"
    interrupts: bool = False
    recreate: bool = False


STALL_SEEN = (
    "return (DpRead64(&Rundown->State) & DP_STALLED) != 0 && DpRead64(&Rundown->Staller) != Key && !DpStopsAll();"
)
BROKEN = "violation: "
HUNG = "timed_out"
CRASH = "(exit -11)"
NESTED = "if (slot != NULL && (DpRead64(&slot->Word) & DP_INSIDE) != 0) {"
LOOK_AT_STATE = (
    "    if (DpRead64(&rundown->State) != 0) {\n        DpWrite64(&slot->Word, 0);\n        return FALSE;\n    }\n"
)
LOOK_WHETHER_GONE = (
    "    if (DpReadPointer(&Call->Wrapper->Rundown) != rundown) {\n"
    "        DpWrite64(&slot->Word, 0);\n        return FALSE;\n    }\n"
)
MARK_INSIDE = "    DpWrite64(&slot->Word, key | DP_INSIDE);\n"
DEFECTS = {
    "a call lets itself in": Defect(
        "rundown.c",
        STALL_SEEN,
        "(void)Rundown, (void)Key, (void)DpStopsAll;\n    return FALSE;",
        BROKEN,
    ),
    "the fast path looks at State once only": Defect(
        "stress.c",
        LOOK_AT_STATE,
        "",
        BROKEN,
    ),
    "the fast path looks whether the extension has gone too early": Defect(
        "stress.c",
        MARK_INSIDE + LOOK_WHETHER_GONE,
        LOOK_WHETHER_GONE + MARK_INSIDE,
        CRASH,
        interrupts=True,
        recreate=True,
    ),
    "the drain waits for nobody": Defect(
        "stall.c",
        "return word != 0 && (word & DP_PARKED) == 0;",
        "return word < 0;",
        BROKEN,
    ),
    "the drain forgets the overflow": Defect(
        "stall.c",
        "while (DpRead64(&Rundown->Overflow) != 0) {",
        "while (Rundown == NULL) {",
        BROKEN,
        keys="one",
    ),
    "a call keeps its slot while it is held": Defect(
        "rundown.c",
        "        DpSlotGive(Rundown, slot);\n        DpCountHeld(Rundown, &held);",
        "        DpCountHeld(Rundown, &held);",
        HUNG,
    ),
    "a nested call passes for an interrupt": Defect(
        "rundown.c",
        NESTED,
        "if (slot != NULL && key == 1) {",
        BROKEN,
    ),
    "a displaced thread does not find its slot": Defect(
        "rundown.c",
        "for (i = 1; DpRead32(&home->Displaced) != 0 && i",
        "for (i = 99; i",
        HUNG,
        keys="one",
    ),
    "an interrupt of an entry passes for nested": Defect(
        "rundown.c",
        NESTED,
        "if (slot != NULL) {",
        BROKEN,
        interrupts=True,
    ),
    "an interrupt of an entry does not park it": Defect(
        "rundown.c",
        "            DpWrite64(&slot->Word, key | DP_PARKED);\n",
        "",
        HUNG,
        interrupts=True,
    ),
    "the switch is torn": Defect(
        "swap.c",
        "        DpWritePointer(&change->Wrapper->Function, change->NewFunction);\n",
        "        change->Wrapper->Function = i == 0 ? change->NewFunction : change->Wrapper->Function;",
        BROKEN,
    ),
    "an interrupt of the thread that swaps comes between the pointers": Defect(
        "kernel.c",
        "    ModelIrql = HIGH_LEVEL;\n",
        "",
        "torn switch",
        interrupts=True,
    ),
    "the release does not wait for who is being told": Defect(
        "stall.c",
        "while (state >= DP_ONE_HELD && ",
        "while (state < 0 && ",
        BROKEN,
    ),
    "each held call tells that it is the first": Defect(
        "rundown.c",
        "if (state < DP_ONE_HELD) {",
        "if (state != 0) {",
        BROKEN,
    ),
    "a late call does not look whether its extension has gone": Defect(
        "wrapper.c",
        "if (DpReadPointer(&wrapper->Rundown) == rundown) {",
        "if (rundown != NULL) {",
        CRASH,
        recreate=True,
    ),
    "an extension is deleted under a call": Defect(
        "extension.c",
        "    if (status != STATUS_SUCCESS || ",
        "    if (status < 0 || ",
        CRASH,
        recreate=True,
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("base"), "-O1").parent


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_of_it_is_seen(tmp_path: Path, base: Path, name: str) -> None:
    defect = DEFECTS[name]
    program = build(tmp_path, "-O1", edit=(defect.file, defect.old, defect.new), base=base)
    hangs = defect.says == HUNG
    load = {"interrupts": defect.interrupts, "recreate": defect.recreate}
    # It ends at the first violation; a time-out is counted only, and is the rule in one that hangs.
    seconds, drain_ms = (1.5, 200) if hangs else (20, 60_000)
    counts, said = stress(program, defect.keys, **load, seconds=seconds, drain_ms=drain_ms)
    assert counts.get("timed_out") if hangs else defect.says in said, said
