"""The package as others get it: a wheel with all that it needs, which works without the repository and a compiler."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from hotswap.trace.framing import HeaderType
from hotswap.trace.writer import EventRow, Session, write_etl
from support.etl_rows import COUNT, PROVIDER
from support.real_samples import samples_folder

ROOT = Path(__file__).parents[1]
KERNEL = "hotswap/trace/native/_kernel.so"
SAMPLES = ("tl-sih-newfile-1cpu.etl", "tl-compressed-single.etl", "classic-image-ptr4-v2.etl")
KEYS = ("events", "buffers", "events_lost", "buffers_lost", "missing_sequence_numbers", "timestamp_sum")


def run(*command: str | Path, folder: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, timeout=600,
        env=environment or None, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr or done.stdout}"
    return done.stdout


def build(target: Path, compiler: str | None = None) -> Path:
    """A wheel made without the network; `compiler` is the only one there is."""
    environment = {**os.environ, **({"CC": compiler} if compiler else {})}
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target, **environment)
    (wheel,) = target.glob("*.whl")
    return wheel


def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(folder: str) -> set[str]:
    """What git has in a folder, or would take, but for links."""
    found = run("git", "ls-files", "--cached", "--others", "--exclude-standard", folder).splitlines()
    return {name.removeprefix(f"{folder}/") for name in found if not (ROOT / name).is_symlink()}


def test_a_wheel_holds_all_of_the_package_and_nothing_else(tmp_path: Path) -> None:
    wheel = build(tmp_path)
    inside = {name for name in names(wheel) if not name.startswith("hotswap_harness-")}
    expected = {f"hotswap/{name}" for name in tracked("harness/hotswap")}
    expected |= {f"hotswap/_data/{folder}/{name}" for folder in ("driver", "vm") for name in tracked(folder)}
    assert inside == expected | {KERNEL}
    assert "linux" in wheel.name


def test_an_installed_wheel_reads_traces_without_the_repository(tmp_path: Path) -> None:
    """Its dependencies come from the package index, or pip's cache of it, in the versions of the lock file."""
    wheel = build(tmp_path / "wheel")
    home, environment = tmp_path / "home", tmp_path / "environment"
    home.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=home)
    constraints = tmp_path / "constraints.txt"
    locked = re.findall(r"^([\w.\[\]-]+==\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    constraints.write_text("\n".join(locked))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--quiet", "--python", environment)
    run(*pip, "install", "--no-compile", "--only-binary", ":all:", "--constraint", constraints, wheel, folder=home)
    run(*pip, "check", folder=home)

    def hotswap(*arguments: str | Path) -> str:
        return run(environment / "bin" / "hotswap", *arguments, folder=home, HOME=str(home), PATH="/usr/bin:/bin")

    def check_traces() -> None:
        for path, expected in traces(tmp_path).items():
            info = json.loads(hotswap("trace", "info", "--json", path))
            assert {key: info[key] for key in KEYS} == {key: expected[key] for key in KEYS}, path.name
            by_type = {kind["header"]: 0 for kind in info["kinds"]}
            for kind in info["kinds"]:
                by_type[kind["header"]] += kind["n"]
            assert by_type == expected["header_types"], path.name

    place = run(environment / "bin" / "python", "-c", "import hotswap; print(hotswap.__file__)", folder=home)
    assert Path(place.strip()).is_relative_to(environment)
    assert kernel(environment, home) == "native"
    check_traces()
    without = build(tmp_path / "without", compiler="no-such-compiler")
    assert without.name.endswith("-py3-none-any.whl")
    assert KERNEL not in names(without)
    run(*pip, "install", "--no-compile", "--no-deps", "--force-reinstall", without, folder=home)
    assert kernel(environment, home).startswith("python (it was not built: no C compiler was there")
    check_traces()
    shutil.rmtree(environment)  # pytest keeps folders of some runs, and this one is large


def kernel(environment: Path, home: Path) -> str:
    """What `hotswap doctor` says of it; what else it says is of no matter here."""
    command, bare = [environment / "bin" / "hotswap", "doctor"], {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, env=bare, check=False)
    found = re.search(r"trace kernel\s+(.*)", done.stdout)
    assert found, done.stdout + done.stderr
    return found[1]


def traces(folder: Path) -> dict[Path, dict[str, object]]:
    """Traces and what they hold: one of our own, and real ones where there are any."""
    own = folder / "own.etl"
    rows = [EventRow(1000 + i, i % 2, 7, 8, PROVIDER, COUNT, {"Value": i, "Text": "t"}) for i in range(500)]
    write_etl(own, rows, Session(buffer_size=4096, processors=2, events_lost=3))
    counted: dict[Path, dict[str, object]] = {
        own: {
            "events": 501,
            "buffers": own.stat().st_size // 4096,
            "events_lost": 3,
            "buffers_lost": 0,
            "missing_sequence_numbers": 0,
            "timestamp_sum": sum(row.tick for row in rows),
            "header_types": {HeaderType.EVENT64.name: 500, HeaderType.SYSTEM64.name: 1},
        }
    }
    samples = samples_folder()
    if samples is not None:
        expected = json.loads((samples / "expected.json").read_text())
        for name in SAMPLES:
            known = expected[name]
            counted[samples / name] = {
                "events": known["events"],
                "buffers": known["buffers"],
                "events_lost": known["logfile_header"]["EventsLost"],
                "buffers_lost": known["logfile_header"]["BuffersLost"],
                "missing_sequence_numbers": known["sequence_numbers_missing"],
                "timestamp_sum": known["sum_raw_ts_mod_2_64"],
                "header_types": known["events_by_header_type"],
            }
    return counted
