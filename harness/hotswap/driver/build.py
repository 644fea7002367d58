"""Builds the drivers and the agent, once for each content of their sources, into the user's cache.

`cache_home()/drivers/<hash>/` holds every .sys (signed) and .pdb, hsagent.exe, ioctl.json, conformance.json,
agent.json, codes.json, build.log and, written last, build.json. A folder appears there whole or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from hotswap.codes import CodeTable
from hotswap.driver.ioctl import IoctlContract
from hotswap.driver.preflight import preflight
from hotswap.driver.signing import SigningKey, make_key, sign, verify
from hotswap.driver.toolchain import Toolchain, find_toolchain
from hotswap.errors import LabFault, UsageError
from hotswap.paths import cache_home, package_data

AGENT = "hsagent.exe"
KEEP = 12
_SCHEMA = 2
_PRESET = "clang"
_BUILD_SECONDS = 300
_LOCK_SECONDS = 600
_MANIFEST = "build.json"
_IN_USE = ".in-use"
_TEMPORARY = ".building-"
_SHARED_HEADERS = ("include/trace_ring.h", "include/trace_pause.h")
_IOCTL_HEADERS = ("include/hotswap_ioctl.h", *_SHARED_HEADERS)
_CONFORMANCE_HEADERS = ("include/conformance_ioctl.h", *_SHARED_HEADERS)
_AGENT_HEADER = "agent/protocol.h"
_OURS = ("build.py", "layout.py", "signing.py", "preflight.py", "endpoint_table.py", "toolchain.py")
# Whatever the caller's shell has in these would change the result behind the hash's back.
_SCRUBBED = ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "CPATH", "C_INCLUDE_PATH", "CL", "_CL_", "DESTDIR", "VERBOSE")
_SCRUBBED_PREFIXES = ("CMAKE_", "NINJA_", "CCC_")
_ERROR_LINE = re.compile(r"(?:\berror:|\bfatal error\b|CMake Error|undefined symbol|^ninja: error)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DriverImage:
    """One built driver: file, SHA-256 (hex, signature included), size in bytes, and version of the PE image."""

    name: str
    path: Path
    sha256: str
    size: int
    version: str = "0.0"


@dataclass(frozen=True, slots=True)
class DriverBuild:
    """A finished build. The folder is not removed while this object lives, in whatever process."""

    folder: Path
    hash: str
    drivers: Mapping[str, DriverImage]
    toolchain: Mapping[str, str]
    ioctl: IoctlContract = field(repr=False, compare=False)
    conformance: IoctlContract = field(repr=False, compare=False)
    codes: CodeTable = field(repr=False, compare=False)
    _hold: _Hold = field(repr=False, compare=False)

    @property
    def agent(self) -> Path:
        """The agent's program, hsagent.exe."""
        return self.folder / AGENT

    @property
    def agent_contract(self) -> Path:
        """agent.json: constants, enums and structures of driver/agent/protocol.h."""
        return self.folder / "agent.json"

    def driver(self, name: str) -> DriverImage:
        """A driver by file name, with or without `.sys`. Raises UsageError that lists the known ones."""
        wanted = name if name.endswith(".sys") else f"{name}.sys"
        try:
            return self.drivers[wanted]
        except KeyError:
            raise UsageError(f"no driver {name!r} is built here; there are: {', '.join(self.drivers)}") from None


def build_drivers(progress: Callable[[str], None] | None = None) -> DriverBuild:
    """The drivers built from the sources as they are now: from the cache, or built now (about 10 s).

    `progress` gets one line per step. Raises LabFault: tools are missing, the sources do not compile (first error line
    and path of the log), or the disk is full; nothing half built is left.
    """
    say = progress or (lambda _line: None)
    sources = package_data("driver")
    store = cache_home() / "drivers"
    try:
        store.mkdir(parents=True, exist_ok=True)
        toolchain = find_toolchain(store / "toolchain.json")
        key = make_key()
        digest = _content_hash(sources, toolchain, key)
        folder = store / digest
        if (build := _open(folder, digest)) is not None:
            return build
        with FileLock(store / ".lock", timeout=_LOCK_SECONDS):
            # Another process may have built it while this one waited.
            if (build := _open(folder, digest)) is not None:
                return build
            _sweep(store)
            with _temporary_folder(store / f"{_TEMPORARY}{digest}") as temporary:
                _build(sources, temporary, digest, toolchain, key, say)
                _discard(folder)
                temporary.rename(folder)
            build = _open(folder, digest)
            _drop_old(store, keep=folder)
    except TimeoutError as error:
        raise LabFault(
            f"another process has held {store}/.lock for {_LOCK_SECONDS} s: is it still building?"
        ) from error
    except OSError as error:
        what = f"building the drivers in {store}: {error.strerror or error}"
        advice = "free some space, or set HOTSWAP_CACHE" if error.errno == errno.ENOSPC else "set HOTSWAP_CACHE"
        raise LabFault(f"{what}; {advice}") from error
    if build is None:
        raise LabFault(f"the build in {folder} was changed by somebody else while it was made; start again")
    return build


def whole_builds() -> Iterator[Path]:
    """The folders of whole builds in the cache, of whatever sources: all processes make, share and drop them."""
    try:
        found = sorted((cache_home() / "drivers").iterdir())
    except OSError:
        return
    yield from (path for path in found if re.fullmatch("[0-9a-f]{32}", path.name))


def _content_hash(sources: Path, toolchain: Toolchain, key: SigningKey) -> str:
    """Of all that a build depends on: every source file, the tools, the key, and the code that makes the JSON files."""
    digest = hashlib.sha256(f"schema {_SCHEMA}\n".encode())
    ours = Path(__file__).parent
    for label, path in [*_source_files(sources), *((f"harness/{name}", ours / name) for name in _OURS)]:
        digest.update(f"{label}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    digest.update(json.dumps(toolchain.versions, sort_keys=True).encode())
    digest.update(key.fingerprint.encode())
    return digest.hexdigest()[:32]


def _source_files(sources: Path) -> Iterator[tuple[str, Path]]:
    """Every file by its relative name, in a fixed order; hidden files and a build tree made by hand are no sources."""
    for folder, folders, files in os.walk(sources):
        top = Path(folder) == sources
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not (top and name == "build"))
        for name in sorted(files):
            if not name.startswith("."):
                path = Path(folder) / name
                yield path.relative_to(sources).as_posix(), path


class _Hold:
    """A shared lock on a build's folder, held until this object goes."""

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        weakref.finalize(self, os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        # The time of the last use, which decides what is kept.
        os.utime(descriptor)
        self._file = os.fstat(descriptor).st_ino

    def holds(self, folder: Path) -> bool:
        """Whether the folder of that name is still the one that was locked."""
        return (folder / _IN_USE).stat().st_ino == self._file


def _open(folder: Path, digest: str) -> DriverBuild | None:
    """The build in `folder` if it is there and whole."""
    if not (folder / _MANIFEST).is_file():
        return None
    try:
        hold = _Hold(folder)
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        # It may have been dropped between the look and the lock, or a file may have been changed.
        if not hold.holds(folder):
            return None
        for name, sha256 in manifest["files"].items():
            if _sha256(folder / name) != sha256:
                return None
        drivers = {
            entry["name"]: DriverImage(
                entry["name"], folder / entry["name"], entry["sha256"], entry["size"], entry["version"]
            )
            for entry in manifest["drivers"]
        }
        codes = CodeTable.load(folder / "codes.json")
        contract = IoctlContract.load(folder / "ioctl.json", codes)
        conformance = IoctlContract.load(folder / "conformance.json", codes)
        return DriverBuild(folder, digest, drivers, manifest["toolchain"], contract, conformance, codes, hold)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _build(
    sources: Path, target: Path, digest: str, toolchain: Toolchain, key: SigningKey, say: Callable[[str], None]
) -> None:
    # libclang takes longer to load than a cached build takes to open.
    from hotswap.driver import layout

    tree = target / "tree"
    log = target / "build.log"
    failed_log = target.parent / f"failed-{digest}.log"
    cmake = str(toolchain.programs["cmake"])
    say("configuring the driver build")
    _run([cmake, "--preset", _PRESET, "-S", str(sources), "-B", str(tree)], sources, log, failed_log)
    if not (tree / "build.ninja").is_file():
        # On a full disk CMake says that it has written its files, and ends with 0.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    say("compiling the drivers and the agent")
    # Not through cmake --build: what is to end with this process must be its own child.
    _run([str(toolchain.programs["ninja"]), "-C", str(tree)], sources, log, failed_log)
    images = _collect(tree, target)
    shutil.rmtree(tree)
    say("signing and checking the drivers")
    for image in images:
        sign(image, key)
    drivers = [_checked(image, images, key) for image in images]
    say("reading the contracts")
    for contract, names in (("ioctl.json", _IOCTL_HEADERS), ("conformance.json", _CONFORMANCE_HEADERS)):
        _write_json(target / contract, layout.read_layout([sources / name for name in names], toolchain))
    _write_json(
        target / "agent.json", layout.read_layout([sources / _AGENT_HEADER], toolchain, prelude=layout.USER_PRELUDE)
    )
    _write_json(target / "codes.json", layout.read_codes(toolchain))
    files = sorted(path.name for path in target.iterdir() if path.is_file() and path != log)
    manifest = {
        "schema": _SCHEMA,
        "hash": digest,
        "drivers": drivers,
        "toolchain": toolchain.versions,
        "signing_certificate_sha256": key.fingerprint,
        "files": {name: _sha256(target / name) for name in files},
    }
    _write_json(target / _MANIFEST, manifest)
    failed_log.unlink(missing_ok=True)


def _run(command: list[str], folder: Path, log: Path, failed_log: Path) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in _SCRUBBED and not name.startswith(_SCRUBBED_PREFIXES)
    }
    with log.open("ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        try:
            status = subprocess.run(
                [*_ends_with_us(), *command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=_BUILD_SECONDS,
            ).returncode
        except subprocess.TimeoutExpired:
            status = -1
            output.write(f"stopped: not done after {_BUILD_SECONDS} s\n".encode())
    if status == 0:
        return
    text = log.read_text(encoding="utf-8", errors="replace")
    shutil.copyfile(log, failed_log)
    if "No space left on device" in text:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # CMake says what is wrong on the lines after its own.
    first = next((at for at, line in enumerate(lines) if _ERROR_LINE.search(line)), len(lines) - 1)
    message = " ".join(lines[first : first + 2]) if lines[first].startswith("CMake Error") else lines[first]
    raise LabFault(f"building the drivers failed: {message} (full log: {failed_log})")


def _ends_with_us() -> list[str]:
    """A prefix for commands that are not to go on, writing into a folder that the next build uses, if we are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _collect(tree: Path, target: Path) -> list[Path]:
    """Move what the build made into `target`; returns the drivers. Raises LabFault if something is missing."""
    images: list[Path] = []
    for path in sorted(tree.rglob("*")):
        wanted = path.suffix in (".sys", ".pdb") or path.name == AGENT
        if not wanted or not path.is_file() or "CMakeFiles" in path.parts:
            continue
        moved = target / path.name
        # Copied, not moved: it may be a link to a name with a version in it.
        shutil.copy(path, moved)
        if path.suffix == ".sys":
            images.append(moved)
    missing = [AGENT] if not (target / AGENT).is_file() else []
    missing += [f"{image.stem}.pdb" for image in images if not image.with_suffix(".pdb").is_file()]
    if missing or not images:
        raise LabFault(f"the driver build made no {', '.join(missing or ['.sys'])}: correct driver/CMakeLists.txt")
    return images


def _checked(image: Path, images: list[Path], key: SigningKey) -> dict[str, Any]:
    """Preflight without a guest and the signature; returns the image's entry in build.json."""
    report = preflight(image)
    problems = [problem.message for problem in report.problems]
    if wrong := verify(image, key):
        problems.append(wrong)
    names = {path.name.lower() for path in images} | {"ntoskrnl.exe", "hal.dll"}
    imports = report.facts.get("imports", {})
    assert isinstance(imports, dict)
    problems += [f"it imports {module}, which no guest has" for module in imports if module.lower() not in names]
    if not report.facts.get("unwind_entries"):
        problems.append("it has no unwind data: compile with -fasynchronous-unwind-tables")
    if problems:
        raise LabFault(f"the driver build made a {image.name} that cannot work: {'; '.join(problems)}")
    return {
        "name": image.name,
        "sha256": report.sha256,
        "size": image.stat().st_size,
        "version": report.facts["version"],
        "pdb_guid": report.facts["pdb_guid"],
    }


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """A folder that is gone in the end unless it was renamed.

    Its name is always the same for one content: the linker puts it into the PDB, and the PDB's hash into the driver.
    """
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(store: Path) -> None:
    """Remove what killed builds left; whoever holds the store's lock is the only one who builds."""
    for number, folder in enumerate(store.glob(f"{_TEMPORARY}*")):
        # Away from its name first: something of the killed build may still write into it.
        gone = store / f"{_TEMPORARY}gone-{os.getpid()}-{number}"
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _drop_old(store: Path, *, keep: Path) -> None:
    builds = [folder for folder in store.iterdir() if (folder / _MANIFEST).is_file()]
    builds.sort(key=_last_use, reverse=True)
    for folder in builds[KEEP:]:
        if folder != keep:
            _discard(folder, only_unused=True)


def _last_use(folder: Path) -> float:
    try:
        return (folder / _IN_USE).stat().st_mtime
    except OSError:
        return 0.0


def _discard(folder: Path, *, only_unused: bool = False) -> None:
    """Take a build out of the store and remove it; with `only_unused`, only if nobody holds it."""
    if not folder.exists():
        return
    with (folder / _IN_USE).open("ab") as lock:
        if only_unused:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
        # Away from its name first: nobody opens a half removed build.
        gone = folder.with_name(f"{_TEMPORARY}gone-{folder.name}")
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
