"""Templates of QEMU machines: made once, whole or not at all, and never what somebody has written into."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine import qemu_template
from hotswap.machine.lease import leases
from hotswap.machine.qemu_folder import QemuFolder, templates_home
from hotswap.machine.qemu_template import Template, template_key, template_of

FACTS = {"image": "1", "agent": "2"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache"))


class Boots:
    """Stands in for a boot: fills a folder, counts how often."""

    def __init__(self) -> None:
        self.count = 0
        self.fails: Exception | None = None

    def __call__(self, folder: QemuFolder, deadline: Deadline) -> None:
        self.count += 1
        for name in ("ram", "state", "disk.qcow2", "qmp.sock", "console.log"):
            (folder.path / name).write_text(f"{name} {self.count}")
        if self.fails:
            raise self.fails

    def template(self, facts: dict[str, str] | None = None) -> Template:
        return template_of(facts or FACTS, self, memory_mib=1, progress=lambda _line: None, deadline=Deadline.after(20))


def folders() -> list[str]:
    return sorted(path.name for path in templates_home().iterdir() if path.is_dir())


def test_a_template_is_made_once_and_holds_only_its_parts() -> None:
    boots = Boots()
    made = boots.template()
    assert made.ram.read_text() == "ram 1"
    assert {path.name for path in made.path.iterdir()} == {"ram", "state", "disk.qcow2", "console.log", "template.json"}
    assert boots.template() == made
    assert boots.template({**FACTS, "agent": "3"}).path != made.path
    assert boots.count == 2
    assert [*leases()] == []


@pytest.mark.parametrize("part", ["ram", "state", "disk.qcow2", "template.json"])
def test_what_was_written_into_or_lost_is_made_again(part: str) -> None:
    boots = Boots()
    made = boots.template()
    with (made.path / part).open("ab") as file:
        file.write(b"!")
    assert boots.template().ram.read_text() == "ram 2"
    (made.path / part).unlink()
    assert boots.template().ram.read_text() == "ram 3"


@pytest.mark.parametrize("error", [LabFault("it did not boot"), KeyboardInterrupt()])
def test_a_boot_that_fails_leaves_nothing(error: BaseException) -> None:
    boots = Boots()
    boots.fails = error  # type: ignore[assignment]
    with pytest.raises(type(error)):
        boots.template()
    assert folders() == []
    assert [*leases()] == []


def test_who_needs_the_same_one_waits_for_one_maker() -> None:
    boots = Boots()
    found: list[Template] = []
    threads = [Thread(target=lambda: found.append(boots.template())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert boots.count == 1
    assert len({template.path for template in found}) == 1
    assert len(found) == 4


def test_old_ones_go_and_those_in_use_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_template, "_KEEP", 1)
    boots = Boots()
    old, used = boots.template({"n": "old"}), boots.template({"n": "used"})
    os.utime(old.path / "template.json", (1, 1))
    newest = boots.template({"n": "newest"})
    assert folders() == sorted([used.path.name, newest.path.name])
    assert template_key({"n": "newest"}) == newest.path.name
