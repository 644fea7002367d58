"""The compat runtime under callers whose memory changes while it looks at it, and lookups while extensions go.

As in test_runtime_model.py, `driver/proxy` itself is compiled for this machine. Drivers are trusted, but what the
runtime has checked is what it must use: an EventCount that grows between the check and the copy is a pool overrun.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.test_runtime_model import HANG_SECONDS, build, watching

MORE = ("worker", "owner")


def run(program: Path, what: str, times: int) -> tuple[Mapping[str, int], str]:
    done = subprocess.run([program, what, str(times)], capture_output=True, text=True, timeout=HANG_SECONDS)
    said = f"{done.stdout}{done.stderr}(exit {done.returncode})"
    counts = {name: int(value) for name, _, value in (line.partition("=") for line in done.stdout.split()) if value}
    return counts, said


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("hostile"), "-O2", main="hostile", more=MORE)


@pytest.fixture(scope="module")
def watched_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags, library = watching()
    return build(tmp_path_factory.mktemp("lookups"), *flags, main="hostile", more=MORE, library=library)


@pytest.mark.parametrize("what", ["arrays", "starts"])
def test_what_is_used_is_what_was_checked(program: Path, what: str) -> None:
    counts, said = run(program, what, 4_000)
    assert counts.get("violations") == 0, said
    assert min(counts["accepted"], counts["changed"]) > 200, said


def test_a_call_that_stops_all_threads_is_not_held(program: Path) -> None:
    counts, said = run(program, "one-processor", 500)
    assert (counts.get("violations"), counts.get("accepted")) == (0, 500), said


def test_no_lookup_touches_an_extension_that_has_gone_or_takes_its_owner_over_again(watched_program: Path) -> None:
    counts, said = run(watched_program, "lookups", 2000)
    assert "ThreadSanitizer" not in said, said
    assert counts.get("violations") == 0, said
    assert (counts["accepted"], counts["found"] > 20) == (2000, True), said


@dataclass(frozen=True, slots=True)
class Defect:
    """A text of the sources, what it becomes, the load that shows it, and what is said then."""

    file: str
    old: str
    new: str
    what: str
    says: str = "violation: "
    watched: bool = False


DEFECTS = {
    "the array is read again after the check": Defect(
        "register.c",
        "        ULONG parameters = change->ParameterCount;\n",
        "        ULONG parameters = ((DRIVER_PROXY_ENDPOINT_INFORMATION *)Swap->Context)[i].ParameterCount;\n",
        "arrays",
    ),
    "the count is read again for the copy": Defect(
        "worker.c",
        "    worker->Start.EventCount = count;\n",
        "",
        "starts",
    ),
    "the copy is not checked": Defect(
        "worker.c",
        "    status = DpCheckStart(Extension, &worker->Start, count);\n",
        "",
        "starts",
    ),
    "a call is held that stops the thread it waits for": Defect(
        "rundown.c",
        " && !DpStopsAll();",
        " && Key != DpStopsAll();",
        "one-processor",
        says="waits for one of them",
    ),
    "an extension goes without waiting for lookups": Defect(
        "extension.c",
        "while (DpRead32(&entry->Readers) != 0) {",
        "while (DpRead32(&entry->Readers) < 0) {",
        "lookups",
        says="ThreadSanitizer",
        watched=True,
    ),
    "the owner is forgotten before lookups end": Defect(
        "extension.c",
        "    DpExtensionHide(Extension); /* first: a lookup takes the owner's DriverUnload over */\n"
        "    DpOwnerForget(Extension);\n",
        "    DpOwnerForget(Extension);\n    DpExtensionHide(Extension);\n",
        "lookups",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_of_it_is_seen(tmp_path: Path, program: Path, watched_program: Path, name: str) -> None:
    defect = DEFECTS[name]
    flags, library = watching() if defect.watched else (("-O2",), "-lpthread")
    base = (watched_program if defect.watched else program).parent
    edit = (defect.file, defect.old, defect.new)
    program = build(tmp_path, *flags, main="hostile", more=MORE, library=library, edit=edit, base=base)
    _, said = run(program, defect.what, 1_000_000)
    assert defect.says in said, said
