"""The command line that a start would use, of planned machines too, without making anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hotswap.machine.profile import MachineProfile
from hotswap.machine.qemu_accelerator import choose_accelerator, find_qemu
from hotswap.machine.qemu_command import QemuSources, qemu_command
from hotswap.machine.qemu_folder import templates_home
from hotswap.machine.qemu_profile import qemu_profile
from hotswap.machine.standin_image import find_image, images_home, kernel_file
from hotswap.machine.windows_base import media_home


def dry_run_command(profile: MachineProfile, say: Callable[[str], None], *, fork: bool) -> list[str]:
    """QEMU's arguments. What does not exist yet has a name in capitals. UsageError when it is no machine of QEMU's."""
    wanted = qemu_profile(profile)
    qemu = find_qemu()
    accelerator = choose_accelerator(wanted, qemu, say)
    image = find_image()
    folder = image.path if image else images_home() / "IMAGE"
    sources = QemuSources(
        kernel=folder / kernel_file(wanted) if wanted.boot == "standin" else None,
        ram_disk=folder / "ram-disk" if wanted.boot == "standin" else None,
        ram=templates_home() / "TEMPLATE" / "ram" if fork and wanted.fork else None,
        incoming=fork and wanted.fork,
        tpm_socket=Path("tpm.sock") if wanted.tpm else None,
        media=tuple(media_home() / item.file for item in wanted.media),
    )
    return qemu_command(qemu.program, wanted, accelerator.name, sources, name="ID")
