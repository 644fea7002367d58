"""The verifier's load notification, driven natively: on Windows it is called for every image of every process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hotswap.paths import package_data

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load")
    sample = package_data("driver") / "sample"
    # A copy, so that its host.h is the one of this folder.
    source = folder / "verifier_load.c"
    source.write_text((sample / "verifier_load.c").read_text())
    flags = ["-std=c17", "-Wall", "-Wextra", "-Werror", f"-I{HERE / 'native'}", f"-I{sample}"]
    program = folder / "load_feed"
    subprocess.run(["clang", *flags, HERE / "native" / "load_feed.c", source, "-o", program], check=True)
    return program


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("s", ["look 0", "enter 0"]),
        ("uus", ["look 2", "enter 2"]),
        ("u", []),
        ("ss", ["look 0", "enter 0"]),
    ],
)
def test_only_an_image_of_the_kernel_is_looked_into_while_one_is_awaited(
    program: Path, images: str, said: list[str]
) -> None:
    done = subprocess.run([program, *images], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == said
