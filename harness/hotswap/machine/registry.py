"""Machines by name."""

from __future__ import annotations

from collections.abc import Callable

from hotswap.errors import UsageError
from hotswap.machine.base import Machine
from hotswap.machine.profile import load_profile
from hotswap.machine.wine import WineMachine


def create_machine(name: str, progress: Callable[[str], None] | None = None) -> Machine:
    """The machine of a profile, not started. UsageError: no such profile, or a kind that cannot run yet."""
    profile = load_profile(name)
    settings = profile.table("machine")
    if settings.get("state") == "planned":
        raise UsageError(f"machine {name!r} is planned and cannot run yet: it {settings.get('reason')}")
    if profile.kind == "wine":
        return WineMachine(profile, progress)
    if profile.kind == "qemu":
        # With what it needs for QMP: who runs in another kind need not wait for it.
        if settings.get("boot") == "windows":
            from hotswap.machine.qemu_windows import WindowsMachine

            return WindowsMachine(profile, progress)
        from hotswap.machine.qemu import QemuMachine

        return QemuMachine(profile, progress)
    raise UsageError(f"machine {name!r} is of kind {profile.kind!r}, which this version cannot run")
