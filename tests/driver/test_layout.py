"""The layout is what the compiler makes of the header, and a contract that does not read stops the build."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hotswap.driver.build import DriverBuild
from hotswap.driver.layout import read_codes, read_layout
from hotswap.driver.toolchain import TARGET, Toolchain
from hotswap.errors import LabFault
from hotswap.paths import package_data

INCLUDE = package_data("driver") / "include"
HEADERS = [INCLUDE / "hotswap_ioctl.h", INCLUDE / "trace_ring.h", INCLUDE / "trace_pause.h"]


@pytest.fixture(scope="module")
def layout(toolchain: Toolchain) -> dict[str, Any]:
    return read_layout(HEADERS, toolchain)


def read_text(tmp_path: Path, toolchain: Toolchain, text: str) -> dict[str, Any]:
    header = tmp_path / "contract.h"
    header.write_text(text)
    return read_layout([header], toolchain)


def assert_compiles(tmp_path: Path, toolchain: Toolchain, statements: list[str]) -> None:
    source = tmp_path / "check.c"
    includes = [f'#include "{header}"' for header in HEADERS]
    source.write_text("\n".join(["#include <ntddk.h>", *includes, *statements]))
    command = [str(toolchain.programs["clang"]), f"--target={TARGET}", "-std=c17", "-fsyntax-only"]
    command += ["-Wno-microsoft", "-Wno-pragma-pack", *toolchain.include_flags, str(source)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_compiler_agrees_on_every_size_offset_and_value(
    layout: dict[str, Any], tmp_path: Path, toolchain: Toolchain
) -> None:
    statements = []
    for name, struct in layout["structs"].items():
        statements.append(f'_Static_assert(sizeof({name}) == {struct["size"]}, "{name}");')
        for field in struct["fields"]:
            whole = f"sizeof((({name} *)0)->{field['name']})"
            size = field["size"] * (1 if field["count"] is None else field["count"])
            at = f"__builtin_offsetof({name}, {field['name']})"
            statements.append(f'_Static_assert({at} == {field["offset"]} && {whole} == {size}, "{name}");')
            if field["kind"] == "int":
                element = f"(({name} *)0)->{field['name']}" + ("" if field["count"] is None else "[0]")
                signed = f"((__typeof__({element}))-1 < 0)"
                statements.append(f'_Static_assert({signed} == {int(field["signed"])}, "{name}.{field["name"]}");')
    for members in layout["enums"].values():
        statements += [f'_Static_assert({name} == {value}, "{name}");' for name, value in members.items()]
    statements += [f'_Static_assert({n} == {v}, "{n}");' for n, v in layout["constants"].items()]
    assert len(statements) > 250
    assert_compiles(tmp_path, toolchain, statements)


def test_a_wrong_offset_would_not_compile(tmp_path: Path, toolchain: Toolchain) -> None:
    wrong = '_Static_assert(__builtin_offsetof(HOTSWAP_CREATE_WORKER, Timeout) == 12, "");'
    with pytest.raises(AssertionError, match="static_assert"):
        assert_compiles(tmp_path, toolchain, [wrong])


def test_every_ioctl_of_the_header_is_there_with_the_code_of_ctl_code(layout: dict[str, Any]) -> None:
    text = HEADERS[0].read_text()
    numbers = dict(re.findall(r"#define (IOCTL_\w+) HOTSWAP_CTL\((\d+)\)", text))
    assert len(numbers) >= 17
    # CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + n, METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA)
    codes = {name: 0x22 << 16 | 3 << 14 | (0x800 + int(number)) << 2 for name, number in numbers.items()}
    assert {name: entry["code"] for name, entry in layout["ioctls"].items()} == codes


def test_the_comment_of_an_ioctl_is_its_contract(layout: dict[str, Any]) -> None:
    ioctls = layout["ioctls"]
    assert ioctls["IOCTL_HOTSWAP_GET_VERSION"]["input"] is None
    assert ioctls["IOCTL_HOTSWAP_GET_VERSION"]["output"] == "HOTSWAP_VERSION_INFO"
    assert ioctls["IOCTL_HOTSWAP_UPDATE"]["input"] == "HOTSWAP_UPDATE"
    assert ioctls["IOCTL_HOTSWAP_UPDATE"]["pended"] is True
    assert ioctls["IOCTL_HOTSWAP_SIGNAL_EVENT"]["pended"] is False
    assert ioctls["IOCTL_HOTSWAP_DRAIN_TRACE"]["output"] == "TRACE_RING_CHUNK"
    assert ioctls["IOCTL_HOTSWAP_DRAIN_TRACE"]["trailing"] is True


def test_a_field_whose_comment_names_an_enum_holds_it(layout: dict[str, Any]) -> None:
    fields = {field["name"]: field for field in layout["structs"]["HOTSWAP_CREATE_WORKER"]["fields"]}
    assert fields["WaitType"]["enum"] == "WAIT_TYPE"
    assert fields["EventCount"]["enum"] is None
    assert layout["enums"]["WAIT_TYPE"] == {"WaitAll": 0, "WaitAny": 1}


def test_only_what_the_header_itself_defines_is_read(layout: dict[str, Any]) -> None:
    assert all(name.startswith(("HOTSWAP_", "IOCTL_HOTSWAP_", "TRACE_PAUSE_")) for name in layout["constants"])
    assert all(name.startswith(("HOTSWAP_", "TRACE_")) for name in layout["structs"])


def test_macros_that_are_no_integers_are_left_out_and_hurt_no_other(tmp_path: Path, toolchain: Toolchain) -> None:
    layout = read_text(
        tmp_path,
        toolchain,
        """#pragma once
#define OPENS {
#define BIG 0xFFFFFFFFFFFFFFFFull
#define NEGATIVE (-5)
#define GUID_LIKE { 0x1, 0x2, { 3, 4 } }
#define FUNCTION(x) ((x) + 1)
#define CALLS FUNCTION(41)
#define NOT_DEFINED_ANYWHERE some_name
#define TEXT "a \\"b\\""
#define SPLIT (1 + \\
    2)
/* #define COMMENTED 7 */
#if 0
#define SWITCHED_OFF 8
#endif
#define LAST 9
""",
    )
    assert layout["constants"] == {"BIG": 2**64 - 1, "NEGATIVE": -5, "CALLS": 42, "SPLIT": 3, "LAST": 9}
    assert layout["strings"] == {"TEXT": 'a "b"'}


def test_packing_arrays_and_nested_structures_are_kept(tmp_path: Path, toolchain: Toolchain) -> None:
    layout = read_text(
        tmp_path,
        toolchain,
        """#pragma pack(push, 1)
typedef struct _SMALL { UCHAR A; ULONG B; } SMALL;
#pragma pack(pop)
typedef enum _KIND { KindOne = 1 } KIND;
typedef struct _LARGE { SMALL Inner[3]; WCHAR Name[4]; CHAR Bytes[2]; KIND Kind; LONG64 Tail; } LARGE;
""",
    )
    assert layout["structs"]["SMALL"]["size"] == 5
    fields = {field["name"]: field for field in layout["structs"]["LARGE"]["fields"]}
    shapes = {name: (f["offset"], f["size"], f["kind"], f["count"]) for name, f in fields.items()}
    assert shapes == {
        "Inner": (0, 5, "struct", 3),
        "Name": (16, 2, "wchar", 4),
        "Bytes": (24, 1, "char", 2),
        "Kind": (28, 4, "int", None),
        "Tail": (32, 8, "int", None),
    }
    assert fields["Kind"]["enum"] == "KIND"


STRUCT = "typedef struct _S { ULONG A; } S;\n"
CODE = "CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, 0)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{STRUCT}#define IOCTL_X_A {CODE}\n", r"contract\.h:2: IOCTL_X_A: the comment \(none\) does not read"),
        (f"{STRUCT}#define IOCTL_X_A {CODE} /* S */\n", r"IOCTL_X_A: the comment /\* S \*/ does not read"),
        (f"{STRUCT}#define IOCTL_X_A {CODE} /* S S, pending */\n", r"does not read"),
        (f"{STRUCT}#define IOCTL_X_A {CODE} /* S T */\n", r"names T, and no such structure"),
        (f"{STRUCT}#define IOCTL_X_A {CODE} /* - S + entries (ring.h) */\n", r"names ring\.h"),
        (f"{STRUCT}#define IOCTL_X_A some_name /* S - */\n", r"IOCTL_X_A is not an integer constant"),
        (f"{STRUCT}#define IOCTL_X_A {CODE} /* S - */\n#define IOCTL_X_B {CODE} /* S - */\n", r"the same code"),
        ("typedef struct _S { PVOID A; } S;\n", r"contract\.h:1: S\.A is a void \*"),
        ("typedef struct _S { ULONG A : 3; } S;\n", r"S\.A is a bit field"),
        ("typedef struct _S { ULONG A[2][2]; } S;\n", r"S\.A is an array of arrays"),
        ("typedef union _S { ULONG A; LONG B; } S;\n", r"S is a union"),
        ("typedef struct _S { LARGE_INTEGER A; } S;\n", r"LARGE_INTEGER is a union"),
        ("typedef struct _S { ULONG A } S;\nint x = ;\n", r"contract\.h:\d+: expected"),
        ('#include "not_there.h"\n', r"'not_there\.h' file not found"),
    ],
)
def test_a_contract_that_does_not_read_stops_the_build(
    tmp_path: Path, toolchain: Toolchain, text: str, message: str
) -> None:
    with pytest.raises(LabFault, match=message):
        read_text(tmp_path, toolchain, text)


def test_every_code_that_the_preprocessor_knows_is_in_the_table(toolchain: Toolchain) -> None:
    codes = read_codes(toolchain)
    source = "#define WIN32_NO_STATUS\n#include <windows.h>\n#undef WIN32_NO_STATUS\n#include <ntstatus.h>\n"
    command = [str(toolchain.programs["clang"]), f"--target={TARGET}", "-dM", "-E", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60, check=True)
    header = (toolchain.windows_include / "ntstatus.h").read_text(errors="replace")
    known = set(re.findall(r"#define (STATUS_\w+) ", done.stdout))
    wanted = {name for name in known if not name.startswith("STATUS_SEVERITY_") and f"define {name} " in header}
    assert len(wanted) > 1500
    assert wanted == set(codes["ntstatus"])
    assert len(codes["win32"]) > 1500


def test_the_agents_contract_is_read_too(build: DriverBuild) -> None:
    assert '"HSAGENT_FRAME_HEADER"' in build.agent_contract.read_text()
