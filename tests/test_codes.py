"""Codes have the names that the Windows headers give them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hotswap.codes import CodeTable, ntstatus_name, win32_name
from hotswap.driver.build import build_drivers
from hotswap.errors import LabFault

TABLE = CodeTable.of(
    [("STATUS_SUCCESS", 0), ("STATUS_WAIT_0", 0), ("STATUS_TIMEOUT", 0x102), ("STATUS_NOT_SUPPORTED", 0xC00000BB)],
    [("ERROR_SUCCESS", 0), ("ERROR_ACCESS_DENIED", 5)],
)


def test_a_code_is_shown_with_its_name_and_number() -> None:
    assert TABLE.ntstatus(0x102) == "STATUS_TIMEOUT (0x00000102)"
    assert TABLE.win32(5) == "ERROR_ACCESS_DENIED (5)"


def test_a_signed_status_is_the_same_code() -> None:
    assert TABLE.ntstatus(0xC00000BB - (1 << 32)) == "STATUS_NOT_SUPPORTED (0xC00000BB)"


def test_the_headers_first_name_counts_and_every_name_has_its_value() -> None:
    assert TABLE.ntstatus(0) == "STATUS_SUCCESS (0x00000000)"
    assert TABLE.value("STATUS_WAIT_0") == 0
    assert TABLE.value("STATUS_NOT_SUPPORTED") == 0xC00000BB


def test_an_unknown_code_is_shown_as_a_number() -> None:
    assert TABLE.ntstatus(0xDEADBEEF) == "NTSTATUS 0xDEADBEEF"
    assert TABLE.win32(1234567) == "Win32 error 1234567"
    assert TABLE.win32(0x80070005) == "Win32 error 0x80070005"


def test_the_functions_do_with_and_without_a_table() -> None:
    assert ntstatus_name(0x102) == "NTSTATUS 0x00000102"
    assert ntstatus_name(0x102, TABLE) == "STATUS_TIMEOUT (0x00000102)"
    assert win32_name(5) == "Win32 error 5"
    assert win32_name(5, TABLE) == "ERROR_ACCESS_DENIED (5)"


@pytest.mark.parametrize("content", ["", "[]", '{"ntstatus": {}}', '{"ntstatus": {"A": "x"}, "win32": {}}'])
def test_a_broken_table_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "codes.json"
    path.write_text(content)
    with pytest.raises(LabFault, match=r"codes\.json.*build again"):
        CodeTable.load(path)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "codes.json"
    path.write_text(json.dumps({"ntstatus": {"STATUS_TIMEOUT": 258}, "win32": {"ERROR_ACCESS_DENIED": 5}}))
    assert CodeTable.load(path).ntstatus(258) == "STATUS_TIMEOUT (0x00000102)"


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (0x00000000, "STATUS_SUCCESS"),
        (0x00000080, "STATUS_ABANDONED"),
        (0x00000101, "STATUS_ALERTED"),
        (0x00000102, "STATUS_TIMEOUT"),
        (0x00000103, "STATUS_PENDING"),
        (0xC0000005, "STATUS_ACCESS_VIOLATION"),
        (0xC000007A, "STATUS_PROCEDURE_NOT_FOUND"),
        (0xC000009A, "STATUS_INSUFFICIENT_RESOURCES"),
        (0xC00000BB, "STATUS_NOT_SUPPORTED"),
    ],
)
def test_the_build_knows_the_codes_of_ntstatus_h(status: int, name: str) -> None:
    assert build_drivers().codes.ntstatus(status) == f"{name} (0x{status:08X})"


@pytest.mark.parametrize(
    ("code", "name"),
    [(2, "ERROR_FILE_NOT_FOUND"), (995, "ERROR_OPERATION_ABORTED"), (1060, "ERROR_SERVICE_DOES_NOT_EXIST")],
)
def test_the_build_knows_the_codes_of_winerror_h(code: int, name: str) -> None:
    assert build_drivers().codes.win32(code) == f"{name} ({code})"


@pytest.mark.parametrize(("code", "name"), [(0x0A, "IRQL_NOT_LESS_OR_EQUAL"), (0x50, "PAGE_FAULT_IN_NONPAGED_AREA")])
def test_the_build_knows_the_bug_checks_of_bugcodes_h(code: int, name: str) -> None:
    assert build_drivers().codes.bug_checks[code] == name


def test_a_message_is_no_bug_check() -> None:
    assert "WINDOWS_NT_BANNER" not in build_drivers().codes.bug_checks.values()
