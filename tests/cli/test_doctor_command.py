"""`hotswap doctor` tells what is there, what is missing, and the line that mends it; `hotswap sweep` cleans up."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest
from command import hotswap

from hotswap.doctor.machines import QEMU_PACKAGE
from hotswap.doctor.tools import BROUGHT, CHROMIUM_PACKAGE, TYPEFACE_PACKAGE
from hotswap.driver.toolchain import HEADERS_PACKAGE, PROGRAMS
from hotswap.machine.lease import Lease, leases, leases_home, new_id
from hotswap.machine.profile import load_profile
from hotswap.machine.wine_prefix import MACHINE_KIND, clones_home

ROOT = Path(__file__).parents[2]
LAB_FAULT = 4
KEYS = {"name", "state", "found", "version", "path", "needed_for", "required", "mend"}


def diagnosis(runs: Path, env: dict[str, str] | None = None) -> tuple[int, dict[str, dict[str, object]]]:
    done = hotswap("doctor", "--json", runs=runs, env=env)
    assert done.err == ""
    content = json.loads(done.out)
    assert content["schema"] == 1
    assert content["can_swap"] is (done.code == 0)
    assert all(check.keys() == KEYS for check in content["checks"])
    return done.code, {check["name"]: check for check in content["checks"]}


def test_where_swaps_run_the_doctor_says_so_in_under_two_seconds_and_makes_nothing(runs: Path) -> None:
    before = {lease.id for lease in leases() if lease.owner.pid == os.getpid()}

    def seconds() -> float:
        begun = monotonic()
        assert hotswap("doctor", runs=runs).code == 0
        return monotonic() - begun

    # One of a few: others load this computer too.
    assert any(seconds() < 2 for _ in range(5))
    code, checks = diagnosis(runs)
    assert code == 0
    for name in ("python", "python packages", "wine", *PROGRAMS, "mingw-w64 headers", "cache folder", "runs folder"):
        assert checks[name]["state"] in ("ok", "degraded"), checks[name]
        assert checks[name]["required"] is True
    assert re.match(r"wine-\d", str(checks["wine"]["version"]))
    assert re.match(r"\d+\.\d", str(checks["clang"]["version"]))
    assert Path(str(checks["clang"]["path"])).exists()
    assert {"chromium", "node", "wine template", "leases", "cores", "memory", "real samples", "trace kernel"} <= {
        *checks
    }
    assert (checks["trace kernel"]["state"], checks["trace kernel"]["found"]) == ("ok", "native")
    assert not runs.exists()
    assert {lease.id for lease in leases() if lease.owner.pid == os.getpid()} == before


def test_the_doctor_says_when_traces_are_decoded_the_slow_way(runs: Path) -> None:
    code, checks = diagnosis(runs, {"HOTSWAP_ETL_KERNEL": "python"})
    assert code == 0
    kernel = checks["trace kernel"]
    assert (kernel["state"], kernel["found"]) == ("degraded", "python (HOTSWAP_ETL_KERNEL is set)")


def test_machines_that_this_version_cannot_run_are_planned_and_never_claimed(runs: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "qemu-system-x86_64").write_text("#!/bin/sh\necho QEMU emulator version 7.2.17\n")
    (tools / "qemu-system-x86_64").chmod(0o755)
    _, checks = diagnosis(runs, {"PATH": f"{tools}:{os.environ['PATH']}"})
    for name in ("machine windows-11-uefi", "machine hyperv-windows-11"):
        assert checks[name]["state"] == "planned"
        assert re.search("cannot run it|has never met real Windows", str(checks[name]["needed_for"]))
    assert checks["qemu-system-x86_64"]["version"] == "7.2.17"


def test_each_missing_tool_is_named_with_the_line_that_mends_it(runs: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "clang").symlink_to(shutil.which("clang"))
    code, checks = diagnosis(runs, {"PATH": str(tools)})
    assert code == LAB_FAULT
    assert checks["clang"]["state"] == "ok"
    for program, package in PROGRAMS.items():
        if program != "clang":
            assert checks[program]["state"] == "missing"
            assert str(checks[program]["mend"]).endswith(f"apt-get install --no-install-recommends {package}")
    done = hotswap("doctor", runs=runs, env={"PATH": str(tools)})
    assert done.code == LAB_FAULT
    line = next(line for line in done.out.splitlines() if line.startswith("mend it all: "))
    assert line.endswith("--no-install-recommends cmake lld llvm ninja-build osslsigncode")
    assert re.search(r"^missing +ld.lld ", done.out, re.MULTILINE)


def test_what_is_optional_can_be_missing(runs: Path) -> None:
    code, checks = diagnosis(runs, {"HOTSWAP_CHROMIUM": "/no/such/chromium", "HOTSWAP_ETL_SAMPLES": "/no/such/folder"})
    assert code == 0
    for name in ("chromium", "real samples"):
        assert (checks[name]["state"], checks[name]["required"]) == ("missing", False)
        assert checks[name]["mend"]


def test_a_tool_that_does_not_run_is_degraded(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "cmake").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "cmake").chmod(0o755)
    code, checks = diagnosis(runs, {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert checks["cmake"]["state"] == "degraded"
    assert code == 0


def test_places_that_cannot_be_used_are_missing(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, checks = diagnosis(tmp_path / "file" / "runs", {"HOTSWAP_CACHE": str(tmp_path / "file")})
    assert code == LAB_FAULT
    assert (checks["runs folder"]["state"], checks["cache folder"]["state"]) == ("missing", "missing")
    assert "HOTSWAP_CACHE" in str(checks["cache folder"]["mend"])


def test_an_environment_that_is_not_as_locked_is_noticed(runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "rich-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: rich\nVersion: 1.0\n")
    search = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(tmp_path)]).strip(os.pathsep)
    _, checks = diagnosis(runs, {"PYTHONPATH": search})
    assert checks["python packages"]["state"] == "degraded"
    assert "rich 1.0, not " in str(checks["python packages"]["found"])
    assert checks["python packages"]["mend"] == "ci/setup"


def test_the_doctor_and_the_set_up_name_the_same_packages() -> None:
    """`ci/setup` is what runs where there is no Python yet, so it has its own list; here the two are compared."""
    text = (ROOT / "ci" / "setup").read_text()
    function = text[text.index("missing_packages()") : text.index("# A Python that can make")]
    named = {word for names in re.findall(r"\becho ([a-z0-9 .+-]+)", function) for word in names.split()}
    doctor = {*PROGRAMS.values(), HEADERS_PACKAGE, load_profile("wine").string("wine", "package", "")}
    doctor |= {CHROMIUM_PACKAGE, TYPEFACE_PACKAGE, QEMU_PACKAGE, *BROUGHT}
    assert named - {"python3", "python3-venv"} == doctor
    for program in PROGRAMS:
        assert re.search(rf"\bfound {re.escape(program)}\b", function), f"ci/setup does not look for {program}"


def test_what_killed_runs_left_is_told_and_swept(cache: Path, runs: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    lease = Lease.take(MACHINE_KIND, new_id())
    dead = leases_home() / lease.path.name.replace(f".{os.getpid()}.", f".{child.pid}.")
    dead.write_text(lease.path.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {child.pid}'))
    lease.release()
    (clones_home() / lease.id).mkdir(parents=True)

    _, checks = diagnosis(runs)
    assert checks["leases"]["state"] == "degraded"
    assert checks["leases"]["mend"] == "hotswap sweep"
    assert dead.exists(), "the doctor only looks"

    done = hotswap("sweep", "--json", runs=runs)
    assert done.code == 0, done.err
    assert json.loads(done.out)["removed"] == [f"{MACHINE_KIND}.{lease.id}"]
    assert not dead.exists()
    assert not (clones_home() / lease.id).exists()
    assert "nothing was left" in hotswap("sweep", runs=runs).out
    assert diagnosis(runs)[1]["leases"]["state"] == "ok"


@pytest.mark.parametrize("arguments", [["doctor", "--fix"], ["doctor", "me"], ["sweep", "--json", "/no/such/x.json"]])
def test_bad_usage_is_one_line(runs: Path, arguments: list[str]) -> None:
    done = hotswap(*arguments, runs=runs)
    assert done.code == 2
    assert done.complaint()
