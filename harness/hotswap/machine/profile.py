"""Machine profiles: TOML files that say what a guest is made of."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotswap.errors import LabFault, UsageError
from hotswap.paths import package_data

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class MachineProfile:
    """One profile: `kind` picks the backend, `tables` are its settings, `hash` names the content."""

    name: str
    kind: str
    description: str
    hash: str
    tables: Mapping[str, Any]
    own: frozenset[str] = frozenset()
    """The top-level keys of its own file, of one that inherits."""

    def table(self, name: str) -> Mapping[str, Any]:
        """A table of settings, empty when the profile has none of that name."""
        table = self.tables.get(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"machine profile {self.name!r}: {name!r} must be a table, not {type(table).__name__}")
        return table

    def strings(self, table: str, key: str) -> list[str]:
        """A list of strings in a table, empty when absent."""
        value = self.table(table).get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UsageError(f"machine profile {self.name!r}: {table}.{key} must be a list of strings")
        return value

    def number(self, table: str, key: str, default: int) -> int:
        """A whole number in a table."""
        value = self.table(table).get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise UsageError(f"machine profile {self.name!r}: {table}.{key} must be a whole number")
        return value

    def string(self, table: str, key: str, default: str) -> str:
        """A string in a table."""
        value = self.table(table).get(key, default)
        if not isinstance(value, str):
            raise UsageError(f"machine profile {self.name!r}: {table}.{key} must be a string")
        return value


def profiles_folder() -> Path:
    """Where the profiles lie."""
    return package_data("vm") / "profiles"


def profile_names(folder: Path | None = None) -> list[str]:
    """The names of all profiles, sorted."""
    return sorted(path.stem for path in (folder or profiles_folder()).glob("*.toml"))


def load_profile(name: str, folder: Path | None = None) -> MachineProfile:
    """Read a profile by its name. UsageError when there is none (it lists the known ones) or its content is wrong."""
    names = profile_names(folder)
    if name not in names:
        known = ", ".join(names) or "none"
        raise UsageError(f"unknown machine {name!r}; known machines: {known}")
    path = (folder or profiles_folder()) / f"{name}.toml"
    try:
        content = path.read_bytes()
        tables = tomllib.loads(content.decode())
    except OSError as error:
        raise LabFault(f"reading machine profile {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"machine profile {path} is no valid TOML: {error}") from error
    base_hash = ""
    if (base := tables.pop("inherits", None)) is not None:
        if not isinstance(base, str) or base == name:
            raise UsageError(f"machine profile {path}: 'inherits' must name another profile")
        parent = load_profile(base, folder)
        if "inherits" in parent.own:
            raise UsageError(f"machine profile {path}: {base!r}, which it inherits from, inherits itself")
        tables, base_hash = _merged(parent.tables, tables), parent.hash
    for key, kind in (("schema", int), ("name", str), ("kind", str), ("description", str)):
        if not isinstance(tables.get(key), kind):
            raise UsageError(f"machine profile {path}: {key!r} is missing or no {kind.__name__}")
    if tables["schema"] != SCHEMA:
        raise UsageError(f"machine profile {path} has schema {tables['schema']}, this version reads {SCHEMA}")
    if tables["name"] != name:
        raise UsageError(f"machine profile {path} calls itself {tables['name']!r}; it must be named as its file")
    digest = hashlib.sha256(base_hash.encode() + content).hexdigest()
    return MachineProfile(name, tables["kind"], tables["description"], digest, tables, frozenset(_top(content)))


def _top(content: bytes) -> list[str]:
    return list(tomllib.loads(content.decode()))


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of another profile with one's own over them, value by value; lists of tables are replaced whole."""
    merged = dict(base)
    for key, value in own.items():
        known = merged.get(key)
        merged[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
