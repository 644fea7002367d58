"""The agent over WinRM: our transport, plain pywinrm and pypsrp against the endpoint, in front of the Wine guest."""

from __future__ import annotations

import base64
import http.client
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import winrm
from agents import AGENT, Resident
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan
from winrm.exceptions import InvalidCredentialsError

from hotswap.deadline import Deadline
from hotswap.transport.agent import Agent, AgentLost
from hotswap.transport.base import Reconnection
from hotswap.transport.keys import make_certificate
from hotswap.transport.protocol import AgentContract, Frame, FrameDecoder, PayloadWriter, encode_frame
from hotswap.transport.returning import ReturningConnection
from hotswap.transport.winrm import WinRmConnection, WinRmError, WinRmTarget, WinRmTransport
from hotswap.wsman.process import EndpointProcess
from support.wsman_messages import SHELL, envelope, fault_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endpoint")


@pytest.fixture(scope="module")
def endpoint(resident: Resident, folder: Path) -> Iterator[EndpointProcess]:
    machine = resident.machine
    with EndpointProcess.for_wine(
        folder, str(machine.wine.loader), machine.environment, Deadline.after(30)
    ) as endpoint:
        yield endpoint
        assert (folder / "endpoint.log").read_text() == ""


@pytest.fixture(scope="module", params=["ntlm", "basic"])
def target(endpoint: EndpointProcess, request: pytest.FixtureRequest) -> WinRmTarget:
    return WinRmTarget(
        port=endpoint.port,
        user=endpoint.account.user,
        password=endpoint.account.password,
        fingerprint=endpoint.fingerprint,
        command=AGENT,
        authentication=request.param,
    )


@contextmanager
def agent_over(target: WinRmTarget, contract: AgentContract) -> Iterator[Agent]:
    connection = WinRmConnection(target)
    stream = connection.agent(Deadline.after(20))
    with Agent(stream, contract, reconnection=Reconnection(connection.agent)) as agent:
        yield agent
    connection.close()


def test_every_byte_comes_through_as_it_is(target: WinRmTarget, agent_contract: AgentContract) -> None:
    deadline = Deadline.after(60)
    data = bytes(range(256)) * 6000
    with agent_over(target, agent_contract) as agent:
        assert agent.hello(deadline=deadline).wine_version
        agent.put(data, r"C:\winrm.bin", deadline=deadline)
        assert agent.get(r"C:\winrm.bin", deadline=deadline) == data
        assert agent.connection.skipped_bytes == 0


def test_a_small_envelope_is_enough(target: WinRmTarget, agent_contract: AgentContract, deadline: Deadline) -> None:
    with agent_over(replace(target, envelope_bytes=10_000), agent_contract) as agent:
        agent.put(bytes(50_000), r"C:\small.bin", deadline=deadline)
        assert len(agent.get(r"C:\small.bin", deadline=deadline)) == 50_000


def test_a_lost_stream_is_replaced_in_the_same_shell_and_nothing_runs_twice(
    target: WinRmTarget, agent_contract: AgentContract, deadline: Deadline
) -> None:
    with agent_over(target, agent_contract) as agent:
        agent.hello(deadline=deadline)
        first = agent.open(r"\\.\NUL", deadline=deadline)
        stream = agent.connection.transport
        assert isinstance(stream, WinRmTransport)
        results: list[int] = []
        runner = threading.Thread(
            target=lambda: results.append(
                agent.run(["ping", "-n", "100", "127.0.0.1"], time_limit=0.8, deadline=deadline).exit_code
            )
        )
        runner.start()
        deadline.wait_for(lambda: agent.connection.waiting, "the program to be asked for")
        agent.ping(deadline=deadline)
        stream.close()
        assert agent.open(r"\\.\NUL", deadline=deadline) == first + 1
        runner.join()
        assert len(results) == 1
        assert isinstance(agent.connection, ReturningConnection)
        assert agent.connection.returns == 1


def test_a_shell_that_is_gone_is_opened_anew(
    target: WinRmTarget, agent_contract: AgentContract, deadline: Deadline
) -> None:
    connection = WinRmConnection(target)
    first = connection.agent(deadline)
    protocol = connection.protocol()
    protocol.close_shell(first._shell)
    deadline.wait_for(first.alive, "the stream to end with its shell")
    first.close()
    with Agent(connection.agent(deadline), agent_contract) as agent:
        agent.hello(deadline=deadline)
    connection.close()


def test_a_command_that_ends_is_told_with_its_last_words(
    target: WinRmTarget, agent_contract: AgentContract, deadline: Deadline
) -> None:
    connection = WinRmConnection(replace(target, arguments=("--nonsense",)))
    with (
        Agent(connection.agent(deadline), agent_contract) as agent,
        pytest.raises(AgentLost, match=r"exit code 2; it said usage: hsagent --pipe"),
    ):
        agent.hello(deadline=deadline)
    connection.close()


def failed(target: WinRmTarget) -> WinRmError:
    with pytest.raises(WinRmError) as caught:
        WinRmConnection(target).agent(Deadline.after(10))
    return caught.value


def test_a_wrong_password_is_a_failed_authentication(target: WinRmTarget) -> None:
    error = failed(replace(target, password="wrong"))
    assert error.stage == "authentication"
    assert "wrong" not in str(error)
    assert failed(replace(target, user="nobody")).stage == "authentication"


def test_another_certificate_is_refused_with_both_fingerprints(target: WinRmTarget, tmp_path: Path) -> None:
    other = make_certificate(tmp_path / "certificate", tmp_path / "key")
    error = failed(replace(target, fingerprint=other))
    assert error.stage == "certificate"
    assert other in str(error)
    assert target.fingerprint in str(error)


def test_nobody_who_listens_is_a_failed_connect(target: WinRmTarget) -> None:
    assert failed(replace(target, port=1)).stage == "connect"


def test_a_fault_is_named(target: WinRmTarget, deadline: Deadline) -> None:
    connection = WinRmConnection(target)
    connection.agent(deadline).close()
    stream = WinRmTransport(connection, "00000000-0000-0000-0000-000000000000", "0")
    stream._receiver.join()
    assert "receive failed: ERROR_WSMAN_UNEXPECTED_SELECTORS (2150858843)" in str(stream.alive())
    with pytest.raises(BrokenPipeError, match="UNEXPECTED_SELECTORS"):
        stream.write(b"x", deadline)
    connection.close()


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_plain_pywinrm_runs_commands_and_trusts_the_certificate(
    endpoint: EndpointProcess, folder: Path, transport: str
) -> None:
    session = winrm.Session(
        f"https://127.0.0.1:{endpoint.port}/wsman",
        auth=(endpoint.account.user, endpoint.account.password),
        transport=transport,
        server_cert_validation="validate",
        ca_trust_path=str(folder / "certificate.pem"),
    )
    ended = session.run_cmd("echo", ["out", "&", "echo", "err", "1>&2", "&", "exit", "5"])
    assert (ended.std_out.strip(), ended.std_err.strip(), ended.status_code) == (b"out", b"err", 5)


def test_plain_pywinrm_is_told_of_a_wrong_password(endpoint: EndpointProcess, folder: Path) -> None:
    session = winrm.Session(
        f"https://127.0.0.1:{endpoint.port}/wsman",
        auth=(endpoint.account.user, "wrong"),
        transport="ntlm",
        server_cert_validation="validate",
        ca_trust_path=str(folder / "certificate.pem"),
    )
    with pytest.raises(InvalidCredentialsError):
        session.run_cmd("echo")


@pytest.fixture(params=["negotiate", "ntlm", "basic"])
def wsman(endpoint: EndpointProcess, folder: Path, request: pytest.FixtureRequest) -> Iterator[WSMan]:
    account = endpoint.account
    with WSMan(
        "127.0.0.1",
        port=endpoint.port,
        username=account.user,
        password=account.password,
        auth=request.param,
        cert_validation=str(folder / "certificate.pem"),  # type: ignore[arg-type] # a path is taken, too
        no_proxy=True,
    ) as wsman:
        yield wsman


def test_pypsrp_runs_commands_with_an_environment_and_a_folder(wsman: WSMan) -> None:
    wsman.update_max_payload_size()
    with WinRS(wsman, environment={"GREETING": "hello"}, working_directory=r"C:\windows", codepage=65001) as shell:
        process = Process(shell, "echo %GREETING%& cd& exit 3")
        process.invoke()
        assert (process.stdout.split(), process.rc) == ([b"hello", rb"C:\windows"], 3)


def test_pypsrp_carries_bytes_to_a_command_and_back(wsman: WSMan, agent_contract: AgentContract) -> None:
    request = Frame(agent_contract["HsAgentOpFileWrite"], 0, 1, 1, PayloadWriter().text("C:\\p").u64(1, 0).finish())
    request = replace(request, payload=request.payload + PayloadWriter().data(bytes(range(256)) * 20).finish())
    read = Frame(agent_contract["HsAgentOpFileRead"], 0, 1, 2, PayloadWriter().text("C:\\p.1.part").finish())
    with WinRS(wsman) as shell:
        process = Process(shell, AGENT, ["--pipe"], no_shell=True)
        process.begin_invoke()
        process.send(encode_frame(agent_contract, request), end=False)
        process.send(encode_frame(agent_contract, replace(read, payload=read.payload + bytes(12))), end=True)
        process.end_invoke()
        assert process.rc == 0
    decoder = FrameDecoder(agent_contract)
    replies = list(decoder.feed(process.stdout))
    assert ([reply.id for reply in replies], decoder.skipped) == ([1, 2], 0)


def test_pypsrp_can_time_out_and_end_a_command(wsman: WSMan) -> None:
    with WinRS(wsman) as shell:
        process = Process(shell, AGENT, ["--pipe"])
        process.begin_invoke()
        process.poll_invoke(timeout=1)
        assert process.rc is None
        process.signal(SignalCode.CTRL_C)
        process.end_invoke()
        assert process.rc == 0xC000013A


def test_pypsrp_is_told_of_faults(wsman: WSMan) -> None:
    shell = WinRS(wsman)
    shell.open()
    shell.close()
    shell.opened = True
    with pytest.raises(WSManFaultError) as caught:
        shell.command("echo", [])
    assert caught.value.code == 2150858843


def test_pypsrp_is_told_of_a_wrong_password(endpoint: EndpointProcess, folder: Path) -> None:
    with (
        WSMan(
            "127.0.0.1",
            port=endpoint.port,
            username=endpoint.account.user,
            password="wrong",
            cert_validation=str(folder / "certificate.pem"),  # type: ignore[arg-type]
            no_proxy=True,
        ) as wsman,
        pytest.raises(AuthenticationError),
    ):
        WinRS(wsman).open()


@contextmanager
def connection_to(endpoint: EndpointProcess, folder: Path) -> Iterator[http.client.HTTPSConnection]:
    trust = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", endpoint.port, context=trust, timeout=10)
    yield connection
    connection.close()


def post(
    connection: http.client.HTTPSConnection, body: bytes, headers: dict[str, str], path: str = "/wsman"
) -> tuple[int, bytes, list[str]]:
    connection.request("POST", path, body, {"Content-Type": "application/soap+xml;charset=UTF-8", **headers})
    response = connection.getresponse()
    return response.status, response.read(), response.headers.get_all("WWW-Authenticate") or []


def basic(endpoint: EndpointProcess) -> dict[str, str]:
    token = f"{endpoint.account.user}:{endpoint.account.password}"
    return {"Authorization": "Basic " + base64.b64encode(token.encode()).decode()}


WRONG_LOGINS = (
    "Basic",
    "Basic !",
    "Basic eDp5",
    "Negotiate",
    "Negotiate !",
    "Negotiate AAAA",
    "Negotiate TlRMTVNTUAA=",  # NTLMSSP, and no more
    "Negotiate TlRMTVNTUAADAAAA",
    "Negotiate YIIBAAYGKwYBBQUC",
    "Digest x",
)


def test_http_that_is_not_as_it_should_be_is_refused(endpoint: EndpointProcess, folder: Path) -> None:
    sound = basic(endpoint)
    with connection_to(endpoint, folder) as connection:
        status, body, schemes = post(connection, envelope(), {})
        assert (status, body, schemes) == (401, b"", ["Negotiate", 'Basic realm="WSMAN"'])
        for wrong in WRONG_LOGINS:
            assert post(connection, envelope(), {"Authorization": wrong})[0] == 401
        assert post(connection, envelope(), sound, "/other")[0] == 404
        assert post(connection, envelope(), {**sound, "Content-Type": "text/xml"})[0] == 415
        assert post(connection, b"", sound)[0] == 200
        status, body, _ = post(connection, b"not xml", sound)
        assert (status, fault_of(body).subcode) == (500, "w:SchemaValidationError")
    with connection_to(endpoint, folder) as connection:
        connection.request("GET", "/wsman", headers=sound)
        assert connection.getresponse().status == 405
    with connection_to(endpoint, folder) as connection:
        assert post(connection, envelope(more="<w:Locale/>" * 60_000), sound)[0] == 413
    with connection_to(endpoint, folder) as connection:
        connection.putrequest("POST", "/wsman")
        connection.endheaders()
        assert connection.getresponse().status == 411


def test_basic_passes_one_request_and_not_the_next_without_it(endpoint: EndpointProcess, folder: Path) -> None:
    with connection_to(endpoint, folder) as connection:
        status, body, _ = post(connection, envelope(f"{SHELL}/Command", "", shell_id="0"), basic(endpoint))
        assert (status, fault_of(body).subcode) == (500, "w:SchemaValidationError")
        assert post(connection, envelope(), {})[0] == 401


def test_the_endpoint_listens_on_loopback_and_its_secrets_are_nowhere_to_be_seen(
    endpoint: EndpointProcess, folder: Path
) -> None:
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{endpoint.port}"], capture_output=True, text=True).stdout
    assert [line.split()[3] for line in listening.splitlines()] == [f"127.0.0.1:{endpoint.port}"]
    shown = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(endpoint.account.password.encode() in line for line in shown)
    assert endpoint.account.password not in repr(endpoint.account)
    assert {
        path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir() if path.name != "endpoint.log"
    } == {
        "certificate.key": "0o600",
        "certificate.pem": "0o600",
        "ntlm": "0o600",
    }
