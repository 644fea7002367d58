"""QEMU's command line, as a profile asks for it. No secret is in it: who may read `ps` may read it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import LabFault
from hotswap.machine.qemu_profile import QemuProfile

AGENT_PORT = "org.hotswap.agent.0"
STANDIN_PORT = "org.hotswap.standin.0"
AGENT_SOCKET = "agent.sock"
STANDIN_SOCKET = "standin.sock"
COM_SOCKET = "com2.sock"
CONSOLE_SOCKET = "console.sock"
GUEST_ADDRESS = "10.0.2.15"
# Of the template: each machine gets one of its own after its start.
TEMPLATE_MAC = "52:54:00:68:73:00"
FIRMWARE_VARIABLES = "variables.fd"
_OVMF = Path("/usr/share/OVMF")
# A translation buffer for this guest; the default takes memory of every fork.
_TRANSLATION_MIB = 128
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclass(frozen=True, slots=True)
class QemuSources:
    """What a machine starts from: kernel and RAM disk for firmware `none`; the file that is its memory, if any.

    `ram_shared`: what the guest writes reaches that file; else the file stays as it is.
    """

    kernel: Path | None = None
    ram_disk: Path | None = None
    ram: Path | None = None
    ram_shared: bool = False
    incoming: bool = False
    tpm_socket: Path | None = None
    media: tuple[Path, ...] = ()


def qemu_command(
    program: Path, profile: QemuProfile, accelerator: str, sources: QemuSources, *, name: str, debug: bool = False
) -> list[str]:
    """The arguments of QEMU for a machine whose folder is its current one. The profile's quirks are applied here.

    LabFault when the host lacks firmware that the profile asks for.
    """
    wanted = profile.under(accelerator)
    memory = f"{wanted.memory_mib}M"
    argv = [
        *_unprivileged(),
        str(program),
        "-name",
        f"hotswap-{name},debug-threads=on",
        "-nodefaults",
        "-no-user-config",
    ]
    machine = [wanted.chipset, "usb=off", "vmport=off", "dump-guest-core=off", "memory-backend=ram"]
    if wanted.secure_boot:
        machine.append("smm=on")
    argv += ["-machine", ",".join(machine)]
    argv += ["-accel", "kvm" if accelerator == "kvm" else f"tcg,thread=multi,tb-size={_TRANSLATION_MIB}"]
    argv += ["-cpu", ",".join((wanted.cpu, *wanted.enlightenments)), "-smp", str(wanted.processors), "-m", memory]
    if sources.ram is not None:
        shared = "on" if sources.ram_shared else "off"
        argv += ["-object", f"memory-backend-file,id=ram,size={memory},mem-path={_value(sources.ram)},share={shared}"]
    else:
        argv += ["-object", f"memory-backend-ram,id=ram,size={memory}"]
    argv += _firmware(wanted, sources)
    argv += ["-rtc", f"base={wanted.clock},clock=host,driftfix=slew", "-display", "none"]
    argv += ["-action", "panic=pause", "-sandbox", _SANDBOX, "-msg", "timestamp=on", "-S"]
    argv += _sockets(wanted) + _debug_port(wanted)
    argv += _disks(wanted) + _media(wanted, sources.media) + _drive(wanted) + _networks(wanted)
    if wanted.tpm and sources.tpm_socket is not None:
        argv += ["-chardev", f"socket,id=tpm,path={_value(sources.tpm_socket)}"]
        argv += ["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]
    for number, device in enumerate(wanted.devices):
        argv += ["-device", device if "," in device or device == "vmgenid" else f"{device},id=device{number}"]
    if sources.incoming:
        argv += ["-incoming", "defer"]
    return argv


def _unprivileged() -> list[str]:
    """Root starts QEMU without any capability: it may use root's files, and nothing else that only root may.

    Another user would need rights on the machine's folder, which lies in root's home. Who is not root needs none of it.
    """
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path="/usr/bin:/bin")
    if os.geteuid() != 0 or setpriv is None:
        return []
    return [setpriv, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"]


def _firmware(profile: QemuProfile, sources: QemuSources) -> list[str]:
    if profile.firmware == "none":
        if sources.kernel is None or sources.ram_disk is None:
            raise LabFault(f"machine {profile.name!r}: firmware 'none' needs a kernel")
        return _kernel(profile, sources)
    if profile.firmware == "bios":
        return ["-boot", "menu=off", *_kernel(profile, sources)]
    code = firmware_code(profile)
    # Secure Boot's variables can be written only by the firmware itself, in system management mode.
    secure = ["-global", "driver=cfi.pflash01,property=secure,value=on"] if profile.secure_boot else []
    return [
        *secure,
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_value(code)}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={FIRMWARE_VARIABLES}"),
        *("-boot", "menu=off"),
        *_kernel(profile, sources),
    ]


def _kernel(profile: QemuProfile, sources: QemuSources) -> list[str]:
    """What is started in place of a boot loader; nothing for a machine that has one on its disk."""
    if sources.kernel is None or sources.ram_disk is None:
        return []
    return [
        *("-kernel", str(sources.kernel), "-initrd", str(sources.ram_disk)),
        *("-append", profile.kernel_arguments),
    ]


def firmware_code(profile: QemuProfile) -> Path:
    """OVMF's image for a profile, 4 MiB; LabFault names the package when it is not there."""
    code = _OVMF / ("OVMF_CODE_4M.secboot.fd" if profile.secure_boot else "OVMF_CODE_4M.fd")
    return _there(code, profile)


def firmware_template(profile: QemuProfile) -> Path:
    """The variables that a new machine starts with: for Secure Boot with Microsoft's keys enrolled."""
    return _there(_OVMF / ("OVMF_VARS_4M.ms.fd" if profile.secure_boot else "OVMF_VARS_4M.fd"), profile)


def _there(path: Path, profile: QemuProfile) -> Path:
    if not path.is_file():
        raise LabFault(f"machine {profile.name!r} needs {path}: install the Debian package `ovmf`, or run `ci/setup`")
    return path


def _sockets(profile: QemuProfile) -> list[str]:
    """Control, the agent's ports, and the console, which is logged too. All are files of the machine's folder."""
    argv = ["-chardev", "socket,id=qmp,path=qmp.sock,server=on,wait=off", "-mon", "chardev=qmp,mode=control"]
    argv += ["-device", "virtio-serial-pci,id=ports"]
    ports = [("agent", AGENT_PORT, AGENT_SOCKET)]
    if profile.boot == "standin":
        ports.append(("standin", STANDIN_PORT, STANDIN_SOCKET))
    for id, port, path in ports:
        argv += ["-chardev", f"socket,id={id},path={path},server=on,wait=off"]
        argv += ["-device", f"virtserialport,bus=ports.0,chardev={id},name={port},id=port-{id}"]
    log = "logfile=console.log,logappend=on"
    argv += ["-chardev", f"socket,id=console,path={CONSOLE_SOCKET},server=on,wait=off,{log}"]
    argv += ["-device", "isa-serial,chardev=console,index=0"]
    argv += ["-chardev", f"socket,id=com2,path={COM_SOCKET},server=on,wait=off"]
    return [*argv, "-device", "isa-serial,chardev=com2,index=1"]


def _debug_port(profile: QemuProfile) -> list[str]:
    """Where SeaBIOS and OVMF, and boot code that knows it, tell what they do; without firmware nobody writes to it."""
    if profile.firmware == "none":
        return []
    return ["-chardev", "file,id=debug,path=debug.log,append=on", "-device", "isa-debugcon,iobase=0x402,chardev=debug"]


def _disks(profile: QemuProfile) -> list[str]:
    argv: list[str] = []
    for number, disk in enumerate(profile.disks):
        name = "disk" if number == 0 else f"disk{number}"
        argv += ["-blockdev", f"driver=file,node-name={name}-file,filename={name}.qcow2,cache.no-flush=on"]
        argv += ["-blockdev", f"driver=qcow2,node-name={name},file={name}-file,cache.no-flush=on,discard=unmap"]
        device = {"virtio": "virtio-blk-pci", "sata": f"ide-hd,bus=ide.{number}", "nvme": f"nvme,serial={name}"}[
            disk.bus
        ]
        argv += ["-device", f"{device},drive={name},id=drive{number}{_boot_index(profile, number)}"]
    return argv


def _boot_index(profile: QemuProfile, number: int) -> str:
    """The disks first, then the media: what is empty is passed over, and once Windows is there it starts from disk."""
    # 0 is that of a kernel that is given to the firmware.
    return "" if profile.firmware == "none" else f",bootindex={number + 1}"


def _media(profile: QemuProfile, media: Sequence[Path]) -> list[str]:
    argv: list[str] = []
    for number, path in enumerate(media):
        argv += ["-blockdev", f"driver=file,node-name=cd{number}-file,read-only=on,filename={_value(path)}"]
        argv += ["-blockdev", f"driver=raw,node-name=cd{number},read-only=on,file=cd{number}-file"]
        argv += [
            "-device",
            f"ide-cd,bus=ide.{3 + number},drive=cd{number},id=cdrom{number}{_boot_index(profile, 8 + number)}",
        ]
    return argv


def _drive(profile: QemuProfile) -> list[str]:
    """An empty drive, for the discs that come later."""
    match profile.disc:
        case "scsi":
            return ["-device", "virtio-scsi-pci,id=scsi", "-device", "scsi-cd,bus=scsi.0,id=disc"]
        case "sata":
            return ["-device", "ide-cd,bus=ide.2,id=disc"]
    return []


def _networks(profile: QemuProfile) -> list[str]:
    """Each card has a network of its own with no way out; what is forwarded is added later, on 127.0.0.1 only."""
    argv: list[str] = []
    for number, nic in enumerate(profile.nics):
        argv += ["-netdev", f"user,id=net{number},restrict=on,ipv6=off"]
        rom = ",romfile=" if profile.firmware == "none" else ""
        argv += ["-device", f"{nic.model},netdev=net{number},mac={TEMPLATE_MAC},id=nic{number}{rom}"]
    return argv


def _value(path: Path) -> str:
    """A path as the value of an option: a comma in it is doubled."""
    return str(path).replace(",", ",,")
