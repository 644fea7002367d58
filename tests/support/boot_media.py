"""ISO images that firmware boots from: each writes one line to the first serial port, and halts."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pycdlib

_SECTOR = 512
_SECTORS = 2880
_FAT_SECTORS = 9
_ROOT_SECTORS = 14

EFI_SOURCE = r"""
static void Write(const char *text)
{
    for (; *text != 0; text++) {
        __asm__ volatile("outb %0, %1" ::"a"(*text), "Nd"((unsigned short)0x3f8));
    }
}

unsigned long long EfiMain(void *image, void *table)
{
    (void)image;
    (void)table;
    Write("\r\nTEXT\r\n");
    for (;;) {
        __asm__ volatile("hlt");
    }
}
"""


def efi_program(folder: Path, text: str) -> bytes:
    """An EFI application, not signed."""
    source, target = folder / "medium.c", folder / "medium.efi"
    source.write_text(EFI_SOURCE.replace("TEXT", text))
    argv = [
        *("clang", "--target=x86_64-unknown-windows", "-ffreestanding", "-O2", "-nostdlib", "-fuse-ld=lld"),
        *("-Wl,-entry:EfiMain", "-Wl,-subsystem:efi_application", "-o", str(target), str(source)),
    ]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, timeout=60)
    return target.read_bytes()


def bios_sector(text: str) -> bytes:
    """A boot sector, as El Torito loads it without emulation."""
    code = bytes.fromhex(
        "e80000"  # call next
        "5e"  # next: pop si
        "0e1f"  # ds = cs
        "83c614"  # si = the text
        "baf803"  # dx = COM1
        "ac84c07403"  # while ((al = *si++) != 0)
        "eeebf8"  # out dx, al
        "f4ebfd"  # halt for ever
    )
    sector = code + f"\r\n{text}\r\n".encode() + b"\0"
    return sector.ljust(2046, b"\0") + b"\x55\xaa"


def fat_image(files: dict[str, bytes]) -> bytes:
    """A FAT12 file system of 1.44 MB; names are `FOLDER/FOLDER/NAME.EXT`, 8.3 and in capitals."""
    boot = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s", b"\xeb\x3c\x90", b"HOTSWAP ", _SECTOR, 1, 1, 2, 224, _SECTORS, 0xF0, _FAT_SECTORS,
        18, 2, 0, 0, 0, 0, 0x29, 1, b"TEST       ", b"FAT12   ",
    )  # fmt: skip
    chains, data = [0xFF0, 0xFFF], bytearray()

    def store(content: bytes) -> int:
        first, count = len(chains), max(1, -(-len(content) // _SECTOR))
        chains.extend([*range(first + 1, first + count), 0xFFF])
        data.extend(content.ljust(count * _SECTOR, b"\0"))
        return first

    def entry(name: str, attribute: int, cluster: int, size: int) -> bytes:
        stem, _, ending = name.partition(".")
        short = stem.ljust(8).encode() + ending.ljust(3).encode()
        return struct.pack("<11sB14xHI", short, attribute, cluster, size)

    def folder(inside: dict[str, bytes]) -> bytes:
        entries = b""
        for name in dict.fromkeys(path.partition("/")[0] for path in inside):
            if name in inside:
                entries += entry(name, 0x20, store(inside[name]), len(inside[name]))
            else:
                below = {path.partition("/")[2]: data for path, data in inside.items() if path.startswith(f"{name}/")}
                entries += entry(name, 0x10, store(folder(below)), 0)
        return entries

    root = folder(files)
    fat = bytearray()
    for low, high in zip(chains[::2], [*chains[1::2], 0], strict=False):
        fat += struct.pack("<I", low | high << 12)[:3]
    table = bytes(fat).ljust(_FAT_SECTORS * _SECTOR, b"\0")
    image = boot.ljust(510, b"\0") + b"\x55\xaa" + table * 2 + root.ljust(_ROOT_SECTORS * _SECTOR, b"\0") + bytes(data)
    return image.ljust(_SECTORS * _SECTOR, b"\0")


def boot_disc(image: Path, text: str) -> None:
    """An ISO image that BIOS and UEFI boot from, as an installation medium is one."""
    bios = bios_sector(f"{text} by BIOS")
    uefi = fat_image({"EFI/BOOT/BOOTX64.EFI": efi_program(image.parent, f"{text} by UEFI")})
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3)
    for name, content in (("/BIOS.;1", bios), ("/UEFI.;1", uefi)):
        iso.add_fp(io.BytesIO(content), len(content), name)
    iso.add_eltorito("/BIOS.;1", "/BOOT.CAT;1")
    iso.add_eltorito("/UEFI.;1", platform_id=0xEF, efi=True)
    iso.write(str(image))
    iso.close()
