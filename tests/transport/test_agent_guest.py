"""Files, services, devices, processes and programs of the guest, through the real agent."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

import pytest
from agents import Connect

from hotswap.deadline import Deadline
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent, AgentError
from hotswap.transport.protocol import AgentProtocolError, PayloadWriter
from hotswap.transport.replies import ServiceStatus

MISSING = r"C:\not\there.bin"


def in_guest(machine: WineMachine, name: str) -> Path:
    """A file of drive C, seen from outside: an independent witness."""
    return machine.folder.prefix / "drive_c" / name


@pytest.mark.parametrize(
    "size", [0, 1, 55, 56, 63, 64, 65, 119, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_333_333]
)
def test_a_file_goes_there_and_back(agent: Agent, machine: WineMachine, deadline: Deadline, size: int) -> None:
    data = random.Random(size).randbytes(size)
    expected = hashlib.sha256(data).hexdigest()
    assert agent.put(data, r"C:\files\there.bin", deadline=deadline) == expected
    assert in_guest(machine, "files/there.bin").read_bytes() == data
    assert agent.file_hash(r"C:\files\there.bin", deadline=deadline) == expected
    assert agent.get(r"C:\files\there.bin", deadline=deadline) == data
    assert agent.stat(r"C:\files\there.bin", deadline=deadline).size == size
    assert [path.name for path in in_guest(machine, "files").iterdir()] == ["there.bin"]


def test_a_file_of_the_host_is_put_over_one_of_the_guest(agent: Agent, tmp_path: Path, deadline: Deadline) -> None:
    source = tmp_path / "quelle.bin"
    source.write_bytes(b"new")
    agent.put(b"old and longer", r"C:\ziel-ä.bin", deadline=deadline)
    agent.put(source, r"C:\ziel-ä.bin", deadline=deadline)
    assert agent.get(r"C:\ziel-ä.bin", deadline=deadline) == b"new"


def test_hash_of_a_beginning(agent: Agent, deadline: Deadline) -> None:
    agent.put(b"abcdef", r"C:\begin.bin", deadline=deadline)
    assert agent.file_hash(r"C:\begin.bin", limit=3, deadline=deadline) == hashlib.sha256(b"abc").hexdigest()


def test_remove_takes_files_and_empty_folders(agent: Agent, machine: WineMachine, deadline: Deadline) -> None:
    agent.put(b"x", r"C:\away\file.bin", deadline=deadline)
    assert agent.stat(r"C:\away", deadline=deadline).is_folder
    with pytest.raises(AgentError) as caught:
        agent.remove(r"C:\away", deadline=deadline)
    assert caught.value.code == 145  # ERROR_DIR_NOT_EMPTY
    agent.remove(r"C:\away\file.bin", deadline=deadline)
    agent.remove(r"C:\away", deadline=deadline)
    assert not in_guest(machine, "away").exists()


def test_what_arrived_damaged_is_not_committed(agent: Agent, machine: WineMachine, deadline: Deadline) -> None:
    agent.put(b"good", r"C:\damage\d.bin", deadline=deadline)
    write, commit = agent.contract["HsAgentOpFileWrite"], agent.contract["HsAgentOpFileCommit"]
    payload = PayloadWriter().text(r"C:\damage\d.bin").u64(5, 0).data(b"evil").finish()
    agent.connection.send(write, payload, deadline, what="write").result(deadline)
    payload = PayloadWriter().text(r"C:\damage\d.bin").u64(5, 4).data(hashlib.sha256(b"good").digest()).finish()
    reply = agent.connection.send(commit, payload, deadline, what="commit").result(deadline)
    with pytest.raises(AgentError, match=r"SHA-256 failed: ERROR_CRC \(23\); what arrived is not what was sent"):
        agent.open_reply(reply, "commit")
    assert [path.name for path in in_guest(machine, "damage").iterdir()] == ["d.bin"]
    assert in_guest(machine, "damage/d.bin").read_bytes() == b"good"


def test_a_put_that_fails_leaves_nothing(agent: Agent, machine: WineMachine, deadline: Deadline) -> None:
    agent.put(b"x", r"C:\taken\folder\x.bin", deadline=deadline)
    with pytest.raises(AgentError, match="MoveFileExW failed"):
        agent.put(b"y", r"C:\taken\folder", deadline=deadline)
    assert [path.name for path in in_guest(machine, "taken").iterdir()] == ["folder"]


def test_missing_files_are_named(agent: Agent, deadline: Deadline) -> None:
    for call in (agent.get, agent.file_hash, agent.stat, agent.remove):
        with pytest.raises(AgentError) as caught:
            call(MISSING, deadline=deadline)
        error = caught.value
        assert (error.domain, error.code) == ("win32", 3)
        assert error.name == "ERROR_PATH_NOT_FOUND (3)"
        assert MISSING in error.operation
        assert error.api in str(error)


def test_a_missing_service(agent: Agent, deadline: Deadline) -> None:
    for call in (agent.service_query, agent.service_start, agent.service_stop, agent.service_delete):
        with pytest.raises(AgentError) as caught:
            call("no-such-service", deadline=deadline)
        assert (caught.value.domain, caught.value.code) == ("win32", 1060)
        assert caught.value.name == "ERROR_SERVICE_DOES_NOT_EXIST (1060)"
        assert "no-such-service" in str(caught.value)
    assert agent.service_find("no-such-service", deadline=deadline) is None


def test_a_service_from_creation_to_deletion(agent: Agent, deadline: Deadline) -> None:
    agent.service_create("hs-test", r"C:\not\there.sys", deadline=deadline)
    state = agent.service_query("hs-test", deadline=deadline)
    assert agent.service_find("hs-test", deadline=deadline) == state
    assert state.status is ServiceStatus.STOPPED
    assert state.type == 1
    assert state.start_type == 3
    assert state.binary_path == r"C:\not\there.sys"
    with pytest.raises(AgentError) as caught:
        agent.service_create("hs-test", r"C:\other.sys", deadline=deadline)
    assert caught.value.code == 1073  # ERROR_SERVICE_EXISTS
    with pytest.raises(AgentError, match="start service hs-test: StartServiceW failed"):
        agent.service_start("hs-test", deadline=deadline)
    agent.service_delete("hs-test", deadline=deadline)
    with pytest.raises(AgentError, match="1060"):
        agent.service_query("hs-test", deadline=deadline)


def test_a_missing_device(agent: Agent, deadline: Deadline) -> None:
    with pytest.raises(AgentError) as caught:
        agent.open(r"\\.\NoSuchDevice", deadline=deadline)
    assert (caught.value.domain, caught.value.code, caught.value.api) == ("win32", 2, "CreateFileW")
    assert caught.value.name == "ERROR_FILE_NOT_FOUND (2)"


def test_a_handle_that_is_not_open(agent: Agent, deadline: Deadline) -> None:
    handle = agent.open("NUL", deadline=deadline)
    agent.close(handle, deadline=deadline)
    for call in (
        lambda: agent.close(handle, deadline=deadline),
        lambda: agent.ioctl(handle, 0x222000, deadline=deadline),
        lambda: agent.ioctl_begin(handle, 0x222000, deadline=deadline).result(deadline),
        lambda: agent.ioctl_batch(handle, [(0x222000, b"", 0)], deadline=deadline),
    ):
        with pytest.raises(AgentError) as caught:
            call()
        assert caught.value.code == 6
    assert agent.open("NUL", deadline=deadline) != handle


def test_devices_are_limited_and_closing_makes_room(agent: Agent, deadline: Deadline) -> None:
    handles = [agent.open("NUL", deadline=deadline) for _ in range(64)]
    with pytest.raises(AgentError, match="64 devices"):
        agent.open("NUL", deadline=deadline)
    agent.close(handles[0], deadline=deadline)
    assert agent.open("NUL", deadline=deadline) not in handles


def test_more_output_than_a_frame_holds_is_refused(agent: Agent, deadline: Deadline) -> None:
    handle = agent.open("NUL", deadline=deadline)
    with pytest.raises(AgentProtocolError, match="TooLarge"):
        agent.ioctl(handle, 0x222000, out_size=4 << 20, deadline=deadline)


def test_there_is_no_trace_to_stop_and_none_starts_without_a_device(
    agent: Agent, machine: WineMachine, deadline: Deadline
) -> None:
    with pytest.raises(AgentError, match="no session was started"):
        agent.trace_stop(deadline=deadline)
    with pytest.raises(AgentError) as caught:
        agent.trace_start(r"\\.\NoSuchDevice", 0, r"C:\none.etl", "none", deadline=deadline)
    assert caught.value.code == 2
    assert caught.value.api == "CreateFileW (device)"
    assert not in_guest(machine, "none.etl").exists()
    assert not agent.trace_status(deadline=deadline).running


def test_modules_of_a_process_and_of_the_kernel(agent: Agent, deadline: Deadline) -> None:
    own = agent.modules(agent.hello(deadline=deadline).pid, deadline=deadline)
    assert own[0].name == "hsagent.exe"
    assert {"ntdll.dll", "kernel32.dll"} <= {module.name.lower() for module in own}
    assert all(module.base and module.size for module in own)
    with pytest.raises(AgentError):
        agent.modules(0xFFFFFFF0, deadline=deadline)
    kernel = agent.modules(deadline=deadline)
    assert "ntoskrnl.exe" in {module.name.lower() for module in kernel}
    assert "hsagent.exe" not in {module.name.lower() for module in kernel}


def test_objects_of_a_directory_with_the_targets_of_links(agent: Agent, deadline: Deadline) -> None:
    devices = {item.name: item for item in agent.objects("\\Device", deadline=deadline)}
    assert devices["Null"].kind == "Device"
    assert not devices["Null"].target
    links = {item.name: item for item in agent.objects("\\??", deadline=deadline)}
    assert (links["NUL"].kind, links["NUL"].target) == ("SymbolicLink", "\\Device\\Null")
    with pytest.raises(AgentError, match="STATUS_OBJECT_NAME_NOT_FOUND"):
        agent.objects("\\None", deadline=deadline)


def test_a_program_gives_its_output_and_exit_code(agent: Agent, deadline: Deadline) -> None:
    result = agent.run(["cmd", "/c", "echo out& echo err>&2& exit 5"], deadline=deadline)
    assert (result.exit_code, result.stdout, result.stderr) == (5, b"out\r\n", b"err\r\n")
    assert not result.timed_out
    assert not result.output_cut
    assert result.ticks > 0


def test_an_argument_with_blanks_and_other_letters_arrives_whole(agent: Agent, deadline: Deadline) -> None:
    agent.put(b"found", r"C:\with blank\ä ö.txt", deadline=deadline)
    assert agent.run(["cmd", "/c", "type", r"C:\with blank\ä ö.txt"], deadline=deadline).stdout == b"found"


def test_a_program_runs_in_the_folder_asked_for(agent: Agent, deadline: Deadline) -> None:
    assert agent.run(["cmd", "/c", "cd"], folder=r"C:\windows", deadline=deadline).stdout == b"C:\\windows\r\n"


def test_a_program_that_takes_too_long_is_ended_with_its_children(connect: Connect, deadline: Deadline) -> None:
    agent = connect()
    start = time.monotonic()
    result = agent.run(["cmd", "/c", "echo begun& ping -n 100 127.0.0.1"], time_limit=1, deadline=deadline)
    assert 1 <= time.monotonic() - start < 4
    assert result.timed_out
    assert result.stdout.startswith(b"begun\r\n")
    names = [process.name.lower() for process in agent.processes(deadline=deadline)]
    assert "ping.exe" not in names
    assert "cmd.exe" not in names


def test_a_child_that_keeps_the_pipe_does_not_keep_the_caller(agent: Agent, deadline: Deadline) -> None:
    start = time.monotonic()
    result = agent.run(["cmd", "/c", "start /b ping -n 100 127.0.0.1& exit 3"], time_limit=20, deadline=deadline)
    assert time.monotonic() - start < 5
    assert result.exit_code == 3
    assert not result.timed_out


def test_much_output_is_cut_and_the_program_goes_on_to_its_end(agent: Agent, deadline: Deadline) -> None:
    agent.put(random.Random(1).randbytes(600_000).hex().encode(), r"C:\much.txt", deadline=deadline)
    result = agent.run(["cmd", "/c", r"type C:\much.txt& exit 9"], deadline=deadline)
    assert result.exit_code == 9
    assert result.output_cut
    assert len(result.stdout) == 1 << 20


def test_a_missing_program(agent: Agent, deadline: Deadline) -> None:
    with pytest.raises(AgentError) as caught:
        agent.run(["no-such-program.exe"], deadline=deadline)
    assert (caught.value.code, caught.value.api) == (2, "CreateProcessW")
