"""The template: built once by one of many, whole or not at all, and never what a guest made of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import DeadlineExpired, LabFault
from hotswap.machine import storage, wine_prefix
from hotswap.machine.lease import Lease, leases
from hotswap.machine.profile import load_profile
from hotswap.machine.storage import remove_tree
from hotswap.machine.wine_folder import PrefixFolder
from hotswap.machine.wine_install import WineInstall, find_wine
from hotswap.machine.wine_prefix import clone_from_template, clones_home, template_key, templates_home

RUN = """
import sys
from hotswap.deadline import Deadline
from hotswap.errors import LabFault
from hotswap.machine.profile import load_profile
from hotswap.machine.wine import WineMachine
from pathlib import Path
profile = load_profile("wine", Path(sys.argv[1]))
try:
    with WineMachine(profile, progress=lambda text: print(text, flush=True)) as machine:
        machine.start(Deadline.after(120))
        print("driver hosts:", len(machine.driver_host_processes()))
except LabFault as fault:
    print("LabFault:", fault)
"""


def profile_with(folder: Path, **settings: int) -> Path:
    """A folder with a copy of the profile in which some numbers differ."""
    source = Path(wine_prefix.__file__).parent.parent / "_data" / "vm" / "profiles" / "wine.toml"
    lines = source.read_text().splitlines()
    for name, value in settings.items():
        lines = [f"{name} = {value}" if line.startswith(f"{name} ") else line for line in lines]
    folder.mkdir()
    (folder / "wine.toml").write_text("\n".join(lines) + "\n")
    return folder


def clone(target: str = "c1", profiles: Path | None = None) -> list[str]:
    """Clone into a leased folder, as a machine does; return what was said."""
    profile = load_profile("wine", profiles)
    said: list[str] = []
    lease = Lease.take("wine", target)
    try:
        folder = PrefixFolder(clones_home() / target)
        clone_from_template(profile, find_wine(profile), folder, Deadline.after(60), said.append)
    finally:
        lease.release()
    return said


def folders(home: Path) -> list[str]:
    return sorted(path.name for path in home.glob("*") if path.is_dir())


def test_two_builders_at_once_build_once_and_both_get_a_machine(empty_cache: Path, tmp_path: Path) -> None:
    profiles = profile_with(tmp_path / "profiles")
    runs = [
        subprocess.Popen([sys.executable, "-c", RUN, str(profiles)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert all("driver hosts: 0" not in text and "driver hosts: " in text for text in said), said
    assert sorted("built the Wine template" in text for text in said) == [False, True], said
    assert sum("waiting for another process" in text for text in said) == 1
    assert len(folders(templates_home())) == 1
    assert folders(clones_home()) == []
    assert [*leases()] == []


def test_a_ready_template_is_used_without_a_word(cache: Path) -> None:
    assert clone("c1") == []
    assert clone("c2") == []
    assert folders(clones_home()) == ["c1", "c2"]


def test_what_wine_rewrites_is_copied_and_what_it_only_reads_is_shared(cache: Path) -> None:
    clone()
    prefix = clones_home() / "c1" / "prefix"
    (template,) = (path / "prefix" for path in templates_home().iterdir() if path.is_dir())
    files = [path for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 500
    for path in files:
        shared = path.samefile(template / path.relative_to(prefix))
        image = path.suffix in (".dll", ".exe", ".sys")
        assert shared or not image, f"{path} costs space in every machine"
        if path.suffix in (".reg", ".ini", ".inf", ".pnf", ""):
            assert not shared, f"Wine would change {path} in the template"
    assert not (prefix / "wineserver").exists(), "the clone names the template's server socket"


@pytest.mark.parametrize("harm", ["write", "remove", "manifest"])
def test_a_template_that_something_has_changed_is_built_again(
    cache: Path, template: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine,) = (path for path in templates_home().iterdir() if path.is_dir())
    victim = mine / "prefix/drive_c/windows/system32/drivers/ndis.sys"
    content = victim.read_bytes()
    victim.unlink()
    if harm == "write":
        victim.write_bytes(content)
    elif harm == "manifest":
        (mine / "template.json").unlink()
        (mine / "template.json").write_text('{"shared": {')
    built: list[Path] = []

    def build(_profile: object, _wine: WineInstall, final: Path, *_: object) -> wine_prefix.Template:
        built.append(final)
        remove_tree(final)
        shutil.copytree(template, final, symlinks=True, copy_function=os.link)
        ready = wine_prefix.find_template(final)
        assert ready is not None
        return ready

    monkeypatch.setattr(wine_prefix, "_build", build)
    clone()
    assert built == [mine]
    assert (clones_home() / "c1/prefix/drive_c/windows/system32/drivers/ndis.sys").read_bytes() == content


def test_the_key_follows_wine_and_the_profile(tmp_path: Path) -> None:
    profile = load_profile("wine")
    wine = find_wine(profile)
    other = WineInstall(wine.loader, wine.server, wine.libraries, "wine-9.0")
    changed = load_profile("wine", profile_with(tmp_path / "p", free_mib=1))
    keys = {template_key(profile, wine), template_key(profile, other), template_key(changed, wine)}
    assert len(keys) == 3
    assert template_key(load_profile("wine"), find_wine(profile)) in keys


def test_a_builder_that_takes_too_long_is_not_waited_for_forever(cache: Path) -> None:
    profile = load_profile("wine")
    wine = find_wine(profile)
    holder = "import sys, filelock; x = filelock.FileLock(sys.argv[1]); x.acquire(); print('held', flush=True); input()"
    lock = templates_home() / f"{template_key(profile, wine)}.lock"
    with subprocess.Popen(
        [sys.executable, "-c", holder, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        said: list[str] = []
        with pytest.raises(DeadlineExpired, match="another process still holds it"):
            clone_from_template(profile, wine, PrefixFolder(clones_home() / "c1"), Deadline.after(0.5), said.append)
        assert said == ["waiting for another process that uses the Wine template"]
        other.communicate("\n")


@pytest.mark.parametrize("ready", [True, False])
def test_too_little_space_is_told_before_anything_is_made(
    request: pytest.FixtureRequest, ready: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    request.getfixturevalue("cache" if ready else "empty_cache")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _path: usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(LabFault, match=r"no disk space for .*MiB needed; free some space") as caught:
        clone()
    assert "\n" not in str(caught.value)
    assert not (clones_home() / "c1" / "prefix").exists()


def can_mount() -> bool:
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    return probe.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="a full disk needs the right to mount one (root)")
@pytest.mark.parametrize(("size", "ready"), [("3m", True), ("60m", False)])
def test_a_disk_that_fills_up_ends_in_one_line_and_leaves_nothing(
    template: Path, tmp_path: Path, size: str, ready: bool
) -> None:
    """A real full disk: a small one, mounted for the child only, and a profile that does not ask beforehand."""
    profiles = profile_with(tmp_path / "profiles", free_mib=0, clone_free_mib=0)
    disk = tmp_path / "disk"
    disk.mkdir()
    if ready:
        profile = load_profile("wine", profiles)
        key = template_key(profile, find_wine(profile))
        prepare = f'mkdir "$1/wine" && ln -s "$4" "$1/wine/{key}"'
    else:
        prepare = "true"
    script = f"""
        mount -t tmpfs -o size={size} none "$1" && {prepare} && export HOTSWAP_CACHE="$1" || exit 9
        "$2" -c "$3" "$5"
        find "$1" -mindepth 2 -not -name '*.lock' -not -path '*/wine/*' -printf 'left: %p\\n'
        find "$1"/wine -name 'build-*' -printf 'left: %p\\n'
    """
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", disk, sys.executable, RUN, template, profiles],
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("building")]
    assert done.returncode == 0, done.stderr
    assert len(lines) == 1, done.stdout + done.stderr
    assert lines[0].startswith("LabFault: ")
    assert "space" in lines[0]
    assert "HOTSWAP_CACHE" in lines[0]


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(LabFault, match=r"failed on .*file/cache.*HOTSWAP_CACHE") as caught:
        clone()
    assert "\n" not in str(caught.value)
