"""What guests run in: Wine and its template, leases that were left, and the machines that are only planned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hotswap.doctor.check import Check, State, install, version_of
from hotswap.errors import HotswapError
from hotswap.machine.lease import leases as all_leases
from hotswap.machine.profile import load_profile
from hotswap.machine.wine_install import find_wine
from hotswap.machine.wine_prefix import find_template, template_key, templates_home

_KVM = Path("/dev/kvm")


def wine() -> Iterator[Check]:
    """Wine: loader, server, kernel image."""
    name, purpose = "wine", "the embedded machine `wine`"
    profile = load_profile("wine")
    package = profile.string("wine", "package", "wine64")
    try:
        found = find_wine(profile)
    except HotswapError as error:
        yield Check(name, State.MISSING, str(error), purpose, install([package]), True, package=package)
        return
    yield Check(
        name, State.OK, f"{found.version}, loader {found.loader}", purpose, None, True, found.version, found.loader
    )


def template() -> Iterator[Check]:
    """The prefix that guests are cloned from. A missing one is made by the first run."""
    name, purpose = "wine template", "starting a guest in milliseconds"
    profile = load_profile("wine")
    try:
        key = template_key(profile, find_wine(profile))
    except HotswapError:
        yield Check(name, State.DEGRADED, "cannot be made without wine", purpose)
        return
    path = templates_home() / key
    built = find_template(path)
    if built is None:
        yield Check(name, State.OK, "not built yet; the first run does it, in about 15 seconds", purpose, path=path)
    else:
        yield Check(name, State.OK, f"built, {built.size / 1e6:.0f} MB at {path}", purpose, path=path)


def leases() -> Iterator[Check]:
    """What runs that were killed left."""
    name, purpose = "leases", "leaving nothing behind"
    found = list(all_leases())
    dead = [lease for lease in found if lease.owner_is_dead()]
    if dead:
        some = ", ".join(f"{lease.kind}.{lease.id}" for lease in dead[:3])
        text = f"{len(dead)} of owners that are gone: {some}{' …' if len(dead) > 3 else ''}"
        yield Check(name, State.DEGRADED, text, f"{purpose}; the next run removes them too", "hotswap sweep")
        return
    yield Check(name, State.OK, f"{len(found)} in use" if found else "none", purpose)


def planned() -> Iterator[Check]:
    """Machines that this version cannot run: what is there for them, and no word more."""
    purpose = "the planned machine `qemu`; this version cannot run it"
    program = "qemu-system-x86_64"
    path = shutil.which(program)
    if path is None:
        yield Check(program, State.PLANNED, "not installed", purpose, package="qemu-system-x86")
    else:
        version = version_of(Path(path))
        text = f"{version or 'version not told'} at {path}"
        yield Check(program, State.PLANNED, text, purpose, version=version, path=Path(path))
    yield Check("/dev/kvm", State.PLANNED, _kvm(), f"{purpose} yet", path=_KVM if _KVM.exists() else None)


def _kvm() -> str:
    if not _KVM.exists():
        return "not there"
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return "there, but this user may not open it"
    return "there and can be opened; whether it runs a 64-bit guest was not tried"
