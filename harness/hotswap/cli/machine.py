"""`hotswap machine`: guests that live on between commands, and the image they are made of.

What a machine needs is imported when there is one to deal with: options, help and completion answer without it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hotswap.cli import complete
from hotswap.cli.output import Exit, JsonTarget, Terminal
from hotswap.cli.progress import Progress
from hotswap.errors import UsageError

if TYPE_CHECKING:
    from hotswap.deadline import Deadline
    from hotswap.machine.qemu import QemuMachine
    from hotswap.transport.agent import Agent

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Build, start, use and remove QEMU machines.")

_START_SECONDS = 600.0
_INSTALL_SECONDS = 6 * 3600.0
_SECONDS = 120.0

MachineArgument = Annotated[
    str,
    typer.Argument(
        metavar="MACHINE",
        help="A machine's id, the beginning of one, or `last`.",
        autocompletion=complete.kept_machines,
    ),
]
ProfileArgument = Annotated[
    str, typer.Argument(metavar="PROFILE", help="Machine profile.", autocompletion=complete.machines)
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="[PATH]", help="Write the result as JSON to this file, or to standard output."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
TimeOption = Annotated[float, typer.Option("--seconds", help="How long it may take.")]


def _after(seconds: float) -> Deadline:
    from hotswap.deadline import Deadline

    if seconds <= 0:
        raise UsageError(f"--seconds is {seconds:g}; it must be more than 0")
    return Deadline.after(seconds)


@contextmanager
def _attached(wanted: str, deadline: Deadline) -> Iterator[QemuMachine]:
    from hotswap.machine.qemu import QemuMachine
    from hotswap.machine.qemu_live import find_kept

    machine = QemuMachine.attach(find_kept(wanted), deadline)
    try:
        yield machine
    finally:
        machine.let_live()


@contextmanager
def _agent(machine: QemuMachine, deadline: Deadline) -> Iterator[Agent]:
    from hotswap.driver.build import build_drivers
    from hotswap.transport.agent import Agent
    from hotswap.transport.protocol import AgentContract

    build = build_drivers()
    transport = machine.connect_agent(build.agent, deadline)
    with Agent(transport, AgentContract.load(build.agent_contract), build.codes) as agent:
        agent.hello(deadline=deadline)
        yield agent


@app.command("list")
def list_(json_: JsonOption = None) -> None:
    """List the profiles, and the machines that live on."""
    from hotswap.machine.profile import load_profile, profile_names
    from hotswap.machine.qemu_folder import QemuFolder, machines_home
    from hotswap.machine.qemu_live import kept_machines, read_record

    target = JsonTarget(json_)
    profiles: list[dict[str, Any]] = []
    for name in profile_names():
        profile = load_profile(name)
        settings = profile.table("machine")
        profiles.append(
            {
                "name": name,
                "kind": profile.kind,
                "state": settings.get("state", "ready"),
                "description": profile.description,
                "reason": settings.get("reason"),
            }
        )
    machines = []
    for id in kept_machines():
        record = read_record(QemuFolder(machines_home() / id))
        state = "running" if record.process.alive() else "gone; `hotswap sweep` removes what is left"
        machines.append({"id": id, "profile": record.profile, "state": state, "pid": record.process.pid})
    target.write({"schema": 1, "profiles": profiles, "machines": machines})
    if target.is_standard_output:
        return
    console = Terminal()
    for item in profiles:
        console.print(f"{item['name']:<26} {item['kind']:<7} {item['state']:<8} {item['description']}", markup=False)
    for machine in machines:
        console.print(f"{machine['id']:<26} {machine['profile']:<16} {machine['state']}", markup=False)


@app.command()
def build(profile: ProfileArgument = "standin", json_: JsonOption = None, quiet: QuietOption = False) -> None:
    """Build what a machine starts from: the stand-in guest and its template, or Windows from the user's media."""
    from hotswap.driver.build import build_drivers
    from hotswap.machine.profile import load_profile
    from hotswap.machine.qemu import QemuMachine
    from hotswap.machine.qemu_windows import WindowsMachine
    from hotswap.machine.registry import create_machine
    from hotswap.machine.standin_image import build_image

    target = JsonTarget(json_)
    progress = Progress(Terminal(stderr=True), quiet=quiet)
    made = create_machine(profile, progress)
    if isinstance(made, WindowsMachine):
        with progress.live():
            made.expect_agent(build_drivers(progress).agent)
            base = made.prepare(_after(_INSTALL_SECONDS))
        target.write({"schema": 1, "disk": str(base.disk), "ntoskrnl": str(base.ntoskrnl)})
        if not target.is_standard_output:
            Terminal().print(str(base.disk), markup=False)
        return
    if not isinstance(made, QemuMachine):
        raise UsageError(f"machine {profile!r} is of kind 'wine': nothing of it has to be built")
    with progress.live():
        image = build_image(progress)
        machine = QemuMachine(load_profile(profile), progress)
        machine.expect_agent(build_drivers(progress).agent)
        template = machine.prepare(_after(_START_SECONDS))
    result = {
        "schema": 1,
        "image": str(image.path),
        "content": image.content,
        "bytes": image.size,
        "accelerator": machine.accelerator.found,
        "template": str(template.path) if template else None,
        "inputs": image.manifest["inputs"],
    }
    target.write(result)
    if not target.is_standard_output:
        Terminal().print(f"{image.path} ({image.size / 1e6:.0f} MB, {image.content[:12]})", markup=False)


@app.command()
def start(
    profile: ProfileArgument = "standin",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Print QEMU's command line, and start nothing.")
    ] = False,
    json_: JsonOption = None,
    quiet: QuietOption = False,
    seconds: TimeOption = _START_SECONDS,
) -> None:
    """Boot a machine that lives on; print its id."""
    _start(profile, dry_run, json_, quiet, seconds, fork=False)


@app.command()
def fork(
    profile: ProfileArgument = "standin",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Print QEMU's command line, and start nothing.")
    ] = False,
    json_: JsonOption = None,
    quiet: QuietOption = False,
    seconds: TimeOption = _START_SECONDS,
) -> None:
    """Start a machine that lives on as a fork of the guest that has booted already; print its id."""
    _start(profile, dry_run, json_, quiet, seconds, fork=True)


def _start(profile: str, dry_run: bool, json_: str | None, quiet: bool, seconds: float, *, fork: bool) -> None:
    from hotswap.machine.profile import load_profile
    from hotswap.machine.qemu_dry_run import dry_run_command

    target = JsonTarget(json_)
    progress = Progress(Terminal(stderr=True), quiet=quiet)
    if dry_run:
        with progress.live():
            argv = dry_run_command(load_profile(profile), progress, fork=fork)
        target.write({"schema": 1, "command": argv})
        if not target.is_standard_output:
            Terminal().print(shlex.join(argv), markup=False)
        return
    from hotswap.driver.build import build_drivers
    from hotswap.machine.qemu import QemuMachine
    from hotswap.machine.registry import create_machine

    with progress.live():
        machine = create_machine(profile, progress)
        if not isinstance(machine, QemuMachine):
            what = "a Windows" if machine.name.startswith("windows") else "of kind 'wine'"
            raise UsageError(f"machine {profile!r} is {what}, which lives no longer than a command: use it there")
        deadline = _after(seconds)
        machine.fork = machine.profile.fork and fork
        agent = build_drivers(progress).agent
        machine.expect_agent(agent)
        machine.start(deadline)
        try:
            machine.have_agent(agent, deadline)
            machine.keep()
        except BaseException:
            machine.stop(_after(10.0))
            raise
    target.write({"schema": 1, "id": machine.id, "profile": profile, "accelerator": machine.accelerator.found})
    if not target.is_standard_output:
        Terminal().print(machine.id, markup=False)


@app.command("exec", context_settings={"ignore_unknown_options": True})
def exec_(
    machine: MachineArgument,
    command: Annotated[list[str], typer.Argument(metavar="PROGRAM ...", help="Program of the guest, and arguments.")],
    json_: JsonOption = None,
    seconds: TimeOption = _SECONDS,
) -> None:
    """Run a program in the guest and show its output. Exit code 0 when it ended with 0, else 1."""
    target = JsonTarget(json_)
    deadline = _after(seconds)
    with _attached(machine, deadline) as guest, _agent(guest, deadline) as agent:
        result = agent.run(command, deadline=deadline)
    out, err = (stream.decode(errors="replace") for stream in (result.stdout, result.stderr))
    target.write(
        {"schema": 1, "exit_code": result.exit_code, "timed_out": result.timed_out, "stdout": out, "stderr": err}
    )
    if not target.is_standard_output:
        Terminal().print(out.replace("\r\n", "\n"), end="", markup=False)
        Terminal(stderr=True).print(err.replace("\r\n", "\n"), end="", markup=False)
    raise typer.Exit(Exit.PASS if result.exit_code == 0 and not result.timed_out else Exit.FAIL)


@app.command()
def push(
    machine: MachineArgument,
    source: Annotated[Path, typer.Argument(help="File of this host.")],
    guest_path: Annotated[str, typer.Argument(help=r"Where it goes, C:\...")],
    seconds: TimeOption = _SECONDS,
) -> None:
    """Copy a file into the guest; it arrives whole, checked by its hash."""
    if not source.is_file():
        raise UsageError(f"{source} is no file")
    deadline = _after(seconds)
    with _attached(machine, deadline) as guest, _agent(guest, deadline) as agent:
        agent.put(source, guest_path, deadline=deadline)


@app.command()
def pull(
    machine: MachineArgument,
    guest_path: Annotated[str, typer.Argument(help=r"File of the guest, C:\...")],
    target: Annotated[Path, typer.Argument(help="Where it goes on this host.")],
    seconds: TimeOption = _SECONDS,
) -> None:
    """Copy a file out of the guest, checked by its hash."""
    from hotswap.machine.storage import os_fault

    deadline = _after(seconds)
    with _attached(machine, deadline) as guest, _agent(guest, deadline) as agent:
        data = agent.get(guest_path, deadline=deadline)
    partial = target.with_name(f".{target.name}.part")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise os_fault("writing", target, error) from error


@app.command()
def snapshot(machine: MachineArgument, name: str, seconds: TimeOption = _SECONDS) -> None:
    """Keep memory and disk of a machine under a name."""
    deadline = _after(seconds)
    with _attached(machine, deadline) as guest:
        guest.snapshot(name, deadline)


@app.command()
def restore(machine: MachineArgument, name: str, seconds: TimeOption = _SECONDS) -> None:
    """Return to a snapshot."""
    from hotswap.driver.build import build_drivers

    deadline = _after(seconds)
    with _attached(machine, deadline) as guest:
        guest.expect_agent(build_drivers().agent)
        guest.restore(name, deadline)


@app.command()
def screenshot(machine: MachineArgument, target: Path, seconds: TimeOption = _SECONDS) -> None:
    """Write the guest's screen to a PNG file."""
    deadline = _after(seconds)
    with _attached(machine, deadline) as guest:
        guest.screenshot(target, deadline)


@app.command()
def evidence(
    machine: MachineArgument,
    folder: Annotated[Path, typer.Argument(help="Folder to write it to; made when there is none.")],
    memory: Annotated[
        bool | None,
        typer.Option(
            "--memory/--no-memory", help="Dump the guest's memory.", show_default="when it panicked, or hangs"
        ),
    ] = None,
    seconds: TimeOption = _SECONDS,
) -> None:
    """Collect evidence of a guest in whatever state it is; `evidence.json` lists it, and what could not be had."""
    from hotswap.machine.evidence import read_manifest

    deadline = _after(seconds)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder: evidence is several files")
    with _attached(machine, deadline) as guest:
        files = guest.diagnose(folder, deadline, memory=memory)
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"evidence could not be written to {folder}: take a folder that can be written")
    missing = sum(piece.get("sha256") is None for piece in manifest["pieces"])
    Terminal().print(
        f"the machine is {manifest['state']}: {len(files)} files, {missing} could not be had", markup=False
    )


@app.command()
def console(
    machine: MachineArgument,
    log: Annotated[bool, typer.Option("--log", help="Print what was written to it so far, and end.")] = False,
) -> None:
    """Join this terminal to the guest's serial console; Ctrl-] ends it."""
    from hotswap.cli.terminal_stream import join
    from hotswap.machine.qemu_command import CONSOLE_SOCKET
    from hotswap.machine.qemu_folder import QemuFolder, machines_home
    from hotswap.machine.qemu_live import find_kept
    from hotswap.machine.unix_socket import connect_unix

    folder = QemuFolder(machines_home() / find_kept(machine))
    if log:
        sys.stdout.write(folder.console.read_text(errors="replace") if folder.console.exists() else "")
        return
    try:
        stream = connect_unix(folder.path / CONSOLE_SOCKET, _after(10.0))
    except OSError as error:
        raise UsageError(f"the console of machine {folder.path.name} cannot be reached: {error.strerror}") from error
    with stream:
        join(stream)


@app.command()
def shell(machine: MachineArgument, seconds: TimeOption = _SECONDS) -> None:
    """Open a shell of the guest over SSH, with keys made for this machine; `exit` or Ctrl-] ends it."""
    from hotswap.cli.terminal_stream import ssh_shell

    deadline = _after(seconds)
    with _attached(machine, deadline) as guest:
        ssh_shell(guest.ssh(deadline), deadline)


@app.command()
def stop(machine: MachineArgument, seconds: TimeOption = 60.0) -> None:
    """Let the guest end in an orderly way, and remove the machine."""
    deadline = _after(seconds)
    with _attached(machine, deadline) as guest:
        guest.power_off(deadline)
    _remove(machine)


@app.command()
def rm(machine: MachineArgument) -> None:
    """End a machine at once, and remove all of it."""
    _remove(machine)


def _remove(wanted: str) -> None:
    from hotswap.machine.qemu_folder import machines_home, remove_machine
    from hotswap.machine.qemu_live import find_kept, release_kept

    id = find_kept(wanted)
    remove_machine(machines_home() / id)
    release_kept(id)
