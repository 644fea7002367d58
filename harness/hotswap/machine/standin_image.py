"""The stand-in guest's image: built once from Debian's packages, and rebuilt for a reason that is told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from hotswap.deadline import Deadline
from hotswap.driver.toolchain import find_program
from hotswap.errors import LabFault
from hotswap.machine.building import building
from hotswap.machine.lock import locked
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu_profile import QemuProfile
from hotswap.machine.standin_disk import file_hash, make_disk
from hotswap.machine.standin_kernel import KernelModules, extract_kernel, ram_disk
from hotswap.machine.standin_packages import Package, fetch_packages, resolve_packages, unpack_packages
from hotswap.machine.standin_recipe import Recipe, load_recipe
from hotswap.machine.standin_tree import WINE_INF, make_tree
from hotswap.machine.storage import make_folder, remove_tree, require_space
from hotswap.machine.wine_folder import PrefixFolder
from hotswap.machine.wine_install import find_wine
from hotswap.machine.wine_prefix import clone_from_template, template_key
from hotswap.paths import cache_home

Progress = Callable[[str], None]

BUILD_KIND = "standin-build"
# By whom the recipe is followed: an image made by others is another one.
_BUILDERS = ("standin_disk.py", "standin_image.py", "standin_kernel.py", "standin_packages.py", "standin_tree.py")
_MANIFEST = "image.json"
_FREE_MIB = 3072
# Images of other versions of the sources that are kept; each takes 600 MB.
_KEEP = 3
_IN_USE_SECONDS = 900.0
_BUILD_SECONDS = 900.0
_FILES = ("kernel", "vmlinuz", "ram-disk", "disk.img", "modules/ntoskrnl.exe", "modules/hal.dll")
# What a driver may import in this guest, for preflight.
_MODULES = ("ntoskrnl.exe", "hal.dll", "drivers/*.sys")


@dataclass(frozen=True, slots=True)
class StandinImage:
    """A finished image. `content` names what is in it: the SHA-256 of its files' hashes."""

    path: Path
    content: str
    manifest: dict[str, Any]

    @property
    def ram_disk(self) -> Path:
        """The initial RAM disk."""
        return self.path / "ram-disk"

    @property
    def disk(self) -> Path:
        """The root file system, raw; nobody writes into it."""
        return self.path / "disk.img"

    @property
    def ntoskrnl(self) -> Path:
        """The guest's own kernel image, as preflight reads it."""
        return self.path / "modules" / "ntoskrnl.exe"

    @property
    def size(self) -> int:
        """Bytes that it takes on the disk."""
        return sum((self.path / name).stat().st_blocks * 512 for name in _FILES)


def kernel_file(profile: QemuProfile) -> str:
    """What a machine starts with, by its name in the image: by QEMU the kernel, by firmware all with its EFI stub."""
    return "kernel" if profile.firmware == "none" else "vmlinuz"


def images_home() -> Path:
    """Where images lie."""
    return cache_home() / "standin"


def image_sources(recipe: Recipe) -> dict[str, str]:
    """What an image depends on without asking apt: the recipe, who follows it, and the Wine that makes its prefix."""
    profile = load_profile("wine")
    return {
        **{name: hashlib.sha256(Path(__file__).with_name(name).read_bytes()).hexdigest() for name in _BUILDERS},
        **{f"vm/standin/{name}": content for name, content in recipe.sources.items()},
        "the Wine prefix": template_key(profile, find_wine(profile)),
    }


def find_image() -> StandinImage | None:
    """The image of this version's sources that was built last, whole; None: there is none. Does not ask apt."""
    wanted = image_sources(load_recipe())
    found = [image for image in _images() if image.manifest["sources"] == wanted]
    newest = max(found, key=lambda image: image.manifest["built"], default=None)
    if newest is not None:
        # When it was used last: what is in use is not pruned.
        os.utime(newest.path / _MANIFEST)
    return newest


def _images() -> list[StandinImage]:
    images = []
    for path in sorted(images_home().glob(f"*/{_MANIFEST}")):
        try:
            manifest = json.loads(path.read_text())
            sizes = {name: (path.parent / name).stat().st_size for name in _FILES}
            if "archives" in manifest and sizes == {name: facts["size"] for name, facts in manifest["files"].items()}:
                images.append(StandinImage(path.parent, manifest["content"], manifest))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return images


def standin_image(progress: Progress, deadline: Deadline | None = None) -> StandinImage:
    """The image of this version's sources; built when there is none."""
    return find_image() or build_image(progress, deadline)


def build_image(progress: Progress, deadline: Deadline | None = None) -> StandinImage:
    """Bring the image up to date: with apt's present versions of its packages. Nothing is done when it is already.

    Several at once wait for one builder. LabFault says what was missing; nothing half made is left.
    """
    deadline = deadline or Deadline.after(_BUILD_SECONDS)
    recipe = load_recipe()
    home = make_folder(images_home(), "the image folder")
    waiting = "waiting for another process that builds the stand-in guest"
    with locked(home / "build.lock", "the stand-in guest's image", waiting, deadline, progress):
        sources = image_sources(recipe)
        progress("asking apt for the packages of the stand-in guest")
        packages = resolve_packages(recipe.packages, recipe.kernel, deadline)
        inputs = {**sources, **{f"package {one.name}": f"{one.version} {one.hash}" for one in packages}}
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:20]
        known = _images()
        for image in known:
            if image.path.name == key:
                return image
        progress(f"building the stand-in guest, because {rebuild_reason(inputs, known)}")
        return _build(recipe, sources, inputs, packages, home / key, deadline, progress)


def rebuild_reason(inputs: dict[str, str], known: list[StandinImage]) -> str:
    """Why an image that there is will not do."""
    if not known:
        return "there is none yet"
    last = max(known, key=lambda image: image.manifest["built"]).manifest["inputs"]
    changed = [name for name in sorted({*inputs, *last}) if inputs.get(name) != last.get(name)]
    versions = [
        f"{name} is {inputs[name].split()[0]} now" for name in changed if name.startswith("package ") and name in inputs
    ]
    others = [f"{name} changed" for name in changed if not name.startswith("package ")]
    return "; ".join([*others, *versions]) or "a package is no longer part of it"


def _build(
    recipe: Recipe,
    sources: dict[str, str],
    inputs: dict[str, str],
    packages: tuple[Package, ...],
    final: Path,
    deadline: Deadline,
    progress: Progress,
) -> StandinImage:
    begun = monotonic()
    require_space(images_home(), _FREE_MIB, "the stand-in guest's image")
    with building(BUILD_KIND, images_home(), remove_tree, "building the stand-in guest", final=final) as work:
        progress("fetching packages")
        archives = fetch_packages(packages, images_home() / "packages", deadline)
        progress("unpacking packages")
        union = work / "union"
        union.mkdir(parents=True)
        unpack_packages(archives, recipe.unpack, union)
        progress("making the Wine prefix")
        profile, prefix = load_profile("wine"), PrefixFolder(work / "wine")
        clone_from_template(profile, find_wine(profile), prefix, deadline, progress)
        progress("putting the guest together")
        init = _compile_init(recipe, work, deadline)
        modules = KernelModules.below(union / "lib/modules")
        image, tree = work / "image", work / "tree"
        image.mkdir()
        tree.mkdir()
        kernels = [*(union / "boot").glob("vmlinuz-*")]
        if len(kernels) != 1:
            raise LabFault(f"building the stand-in guest: {len(kernels)} kernels in the packages instead of one")
        shutil.copyfile(kernels[0], image / "vmlinuz")
        (image / "kernel").write_bytes(extract_kernel(kernels[0].read_bytes()))
        (image / "ram-disk").write_bytes(ram_disk(init, modules.ordered(recipe.ram_disk_modules)))
        make_tree(recipe, union, prefix.prefix, modules, init, tree)
        (image / "modules").mkdir()
        system = tree / "var/lib/hotswap/prefix/drive_c/windows/system32"
        for path in sorted(path for pattern in _MODULES for path in system.glob(pattern)):
            shutil.copyfile(path, image / "modules" / path.name)
        progress("making its disk")
        make_disk(tree, image / "disk.img", recipe.epoch, deadline, dated=[WINE_INF])
        files = {name: {"size": (image / name).stat().st_size, "sha256": file_hash(image / name)} for name in _FILES}
        content = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
        built = max((other.manifest["built"] for other in _images()), default=0) + 1
        manifest = {
            "schema": 1,
            "built": built,
            "content": content,
            "files": files,
            "inputs": inputs,
            "archives": sorted(archive.name for archive in archives.values()),
            "sources": sources,
            "seconds": round(monotonic() - begun, 1),
        }
        for name in _FILES:
            (image / name).chmod(0o444)
        (image / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        remove_tree(final)
        image.rename(final)
        _prune(final)
        progress(f"built the stand-in guest in {monotonic() - begun:.0f} s")
        return StandinImage(final, content, manifest)


def _prune(newest: Path) -> None:
    """Drop old images and packages that the newest one is not made of. A guest that runs keeps what it has open."""
    known = sorted(_images(), key=lambda image: image.manifest["built"], reverse=True)
    for image in known[_KEEP:]:
        if image.path != newest and time() - (image.path / _MANIFEST).stat().st_mtime > _IN_USE_SECONDS:
            remove_tree(image.path)
    wanted = {name for image in known[:_KEEP] for name in image.manifest["archives"]}
    for archive in (images_home() / "packages").glob("*.deb"):
        if archive.name not in wanted:
            archive.unlink()


def _compile_init(recipe: Recipe, work: Path, deadline: Deadline) -> bytes:
    """The guest's first program, for x86-64 Linux, with all it needs in it."""
    clang = find_program("clang")
    if clang is None:
        raise LabFault("building the stand-in guest: clang is not there: install the Debian package `clang`")
    sources = sorted(str(path) for path in recipe.folder.glob("*.c"))
    target = work / "init"
    argv = [
        str(clang), "--target=x86_64-linux-gnu", "-std=c17", "-O2", "-static", "-Wall", "-Wextra", "-Werror",
        "-Wl,--build-id=none", f"-ffile-prefix-map={recipe.folder}=.", "-o", str(target), *sources,
    ]  # fmt: skip
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline.remaining)
    if done.returncode != 0:
        words = " | ".join(done.stderr.strip().splitlines()[:3])
        raise LabFault(f"building the stand-in guest: clang ended with {done.returncode}: {words}")
    return target.read_bytes()
