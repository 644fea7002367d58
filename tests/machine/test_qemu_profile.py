"""Profiles of QEMU machines: what they may say, and that QEMU itself takes what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import UsageError
from hotswap.machine.profile import load_profile, profile_names, profiles_folder
from hotswap.machine.qemu_accelerator import find_qemu
from hotswap.machine.qemu_command import QemuSources, firmware_template, qemu_command
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.qemu_process import QemuProcess, make_disk
from hotswap.machine.qemu_profile import qemu_profile
from hotswap.machine.registry import create_machine
from hotswap.machine.swtpm import TPM_SOCKET, Tpm

QEMU = [name for name in profile_names() if load_profile(name).kind == "qemu"]
WINDOWS = [name for name in QEMU if load_profile(name).table("machine")["boot"] == "windows"]
PLANNED = [name for name in profile_names() if load_profile(name).table("machine").get("state") == "planned"]


def variant(folder: Path, old: str, new: str) -> Path:
    """A folder with a copy of the profile `standin` in which something differs."""
    text = (profiles_folder() / "standin.toml").read_text()
    assert old in text
    (folder / "standin.toml").write_text(text.replace(old, new, 1))
    return folder


@pytest.mark.parametrize("name", QEMU)
def test_every_profile_can_be_read_and_every_quirk_says_why(name: str) -> None:
    profile = qemu_profile(load_profile(name))
    assert profile.description
    for quirk in profile.quirks:
        assert len(quirk.reason) > 20
        assert profile.under(quirk.accelerator) != profile


@pytest.mark.parametrize("name", PLANNED)
def test_a_planned_machine_says_what_it_needs_and_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        create_machine(name)
    assert "not yet run on real Windows" in str(caught.value)


def test_a_quirk_applies_under_its_accelerator_only() -> None:
    profile = qemu_profile(load_profile("standin"))
    assert profile.under("tcg").cpu == "qemu64"
    assert profile.under("kvm").cpu == "host,-arch-capabilities"
    assert profile.cpu == "host"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('state = "ready"', 'state = "soon"', r"machine.state is 'soon'; it must be one of ready, untried, planned"),
        ('state = "ready"', 'state = "planned"', "says in machine.reason what it needs"),
        ("processors = 2", 'processors = "two"', "machine.processors must be a whole number, not 'two'"),
        ("processors = 2", "processors = 0", "machine.processors is at least 1"),
        ("fork = true", "forks = true", "machine.forks is unknown; known are: .*fork,"),
        ('accelerators = ["kvm", "tcg"]', 'accelerators = ["hvf"]', "machine.accelerators is 'hvf'"),
        ('accelerators = ["kvm", "tcg"]', "accelerators = []", "machine.accelerators names none"),
        ('bus = "virtio"', 'bus = "scsi"', "disk.bus is 'scsi'"),
        ("{ ssh = 22 }", "{ ssh = 0 }", "nic.services must be a table of ports"),
        ('reason = "QEMU', 'because = "QEMU', "a quirk has `when`, `set` and a `reason`"),
        ('firmware = "none"', 'firmware = "bios"\nsecure_boot = true', "secure_boot needs machine.firmware = 'uefi'"),
        ("[machine]", "[engine]", r"the table \[machine\] is missing"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        qemu_profile(load_profile("standin", variant(tmp_path, old, new)))
    assert "'standin'" in str(caught.value)


@pytest.mark.parametrize("name", WINDOWS)
def test_qemu_takes_the_command_line_of_a_windows_machine(name: str, tmp_path: Path) -> None:
    """Started for real, with empty disks and its firmware, and not let run: every option and device is known to it."""
    profile = qemu_profile(load_profile(name))
    folder = QemuFolder(tmp_path)
    deadline = Deadline.after(60)
    for number, disk in enumerate(profile.disks):
        make_disk(folder.path / ("disk.qcow2" if number == 0 else f"disk{number}.qcow2"), disk.size_gib, deadline)
    if profile.firmware == "uefi":
        (folder.path / "variables.fd").write_bytes(firmware_template(profile).read_bytes())
    media = tuple(folder.path / item.file for item in profile.media)
    for path in media:
        path.write_bytes(bytes(2048))
    tpm = Tpm(folder, deadline) if profile.tpm else None
    sources = QemuSources(media=media, tpm_socket=Path(TPM_SOCKET) if tpm else None)
    argv = qemu_command(find_qemu().program, profile, "tcg", sources, name="planned")
    memory = f"{profile.memory_mib}M"
    process = QemuProcess(
        folder, ["256M" if word == memory else word.replace(memory, "256M") for word in argv], deadline
    )
    try:
        assert process.qmp.execute("query-status", deadline=deadline)["status"] == "prelaunch"
        devices = str(process.qmp.human("info qtree", deadline=deadline))
        for wanted in (*(nic.model for nic in profile.nics), "virtserialport", "isa-serial", "pvpanic-pci"):
            assert f'dev: {wanted}, id "' in devices
        assert devices.count("ide-cd") == len(media) + bool(profile.disc)
        if profile.tpm:
            (told,) = process.qmp.execute("query-tpm", deadline=deadline)
            assert told["model"] == "tpm-crb"
            assert len(folder.processes()) == 2
    finally:
        process.kill()
        if tpm is not None:
            tpm.end()
    assert folder.processes() == []


def test_a_command_line_keeps_the_guest_in_and_others_out() -> None:
    for name in QEMU:
        profile = qemu_profile(load_profile(name))
        sources = QemuSources(Path("/k"), Path("/i"), Path("/with,comma/ram"))
        argv = qemu_command(Path("/usr/bin/qemu-system-x86_64"), profile, "tcg", sources, name="x")
        text = " ".join(argv)
        networks = [word for at, word in enumerate(argv) if argv[at - 1] == "-netdev"]
        assert networks
        assert all("restrict=on" in network and "hostfwd" not in network for network in networks)
        assert argv[argv.index("-sandbox") + 1].count("=deny") == 4
        assert "-nodefaults" in argv
        assert "/with,,comma/ram" in text
        for word in ("vnc", "spice", "gdb", "tcp:", "0.0.0.0"):
            assert word not in text
