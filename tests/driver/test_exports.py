"""What a guest's kernel really has: a thunk that raises is told from a function, and forwarders are followed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hotswap.driver.exports import Export, GuestExports, ModuleExports
from hotswap.errors import LabFault

KERNEL = "ntoskrnl.exe"


@pytest.mark.parametrize(
    "name",
    ["KeSetEvent", "PsCreateSystemThread", "ZwLoadDriver", "KeWaitForMultipleObjects", "IoCreateDevice", "memcpy"],
)
def test_what_drivers_were_seen_to_use_is_present(guest: GuestExports, name: str) -> None:
    assert guest.find(KERNEL, name) is Export.PRESENT


@pytest.mark.parametrize("name", ["ExAcquireRundownProtection", "ExWaitForRundownProtectionRelease", "KePulseEvent"])
def test_a_thunk_that_raises_is_not_a_function(guest: GuestExports, name: str) -> None:
    assert guest.find(KERNEL, name) is Export.RAISES


@pytest.mark.parametrize("name", ["EtwRegister", "EtwWriteTransfer", "ExAllocatePool2", "NoSuchFunction"])
def test_what_wine_has_not_is_missing(guest: GuestExports, name: str) -> None:
    assert guest.find(KERNEL, name) is Export.MISSING


def test_the_figures_are_those_that_were_counted_in_wine_8(guest: GuestExports) -> None:
    kernel = guest.module(KERNEL)
    assert kernel is not None
    if len(kernel.names) == 1656:
        assert len(kernel.raising) == 764
    else:
        assert 100 < len(kernel.raising) < len(kernel.names)


def test_data_exports_are_no_thunks(guest: GuestExports) -> None:
    for name in ("PsThreadType", "IoDriverObjectType", "KeServiceDescriptorTable"):
        assert guest.find(KERNEL, name) is Export.PRESENT


def test_module_names_have_no_case(guest: GuestExports) -> None:
    assert guest.find("HAL.dll", "KeQueryPerformanceCounter") is Export.PRESENT
    assert guest.find("NTOSKRNL.EXE", "KeSetEvent") is Export.PRESENT


def test_a_module_that_the_guest_has_not_is_none(guest: GuestExports) -> None:
    assert guest.module("no_such_module.sys") is None
    assert guest.find("no_such_module.sys", "x") is Export.MISSING


def test_forwarders_lead_to_what_they_name(guest: GuestExports) -> None:
    kernel = guest.module(KERNEL)
    assert kernel is not None
    assert kernel.forwarded, "this Wine forwards something; else the test shows nothing"
    for name in kernel.forwarded:
        assert guest.find(KERNEL, name) is Export.PRESENT


def made(name: str, names: set[str], raising: set[str], forwarded: dict[str, tuple[str, str]]) -> ModuleExports:
    return ModuleExports(name, frozenset(names), frozenset(raising), forwarded)


def test_a_forwarder_can_end_at_a_thunk_at_nothing_or_in_a_circle() -> None:
    modules = {
        "a.sys": made(
            "a.sys",
            {"Raises", "Gone", "Circle", "Deep"},
            set(),
            {"Raises": ("b", "R"), "Gone": ("c", "X"), "Circle": ("a.sys", "Circle"), "Deep": ("b", "D")},
        ),
        "b.dll": made("b.dll", {"R", "D"}, {"R"}, {"D": ("a.sys", "Raises")}),
    }
    guest = GuestExports(Path("/nowhere/ntoskrnl.exe"), modules)
    assert guest.find("a.sys", "Raises") is Export.RAISES
    assert guest.find("a.sys", "Gone") is Export.MISSING
    assert guest.find("a.sys", "Circle") is Export.MISSING
    assert guest.find("a.sys", "Deep") is Export.RAISES


def test_a_kernel_that_cannot_be_read_is_the_labs_fault(tmp_path: Path) -> None:
    (tmp_path / KERNEL).write_bytes(b"MZ" + bytes(100))
    with pytest.raises(LabFault, match=r"ntoskrnl\.exe"):
        GuestExports(tmp_path / KERNEL).find(KERNEL, "KeSetEvent")


def test_a_wine_whose_thunks_are_not_recognised_is_not_trusted(guest: GuestExports, tmp_path: Path) -> None:
    content = guest.kernel.read_bytes()
    # Another register for the first argument: the thunks of some later Wine.
    changed = content.replace(bytes.fromhex("4883ec28488d0d"), bytes.fromhex("4883ec28488d05"))
    assert changed != content
    (tmp_path / KERNEL).write_bytes(changed)
    with pytest.raises(LabFault, match="no raising thunk was recognised"):
        GuestExports(tmp_path / KERNEL).find(KERNEL, "KeSetEvent")


def test_code_that_only_looks_like_a_thunk_is_a_function(guest: GuestExports, tmp_path: Path) -> None:
    content = guest.kernel.read_bytes()
    # The thunk still loads two strings, but the second is not the export's name any more.
    where = content.index(b"\0KePulseEvent\0") + 1
    assert content.index(b"\0KePulseEvent\0", where) > 0, "one name is the export table's, one the thunk's"
    for at in (where, content.index(b"\0KePulseEvent\0", where) + 1):
        changed = bytearray(content)
        changed[at : at + 12] = b"KeQuietEvent"
        (tmp_path / KERNEL).write_bytes(changed)
        shutil.copy(guest.kernel.parent / "hal.dll", tmp_path)
        kernel = ModuleExports.read(tmp_path / KERNEL)
        name = "KePulseEvent" if "KePulseEvent" in kernel.names else "KeQuietEvent"
        assert name in kernel.names
        assert name not in kernel.raising
