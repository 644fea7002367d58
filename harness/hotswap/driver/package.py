"""What a test deploys: which images, in which order, under which names in the guest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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

# What the broken endpoint drivers of driver/update do wrong.
_BREAKS = {
    "lose-wakeup": "clears its events, so that accepted wake-ups are lost",
    "twice": "does the work of each wake-up twice",
}


@dataclass(frozen=True, slots=True)
class Update:
    """An endpoint driver that can be swapped in: its name, its image, and what it breaks (None for a good one)."""

    name: str
    image: DriverImage
    breaks: str | None = None


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

        `endpoints` has one entry for each of `updates`, in their order; the same one twice is deployed once.
        Raises UsageError: an unknown name, or a file that is not a driver.
        """
        fixed = [_place(build.driver(PROXY), None), _place(build.driver(HOST), "hotswap")]
        placed: dict[str, DeployedImage] = {}
        taken = {deployed.image.name.lower() for deployed in fixed}
        endpoints = []
        for wanted in updates:
            image = resolve_update(build, wanted).image
            if image.sha256 not in placed:
                placed[image.sha256] = _place_endpoint(image, taken)
                taken.add(placed[image.sha256].guest_path.rpartition("\\")[2].lower())
            endpoints.append(placed[image.sha256])
        return cls((*fixed, *placed.values()), tuple(endpoints))

    def preflight(self, ntoskrnl: Path | GuestExports) -> tuple[PreflightReport, ...]:
        """Check every image against the guest's kernel, each with the exports of the package's own export driver."""
        guest = ntoskrnl if isinstance(ntoskrnl, GuestExports) else GuestExports(ntoskrnl)
        exporting = [deployed.image.path for deployed in self.images if deployed.service is None]
        return tuple(preflight(deployed.image.path, ntoskrnl=guest, siblings=exporting) for deployed in self.images)


def known_updates(build: DriverBuild) -> tuple[Update, ...]:
    """The endpoint drivers of a build, good ones first."""
    updates = [
        Update(name, image, _BREAKS.get(name))
        for image in build.drivers.values()
        if (found := _ENDPOINT.fullmatch(image.name)) and (name := found["name"].replace("_", "-"))
    ]
    return tuple(sorted(updates, key=lambda update: (update.breaks is not None, update.name)))


def resolve_update(build: DriverBuild, wanted: str) -> Update:
    """The endpoint driver of this name, or at this path when it ends in `.sys` or has a folder in it.

    Raises UsageError in one line: an unknown name (the known ones are listed), no such file, or not a driver.
    """
    for update in known_updates(build):
        if update.name == wanted:
            return update
    if not wanted.lower().endswith(".sys") and "/" not in wanted:
        names = ", ".join(update.name for update in known_updates(build))
        raise UsageError(f"unknown update {wanted!r}; known are: {names}, or give the path of a .sys")
    path = Path(wanted)
    try:
        report = preflight(path)
    except OSError as error:
        raise UsageError(f"the driver {wanted} cannot be read: {error.strerror or error}") from error
    for problem in report.problems:
        # Whatever else is wrong with it is for the preflight against the guest to say.
        if problem.id in ("not-a-pe", "corrupt", "machine"):
            raise UsageError(problem.message)
    version = str(report.facts.get("version", "0.0"))
    image = DriverImage(path.name, path.resolve(), report.sha256, path.stat().st_size, version)
    return Update(path.stem, image)


def _place(image: DriverImage, service: str | None, file: str | None = None) -> DeployedImage:
    return DeployedImage(image, service, f"{GUEST_FOLDER}\\{file or image.name}")


def _place_endpoint(image: DriverImage, taken: Iterable[str]) -> DeployedImage:
    """A place that no other image of the package has: service and file name are the image's own where they can be."""
    for stem in _names(image):
        if f"{stem}.sys".lower() not in taken:
            return _place(image, stem, f"{stem}.sys")
    raise UsageError(f"the driver {image.path} is deployed twice under one name")


def _names(image: DriverImage) -> Iterator[str]:
    stem = _NOT_IN_A_NAME.sub("_", Path(image.name).stem).strip("_") or "endpoint"
    tail = hashlib.sha256(image.sha256.encode()).hexdigest()[:8]
    yield stem[:_SERVICE_CHARS]
    yield f"{stem[: _SERVICE_CHARS - 9]}_{tail}"
