"""Which accelerator is taken: what really runs a 64-bit guest, found out once, told in one line, never a hang."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from time import monotonic

import pytest

from hotswap.errors import LabFault
from hotswap.machine import qemu_accelerator
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu_accelerator import QemuInstall, choose_accelerator, find_qemu, probe, probed, run_guest
from hotswap.machine.qemu_profile import QemuProfile, qemu_profile

HANGS = "exec sleep 60"
RUNS = "exit 85"
REFUSES = "echo 'qemu: failed to set MSR 0x10a' >&2; exit 1"


@pytest.fixture
def profile() -> QemuProfile:
    return qemu_profile(load_profile("standin"))


@pytest.fixture(autouse=True)
def kvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a device that can be opened; a probe that hangs is given up soon."""
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache"))
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(qemu_accelerator, "KVM", device)
    monkeypatch.setattr(qemu_accelerator, "_PROBE_SECONDS", 0.5)
    return device


def fake(folder: Path, does: str) -> QemuInstall:
    """A QEMU that does this with any guest."""
    program = folder / "qemu"
    program.write_text(f"#!/bin/sh\necho . >>{folder}/calls\n{does}\n")
    program.chmod(0o755)
    return QemuInstall(program, f"QEMU that does: {does}")


def test_the_probe_is_a_guest_that_qemu_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under TCG, which works everywhere: so that a failure under KVM is KVM's."""
    monkeypatch.setattr(qemu_accelerator, "_PROBE_SECONDS", 60.0)
    assert run_guest("tcg", "qemu64", find_qemu()).works


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (HANGS, "a 64-bit guest hung for 0.5 s (-cpu host,-arch-capabilities): TCG is used instead"),
        (REFUSES, "ended QEMU with 1, which said: qemu: failed to set MSR 0x10a"),
    ],
)
def test_kvm_that_does_not_work_ends_in_tcg_with_one_line_and_no_hang(
    tmp_path: Path, profile: QemuProfile, does: str, said: str
) -> None:
    qemu = fake(tmp_path, does)
    told: list[str] = []
    begun = monotonic()
    assert choose_accelerator(profile, qemu, told.append).name == "tcg"
    assert monotonic() - begun < 5
    (line,) = told
    assert said in line
    again: list[str] = []
    assert choose_accelerator(profile, qemu, again.append).name == "tcg"
    assert again == [], "it is told once"
    assert (tmp_path / "calls").read_text() == ".\n", "it is tried once"


def test_kvm_that_runs_a_guest_is_taken_and_remembered(tmp_path: Path, profile: QemuProfile) -> None:
    qemu = fake(tmp_path, RUNS)
    assert probed("kvm", profile.under("kvm").cpu, qemu) is None
    chosen = choose_accelerator(profile, qemu, lambda _line: None)
    assert (chosen.name, chosen.works) == ("kvm", True)
    assert "ran a 64-bit guest in" in chosen.found
    assert probed("kvm", profile.under("kvm").cpu, qemu) == chosen
    assert choose_accelerator(profile, qemu, lambda _line: None) == chosen
    assert (tmp_path / "calls").read_text() == ".\n"


def test_a_device_that_is_not_there_or_not_ours_is_not_tried(tmp_path: Path, kvm: Path) -> None:
    qemu = fake(tmp_path, RUNS)
    if os.geteuid() != 0:
        kvm.chmod(0)
        assert "may not open" in probe("kvm", "host", qemu).found
    kvm.unlink()
    answer = probe("kvm", "host", qemu)
    assert (answer.works, answer.found) == (False, f"KVM: {kvm} is not there")
    assert not (tmp_path / "calls").exists()


def test_a_machine_that_no_accelerator_runs_says_why(tmp_path: Path, profile: QemuProfile) -> None:
    only = dataclasses.replace(profile, accelerators=("kvm",))
    with pytest.raises(LabFault, match=r"'standin' cannot run here: KVM: .* failed to set MSR"):
        choose_accelerator(only, fake(tmp_path, REFUSES), lambda _line: None)
