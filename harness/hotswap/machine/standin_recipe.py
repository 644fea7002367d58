"""The recipe of the stand-in guest: `vm/standin/image.toml` and the sources beside it."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import LabFault
from hotswap.paths import package_data

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into the image. `sources` are the files of the recipe by name, with their SHA-256 (hex)."""

    folder: Path
    epoch: int
    kernel: str
    programs: tuple[str, ...]
    libraries: tuple[str, ...]
    unpack: dict[str, tuple[str, ...]]
    files: tuple[str, ...]
    wine_libraries: tuple[str, ...]
    ram_disk_modules: tuple[str, ...]
    disk_modules: tuple[str, ...]
    disabled_services: tuple[str, ...]
    on_demand_services: tuple[str, ...]
    sources: dict[str, str]

    @property
    def packages(self) -> tuple[str, ...]:
        """All packages but the kernel."""
        return (*self.programs, *self.libraries)


def load_recipe(folder: Path | None = None) -> Recipe:
    """Read the recipe. LabFault when it is not as this version reads it: it is part of the harness."""
    home = folder or package_data("vm") / "standin"
    path = home / "image.toml"
    try:
        content = tomllib.loads(path.read_text())
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema is {content['schema']}, not {SCHEMA}")
        return Recipe(
            folder=home,
            epoch=int(content["epoch"]),
            kernel=content["packages"]["kernel"],
            programs=tuple(content["packages"]["programs"]),
            libraries=tuple(content["packages"]["libraries"]),
            unpack={name: tuple(parts) for name, parts in content["unpack"].items()},
            files=tuple(content["files"]["programs"]),
            wine_libraries=tuple(content["files"]["wine_libraries"]),
            ram_disk_modules=tuple(content["modules"]["ram_disk"]),
            disk_modules=tuple(content["modules"]["disk"]),
            disabled_services=tuple(content["services"]["disabled"]),
            on_demand_services=tuple(content["services"]["on_demand"]),
            sources={
                item.name: hashlib.sha256(item.read_bytes()).hexdigest()
                for item in sorted(home.iterdir())
                if item.is_file()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabFault(f"reading the stand-in guest's recipe {path}: {type(error).__name__}: {error}") from error
