"""Python and what is installed in it."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hotswap.doctor.check import Check, State
from hotswap.errors import HotswapError

_DISTRIBUTION = "hotswap-harness"
_MINIMUM = (3, 11)
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")
_SHOWN = 3


def checks() -> Iterator[Check]:
    """Python, its packages, and which code decodes traces."""
    version = platform.python_version()
    state = State.OK if sys.version_info >= _MINIMUM else State.MISSING
    needed = ".".join(map(str, _MINIMUM))
    mend = None if state is State.OK else "ci/setup"
    found = f"{version} at {sys.executable}" if state is State.OK else f"{version}; {needed} or later is needed"
    yield Check("python", state, found, "everything", mend, True, version, Path(sys.executable))
    yield _packages()
    yield _kernel()


def _packages() -> Check:
    """Against the lock of a checkout; an installed copy has none, so against what it says it requires."""
    name, purpose = "python packages", "everything; the same versions for everybody"
    try:
        own = distribution(_DISTRIBUTION)
    except PackageNotFoundError:
        return Check(name, State.DEGRADED, f"{_DISTRIBUTION} is not installed, only found", purpose, "ci/setup", True)
    # One look over the folder: asking for each by name searches it each time.
    installed: dict[str, str] = {}
    for found in distributions():
        # What comes first on the path is what is imported.
        installed.setdefault(_plain(found.name or ""), found.version)
    required = {
        _plain(match[0]) for line in own.requires or () if (match := _REQUIREMENT.match(line)) and ";" not in line
    }
    if lacking := sorted(required - installed.keys()):
        return Check(name, State.MISSING, f"not installed: {', '.join(lacking)}", purpose, "ci/setup", True)
    lock = lock_file(own)
    if lock is None:
        return Check(name, State.OK, f"all {len(required)} required ones (no lock file here)", purpose, None, True)
    pinned = _pins(lock)
    wrong = [
        f"{pin} {installed.get(pin, 'absent')}, not {pinned[pin]}"
        for pin in pinned
        if installed.get(pin) != pinned[pin]
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        text = f"not as locked: {'; '.join(wrong[:_SHOWN])}{more}"
        return Check(name, State.DEGRADED, text, purpose, "ci/setup", True, path=lock)
    return Check(name, State.OK, f"all {len(pinned)} as locked in {lock}", purpose, None, True, path=lock)


def project_folder(own: Distribution | None = None) -> Path | None:
    """The checkout that this command was installed from in place; None for an installed copy."""
    try:
        own = own or distribution(_DISTRIBUTION)
        origin = json.loads(own.read_text("direct_url.json") or "{}")
        url = urlsplit(str(origin.get("url", "")))
    except (PackageNotFoundError, ValueError, AttributeError):
        return None
    in_place = url.scheme == "file" and origin.get("dir_info", {}).get("editable") is True
    return Path(unquote(url.path)) if in_place else None


def lock_file(own: Distribution) -> Path | None:
    """`requirements.lock` of the checkout."""
    folder = project_folder(own)
    return folder / "requirements.lock" if folder and (folder / "requirements.lock").is_file() else None


def _pins(lock: Path) -> Mapping[str, str]:
    return {_plain(match["name"]): match["version"] for match in _PINNED.finditer(lock.read_text(encoding="utf-8"))}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _kernel() -> Check:
    """Which code decodes traces: one that silently falls back would make figures meaningless (design, D9)."""
    name, purpose = "trace kernel", "decoding traces fast"
    try:
        version = distribution("numpy").version
    except PackageNotFoundError:
        return Check(name, State.MISSING, "numpy is not installed", purpose, "ci/setup", True)
    # Here, for it imports numpy.
    from hotswap.trace import native

    try:
        described = native.describe()
    except HotswapError as error:
        return Check(name, State.MISSING, str(error), purpose, "ci/setup", True, version)
    if described == "native":
        return Check(name, State.OK, "native", purpose, None, True, version, native.FOLDER / native.LIBRARY)
    return Check(name, State.DEGRADED, described, purpose, "ci/setup", True, version)
