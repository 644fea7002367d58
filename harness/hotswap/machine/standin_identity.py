"""What makes one fork of a guest another than its twins, set anew after each start."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from hotswap.deadline import Deadline
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


def give_identity(control: StandinControl, identity: Identity, deadline: Deadline) -> None:
    """Random numbers, and the name and address of the Linux. The random seed is in no file and in no log."""
    control.ask("random", secrets.token_hex(_SEED_BYTES), deadline=deadline)
    control.ask("name", identity.name, deadline=deadline)
    control.ask("address", identity.mac, GUEST_ADDRESS, deadline=deadline)
