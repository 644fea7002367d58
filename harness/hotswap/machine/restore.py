"""How far a guest is brought back to a known state: the levels that a machine may offer."""

from __future__ import annotations

from enum import IntEnum


class RestoreLevel(IntEnum):
    """Each undoes all that those before it do, and more."""

    DRIVER = 0
    """Nothing but what the host driver did, by its stop: the guest goes on. Its identity and clock are looked at."""
    DISK = 1
    """Files, registry and services too: the guest boots from a fresh disk."""
    MEMORY = 2
    """What runs in the guest, its kernel included: another guest takes its place."""
