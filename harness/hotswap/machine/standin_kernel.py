"""The stand-in guest's kernel: the ELF image out of Debian's vmlinuz, modules in order, and the initial RAM disk."""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hotswap.errors import LabFault

_LZ4_LEGACY = b"\x02\x21\x4c\x18"
_LZ4_BLOCK = 8 << 20
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def extract_kernel(vmlinuz: bytes) -> bytes:
    """The kernel itself, which QEMU starts by its PVH entry: no boot loader, and no unpacking in the guest.

    Layout: Documentation/x86/boot.rst of Linux (setup_sects, payload_offset, payload_length); LZ4's legacy frames, the
    unpacked size behind them. LabFault for a kernel that is packed in another way.
    """
    import pyarrow as pa

    start = ((vmlinuz[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", vmlinuz, 0x248)
    payload = vmlinuz[start + offset : start + offset + length]
    if not payload.startswith(_LZ4_LEGACY):
        raise LabFault(f"unpacking the kernel: it is not packed with LZ4 but begins with {payload[:4].hex()}")
    codec = pa.Codec("lz4_raw")
    (size,) = struct.unpack("<I", payload[-4:])
    rest, parts, done = payload[4:-4], [], 0
    while rest:
        (packed,) = struct.unpack_from("<I", rest)
        wanted = min(_LZ4_BLOCK, size - done)
        parts.append(codec.decompress(rest[4 : 4 + packed], decompressed_size=wanted, asbytes=True))
        rest, done = rest[4 + packed :], done + wanted
    kernel = b"".join(parts)
    if len(kernel) != size or not kernel.startswith(b"\x7fELF"):
        raise LabFault(f"unpacking the kernel: {len(kernel)} bytes came out instead of {size}, or no ELF file")
    return kernel


@dataclass(frozen=True, slots=True)
class KernelModules:
    """The modules of one kernel by name (`-` and `_` are the same)."""

    files: dict[str, Path]

    @classmethod
    def below(cls, folder: Path) -> KernelModules:
        """Those in a folder, `lib/modules` of a package."""
        return cls({path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")})

    def ordered(self, names: Sequence[str]) -> list[Path]:
        """Them and what they depend on, each after what it needs. LabFault for one that there is not."""
        order: dict[str, Path] = {}

        def add(name: str) -> None:
            key = name.replace("-", "_")
            if key in order:
                return
            path = self.files.get(key)
            if path is None:
                raise LabFault(f"building the stand-in guest: the kernel has no module {name}")
            found = _DEPENDS.search(path.read_bytes())
            for needed in (found[1].decode() if found else "").split(","):
                if needed:
                    add(needed)
            order[key] = path

        for name in names:
            add(name)
        return list(order.values())


def write_modules(modules: Sequence[Path], folder: Path) -> None:
    """Modules and their order, as driver `modules.c` of the guest reads them."""
    folder.mkdir(parents=True)
    for module in modules:
        (folder / module.name).write_bytes(module.read_bytes())
    (folder / "order").write_text("".join(f"{module.name}\n" for module in modules))


def ram_disk(init: bytes, modules: Sequence[Path]) -> bytes:
    """An initial RAM disk: the first program, the modules, a console. The same input gives the same bytes."""
    order = "".join(f"{module.name}\n" for module in modules).encode()
    directory, program, device = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFCHR | 0o600
    entries: list[tuple[str, int, bytes, tuple[int, int]]] = [
        *((name, directory, b"", (0, 0)) for name in ("dev", "modules", "proc", "root")),
        ("dev/console", device, b"", (5, 1)),
        ("init", program, init, (0, 0)),
        ("modules/order", stat.S_IFREG | 0o644, order, (0, 0)),
        *((f"modules/{module.name}", stat.S_IFREG | 0o644, module.read_bytes(), (0, 0)) for module in modules),
        ("TRAILER!!!", 0, b"", (0, 0)),
    ]
    return b"".join(_cpio(entries))


def _cpio(entries: Sequence[tuple[str, int, bytes, tuple[int, int]]]) -> Iterator[bytes]:
    """The `newc` format: Documentation/driver-api/early-userspace/buffer-format.rst of Linux."""
    for number, (name, mode, data, device) in enumerate(entries, 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        yield head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
