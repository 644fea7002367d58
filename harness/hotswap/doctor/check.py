"""One check, all of them, and the two small things that every check needs: a version, and the line that installs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

_VERSION_SECONDS = 1.2
_VERSION = re.compile(r"(?<![\w.-])v?(?P<version>\d+(?:\.\d+)+)")


class State(StrEnum):
    """Ok; degraded: there, but not as it should be; missing; planned: nothing here uses it yet."""

    OK = "ok"
    DEGRADED = "degraded"
    MISSING = "missing"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for. `required`: without it `hotswap swap` cannot run. `mend`: a line for a shell."""

    name: str
    state: State
    found: str
    needed_for: str
    mend: str | None = None
    required: bool = False
    version: str | None = None
    path: Path | None = None
    package: str | None = None
    """The Debian package that brings it, where one does."""

    def to_json(self) -> dict[str, Any]:
        """One row of `doctor --json`."""
        return {
            "name": self.name,
            "state": str(self.state),
            "found": self.found,
            "version": self.version,
            "path": None if self.path is None else str(self.path),
            "needed_for": self.needed_for,
            "required": self.required,
            "mend": self.mend,
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def missing(self) -> tuple[Check, ...]:
        """Why `hotswap swap` cannot run; empty when it can."""
        return tuple(check for check in self.checks if check.required and check.state is State.MISSING)

    @property
    def mend(self) -> str | None:
        """One line that installs all that is missing and has a package, optional things not counted."""
        packages = sorted({check.package for check in self.missing if check.package})
        return install(packages) if packages else None

    def to_json(self) -> dict[str, Any]:
        """The contract of `doctor --json`."""
        return {
            "schema": 1,
            "can_swap": not self.missing,
            "reason": self.reason,
            "mend": self.mend,
            "checks": [check.to_json() for check in self.checks],
        }

    @property
    def reason(self) -> str:
        """In one sentence."""
        if not self.missing:
            return "hotswap swap can run here"
        return f"hotswap swap cannot run here: {', '.join(check.name for check in self.missing)} missing"


def install(packages: Iterable[str]) -> str:
    """The line that installs Debian packages, for this user."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install --no-install-recommends {' '.join(packages)}"


def version_of(program: Path, argument: str = "--version") -> str | None:
    """The version as a program tells it; None when it does not tell in a moment."""
    try:
        answer = subprocess.run(
            [program, argument],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stdout)
    return found["version"] if answer.returncode == 0 and found else None
