"""What a new user meets: tests written from the README alone, run with pytest as a program of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.machine.lease import leases
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.swap.rejudge import rejudge

README = Path(__file__).parents[2] / "README.md"

FIVE_TESTS = """
from hotswap.testing import Driver, Trace, event


def test_a_worker_with_a_time_out(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker(events=1, timeout_ms=20)
    assert worker.wait_for_iterations(3).last_wait_status.name == "STATUS_TIMEOUT"
    driver.stop()
    trace.assert_count("IterationBegin", at_least=3, wait_status="STATUS_TIMEOUT")


def test_signal_and_wait(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker(events=2)
    worker.signal(1)
    worker.wait_for_iterations(1)
    assert worker.iterations == 1
    driver.stop()
    assert trace.count("SignalEnd", worker=worker.id, event_index=1) >= 1


def test_swap(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker()
    swap = driver.swap("v2")
    assert swap.succeeded and swap.to_version == 2
    worker.signal(0)
    worker.wait_for_iterations(1)
    driver.stop()
    trace.assert_never("IterationBegin", version=1)


def test_an_order(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker()
    worker.signal(0)
    worker.wait_for_iterations(1)
    driver.swap("v2")
    driver.stop()
    trace.assert_order("SignalEnd", event("IterationBegin", version=1), "SwapSwitched")


def test_an_expected_failure(driver: Driver, trace: Trace) -> None:
    driver.load("lose-wakeup")
    worker = driver.create_worker(events=2, work_us=1000)
    driver.start_load([worker], rate=2000)
    worker.wait_for_iterations(100)
    driver.stop()
    trace.expect_failure("signals-accounted")
"""


class User:
    """A folder outside the repository, in which pytest runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "HOTSWAP_RUNS"))}
        self.environment["COLUMNS"] = "200"
        self.write("conftest.py", "import os, pathlib\npathlib.Path(f'pid-{os.getpid()}').touch()\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=240)
        # For whoever reads why a test failed: pytest shows it then.
        print(output)
        return process.returncode, output

    def left(self) -> set[str]:
        """Machines that a process of this user made and did not remove."""
        mine = {int(path.name.removeprefix("pid-")) for path in self.folder.glob("pid-*")}
        return {lease.id for lease in leases() if lease.owner.pid in mine}

    def summaries(self) -> dict[str, dict[str, Any]]:
        """`run.json` of each test, by the test's name."""
        found = [json.loads(path.read_text()) for path in self.runs.glob("*/run.json")]
        return {content["test"].rpartition("::")[2]: content for content in found}


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """And afterwards nothing that a process of it made is there any more."""
    user = User(tmp_path)
    yield user
    assert user.left() == set(), "a machine was left behind"


def python_blocks(text: str) -> Sequence[str]:
    return re.findall(r"```python\n(.*?)```", text.partition("## Write a test")[2].partition("\n## ")[0], re.DOTALL)


def test_five_tests_from_the_readme_and_its_own_work_in_two_processes(user: User) -> None:
    user.write("test_mine.py", FIVE_TESTS)
    (readme,) = python_blocks(README.read_text())
    user.write("test_readme.py", readme)
    code, output = user.run("-n", "2", "--hotswap-machine=wine")
    assert code == 0, output
    assert "8 passed" in output
    summaries = user.summaries()
    assert len(summaries) == 8, "each test has a run folder of its own"
    for name, summary in summaries.items():
        assert (summary["verdict"], summary["state"]) == ("pass", "ended"), name
        folder = Path(str(summary["run_folder"]))
        files = {path.name for path in folder.iterdir()}
        assert files == {
            *("run.json", "timeline.jsonl", "trace.etl", "events.parquet", "trace.perfetto-trace", "report.html"),
            "evidence",
        }
        assert name in (folder / "report.html").read_text()
        judged = {item.id: str(item.verdict) for item in rejudge(folder)}
        said = {item["id"]: item["verdict"] for item in summary["expectations"]}
        assert said.items() <= judged.items(), "the run folder holds all that the verdict rests on"
    assert "expects this failure" in str(summaries["test_an_expected_failure"]["reason"])


def test_the_readmes_tests_run_as_they_are_in_a_guest_under_qemu(user: User, build: DriverBuild) -> None:
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(build.agent)
    # Once for all tests, and not within the time that the user's run has.
    machine.prepare(Deadline.after(600))
    (readme,) = python_blocks(README.read_text())
    user.write("test_readme.py", readme)
    code, output = user.run("--hotswap-machine=standin")
    assert code == 0, output
    assert "3 passed" in output
    summaries = user.summaries()
    assert {summary["verdict"] for summary in summaries.values()} == {"pass"}
    assert {summary["environment"]["machine"] for summary in summaries.values()} == {"standin"}


def test_a_test_whose_guest_has_a_wrong_clock_is_inconclusive(user: User, build: DriverBuild) -> None:
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(build.agent)
    machine.prepare(Deadline.after(600))
    user.write(
        "conftest.py",
        "from time import time_ns\n"
        "from hotswap.machine.standin_control import StandinControl\n"
        "def wrong(control, *, deadline):\n"
        "    control.ask('set-clock', time_ns() + 3_600_000_000_000, deadline=deadline)\n"
        "StandinControl.set_clock = wrong\n",
    )
    user.write("test_mine.py", "def test_never_begun(driver):\n    assert False\n")
    code, output = user.run("--hotswap-machine=standin", "-v")
    assert code == 1, output
    assert "INCONCLUSIVE" in output
    assert "LAB FAULT" not in output
    assert re.search(r"clock check of machine \w+: the guest's time is \+3[56]\d{5}\.\d ms off \(error", output)
    summary = user.summaries()["test_never_begun"]
    assert (summary["verdict"], summary["state"]) == ("inconclusive", "ended")
    assert "clock check of machine" in str(summary["reason"])


def test_the_readmes_first_example_fails_when_the_wake_up_comes_before_the_swap(user: User) -> None:
    (readme,) = python_blocks(README.read_text())
    swap = '    swap = driver.swap("v2")  # or the path of your own .sys\n'
    signal = "    worker.signal(1)\n    worker.wait_for_iterations(2)  # in total\n"
    versions = "    assert worker.versions == {1: 1, 2: 1}  # {version: iterations}\n"
    assert all(readme.count(line) == 1 for line in (swap, signal, versions))
    # The swap of the load, and the last iteration, that of the stop, are in the trace all the same.
    early = readme.replace(signal, "").replace(versions, "").replace(swap, signal + swap)
    user.write("test_readme.py", early)
    code, output = user.run("-k", "runs_in_v2")
    assert code == 1, output
    assert "expected SwapReleased (Swap=2), then IterationBegin (Worker=1, Version=2, WaitStatus=" in output


FAILING_TESTS = """
import os
import signal

import pytest


def test_wrong_order(driver, trace):
    driver.load("v1")
    worker = driver.create_worker()
    worker.signal()
    worker.wait_for_iterations(1)
    driver.stop()
    trace.assert_order("WorkerStop", "IterationBegin", worker=worker.id)


def test_fails_before_the_stop(driver):
    driver.load("v1")
    assert driver.swap("v2").to_version == 7


def test_host_dies_unseen(driver):
    os.kill(driver._lab.host.process.pid, signal.SIGKILL)


def test_host_dies_under_a_call(driver):
    driver.load("v1")
    os.kill(driver._lab.host.process.pid, signal.SIGKILL)
    driver.create_worker()


def test_no_such_file(driver):
    driver.load("no/such.sys")


def test_agent_dies(driver):
    driver.agent.disconnect()
    driver.load("v1")


def test_all_is_well_again(driver):
    driver.load("v1")


@pytest.fixture
def broken(driver):
    raise ValueError("a slip in the fixture")


def test_of_a_broken_fixture(driver, broken):
    pass


def test_skipped(driver):
    pytest.skip("not today")
"""


def test_a_failure_names_its_run_folder_and_shows_the_events_and_whose_fault_it_is(user: User) -> None:
    user.write("test_failing.py", FAILING_TESTS)
    user.runs = user.folder / "elsewhere"
    code, output = user.run("-rfE", "--hotswap-runs", "elsewhere")
    assert code == 1
    assert "5 failed, 1 passed, 1 skipped, 2 errors" in output
    summaries = user.summaries()
    by_test = dict(zip(summaries, map(str, summaries), strict=True))
    for name in ("test_wrong_order", "test_fails_before_the_stop", "test_host_dies_unseen", "test_agent_dies"):
        assert f"run folder: {summaries[name]['run_folder']}" in output, by_test
    # The sentence, and below it the events.
    sentence = (
        "expected WorkerStop (Worker=1), then IterationBegin (Worker=1): no IterationBegin (Worker=1) comes after"
    )
    assert sentence in output
    shown = output.partition(sentence)[2].partition("\n\n")[0]
    assert re.search(r"IterationBegin +Worker=1 Iteration=\d .*\n.* WorkerStop +Worker=1", shown)
    assert "harness/hotswap/testing/trace.py" not in output, "the user's own lines are shown, not ours"
    assert summaries["test_wrong_order"]["verdict"] == "fail"
    # The driver of a test that failed in the middle is stopped all the same, and judged.
    assert summaries["test_fails_before_the_stop"]["expectations"]
    # The guest's fault is a failure with evidence; the lab's is an error.
    assert re.search(r"^GUEST FAULT .*test_host_dies_unseen.*the driver host died", output, re.MULTILINE)
    assert summaries["test_host_dies_unseen"]["verdict"] == "fail"
    evidence = Path(str(summaries["test_host_dies_unseen"]["run_folder"])) / "evidence"
    # Of logs only that they are there: what Wine has to say in them, and when, is its own affair.
    assert {path.name for path in evidence.rglob("*.log")} >= {"agent.log", "wineserver.log"}
    assert json.loads((evidence / "processes.json").read_text())["machine"] == "alive"
    # What happened, and nothing that the guest makes of it.
    reason = str(summaries["test_host_dies_under_a_call"]["reason"])
    assert re.fullmatch(r".*: the driver host died: process \d+ ended before it was asked to", reason), reason
    assert "STATUS_FILE_DELETED" not in output
    assert "the driver no/such.sys cannot be read: No such file or directory" in output
    assert "FileNotFoundError" not in output
    assert "direct cause" not in output
    assert re.search(r"^LAB FAULT .*test_agent_dies", output, re.MULTILINE)
    for name in ("test_of_a_broken_fixture", "test_skipped"):
        assert (summaries[name]["verdict"], summaries[name]["state"]) == ("inconclusive", "ended")
    assert (summaries["test_agent_dies"]["verdict"], summaries["test_agent_dies"]["state"]) == (
        "inconclusive",
        "lab-fault",
    )


def test_an_unknown_machine_is_told_in_one_line(user: User) -> None:
    user.write("test_mine.py", FIVE_TESTS)
    code, output = user.run("--hotswap-machine=vax")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert output.strip().startswith("ERROR: unknown machine 'vax'; known machines: ")
    assert not user.runs.exists()


NOTHING_IMPORTED = """
import sys


def pytest_unconfigure():
    heavy = [name for name in ("numpy", "pyarrow", "psutil", "pefile", "cryptography", "jinja2") if name in sys.modules]
    ours = sorted(name for name in sys.modules if name.startswith("hotswap."))
    print("imported:", heavy, ours)
"""


@pytest.mark.parametrize("arguments", [("--collect-only",), ("-k", "test_plain")])
def test_nothing_is_imported_or_made_before_a_fixture_is_asked_for(user: User, arguments: tuple[str, ...]) -> None:
    user.write("conftest.py", NOTHING_IMPORTED)
    user.write("test_mine.py", "def test_mine(driver, trace): pass\ndef test_plain(): pass\n")
    user.environment["HOTSWAP_CACHE"] = str(user.folder / "cache")
    code, output = user.run("-q", *arguments)
    assert code == 0, output
    assert "imported: [] ['hotswap.pytest_plugin']" in output
    assert {path.name for path in user.folder.iterdir()} <= {"conftest.py", "test_mine.py", "__pycache__"}


def test_a_suite_with_fixtures_of_the_same_names_keeps_its_own(user: User) -> None:
    text = "import pytest\n" + "".join(
        f"@pytest.fixture\ndef {name}():\n    return 'mine'\n"
        for name in ("machine", "agent", "driver", "device", "trace")
    )
    text += "def test_mine(machine, agent, driver, device, trace):\n"
    text += "    assert [machine, agent, driver, device, trace] == ['mine'] * 4\n"
    user.write("test_mine.py", text)
    code, output = user.run()
    assert code == 1
    assert "run folder" not in output
    assert "1 failed" in output
    assert not user.runs.exists()


LONG_TEST = """
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["a", "b"])
def test_long(driver, name):
    driver.load("v1")
    Path(name).touch()
    driver.let_run(120)
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_ctrl_c_ends_the_guest_and_the_run_as_inconclusive(user: User, processes: int) -> None:
    user.write("test_long.py", LONG_TEST)
    process = user.start("-n", str(processes))
    running = ["a", "b"][: max(processes, 1)]
    Deadline.after(120).wait_for(
        lambda: all((user.folder / name).exists() for name in running),
        "the test to run",
        alive=lambda: None if process.poll() is None else f"pytest ended: {process.communicate()[0]}",
    )
    # As a terminal does: to all of them.
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    summaries = [json.loads(path.read_text()) for path in user.runs.glob("*/run.json")]
    assert len(summaries) == len(running)
    for summary in summaries:
        assert (summary["verdict"], summary["reason"]) == ("inconclusive", "the test was interrupted"), output


def test_ctrl_c_while_the_guest_starts_leaves_nothing(user: User) -> None:
    user.write("test_long.py", LONG_TEST)
    process = user.start()
    Deadline.after(120).wait_for(
        user.left,
        "the guest to be made",
        alive=lambda: None if process.poll() is None else f"pytest ended: {process.communicate()[0]}",
        interval=0.005,
    )
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert user.left() == set()
    (summary,) = user.summaries().values()
    assert (summary["verdict"], summary["state"], summary["reason"]) == (
        "inconclusive",
        "ended",
        "the test was interrupted",
    )


def test_what_a_killed_process_of_xdist_left_is_removed(user: User) -> None:
    user.write(
        "test_killed.py",
        "import os, signal\n"
        "def test_killed(driver):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "def test_other(driver):\n    driver.load('v1')\n",
    )
    # No process takes the killed one's place: nobody but the end of the session can remove its guest.
    code, output = user.run("-n", "1", "--max-worker-restart", "0", "-k", "killed")
    assert code == 1, output
    assert "crashed while running" in output
    assert len(list(user.folder.glob("pid-*"))) == 2
    assert user.left() == set()
    code, output = user.run("-k", "other")
    assert code == 0, output
    states = {name: summary["state"] for name, summary in user.summaries().items()}
    assert states == {"test_killed": "killed", "test_other": "ended"}


TYPED = (
    FIVE_TESTS
    + """

def test_completion(driver: Driver, device: Device, trace: Trace) -> None:
    reveal_type(driver.create_worker(events=2).wait_for_iterations(1).state)
    reveal_type(driver.swap("v2").status.name)
    reveal_type(device.query_worker(1).versions)
    reveal_type(trace.assert_order("SignalEnd", "IterationBegin")[0].us)
    reveal_type(trace.events("IterationBegin")[0].wait_status.name)
    reveal_type(trace.events("IterationBegin")[0].version)
    driver.create_worker(waits="any")
    device.configure(runtime="magic")
"""
)


def test_a_debugged_test_still_has_its_driver(user: User) -> None:
    user.write("test_it.py", "def test_it(driver):\n    driver.load('v1')\n    assert driver.version == 2\n")
    process = user.start("--pdb")
    output, _ = process.communicate("p ('seen', driver.swap('v2').to_version)\nquit\n", timeout=120)
    assert "('seen', 2)" in output
    (summary,) = user.summaries().values()
    assert (summary["verdict"], len(summary["phases"])) == ("fail", 2)


def test_an_editor_knows_every_type(user: User) -> None:
    user.write("test_mine.py", "from hotswap.testing import Device\n" + TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(user.folder / "cache"), "test_mine.py"],
        cwd=user.folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    revealed = re.findall(r'Revealed type is "([^"]+)"', done.stdout)
    assert revealed == [
        "hotswap.driver.host_replies.WorkerState",
        "str",
        "tuple[hotswap.driver.host_replies.VersionCount, ...]",
        "float",
        "str",
        "int",
    ], done.stdout
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 2, done.stdout
    assert 'Unexpected keyword argument "waits"' in errors[0]
    assert "incompatible type \"Literal['magic']\"" in errors[1] or "magic" in errors[1]
