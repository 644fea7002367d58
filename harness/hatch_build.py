"""Compiles the native kernel of the trace reader when the package is built, where a C compiler is."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("hotswap/trace/native")
LIBRARY = "_kernel.dll" if sys.platform == "win32" else "_kernel.so"
OPTIONS = ["-std=c17", "-O3", "-g0", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's hook: an editable install gets the library beside its sources, a wheel gets it inside."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and say what the wheel is for."""
        if self.target_name != "wheel":
            return
        sources = Path(self.root) / "harness" / NATIVE
        if version == "editable":
            compile_kernel(sources, sources / LIBRARY)
            return
        self._folder = tempfile.TemporaryDirectory()
        library = Path(self._folder.name) / LIBRARY
        if compile_kernel(sources, library):
            build_data["force_include"][str(library)] = (NATIVE / LIBRARY).as_posix()
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was built for the wheel."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def compile_kernel(sources: Path, target: Path) -> bool:
    """Compile the library; False, and a word on stderr, where that cannot be done."""
    wanted = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [["cc"], ["clang"], ["gcc"]]
    compiler = next((command for command in wanted if shutil.which(command[0])), None)
    if compiler is None:
        target.unlink(missing_ok=True)
        print("no C compiler: the trace reader will do without its native kernel", file=sys.stderr)
        return False
    temporary = target.with_suffix(".building")
    named = f'-DHS_KERNEL_SOURCES="{sources_hash(sources)}"'
    files = [str(path) for path in sorted(sources.glob("*.c"))]
    done = subprocess.run([*compiler, *OPTIONS, named, "-o", str(temporary), *files], capture_output=True, text=True)
    if done.returncode != 0:
        temporary.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        print(f"{shlex.join(compiler)} could not compile the native kernel:\n{done.stderr}", file=sys.stderr)
        return False
    temporary.replace(target)
    return True


def sources_hash(folder: Path) -> str:
    """As in hotswap.trace.native, which this cannot import."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.[ch]")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
