"""Profiles of kind `qemu`, typed: what a machine is made of, and what is different under which accelerator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hotswap.errors import UsageError
from hotswap.machine.profile import MachineProfile

FIRMWARES = ("none", "bios", "uefi")
AGENTS = ("virtio-serial", "com", "ssh", "winrm")
ACCELERATORS = ("kvm", "tcg")
BOOTS = ("standin", "windows")
ROLES = ("install", "drivers")
BUSES = ("virtio", "sata", "nvme")
DRIVES = ("", "scsi", "sata")
CARRIERS = ("agent", "disc")


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk. Its size is that of the image it starts from, or `size_gib`.

    `image`: a disk image of the user's own, among the user's media, with a Windows that has the agent.
    """

    bus: str
    size_gib: int = 0
    image: str = ""


@dataclass(frozen=True, slots=True)
class WindowsSettings:
    """What Setup is told: the edition by its name in the image, language, product key (empty: none is asked for).

    `drivers`: folders of the medium `drivers` that are taken along.
    """

    edition: str
    language: str = "en-US"
    product_key: str = ""
    drivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nic:
    """One network card, on a network of its own without a way out; `services` are guest ports that may be forwarded."""

    model: str
    services: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    """One CD: what it is for, and its file among the user's media."""

    role: str
    file: str


@dataclass(frozen=True, slots=True)
class Quirk:
    """What is different under a condition, and why."""

    accelerator: str
    changes: Mapping[str, Any]
    reason: str


@dataclass(frozen=True, slots=True)
class QemuProfile:
    """A machine of kind `qemu`. Of the fields a quirk may set any whose name it gives."""

    name: str
    description: str
    state: str
    boot: str
    firmware: str
    accelerators: tuple[str, ...]
    agent: str
    reason: str = ""
    chipset: str = "q35"
    processors: int = 2
    memory_mib: int = 1024
    cpu: str = "host"
    secure_boot: bool = False
    tpm: bool = False
    fork: bool = False
    kernel_arguments: str = ""
    disc: str = ""
    """The bus of the drive that takes discs while the guest runs; empty: there is none."""
    overlay_mib: int = 4096
    """What its disks may take on this host, snapshots in them included."""
    files: str = "agent"
    """How drivers get into the guest: over the agent's stream, or on a disc."""
    clock: str = "utc"
    devices: tuple[str, ...] = ()
    enlightenments: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    media: tuple[Media, ...] = ()
    quirks: tuple[Quirk, ...] = ()
    windows: WindowsSettings | None = None

    @property
    def planned(self) -> bool:
        """Whether it is only written down: `reason` says what it needs."""
        return self.state == "planned"

    def under(self, accelerator: str) -> QemuProfile:
        """The profile with the quirks of an accelerator applied."""
        changes: dict[str, Any] = {}
        for quirk in self.quirks:
            if quirk.accelerator == accelerator:
                changes |= quirk.changes
        return dataclasses.replace(self, **changes) if changes else self


def qemu_profile(profile: MachineProfile) -> QemuProfile:
    """Read it. UsageError names what is wrong, and where."""
    read = _Reader(profile)
    machine = read.table("machine")
    known = {field.name for field in dataclasses.fields(QemuProfile)} - {
        "name", "description", "disks", "nics", "media", "quirks", "windows",
    }  # fmt: skip
    values = read.values("machine", machine, known)
    result = QemuProfile(
        name=profile.name,
        description=profile.description,
        state=read.one_of("machine.state", values.pop("state", None), ("ready", "untried", "planned")),
        boot=read.one_of("machine.boot", values.pop("boot", None), BOOTS),
        firmware=read.one_of("machine.firmware", values.pop("firmware", None), FIRMWARES),
        agent=read.one_of("machine.agent", values.pop("agent", None), AGENTS),
        accelerators=tuple(
            read.one_of("machine.accelerators", one, ACCELERATORS) for one in values.pop("accelerators", ())
        ),
        disks=tuple(Disk(**read.values("disk", item, {"bus", "size_gib", "image"})) for item in read.tables("disk")),
        nics=tuple(Nic(**read.values("nic", item, {"model", "services"})) for item in read.tables("nic")),
        media=tuple(Media(**read.values("media", item, {"role", "file"})) for item in read.tables("media")),
        quirks=tuple(read.quirk(item, known) for item in read.tables("quirk")),
        windows=read.windows(),
        **values,
    )
    _check(result, read)
    return result


def _check(profile: QemuProfile, read: _Reader) -> None:
    if not profile.accelerators:
        read.refuse("machine.accelerators names none")
    if profile.state != "ready" and not profile.reason:
        read.refuse(f"a machine that is {profile.state} says in machine.reason what it needs")
    if profile.secure_boot and profile.firmware != "uefi":
        read.refuse("machine.secure_boot needs machine.firmware = 'uefi'")
    if profile.processors < 1 or profile.memory_mib < 64:
        read.refuse("machine.processors is at least 1, machine.memory_mib at least 64")
    if profile.overlay_mib < 1:
        read.refuse("machine.overlay_mib is at least 1")
    read.one_of("machine.disc", profile.disc, DRIVES)
    read.one_of("machine.files", profile.files, CARRIERS)
    if profile.files == "disc" and not profile.disc:
        read.refuse("machine.files = 'disc' needs a drive: machine.disc says on which bus")
    for media in profile.media:
        read.one_of("media.role", media.role, ROLES)
    if profile.boot == "windows" and profile.windows is None:
        read.refuse("machine.boot = 'windows' needs a table [windows] with the edition")
    for disk in profile.disks:
        read.one_of("disk.bus", disk.bus, BUSES)
    for one in profile.accelerators:
        profile.under(one)


class _Reader:
    """Takes the tables of one profile apart; every refusal names the profile."""

    def __init__(self, profile: MachineProfile) -> None:
        self._profile = profile

    def refuse(self, why: str) -> None:
        raise UsageError(f"machine profile {self._profile.name!r}: {why}")

    def table(self, name: str) -> Mapping[str, Any]:
        table = self._profile.tables.get(name)
        if not isinstance(table, dict):
            raise UsageError(f"machine profile {self._profile.name!r}: the table [{name}] is missing")
        return table

    def tables(self, name: str) -> list[Mapping[str, Any]]:
        found = self._profile.tables.get(name, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise UsageError(f"machine profile {self._profile.name!r}: {name} must be tables, [[{name}]]")
        return found

    def values(self, where: str, table: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
        """A table's values, lists as tuples, each of the type that its name has elsewhere."""
        for key in table:
            if key not in known:
                self.refuse(f"{where}.{key} is unknown; known are: {', '.join(sorted(known))}")
        return {key: self._typed(f"{where}.{key}", key, value) for key, value in table.items()}

    def _typed(self, where: str, key: str, value: object) -> object:
        kind, check = _TYPES.get(key, ("a string", lambda item: isinstance(item, str)))
        if not check(value):
            self.refuse(f"{where} must be {kind}, not {value!r}")
        return tuple(value) if isinstance(value, list) else value

    def one_of(self, where: str, value: object, choices: tuple[str, ...]) -> str:
        if value not in choices:
            self.refuse(f"{where} is {value!r}; it must be one of {', '.join(choices)}")
        return str(value)

    def windows(self) -> WindowsSettings | None:
        if "windows" not in self._profile.tables:
            return None
        known = {field.name for field in dataclasses.fields(WindowsSettings)}
        values = self.values("windows", self.table("windows"), known)
        if not values.get("edition"):
            self.refuse("windows.edition names the edition of Windows that is installed")
        return WindowsSettings(**values)

    def quirk(self, item: Mapping[str, Any], known: set[str]) -> Quirk:
        when, changes, reason = item.get("when"), item.get("set"), item.get("reason")
        if not isinstance(when, dict) or not isinstance(changes, dict) or not isinstance(reason, str) or not reason:
            raise UsageError(f"machine profile {self._profile.name!r}: a quirk has `when`, `set` and a `reason`")
        if set(when) != {"accelerator"}:
            self.refuse("a quirk's `when` names an accelerator")
        accelerator = self.one_of("quirk.when.accelerator", when["accelerator"], ACCELERATORS)
        return Quirk(accelerator, self.values("quirk.set", changes, known), reason)


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _ports(value: object) -> bool:
    return isinstance(value, dict) and all(_number(port) and 0 < port < 65536 for port in value.values())


_TYPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("processors", "memory_mib", "size_gib", "overlay_mib"), ("a whole number", _number)),
    **dict.fromkeys(("secure_boot", "tpm", "fork"), ("true or false", lambda value: isinstance(value, bool))),
    **dict.fromkeys(("accelerators", "devices", "enlightenments", "drivers"), ("a list of strings", _strings)),
    "services": ("a table of ports by name", _ports),
}
