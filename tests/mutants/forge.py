"""Makes mutants: drivers built from a copy of the sources in which one text stands instead of another."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from hotswap.driver.build import DriverBuild, DriverImage
from hotswap.driver.package import HOST, PROXY
from hotswap.driver.signing import SigningKey, make_key, sign
from hotswap.driver.toolchain import find_toolchain
from hotswap.paths import package_data

_IMAGES = {"proxy": PROXY, "sample": HOST, "common": HOST}
_BUILD_SECONDS = 120


class Stale(AssertionError):
    """The mutant does not fit the sources any more: mend its text."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate defect: in `file`, `old` becomes `new`; the test or check `killer` must turn red by it.

    `old` stands exactly once in the file. `killer` is the id of a check (`W2-null-routine`), a scenario of schedules
    (`swap`), or a test: file::name with its parameters in brackets. `says`: what the failure says somewhere, so that it
    is red for this reason; empty where any failure of it will do.
    """

    name: str
    clause: str
    breaks: str
    file: str
    old: str
    new: str
    killer: str
    says: str = ""

    @property
    def image(self) -> str:
        """The driver that it is a defect of."""
        return _IMAGES[self.file.partition("/")[0]]

    def applied(self, text: str) -> str:
        """The file's text with the defect in it. Raises Stale."""
        found = text.count(self.old)
        if found != 1:
            raise Stale(f"mutant {self.name}: its old text stands {found} times in driver/{self.file}, not once")
        if self.old == self.new:
            raise Stale(f"mutant {self.name}: changes nothing")
        return text.replace(self.old, self.new)


class Forge:
    """One configured build tree over a copy of the sources; each mutant costs the compilation of one file and a link.

    Processes that are given the same folder share the tree.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources = folder / "driver"
        self._tree = folder / "tree"
        self._tools = find_toolchain()
        self._key: SigningKey = make_key()
        self._lock = FileLock(f"{folder}.lock", timeout=_BUILD_SECONDS)

    def build_with(self, mutant: Mutant, build: DriverBuild) -> DriverBuild:
        """`build` with the mutant's image in place of the good one. Raises Stale."""
        with self._lock:
            self._configure()
            image = self._image(mutant)
        return replace(build, drivers={**build.drivers, image.name: image})

    def _configure(self) -> None:
        if (self._tree / "build.ninja").is_file():
            return
        shutil.copytree(package_data("driver"), self._sources, ignore=shutil.ignore_patterns("build", ".*"))
        # A defect leaves variables unused; that it compiles without a warning is not what is asked of it.
        options = self._sources / "cmake" / "clang.cmake"
        options.write_text(options.read_text().replace(" -Werror", ""))
        preset = ["--preset", "clang", "-S", str(self._sources), "-B", str(self._tree)]
        self._run(str(self._tools.programs["cmake"]), *preset)

    def _image(self, mutant: Mutant) -> DriverImage:
        source = self._sources / mutant.file
        good = source.read_text()
        source.write_text(mutant.applied(good))
        try:
            self._run(str(self._tools.programs["ninja"]), "-C", str(self._tree), mutant.image.removesuffix(".sys"))
        finally:
            source.write_text(good)
        made = self._folder / "mutants" / mutant.name / mutant.image
        made.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._tree / mutant.image, made)
        shutil.copy((self._tree / mutant.image).with_suffix(".pdb"), made.parent)
        sign(made, self._key)
        content = made.read_bytes()
        return DriverImage(mutant.image, made, hashlib.sha256(content).hexdigest(), len(content))

    @staticmethod
    def _run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-1000:]}"
