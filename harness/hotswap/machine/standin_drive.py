"""A disc in the stand-in guest's drive, as its Linux sees it."""

from __future__ import annotations

import errno

from hotswap.deadline import Deadline
from hotswap.machine.standin_control import ControlRefused, StandinControl

# The drive has not taken notice of the disc yet.
_NOT_YET = frozenset((errno.ENOMEDIUM, errno.EIO, errno.ENXIO))


def mount_disc(control: StandinControl, deadline: Deadline) -> None:
    """Mount the disc that was put in, once the drive has seen it. ControlRefused when it is none that can be read."""
    refused: list[str] = []

    def mounted() -> bool:
        try:
            control.ask("disc-mount", deadline=deadline)
        except ControlRefused as error:
            if error.errno not in _NOT_YET:
                raise
            refused[:] = [str(error)]
            return False
        return True

    deadline.wait_for(
        mounted,
        "the disc to be seen in the guest",
        interval=0.05,
        last_seen=lambda: "".join(refused) or "nothing",
    )
