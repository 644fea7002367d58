"""What makes one fork of a guest another than its twins, set anew after each start."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.qemu_command import GUEST_ADDRESS
from hotswap.machine.standin_control import StandinControl

_SEED_BYTES = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """Name and network address of one machine."""

    name: str
    mac: str

    @classmethod
    def of(cls, id: str) -> Identity:
        """For a machine's id: a locally administered address, from the same random digits."""
        return cls(f"hs-{id}", f"52:54:00:{id[0:2]}:{id[2:4]}:{id[4:6]}")


def check_identity(control: StandinControl, identity: Identity, deadline: Deadline) -> None:
    """LabFault when the guest's Linux is not who it was made: something in the guest has changed that."""
    wanted = {"/proc/sys/kernel/hostname": identity.name, "/sys/class/net/eth0/address": identity.mac}
    for path, value in wanted.items():
        found = control.read(path, 256, deadline=deadline).decode(errors="replace").strip()
        if found != value:
            raise LabFault(f"identity of guest {identity.name}: {path} says {found!r} instead of {value!r}")


def give_identity(control: StandinControl, identity: Identity, deadline: Deadline) -> None:
    """Random numbers, and the name and address of the Linux. The random seed is in no file and in no log."""
    control.ask("random", secrets.token_hex(_SEED_BYTES), deadline=deadline)
    control.ask("name", identity.name, deadline=deadline)
    control.ask("address", identity.mac, GUEST_ADDRESS, deadline=deadline)
