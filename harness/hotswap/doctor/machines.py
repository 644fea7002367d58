"""What guests run in: Wine and its template, leases that were left, and the machines that are only planned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hotswap.doctor.check import Check, State, install, version_of
from hotswap.errors import HotswapError
from hotswap.machine.lease import leases as all_leases
from hotswap.machine.profile import load_profile, profile_names
from hotswap.machine.qemu_accelerator import KVM, PROGRAM, find_qemu, probed
from hotswap.machine.qemu_profile import qemu_profile
from hotswap.machine.standin_image import find_image
from hotswap.machine.wine_install import find_wine
from hotswap.machine.wine_prefix import find_template, template_key, templates_home

QEMU_PACKAGE = "qemu-system-x86"


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


def qemu() -> Iterator[Check]:
    """QEMU, the accelerator its guests run by here, and the stand-in guest's image. Starts no guest."""
    name, purpose = PROGRAM, "machines under QEMU: `standin`, and Windows guests once they exist"
    path = shutil.which(name)
    if path is None:
        line = install([QEMU_PACKAGE])
        yield Check(name, State.MISSING, "not installed (optional)", purpose, line, package=QEMU_PACKAGE)
        return
    version = version_of(Path(path))
    text = f"{version or 'version not told'} at {path}"
    yield Check(name, State.OK if version else State.DEGRADED, text, purpose, version=version, path=Path(path))
    yield _kvm()
    yield _image()


def _kvm() -> Check:
    name, purpose = "/dev/kvm", "QEMU guests at the speed of this computer; without it TCG translates them"
    if not KVM.exists():
        return Check(name, State.DEGRADED, "not there", purpose)
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Check(name, State.DEGRADED, "there, but this user may not open it", purpose, path=KVM)
    try:
        profile = qemu_profile(load_profile("standin")).under("kvm")
        known = probed("kvm", profile.cpu, find_qemu())
    except HotswapError:
        known = None
    if known is None:
        text = "there and can be opened; the first start of a machine tries whether it runs a 64-bit guest"
        return Check(name, State.OK, text, purpose, path=KVM)
    return Check(name, State.OK if known.works else State.DEGRADED, known.found, purpose, path=KVM)


def _image() -> Check:
    name, purpose = "stand-in guest", "starting a QEMU guest without a Windows licence"
    try:
        image = find_image()
    except HotswapError:
        return Check(name, State.DEGRADED, "cannot be made without wine", purpose)
    if image is None:
        return Check(
            name, State.OK, "not built yet; `hotswap machine build standin`, or the first start, does it", purpose
        )
    return Check(name, State.OK, f"built, {image.size / 1e6:.0f} MB at {image.path}", purpose, path=image.path)


def planned() -> Iterator[Check]:
    """Machines that are written down and cannot run yet, and no word more."""
    for name in profile_names():
        machine = load_profile(name).table("machine")
        if machine.get("state") in ("planned", "untried"):
            untried = "the machine `{}`, which has never met real Windows"
            planned = "the planned machine `{}`; this version cannot run it"
            purpose = (untried if machine["state"] == "untried" else planned).format(name)
            yield Check(f"machine {name}", State.PLANNED, str(machine.get("reason", "")), purpose)
