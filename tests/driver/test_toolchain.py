"""What is missing is named, and the versions are asked for once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotswap.driver import toolchain
from hotswap.errors import LabFault


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(toolchain, "_INCLUDE_FOLDERS", (str(tmp_path),))
    with pytest.raises(LabFault) as caught:
        toolchain.find_toolchain()
    message = str(caught.value)
    assert "ci/setup" in message
    for word in ("clang", "cmake", "ninja-build", "lld", "llvm", "osslsigncode", "mingw-w64-x86-64-dev"):
        assert word in message


def test_versions_are_kept_until_a_tool_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memo = tmp_path / "memo" / "toolchain.json"
    first = toolchain.find_toolchain(memo)
    assert "clang" in first.versions["clang"]
    assert "LLD" in first.versions["ld.lld"]

    def no_more(command: list[str]) -> str:
        raise AssertionError(f"{command} was run")

    monkeypatch.setattr(toolchain, "_output", no_more)
    assert toolchain.find_toolchain(memo) == first
    memo.write_text(memo.read_text().replace(str(first.programs["clang"].resolve().stat().st_mtime_ns), "1"))
    with pytest.raises(AssertionError, match="was run"):
        toolchain.find_toolchain(memo)


def test_a_tool_that_does_not_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("clang", "ld.lld", "cmake", "ninja", "osslsigncode", "llvm-ml"):
        broken = tmp_path / name
        broken.write_text("#!/bin/sh\nexit 3\n")
        broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabFault, match=r"--version ended with 3"):
        toolchain.find_toolchain()
