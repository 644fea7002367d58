"""What a client of the agent has left behind in its guest."""

from __future__ import annotations


class GuestChanges:
    """Files and services that were made and not removed, and programs that were run: those may have done anything."""

    def __init__(self) -> None:
        self._left: dict[str, str] = {}
        self._programs = 0

    def left(self) -> frozenset[str]:
        """One sentence for each."""
        return frozenset(self._left.values())

    def file_made(self, guest_path: str) -> None:
        """Windows paths do not tell capitals from small letters."""
        self._left[f"file {guest_path.lower()}"] = f"{guest_path} was written"

    def file_removed(self, guest_path: str) -> None:
        """It is as if it had not been made."""
        self._left.pop(f"file {guest_path.lower()}", None)

    def service_made(self, name: str) -> None:
        """A service of this name."""
        self._left[f"service {name.lower()}"] = f"the service {name} was made"

    def service_removed(self, name: str) -> None:
        """It is as if it had not been made."""
        self._left.pop(f"service {name.lower()}", None)

    def program_run(self, name: str) -> None:
        """What it did is not known."""
        self._programs += 1
        self._left[f"program {self._programs}"] = f"{name} was run ({self._programs})"
