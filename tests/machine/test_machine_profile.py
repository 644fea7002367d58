"""Profiles: what a machine is made of, and clear words when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotswap.errors import LabFault, UsageError
from hotswap.machine.profile import MachineProfile, load_profile, profile_names
from hotswap.machine.wine import WineMachine
from hotswap.machine.wine_install import find_wine

HEAD = 'schema = 1\nname = "x"\nkind = "wine"\ndescription = "d"\n'


def load(folder: Path, text: str) -> MachineProfile:
    (folder / "x.toml").write_text(text)
    return load_profile("x", folder)


def test_the_embedded_profile_is_there_and_complete() -> None:
    assert "wine" in profile_names()
    profile = load_profile("wine")
    assert profile.kind == "wine"
    wine = find_wine(profile)
    assert wine.ntoskrnl.is_file()
    assert wine.version.startswith("wine-")


@pytest.mark.parametrize("name", ["quemu", "", "../wine", "wine.toml"])
def test_an_unknown_machine_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown machine .*known machines: .*wine"):
        load_profile(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = ", "no valid TOML"),
        ("\udcff", "no valid TOML"),
        (HEAD.replace("schema = 1", "schema = 2"), "has schema 2"),
        (HEAD.replace('"x"', '"y"'), "calls itself 'y'"),
        (HEAD.replace('kind = "wine"', "kind = 3"), "'kind' is missing or no str"),
        ("", "'schema' is missing"),
    ],
)
def test_a_wrong_profile_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=message) as caught:
        load_profile("x", tmp_path)
    assert "x.toml" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["wine = 3", "[wine]\nloaders = 3", '[wine]\nloaders = [""]\npackage = 3', "[wine]\nloaders = [1]"]
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="machine profile 'x'"):
        find_wine(load(tmp_path, HEAD + text))


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    assert load(tmp_path, HEAD).hash == load(tmp_path, HEAD).hash
    assert load(tmp_path, HEAD).hash != load(tmp_path, HEAD + "# other\n").hash


def test_a_profile_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is of kind 'qemu'"):
        WineMachine(load(tmp_path, HEAD.replace('"wine"', '"qemu"')))


@pytest.mark.parametrize(
    "text",
    [
        '[wine]\npackage = "wine64"\nloaders = ["/nowhere/wine64"]\nprograms = ["no-such-wine"]',
        '[wine]\npackage = "wine64"\nloaders = ["/bin/sh"]\nservers = []',
        '[wine]\npackage = "wine64"\nloaders = ["/bin/sh"]\nservers = ["/bin/sh"]\nlibraries = ["/nowhere"]',
    ],
)
def test_without_wine_the_package_and_the_setup_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(LabFault, match=r"wine64.*ci/setup") as caught:
        WineMachine(load(tmp_path, HEAD + text))
    assert "\n" not in str(caught.value)


def test_a_loader_that_is_not_wine_is_told(tmp_path: Path) -> None:
    (tmp_path / "ntoskrnl.exe").write_text("")
    text = f'[wine]\nloaders = ["/bin/false"]\nservers = ["/bin/sh"]\nlibraries = ["{tmp_path}"]'
    with pytest.raises(LabFault, match=r"/bin/false --version.* ended with 1"):
        find_wine(load(tmp_path, HEAD + text))
