"""The folder of one Wine prefix and of all that Wine keeps for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hotswap.machine.profile import MachineProfile
from hotswap.machine.wine_install import WineInstall


@dataclass(frozen=True, slots=True)
class PrefixFolder:
    """The folder of one prefix and of everything Wine keeps for it, so that removing it leaves nothing behind."""

    path: Path

    @property
    def prefix(self) -> Path:
        """What WINEPREFIX names."""
        return self.path / "prefix"

    @property
    def home(self) -> Path:
        """The home folder the guest sees instead of the user's."""
        return self.path / "home"

    @property
    def temporary(self) -> Path:
        """Where Debian's Wine makes the folder of its server socket."""
        return self.path / "tmp"

    @property
    def logs(self) -> Path:
        """What the guest's processes wrote to their standard error."""
        return self.path / "logs"

    def make(self) -> None:
        """Create the folders around the prefix."""
        for folder in (self.path, self.home, self.temporary, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    def environment(self, profile: MachineProfile, wine: WineInstall) -> dict[str, str]:
        """The whole environment of a process of this prefix: nothing of the user's, no display."""
        own: Mapping[str, str] = {str(key): str(value) for key, value in profile.table("environment").items()}
        return {
            **own,
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "WINEPREFIX": str(self.prefix),
            "WINELOADER": str(wine.loader),
            "WINESERVER": str(wine.server),
        }

    def server_folder(self) -> Path | None:
        """Where the prefix's wineserver has its socket; None until it is known."""
        # Debian: a random folder in TMPDIR, its name in the prefix. Others: a fixed place named by device and inode.
        try:
            status = self.prefix.stat()
        except FileNotFoundError:
            return None
        name = f"server-{status.st_dev:x}-{status.st_ino:x}"
        try:
            return self.temporary / (self.prefix / "wineserver").read_text() / name
        except OSError:
            upstream = Path("/tmp") / f".wine-{os.getuid()}" / name
            return upstream if upstream.is_dir() else None
