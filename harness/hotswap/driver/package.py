"""What a test deploys: which images, in which order, under which names in the guest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hotswap.driver.build import DriverBuild, DriverImage
from hotswap.driver.exports import GuestExports
from hotswap.driver.preflight import PreflightReport, preflight
from hotswap.errors import UsageError

PROXY = "driverproxy.sys"
HOST = "hotswap.sys"
GUEST_FOLDER = r"C:\windows\system32\drivers"
_ENDPOINT = re.compile(r"hotswap_(?P<name>\w+)\.sys")
# HOTSWAP_SERVICE_NAME_CHARS, the NUL not counted.
_SERVICE_CHARS = 63
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")

# What the broken endpoint drivers of driver/update do wrong; those that ask to be refused come first.
_BREAKS = {
    "wrong-parameters": "registers an endpoint with another parameter count",
    "refuse-pre-process": "its callback fails in PreProcess",
    "refuse-proxy-stalled": "its callback fails in ProxyStalled",
    "refuse-post-process": "its callback fails in PostProcess",
    "never-returns": "an iteration never returns, so that the next swap cannot drain",
    "slow-drain": "an iteration stays inside for 1.5 s while the next swap drains",
    "slow-callback": "its ProxyStalled callback takes 1.5 s, for which all calls are held",
    "lose-wakeup": "clears its events, so that accepted wake-ups are lost",
    "self-signal": "signals its own events, so that iterations run that nobody asked for",
    "twice": "does the work of each wake-up twice",
    "skips-work": "does no work in every fourth iteration",
    "wrong-status": "reports a wait status other than the one it was given",
    "wrong-version": "reports a version other than its own",
    "ends-worker": "answers FALSE to go on, as inbox drivers do, and so ends its worker",
    "corrupt-context": "writes to the host's part of the worker context",
    "leak-entry": "does not free a pool allocation that its DriverEntry made",
    "leak-pool": "does not free a pool allocation",
    "leak-thread": "does not end a system thread",
    "leak-event": "does not close the handle of an event",
    "leak-reference": "does not drop an object reference",
    "crash": "writes to an invalid address in its first iteration",
}
# Updates that are good, from a host that is broken on purpose: the endpoint driver, and what the host does.
_HOST_FAULTS = {
    "host-old-call": ("v2", "old-call", "the host lets a call through to the old version after the switch"),
    "host-keep-image": ("v2", "keep-image", "the host does not unload the image that a swap took out of force"),
    "host-keep-link": ("v2", "keep-link", "the host leaves the link to its device behind"),
    "host-keep-extension": ("v2", "keep-extension", "the host does not give its DriverProxy extension back"),
}


@dataclass(frozen=True, slots=True)
class Update:
    """An endpoint driver that can be swapped in: its name, its image, and what it breaks (None for a good one).

    `host_fault`: what the host has to do wrong for it, empty for a good host.
    """

    name: str
    image: DriverImage
    breaks: str | None = None
    host_fault: str = ""


@dataclass(frozen=True, slots=True)
class DeployedImage:
    """One image with its place in the guest. `service` is None for an export driver: its importers load it."""

    image: DriverImage
    service: str | None
    guest_path: str


@dataclass(frozen=True, slots=True)
class DriverPackage:
    """The images of a test in the order of deployment: the runtime, the host, and then the endpoint drivers."""

    images: tuple[DeployedImage, ...]
    endpoints: tuple[DeployedImage, ...]

    @property
    def host(self) -> DeployedImage:
        """The host driver."""
        return next(deployed for deployed in self.images if deployed.image.name == HOST)

    @classmethod
    def of(cls, build: DriverBuild, updates: Sequence[str]) -> DriverPackage:
        """The package for a test that uses these endpoint drivers: names (`v1`, `lose-wakeup`) or paths of .sys files.

        `endpoints` has one entry for each of `updates`, in their order. One that is there more than once is deployed
        under two names, in turn, so that it can be loaded beside itself.
        Raises UsageError: an unknown name, or a file that is not a driver.
        """
        fixed = (_place(build.driver(PROXY), None), _place(build.driver(HOST), "hotswap"))
        package = cls(fixed, ())
        for wanted in updates:
            package = package.adding(build, wanted)
        return package

    def adding(self, build: DriverBuild, wanted: str, *, again: bool | None = None) -> DriverPackage:
        """This package and one more endpoint driver, the last of `endpoints`; places once given stay as they are.

        `again`: under its second name, so that it can be loaded beside itself; None: under its two names in turn.
        """
        image = resolve_update(build, wanted).image
        same = [deployed for deployed in self.endpoints if deployed.image.sha256 == image.sha256]
        second = len(same) % 2 == 1 if again is None else again
        places = list(dict.fromkeys(same))
        if len(places) > second:
            return DriverPackage(self.images, (*self.endpoints, places[second]))
        taken = {deployed.guest_path.rpartition("\\")[2].lower() for deployed in self.images}
        placed = _place_endpoint(image, taken, again=second)
        return DriverPackage((*self.images, placed), (*self.endpoints, placed))

    def preflight(self, ntoskrnl: Path | GuestExports) -> tuple[PreflightReport, ...]:
        """Check every image against the guest's kernel, each with the exports of the package's own export driver."""
        guest = ntoskrnl if isinstance(ntoskrnl, GuestExports) else GuestExports(ntoskrnl)
        exporting = [deployed.image.path for deployed in self.images if deployed.service is None]
        return tuple(preflight(deployed.image.path, ntoskrnl=guest, siblings=exporting) for deployed in self.images)


def known_updates(build: DriverBuild) -> tuple[Update, ...]:
    """The updates that a build offers: good ones first, then broken endpoint drivers, then broken hosts."""
    updates = [
        Update(name, image, _BREAKS.get(name))
        for image in build.drivers.values()
        if (found := _ENDPOINT.fullmatch(image.name)) and (name := found["name"].replace("_", "-"))
    ]
    order = list(_BREAKS)
    updates.sort(key=lambda update: (update.breaks is not None and order.index(update.name), update.name))
    images = {update.name: update.image for update in updates}
    faulty = [Update(name, images[good], breaks, fault) for name, (good, fault, breaks) in _HOST_FAULTS.items()]
    return (*updates, *faulty)


def update_names() -> tuple[str, ...]:
    """Names of updates, from the tables alone: for completion, where nothing may be built."""
    return ("v1", "v2", "v3", "v4", *_BREAKS, *_HOST_FAULTS)


def check_update_file(wanted: str) -> None:
    """Raise UsageError when this is a path, and not of a file: reading a pipe or a device would never end."""
    if not _is_path(wanted):
        return
    path = Path(wanted)
    try:
        if not path.is_file():
            path.stat()
            kind = "folder" if path.is_dir() else "pipe, socket or device"
            raise UsageError(f"the driver {wanted} is no file, but a {kind}: give a driver image (.sys)")
    except OSError as error:
        raise UsageError(f"the driver {wanted} cannot be read: {error.strerror or error}") from None


def _is_path(wanted: str) -> bool:
    return "/" in wanted or wanted.lower().endswith(".sys")


def resolve_update(build: DriverBuild, wanted: str) -> Update:
    """The update of this name, or the endpoint driver at this path when it ends in `.sys` or has a folder in it.

    Raises UsageError in one line: an unknown name (the known ones are listed), no such file, or not a driver.
    """
    for update in known_updates(build):
        if update.name == wanted:
            return update
    if not _is_path(wanted):
        known = [update.name for update in known_updates(build)]
        if Path(wanted).is_file():
            raise UsageError(f"unknown update {wanted!r}; for the file of that name say ./{wanted}")
        close = get_close_matches(wanted.replace("_", "-"), known, 1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(f"unknown update {wanted!r}{meant}; known are: {', '.join(known)}, or give the path of a .sys")
    check_update_file(wanted)
    path = Path(wanted)
    try:
        report = preflight(path)
    except OSError as error:
        raise UsageError(f"the driver {wanted} cannot be read: {error.strerror or error}") from error
    for problem in report.problems:
        # Whatever else is wrong with it is for the preflight against the guest to say.
        if problem.id in ("not-a-pe", "corrupt", "machine"):
            named = problem.message.startswith(path.name)
            raise UsageError(problem.message if named else f"{wanted}: {problem.message}")
    version = str(report.facts.get("version", "0.0"))
    image = DriverImage(path.name, path.resolve(), report.sha256, path.stat().st_size, version)
    return Update(path.stem, image)


def _place(image: DriverImage, service: str | None, file: str | None = None) -> DeployedImage:
    return DeployedImage(image, service, f"{GUEST_FOLDER}\\{file or image.name}")


def _place_endpoint(image: DriverImage, taken: Iterable[str], *, again: bool) -> DeployedImage:
    """A place that no other image of the package has: service and file name are the image's own where they can be."""
    for stem in _names(image, "_b" if again else ""):
        if f"{stem}.sys".lower() not in taken:
            return _place(image, stem, f"{stem}.sys")
    raise UsageError(f"the driver {image.path} is deployed twice under one name")


def _names(image: DriverImage, suffix: str) -> Iterator[str]:
    stem = _NOT_IN_A_NAME.sub("_", Path(image.name).stem).strip("_") or "endpoint"
    tail = hashlib.sha256(image.sha256.encode()).hexdigest()[:8]
    yield stem[: _SERVICE_CHARS - len(suffix)] + suffix
    yield f"{stem[: _SERVICE_CHARS - 9 - len(suffix)]}_{tail}{suffix}"
