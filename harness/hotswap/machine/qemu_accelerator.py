"""What makes a QEMU guest run: KVM where it really does, else TCG. Found out by running a 64-bit guest, once a boot."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from hotswap.deadline import Deadline
from hotswap.driver.toolchain import find_program
from hotswap.errors import LabFault
from hotswap.machine.lease import new_id
from hotswap.machine.proc import boot_id
from hotswap.machine.qemu_profile import QemuProfile
from hotswap.machine.storage import make_folder
from hotswap.paths import cache_home, package_data

KVM = Path("/dev/kvm")
PROGRAM = "qemu-system-x86_64"
_PROBE_SECONDS = 6.0
_PROBE_EXIT = 2 * 0x2A + 1
_VERSION_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class QemuInstall:
    """An installed QEMU, and the first line of what it says of itself."""

    program: Path
    version: str


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One accelerator of this host. `works` is what running a guest showed, `found` says it in one line."""

    name: str
    works: bool
    found: str


def find_qemu() -> QemuInstall:
    """The QEMU of this host. LabFault names the package when there is none."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise LabFault(
            f"{PROGRAM} was not found: install the Debian packages `qemu-system-x86 qemu-utils`, or run `ci/setup`"
        )
    try:
        done = subprocess.run(
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_VERSION_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"`{program} --version` failed: {error}") from error
    first = done.stdout.partition("\n")[0].strip()
    if done.returncode != 0 or not first:
        raise LabFault(f"`{program} --version` ended with {done.returncode} and said {first or done.stderr!r}")
    return QemuInstall(Path(program), first)


def choose_accelerator(profile: QemuProfile, qemu: QemuInstall, say: Callable[[str], None]) -> Accelerator:
    """The first of the profile's accelerators that works; says in one line what is wrong with those before it."""
    refused = []
    for name in profile.accelerators:
        found = probe(name, profile.under(name).cpu, qemu, say)
        if found.works:
            return found
        refused.append(found.found)
    raise LabFault(f"machine {profile.name!r} cannot run here: {'; '.join(refused)}")


def probe(name: str, cpu: str, qemu: QemuInstall, say: Callable[[str], None] | None = None) -> Accelerator:
    """Whether an accelerator runs a 64-bit guest here. The answer is kept until the host boots again."""
    if name != "kvm":
        return Accelerator(name, True, f"{name.upper()}: QEMU's own translation, on every host")
    if not KVM.exists():
        return Accelerator(name, False, f"KVM: {KVM} is not there")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Accelerator(name, False, f"KVM: this user may not open {KVM}; join the group that owns it")
    if (known := probed(name, cpu, qemu)) is not None:
        return known
    memo = _memo(name, cpu, qemu)
    answer = run_guest(name, cpu, qemu)
    if say is not None and not answer.works:
        say(answer.found)
    make_folder(memo.parent, "the folder of probes")
    partial = memo.with_name(f".{memo.name}.{new_id()}.tmp")
    partial.write_text(json.dumps(asdict(answer)))
    partial.replace(memo)
    return answer


def probed(name: str, cpu: str, qemu: QemuInstall) -> Accelerator | None:
    """What an earlier probe of this boot found; None: nobody has asked yet."""
    try:
        kept = json.loads(_memo(name, cpu, qemu).read_text())
        return Accelerator(str(kept["name"]), bool(kept["works"]), str(kept["found"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _memo(name: str, cpu: str, qemu: QemuInstall) -> Path:
    key = hashlib.sha256(f"{boot_id()}\n{name}\n{cpu}\n{qemu.version}".encode()).hexdigest()[:20]
    return cache_home() / "qemu" / "probes" / f"{key}.json"


def run_guest(name: str, cpu: str, qemu: QemuInstall) -> Accelerator:
    """Run the probe, and say what came of it."""
    argv = [
        *(
            str(qemu.program),
            "-nodefaults",
            "-no-user-config",
            "-machine",
            "q35",
            "-accel",
            name,
            "-cpu",
            cpu,
            "-m",
            "64",
        ),
        *("-display", "none", "-no-reboot", "-kernel", str(_probe_image())),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
    ]
    begun = monotonic()
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        why = f"{KVM} is there, but a 64-bit guest hung for {_PROBE_SECONDS:g} s (-cpu {cpu}): TCG is used instead"
        return Accelerator(name, False, f"KVM: {why}")
    if done.returncode == _PROBE_EXIT:
        took = monotonic() - begun
        return Accelerator(name, True, f"KVM: ran a 64-bit guest in {took * 1000:.0f} ms (-cpu {cpu})")
    words = done.stderr.strip().splitlines()
    said = words[-1] if words else "nothing"
    return Accelerator(name, False, f"KVM: a 64-bit guest ended QEMU with {done.returncode}, which said: {said}")


def _probe_image() -> Path:
    """The guest of the probe, built with the driver build's own tools."""
    source = package_data("vm") / "probe" / "probe.S"
    key = hashlib.sha256(source.read_bytes()).hexdigest()[:20]
    image = make_folder(cache_home() / "qemu" / "probes", "the folder of probes") / f"{key}.elf"
    if image.is_file():
        return image
    clang, linker = find_program("clang"), find_program("ld.lld")
    if clang is None or linker is None:
        raise LabFault("building the probe of accelerators: clang or lld is not there: run `ci/setup`")
    partial = image.with_name(f".{image.stem}.{new_id()}")
    objects = partial.with_name(f"{partial.name}.o")
    try:
        for argv in (
            [str(clang), "--target=x86_64-linux-gnu", "-c", str(source), "-o", str(objects)],
            [
                str(linker),
                "-static",
                "-Ttext=0x100000",
                "-e",
                "entry",
                "--build-id=none",
                str(objects),
                "-o",
                str(partial),
            ],
        ):
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=Deadline.after(60).remaining
            )
            if done.returncode != 0:
                raise LabFault(
                    f"building the probe of accelerators: {argv[0]} ended with {done.returncode}: {done.stderr}"
                )
        partial.replace(image)
    finally:
        objects.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
    return image
