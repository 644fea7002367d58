"""Files on a disc: put into the drive of a running guest, found there by hash, and taken out again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import GuestFault, LabFault, UsageError
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.transport.agent import Agent
from hotswap.transport.media import Media, build_media, check_media, find_media
from hotswap.transport.protocol import AgentContract

LONG = "a name of sixty-four letters, no more and no less, as Joliet has"
LARGE = 3_000_001


@pytest.fixture(scope="module")
def guest(build: DriverBuild) -> Iterator[tuple[QemuMachine, Agent]]:
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(build.agent)
    with machine:
        machine.start(Deadline.after(300))
        transport = machine.connect_agent(build.agent, Deadline.after(60))
        with Agent(transport, AgentContract.load(build.agent_contract), build.codes) as agent:
            yield machine, agent


@pytest.fixture
def media(tmp_path: Path) -> Media:
    (tmp_path / "large").write_bytes(random.Random(1).randbytes(LARGE))
    files: dict[str, Path | bytes] = {
        "drivers/amd64/hotswap.sys": b"MZ",
        "drivers/empty": b"",
        "größe/Данные €.bin": "ä".encode(),
        LONG: b"long",
        "large.bin": tmp_path / "large",
    }
    return build_media(tmp_path / "a disc, with a comma.iso", files)


def test_every_file_is_in_the_guest_as_it_was_written_until_the_disc_is_taken_out(
    guest: tuple[QemuMachine, Agent], media: Media, tmp_path: Path
) -> None:
    machine, agent = guest
    deadline = Deadline.after(120)
    with pytest.raises(LabFault, match="no disc at all"):
        find_media(agent, media, deadline=deadline)
    machine.insert_disc(media.image, deadline)
    paths = check_media(agent, media, deadline=deadline)
    assert paths["größe/Данные €.bin"] == "D:\\größe\\Данные €.bin"
    assert agent.get(paths["größe/Данные €.bin"], deadline=deadline) == "ä".encode()
    with pytest.raises(GuestFault):
        agent.put(b"x", r"D:\written.txt", deadline=deadline)

    (large,) = (one for one in media.files if one.name == "large.bin")
    target = r"C:\hotswap\off the disc\large.bin"
    agent.copy(paths["large.bin"], target, size=large.size, sha256=large.sha256, deadline=deadline)
    assert agent.file_hash(target, deadline=deadline) == large.sha256
    agent.put(b"not read-only", target, deadline=deadline)
    with pytest.raises(GuestFault, match="what arrived is not what was sent"):
        agent.copy(paths[LONG], target, size=4, sha256=large.sha256, deadline=deadline)
    assert agent.get(target, deadline=deadline) == b"not read-only", "a copy that failed leaves what was there"

    machine.eject_disc(deadline)
    with pytest.raises(LabFault, match="no disc at all"):
        find_media(agent, media, deadline=deadline)
    other = build_media(tmp_path / "other.iso", {"x": b"other"})
    machine.insert_disc(other.image, deadline)
    with pytest.raises(LabFault, match="has another one"):
        find_media(agent, media, deadline=deadline)
    assert check_media(agent, other, deadline=deadline) == {"x": r"D:\x"}
    machine.eject_disc(deadline)


def test_what_is_no_disc_is_refused_by_the_guest(guest: tuple[QemuMachine, Agent], tmp_path: Path) -> None:
    machine, _ = guest
    (tmp_path / "noise.iso").write_bytes(random.Random(2).randbytes(1 << 20))
    deadline = Deadline.after(60)
    with pytest.raises(LabFault, match="disc-mount: Invalid argument"):
        machine.insert_disc(tmp_path / "noise.iso", deadline)
    machine.eject_disc(deadline)
    with pytest.raises(LabFault, match="No such file"):
        machine.insert_disc(tmp_path / "none.iso", deadline)


def test_a_machine_without_a_drive_says_so(tmp_path: Path) -> None:
    machine = QemuMachine(load_profile("standin"))
    object.__setattr__(machine.profile, "disc", "")
    with pytest.raises(UsageError, match=r"has no drive for discs: its profile names none \(machine.disc\)"):
        machine.insert_disc(tmp_path / "x.iso", Deadline.after(1))
