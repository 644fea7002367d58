"""Windows machines as far as they can be tested without Windows: answers, firmware, TPM, media, and what is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from xml.etree import ElementTree

import pycdlib
import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.driver.signing import make_key
from hotswap.errors import GuestFault, HotswapError, LabFault, UsageError
from hotswap.machine.lease import leases
from hotswap.machine.profile import load_profile, profiles_folder
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.qemu_command import QemuSources
from hotswap.machine.qemu_folder import QemuFolder
from hotswap.machine.qemu_process import QemuProcess
from hotswap.machine.qemu_profile import QemuProfile, qemu_profile
from hotswap.machine.qemu_windows import WindowsMachine
from hotswap.machine.restore import RestoreLevel
from hotswap.machine.standin_image import find_image
from hotswap.machine.sweep import sweep
from hotswap.machine.windows_answers import answer_file, answers_disc
from hotswap.machine.windows_base import find_base, windows_home
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract
from support.boot_media import boot_disc

UNATTEND = "{urn:schemas-microsoft-com:unattend}"
WCM = "{http://schemas.microsoft.com/WMIConfig/2002/State}"
BIOS, UEFI = "windows-server-2025-bios", "windows-11-uefi"
# Of the Unattended Windows Setup Reference.
PASSES = ("windowsPE", "offlineServicing", "generalize", "specialize", "auditSystem", "auditUser", "oobeSystem")
PASSWORD = 'not <safe> & "sound"'


def profile(name: str) -> QemuProfile:
    return qemu_profile(load_profile(name))


def texts(root: ElementTree.Element, path: str) -> list[str]:
    found = root.findall(
        "/".join(
            [
                ".",
                *(f"/{UNATTEND}{part}" if at == 0 else f"{UNATTEND}{part}" for at, part in enumerate(path.split("/"))),
            ]
        )
    )
    return [element.text or "" for element in found]


@pytest.mark.parametrize("name", [BIOS, UEFI])
def test_the_answer_file_is_well_formed_and_leaves_no_question_open(name: str) -> None:
    root = ElementTree.fromstring(answer_file(profile(name), "HOTSWAP", PASSWORD))
    assert root.tag == f"{UNATTEND}unattend"
    passes = [settings.get("pass") for settings in root.findall(f"{UNATTEND}settings")]
    assert passes == ["windowsPE", "specialize", "oobeSystem"]
    assert set(passes) <= set(PASSES)
    for component in root.iter(f"{UNATTEND}component"):
        assert re.fullmatch(r"Microsoft-Windows-[A-Za-z-]+", component.get("name") or "")
        assert component.get("processorArchitecture") == "amd64"
        assert component.get("publicKeyToken") == "31bf3856ad364e35"
        assert (component.get("language"), component.get("versionScope")) == ("neutral", "nonSxS")
    for item in root.iter():
        if f"{WCM}action" in item.attrib:
            assert item.attrib[f"{WCM}action"] == "add"
    assert texts(root, "AcceptEula") == ["true"]
    assert texts(root, "AdministratorPassword/Value") == [PASSWORD], "as it is, whatever letters it has"
    assert texts(root, "AutoLogon/Password/Value") == [PASSWORD]
    assert texts(root, "ComputerName") == ["HOTSWAP"]
    assert "install.cmd" in texts(root, "SynchronousCommand/CommandLine")[0]
    assert texts(root, "WillShowUI") == ["OnError"] * 3


@pytest.mark.parametrize(
    ("name", "kinds", "formats"),
    [(BIOS, ["Primary", "Primary"], ["NTFS", "NTFS"]), (UEFI, ["EFI", "MSR", "Primary"], ["FAT32", "NTFS"])],
)
def test_the_disk_is_laid_out_for_its_firmware(name: str, kinds: list[str], formats: list[str]) -> None:
    root = ElementTree.fromstring(answer_file(profile(name), "HOTSWAP", "x"))
    assert texts(root, "CreatePartition/Type") == kinds
    assert texts(root, "CreatePartition/Order") == [str(at + 1) for at in range(len(kinds))]
    assert texts(root, "CreatePartition/Extend") == ["true"], "Windows gets the rest, and nobody else does"
    assert texts(root, "ModifyPartition/Format") == formats
    assert texts(root, "ModifyPartition/PartitionID") == ["1", str(len(kinds))]
    assert texts(root, "InstallTo/PartitionID") == [str(len(kinds))]
    assert texts(root, "ModifyPartition/Active") == ([] if name == UEFI else ["true"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("language", "english", "windows.language is 'english'; say en-US"),
        ("product_key", "12345", "windows.product_key is none"),
        ("edition", "", "windows.edition names the edition"),
    ],
)
def test_settings_that_make_no_sense_are_refused(key: str, value: str, message: str, tmp_path: Path) -> None:
    text = (profiles_folder() / f"{BIOS}.toml").read_text()
    text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
    (tmp_path / f"{BIOS}.toml").write_text(text.replace("[windows]\n", f'[windows]\n{key} = "{value}"\n'))
    with pytest.raises(UsageError, match=message):
        answer_file(qemu_profile(load_profile(BIOS, tmp_path)), "HOTSWAP", "x")


@pytest.mark.parametrize("name", [BIOS, UEFI])
def test_the_disc_has_answers_in_its_root_and_all_that_the_script_wants(
    name: str, build: DriverBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path))
    media = answers_disc(tmp_path / "a.iso", profile(name), build.agent, make_key().certificate, "HOTSWAP", "x")
    on_disc = {one.name for one in media.files}
    assert "autounattend.xml" in on_disc
    iso = pycdlib.PyCdlib()
    iso.open(str(media.image))
    with iso.open_file_from_iso(joliet_path="/hotswap/install.cmd") as file:
        script = file.read()
    iso.close()
    assert b"\r\n" in script
    assert b"\n" not in script.replace(b"\r\n", b""), "cmd.exe finds labels only behind such ends of lines"
    wanted = {found.decode().replace("\\", "/") for found in re.findall(rb"%~1\\\\?([^\"]+)\"", script)}
    assert "hotswap/hsagent.exe" in wanted
    # Under Secure Boot Windows refuses test signing, whatever the boot options say.
    assert wanted - on_disc == ({"hotswap/test-signing.on"} if name == UEFI else set())


# A medium that firmware really starts


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: DriverBuild) -> Iterator[Path]:
    """A cache and media of the test's own: the install medium writes a line to the serial port instead."""
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOTSWAP_MEDIA", str(tmp_path / "media"))
    (tmp_path / "media").mkdir()
    (tmp_path / "profiles").mkdir()
    boot_disc(tmp_path / "medium.iso", "hotswap medium started")
    for name in ("windows.iso", "windows-server.iso"):
        (tmp_path / "media" / name).write_bytes((tmp_path / "medium.iso").read_bytes())
    (tmp_path / "media/virtio-win.iso").write_bytes(bytes(1 << 20))
    yield tmp_path
    assert [*leases()] == []
    if windows_home().is_dir():
        assert [path.name for path in windows_home().iterdir() if path.is_dir()] == []
    assert sweep().removed == []


def small(lab: Path, name: str, *, secure_boot: bool | None = None) -> WindowsMachine:
    """The profile with little of everything, for what is before Windows."""
    text = (profiles_folder() / f"{name}.toml").read_text()
    for key, value in (("memory_mib", "256"), ("processors", "1"), ("size_gib", "1")):
        text = re.sub(rf"^{key} = .*", f"{key} = {value}", text, flags=re.MULTILINE)
    if secure_boot is not None:
        text = re.sub("^secure_boot = .*", f"secure_boot = {str(secure_boot).lower()}", text, flags=re.MULTILINE)
    (lab / "profiles" / f"{name}.toml").write_text(text)
    return WindowsMachine(load_profile(name, lab / "profiles"))


@pytest.mark.parametrize(
    ("name", "secure_boot", "line"),
    [
        (BIOS, None, "hotswap medium started by BIOS"),
        (UEFI, False, "hotswap medium started by UEFI"),
        (UEFI, True, "Access Denied"),
    ],
)
def test_the_firmware_starts_the_installation_medium_or_refuses_it_for_its_signature(
    name: str, secure_boot: bool | None, line: str, lab: Path, build: DriverBuild
) -> None:
    machine = small(lab, name, secure_boot=secure_boot)
    machine.expect_agent(build.agent)
    deadline = Deadline.after(400)
    errors: list[HotswapError] = []

    def install() -> None:
        try:
            machine.prepare(deadline)
        except HotswapError as error:
            errors.append(error)

    thread = Thread(target=install)
    thread.start()
    try:
        folder = deadline.wait_for(
            lambda: next(windows_home().glob("build-*"), None), "the installation", alive=lambda: str(*errors) or None
        )

        def shown() -> bool:
            console = folder / "console.log"
            return console.exists() and line in console.read_text(errors="replace")

        deadline.wait_for(
            shown,
            f"the line {line!r}",
            alive=lambda: str(*errors) or None,
            interval=0.2,
            last_seen=lambda: (folder / "console.log").read_text(errors="replace")[-500:],
        )
        running = {process.pid for process in machine._process.folder.processes()} if machine._process else set()
        if machine.profile.tpm:
            (told,) = machine.qmp.execute("query-tpm", deadline=deadline)
            assert told["model"] == "tpm-crb"
            assert len(running) == 2, "QEMU and its TPM"
            assert (folder / "variables.fd").stat().st_size == 540672
        else:
            assert len(running) == 1
        assert (folder / "answers.iso").stat().st_mode & 0o777 & folder.stat().st_mode == 0o600 or (
            folder.stat().st_mode & 0o077 == 0
        ), "the password is for this user only"
        machine.kill()
    finally:
        machine.kill()
        thread.join(60)
    assert not thread.is_alive()
    (error,) = errors
    assert "the agent in the Windows of machine" in str(error)
    assert "QEMU of machine" in str(error)


def test_a_machine_without_an_installed_windows_says_how_to_get_one(lab: Path, build: DriverBuild) -> None:
    machine = small(lab, BIOS)
    machine.expect_agent(build.agent)
    with pytest.raises(LabFault, match=f"has no Windows yet: `hotswap machine build {BIOS}` installs it"):
        machine.start(Deadline.after(20))
    with pytest.raises(LabFault, match=r"kernel image of machine .* is not known yet"):
        _ = machine.ntoskrnl
    (lab / "media/windows-server.iso").unlink()
    with pytest.raises(UsageError, match=r"needs its medium, windows-server\.iso: it is not in "):
        machine.start(Deadline.after(20))


def test_a_disk_image_of_the_users_own_takes_the_place_of_an_installation(lab: Path) -> None:
    text = (profiles_folder() / f"{BIOS}.toml").read_text()
    (lab / "profiles" / f"{BIOS}.toml").write_text(text.replace("size_gib = 64", 'image = "mine.qcow2"'))
    mine = qemu_profile(load_profile(BIOS, lab / "profiles"))
    with pytest.raises(UsageError, match=r"needs its disk image, mine\.qcow2"):
        find_base(mine)
    (lab / "media/mine.qcow2").write_bytes(b"disk")
    found = find_base(mine)
    assert found is not None
    assert (found.disk, found.variables, found.ntoskrnl) == (lab / "media/mine.qcow2", None, None)


# The whole way from power-on to the agent, with the stand-in guest's disk in the place of an installed Windows


class OnStandinsDisk(WindowsMachine):
    """What a boot loader would start from a disk of Windows is given to the firmware."""

    def _launch(
        self, folder: QemuFolder, sources: QemuSources, deadline: Deadline, *, bounded: bool = True
    ) -> QemuProcess:
        image = find_image()
        assert image is not None
        kernel = replace(sources, kernel=image.path / "vmlinuz", ram_disk=image.ram_disk)
        return super()._launch(folder, kernel, deadline, bounded=bounded)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: DriverBuild) -> Path:
    """A disk image of the user's own with this build's agent, and the profile of a machine that boots it."""
    monkeypatch.setenv("HOTSWAP_MEDIA", str(tmp_path))
    with QemuMachine(load_profile("standin"), fork=False) as machine:
        machine.start(Deadline.after(300))
        machine.have_agent(build.agent, Deadline.after(120))
        machine.power_off(Deadline.after(60))
        machine.folder.disk.rename(tmp_path / "mine.qcow2")
    text = (profiles_folder() / f"{BIOS}.toml").read_text()
    for old, new in (
        (r"memory_mib = .*", "memory_mib = 512"),
        (r"processors = .*", "processors = 2"),
        (r'cpu = "max,-la57"', 'cpu = "qemu64"'),
        (r'bus = "sata".*\nsize_gib = 64', 'bus = "virtio"\nimage = "mine.qcow2"'),
        (r'cpu = "host"', 'cpu = "host"\nkernel_arguments = "console=ttyS0 quiet panic=0 mitigations=off"'),
    ):
        text, count = re.subn(old, new, text, count=1)
        assert count == 1, old
    (tmp_path / f"{BIOS}.toml").write_text(text)
    return tmp_path


def test_a_machine_boots_from_an_overlay_until_its_agent_answers_and_boots_again(
    installed: Path, build: DriverBuild
) -> None:
    deadline = Deadline.after(500)
    before = (installed / "mine.qcow2").read_bytes()
    machine = OnStandinsDisk(load_profile(BIOS, installed))
    machine.expect_agent(build.agent)
    with machine:
        machine.start(deadline)
        assert machine.clock is not None
        assert machine.clock_problem(deadline) is None
        assert machine.ntoskrnl.read_bytes().startswith(b"MZ"), "taken out of the guest, for preflight"
        contract = AgentContract.load(build.agent_contract)
        with Agent(machine.connect_agent(build.agent, deadline), contract, build.codes) as agent:
            first = agent.hello(deadline=deadline)
            agent.put(b"x", r"C:\left.txt", deadline=deadline)
        assert machine.restore_costs.keys() == {RestoreLevel.DRIVER, RestoreLevel.DISK}
        machine.restore_to(RestoreLevel.DRIVER, deadline)
        machine.restore_to(RestoreLevel.DISK, deadline)
        with Agent(machine.connect_agent(build.agent, deadline), contract, build.codes) as agent:
            assert agent.hello(deadline=deadline).boot_id != first.boot_id
            with pytest.raises(GuestFault, match="ERROR_FILE_NOT_FOUND"):
                agent.get(r"C:\left.txt", deadline=deadline)
        with pytest.raises(LabFault, match="it was started with another build of it"):
            machine.connect_agent(build.driver("hotswap").path, deadline)
        machine.kill()
        with pytest.raises(LabFault, match="was killed"):
            machine.connect_agent(build.agent, deadline)
    assert machine.folder.processes() == []
    assert not machine.folder.path.exists()
    assert (installed / "mine.qcow2").read_bytes() == before, "the user's image is never written to"
