"""The stand-in guest's files: chosen out of unpacked packages, with the libraries they need and a Wine prefix."""

from __future__ import annotations

import os
import re
import shutil
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from hotswap.errors import LabFault
from hotswap.machine.standin_kernel import KernelModules, write_modules
from hotswap.machine.standin_recipe import Recipe

_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
_WINE_UNIX = "usr/lib/x86_64-linux-gnu/wine/x86_64-unix"
_WINE_WINDOWS = "usr/lib/x86_64-linux-gnu/wine/x86_64-windows"
_MACHINE = "5c52f0b4-4d0a-4d0e-9b8e-2f4c3f1a7e11"
WINE_INF = "usr/share/wine/wine.inf"
_PREFIX = "var/lib/hotswap/prefix"
_IMAGES = frozenset((".dll", ".exe", ".sys", ".drv", ".ocx", ".cpl", ".acm", ".ax", ".com", ".tlb", ".ds"))
_FOLDERS = (
    "dev", "etc/ssh", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "usr/lib64", "var/log",
)  # fmt: skip
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/usr/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost standin\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "usr/bin/hsagent": """#!/usr/bin/sh
# The agent, for whoever comes by SSH.
exec "$WINELOADER" 'C:\\hotswap\\hsagent.exe' "$@"
""",
}


def make_tree(recipe: Recipe, union: Path, prefix: Path, modules: KernelModules, init: bytes, tree: Path) -> None:
    """Fill `tree`, the guest's root: `union` is the unpacked packages, `prefix` a Wine prefix, which is moved there."""
    for name in _FOLDERS:
        (tree / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    programs = [path for pattern in recipe.files for path in _matching(union, pattern)]
    programs += [union / _WINE_UNIX / f"{name}.so" for name in recipe.wine_libraries]
    for path in programs:
        _copy(path, tree / _merged(path.relative_to(union)))
    for name, path in needed_libraries(programs, union, union / _WINE_UNIX).items():
        _copy(path, tree / _LIBRARIES[1] / name)
    (tree / "usr/lib64/ld-linux-x86-64.so.2").symlink_to("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    for applet in ("sh", "false"):
        (tree / "usr/bin" / applet).symlink_to("busybox")
    for name, text in _TEXTS.items():
        (tree / name).write_text(text)
    (tree / "usr/bin/hsagent").chmod(0o755)
    (tree / "usr/sbin/init").write_bytes(init)
    (tree / "usr/sbin/init").chmod(0o755)
    shutil.copyfile(recipe.folder / "sshd_config", tree / "etc/ssh/sshd_config")
    write_modules(modules.ordered(recipe.disk_modules), tree / "usr/lib/modules")
    _place_prefix(recipe, prefix, tree)
    _settle(tree)


def _matching(union: Path, pattern: str) -> list[Path]:
    found = [path for path in sorted(union.glob(pattern)) if path.is_file()]
    if not found:
        raise LabFault(f"building the stand-in guest: no package brings {pattern}")
    return found


def _merged(path: Path) -> Path:
    """Where a file lies in a system whose /bin, /sbin and /lib are those of /usr."""
    return path if path.parts[0] not in ("bin", "sbin", "lib") else Path("usr", path)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def needed_libraries(programs: Iterable[Path], union: Path, beside: Path) -> dict[str, Path]:
    """The shared libraries that ELF files need, with what those need, by the name they are asked for.

    LabFault names a library that no package brings. What lies in `beside` is taken as there.
    """
    found: dict[str, Path] = {}
    waiting = [(path, name) for path in programs for name in needed(path)]
    while waiting:
        asker, name = waiting.pop()
        if name in found or (beside / name).is_file():
            continue
        path = next((union / folder / name for folder in _LIBRARIES if (union / folder / name).is_file()), None)
        if path is None:
            raise LabFault(
                f"building the stand-in guest: {asker.name} needs {name}, which no package of the recipe brings"
            )
        found[name] = path
        waiting += [(path, more) for more in needed(path)]
    # Not in any file's list: the C library loads it when a thread is ended.
    for name in ("libgcc_s.so.1", "ld-linux-x86-64.so.2"):
        path = next((union / folder / name for folder in _LIBRARIES if (union / folder / name).is_file()), None)
        if path is None:
            raise LabFault(f"building the stand-in guest: no package of the recipe brings {name}")
        found.setdefault(name, path)
    return dict(sorted(found.items()))


def needed(path: Path) -> list[str]:
    """DT_NEEDED of a 64-bit ELF file; empty for any other file."""
    data = path.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return []
    (headers,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    loads, dynamic = [], b""
    for at in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, headers + at * size)
        if kind == 1:
            loads.append((address, offset, length))
        elif kind == 2:
            dynamic = data[offset : offset + length]
    tags = [struct.unpack_from("<qQ", dynamic, at) for at in range(0, len(dynamic), 16)]
    strings = next((value for tag, value in tags if tag == 5), None)
    if strings is None:
        return []
    base = next(
        offset + strings - address for address, offset, length in loads if address <= strings < address + length
    )
    return [data[base + value : data.index(b"\0", base + value)].decode() for tag, value in tags if tag == 1]


def _place_prefix(recipe: Recipe, prefix: Path, tree: Path) -> None:
    """The prefix with what ties it to the time it was made undone; Wine's own folder shares the files with it."""
    target = tree / _PREFIX
    target.parent.mkdir(parents=True)
    prefix.rename(target)
    for name in ("system.reg", "user.reg", "userdef.reg"):
        path = target / name
        starts = dict.fromkeys(recipe.disabled_services, 4) | dict.fromkeys(recipe.on_demand_services, 3)
        path.write_text(settled_registry(path.read_text(), recipe.epoch, starts))
    # Wine would fill the prefix again when this is not the time of its wine.inf.
    inf = tree / WINE_INF
    (target / ".update-timestamp").write_text(f"{int(inf.stat().st_mtime)}\n")
    shared = tree / _WINE_WINDOWS
    shared.mkdir(parents=True)
    for path in sorted(target.rglob("*")):
        if path.suffix.lower() in _IMAGES and path.is_file() and not path.is_symlink():
            twin = shared / path.name
            if not twin.exists():
                os.link(path, twin)


def settled_registry(text: str, epoch: int, starts: Mapping[str, int]) -> str:
    """A registry file of Wine without what differs from one making to the next; `starts`: Start by service."""
    filetime = (epoch + 11_644_473_600) * 10_000_000
    text = re.sub(r"^(\[.*\]) [0-9]+$", rf"\1 {epoch}", text, flags=re.MULTILINE)
    text = re.sub(r"^#time=[0-9a-f]+$", f"#time={filetime:x}", text, flags=re.MULTILINE)
    # Names this installation, and the day it was made: for a guest that anybody may make again, always the same.
    names = r'^("(?:MachineGuid|VideoID)"="\{?)[0-9a-f-]{36}'
    text = re.sub(names, rf"\g<1>{_MACHINE}", text, flags=re.MULTILINE)
    date = ",".join(f"{byte:02x}" for byte in filetime.to_bytes(8, "little"))
    text = re.sub(r'^("DriverDateData"=hex):[0-9a-f,]+$', rf"\1:{date}", text, flags=re.MULTILINE)
    for name, start in starts.items():
        head = re.escape(f"[System\\\\CurrentControlSet\\\\Services\\\\{name}]")
        values = rf'({head}(?:(?!\n\[).)*?\n"Start"=dword:)[0-9a-f]{{8}}'
        text = re.sub(values, rf"\g<1>{start:08x}", text, flags=re.DOTALL)
    return text


def _settle(tree: Path) -> None:
    """Rights that do not depend on by whom the tree was made.

    What has several names is left alone: it may be a file of the Wine template, which this tree only shares.
    """
    for path in [*sorted(tree.rglob("*")), tree]:
        status = path.lstat()
        if not path.is_symlink() and (path.is_dir() or status.st_nlink == 1):
            path.chmod(0o755 if path.is_dir() or status.st_mode & 0o100 else 0o644)
