"""C headers to JSON: constants, enums, structure layouts and IOCTLs, all of them computed by clang.

Nothing is computed here: values, offsets and sizes are what libclang says for x86_64-w64-windows-gnu. What a header
states in comments is read as part of the contract, and a comment that does not read fails the build:

- after an IOCTL #define: `/* INPUT OUTPUT */`, each a structure or `-`; the output may go on as `STRUCT + entries`
  (bytes follow the structure) and name the header that it is in, `(trace_ring.h)`; `, pended` at the end says that
  the request may wait. INPUT and OUTPUT are set apart by blanks.
- after a structure's field: when its first word is the name of an enum, the field holds values of that enum.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clang import cindex

from hotswap.driver.toolchain import TARGET, Toolchain
from hotswap.errors import LabFault

DRIVER_PRELUDE = "#include <ntddk.h>\n"
USER_PRELUDE = "#define WIN32_LEAN_AND_MEAN\n#include <windows.h>\n#include <winioctl.h>\n"
_CODES_PRELUDE = (
    "#define WIN32_LEAN_AND_MEAN\n#define WIN32_NO_STATUS\n#include <windows.h>\n#undef WIN32_NO_STATUS\n"
    "#include <winternl.h>\n#include <ntstatus.h>\n#include <winerror.h>\n"
)

_CODE_HEADERS = (("ntstatus", ("ntstatus.h",), "STATUS_"), ("win32", ("winerror.h", "fltwinerror.h"), "ERROR_"))

_MAIN = "contract.c"
_VALUE = "hs_value_of_"
_IOCTL_COMMENT = re.compile(
    r"/\*\s*(?P<input>-|[A-Za-z_]\w*)\s+(?P<output>-|[A-Za-z_]\w*)"
    r"(?P<trailing>\s*\+\s*[A-Za-z_]\w*)?(?:\s*\((?P<header>[\w.]+)\))?(?P<pended>\s*,\s*pended)?\s*\*/"
)
_ENUM_COMMENT = re.compile(r"/\*+\s*([A-Z][A-Z0-9_]*)\b")
_CODE_DEFINE = r"^[ \t]*#[ \t]*define[ \t]+({prefix}(?!SEVERITY_)\w+)[ \t]"
_BUG_CHECK = r"^#define[ \t]+(\w+)[ \t]+\(\(ULONG\)(0x[0-9A-Fa-f]+)L?\)"
_BUG_CHECKS = 0x10000

_UNSIGNED = {
    cindex.TypeKind.BOOL,
    cindex.TypeKind.UCHAR,
    cindex.TypeKind.USHORT,
    cindex.TypeKind.UINT,
    cindex.TypeKind.ULONG,
    cindex.TypeKind.ULONGLONG,
}
_SIGNED = {
    cindex.TypeKind.CHAR_S,
    cindex.TypeKind.SCHAR,
    cindex.TypeKind.SHORT,
    cindex.TypeKind.INT,
    cindex.TypeKind.LONG,
    cindex.TypeKind.LONGLONG,
}
_WIDE_NAMES = {"WCHAR", "wchar_t"}


def read_layout(headers: Sequence[Path], toolchain: Toolchain, *, prelude: str = DRIVER_PRELUDE) -> dict[str, Any]:
    """What these headers themselves define (not what they include), read after `prelude`.

    Returns {"constants": {name: int}, "strings": {name: str}, "enums": {name: {member: int}},
    "structs": {name: {"size": bytes, "fields": [{name, offset, size, kind, type, count, signed, enum}]}},
    "ioctls": {name: {"code", "input", "output", "trailing", "pended"}}}. A field's `size` is that of one element in
    bytes; `count` is null for a field that is no array and 0 for a flexible one; `kind` is int, wchar, char or struct.
    Enums and structures from elsewhere are there when a field of these headers is of their type.
    Raises LabFault, with file and line, for what cannot be read or has no place in a contract (pointers, unions, bits).
    """
    source = prelude + "".join(f'#include "{header.as_posix()}"\n' for header in headers)
    unit = _parse(source, toolchain)
    for diagnostic in _errors(unit, toolchain):
        raise LabFault(f"{_place(diagnostic.location)}: {diagnostic.spelling} (reading the contract's layout)")
    reader = _Reader({str(header.as_posix()) for header in headers}, unit)
    texts = [_HeaderText.read(unit, header) for header in headers]
    reader.comments = {(text.path, line): comment for text in texts for line, comment in text.comment_on_line.items()}
    reader.read()
    macros = [macro for text in texts for macro in text.macros]
    values = _evaluate(source, [macro.name for macro in macros if not macro.string], toolchain)
    return {
        "constants": {macro.name: values[macro.name] for macro in macros if macro.name in values},
        "strings": {macro.name: macro.string for macro in macros if macro.string is not None},
        "enums": reader.enums,
        "structs": reader.structs,
        "ioctls": _ioctls(texts, values, reader.structs, {header.name for header in headers}),
    }


def read_codes(toolchain: Toolchain) -> dict[str, dict[str, int]]:
    """Every STATUS_* of ntstatus.h, ERROR_* of winerror.h and bug check of bugcodes.h, unsigned.

    {"ntstatus": {name: code}, "win32": {...}, "bugcheck": {...}}; the last is empty where the header is not there.
    """
    tables: dict[str, dict[str, int]] = {}
    for table, headers, prefix in _CODE_HEADERS:
        paths = [toolchain.windows_include / header for header in headers]
        text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)
        names = re.findall(_CODE_DEFINE.format(prefix=prefix), text, re.MULTILINE)
        values = _evaluate(_CODES_PRELUDE, list(dict.fromkeys(names)), toolchain)
        tables[table] = {name: value & 0xFFFFFFFF for name, value in values.items()}
    tables["bugcheck"] = _bug_checks(toolchain.windows_include / "bugcodes.h")
    return tables


def _bug_checks(header: Path) -> dict[str, int]:
    """By their text: the header redefines what others define. Its messages have a severity in their numbers."""
    text = header.read_text(encoding="utf-8", errors="replace") if header.is_file() else ""
    found = {name: int(code, 16) for name, code in re.findall(_BUG_CHECK, text, re.MULTILINE)}
    return {name: code for name, code in found.items() if 0 < code < _BUG_CHECKS}


@dataclass(frozen=True, slots=True)
class _Macro:
    """An object-like macro with a value; `string` when the value is one string literal."""

    name: str
    path: str
    line: int
    string: str | None


@dataclass(frozen=True, slots=True)
class _HeaderText:
    path: str
    macros: tuple[_Macro, ...]
    comment_on_line: dict[int, str]

    @classmethod
    def read(cls, unit: cindex.TranslationUnit, header: Path) -> _HeaderText:
        path = header.as_posix()
        source = unit.get_file(path)
        start = cindex.SourceLocation.from_offset(unit, source, 0)
        end = cindex.SourceLocation.from_offset(unit, source, header.stat().st_size)
        tokens = list(unit.get_tokens(extent=cindex.SourceRange.from_locations(start, end)))
        comments = {
            token.location.line: str(token.spelling) for token in tokens if token.kind == cindex.TokenKind.COMMENT
        }
        text = header.read_text(encoding="utf-8").splitlines()
        return cls(path, tuple(_macros(tokens, path, text)), comments)


def _macros(tokens: list[cindex.Token], path: str, text: list[str]) -> Iterator[_Macro]:
    for at in range(len(tokens) - 2):
        hash_mark, define, name = tokens[at : at + 3]
        if hash_mark.spelling != "#" or define.spelling != "define" or define.location.line != hash_mark.location.line:
            continue
        last = name.location.line
        while text[last - 1].endswith("\\"):
            last += 1
        body = []
        for token in tokens[at + 3 :]:
            if token.location.line > last:
                break
            if token.kind != cindex.TokenKind.COMMENT:
                body.append(token)
        function_like = body and body[0].spelling == "(" and body[0].extent.start.offset == name.extent.end.offset
        # A macro such as `{` would spoil the declarations after it when it is evaluated; it is no value either.
        spellings = [token.spelling for token in body]
        balanced = all(spellings.count(a) == spellings.count(b) for a, b in ("()", "[]", "{}"))
        if not body or function_like or not balanced:
            continue
        literal = spellings[0] if len(body) == 1 and body[0].kind == cindex.TokenKind.LITERAL else ""
        string = _unescape(literal) if literal.startswith(('"', 'L"')) else None
        yield _Macro(str(name.spelling), path, last, string)


def _unescape(literal: str) -> str:
    return literal.removeprefix("L")[1:-1].replace(r"\"", '"').replace(r"\\", "\\")


@dataclass(slots=True)
class _Reader:
    """Collects the enums and structures that are declared in the given files."""

    files: set[str]
    unit: cindex.TranslationUnit
    comments: dict[tuple[str, int], str] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    structs: dict[str, dict[str, Any]] = field(default_factory=dict)
    enum_types: dict[str, cindex.Cursor] = field(default_factory=dict)

    def read(self) -> None:
        cursors = list(self.unit.cursor.get_children())
        for cursor in cursors:
            declared = _named_declaration(cursor)
            if declared is not None and declared.kind == cindex.CursorKind.ENUM_DECL:
                self.enum_types[cursor.spelling] = declared
        for cursor in cursors:
            source = cursor.location.file
            declared = _named_declaration(cursor)
            if source is None or source.name not in self.files or declared is None:
                continue
            if declared.kind == cindex.CursorKind.ENUM_DECL:
                self._enum(cursor.spelling)
            elif declared.is_definition():
                self._struct(cursor.spelling, declared)

    def _enum(self, name: str) -> None:
        members = self.enum_types[name].get_children()
        self.enums.setdefault(name, {str(member.spelling): int(member.enum_value) for member in members})

    def _struct(self, name: str, declared: cindex.Cursor) -> None:
        if name in self.structs:
            return
        if declared.kind != cindex.CursorKind.STRUCT_DECL:
            raise LabFault(f"{_place(declared.location)}: {name} is a union; a contract holds structures only")
        self.structs[name] = {"size": int(declared.type.get_size()), "fields": []}
        self.structs[name]["fields"] = [self._field(name, cursor) for cursor in declared.type.get_fields()]

    def _field(self, struct: str, cursor: cindex.Cursor) -> dict[str, Any]:
        where = f"{_place(cursor.location)}: {struct}.{cursor.spelling}"
        if cursor.is_bitfield():
            raise LabFault(f"{where} is a bit field; a contract holds whole integers")
        element, count = cursor.type, None
        canonical = element.get_canonical()
        if canonical.kind == cindex.TypeKind.CONSTANTARRAY:
            count = int(canonical.element_count)
        elif canonical.kind == cindex.TypeKind.INCOMPLETEARRAY:
            count = 0
        if count is not None:
            element = element.element_type if element.element_type.spelling else canonical.element_type
            if element.get_canonical().kind in (cindex.TypeKind.CONSTANTARRAY, cindex.TypeKind.INCOMPLETEARRAY):
                raise LabFault(f"{where} is an array of arrays, which a contract cannot hold")
        kind, type_name, signed, enum = self._type(where, element)
        return {
            "name": str(cursor.spelling),
            "offset": int(cursor.get_field_offsetof()) // 8,
            "size": int(element.get_size()),
            "kind": kind,
            "type": type_name,
            "count": count,
            "signed": signed,
            "enum": enum or self._enum_in_comment(cursor),
        }

    def _type(self, where: str, element: cindex.Type) -> tuple[str, str, bool, str | None]:
        spelling = str(element.spelling).removeprefix("const ").removeprefix("volatile ")
        canonical = element.get_canonical()
        if canonical.kind == cindex.TypeKind.RECORD:
            name = spelling.removeprefix("struct ")
            self._struct(name, canonical.get_declaration())
            return "struct", name, False, None
        if canonical.kind == cindex.TypeKind.ENUM:
            if spelling not in self.enum_types:
                raise LabFault(f"{where} is of an enum without a typedef name")
            self._enum(spelling)
            return "int", spelling, canonical.get_declaration().enum_type.kind in _SIGNED, spelling
        if spelling in _WIDE_NAMES:
            return "wchar", spelling, False, None
        if spelling in ("CHAR", "char"):
            return "char", spelling, True, None
        if canonical.kind in _UNSIGNED or canonical.kind in _SIGNED:
            return "int", spelling, canonical.kind in _SIGNED, None
        raise LabFault(f"{where} is a {canonical.spelling}: a contract holds integers, characters and structures only")

    def _enum_in_comment(self, cursor: cindex.Cursor) -> str | None:
        end = cursor.extent.end
        comment = self.comments.get((str(end.file.name), int(end.line)), "")
        found = _ENUM_COMMENT.match(comment)
        if found is None or found[1] not in self.enum_types:
            return None
        self._enum(found[1])
        return found[1]


def _named_declaration(cursor: cindex.Cursor) -> cindex.Cursor | None:
    """The structure, union or enum behind `typedef struct ... NAME`; None for every other declaration."""
    if cursor.kind != cindex.CursorKind.TYPEDEF_DECL:
        return None
    kind = cursor.underlying_typedef_type.get_canonical().kind
    if kind not in (cindex.TypeKind.RECORD, cindex.TypeKind.ENUM):
        return None
    declared = cursor.underlying_typedef_type.get_canonical().get_declaration()
    return declared.get_definition() or declared


def _ioctls(
    texts: Sequence[_HeaderText], values: dict[str, int], structs: dict[str, Any], headers: set[str]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        for macro in text.macros:
            if not macro.name.startswith("IOCTL_"):
                continue
            where = f"{macro.path}:{macro.line}: {macro.name}"
            if macro.name not in values:
                raise LabFault(f"{where} is not an integer constant")
            comment = text.comment_on_line.get(macro.line, "")
            contract = _IOCTL_COMMENT.fullmatch(comment)
            if contract is None:
                raise LabFault(
                    f"{where}: the comment {comment or '(none)'} does not read as /* INPUT OUTPUT[, pended] */, "
                    "each a structure or -"
                )
            if contract["header"] is not None and contract["header"] not in headers:
                raise LabFault(f"{where}: the comment names {contract['header']}, which this layout does not read")
            for name in (contract["input"], contract["output"]):
                if name != "-" and name not in structs:
                    raise LabFault(f"{where}: the comment names {name}, and no such structure is defined")
            found[macro.name] = {
                "code": values[macro.name] & 0xFFFFFFFF,
                "input": None if contract["input"] == "-" else contract["input"],
                "output": None if contract["output"] == "-" else contract["output"],
                "trailing": contract["trailing"] is not None,
                "pended": contract["pended"] is not None,
            }
    codes: dict[int, str] = {}
    for name, entry in found.items():
        if (other := codes.setdefault(entry["code"], name)) != name:
            raise LabFault(f"{name} and {other} are the same code, 0x{entry['code']:08X}")
    return found


def _evaluate(source: str, names: Sequence[str], toolchain: Toolchain) -> dict[str, int]:
    """The values of those macros that are integer constant expressions, by one enum each.

    A macro that is none makes an error on its own line and is left out of the next round; the last round has no errors,
    so that a value never comes from a declaration that clang has repaired.
    """
    remaining = list(names)
    first = source.count("\n") + 1
    while True:
        lines = [f"enum {{ {_VALUE}{name} = ({name}) }};\n" for name in remaining]
        unit = _parse(source + "".join(lines), toolchain)
        wrong = set()
        for diagnostic in _errors(unit, toolchain):
            location = diagnostic.location
            if location.file is None or location.file.name != _MAIN or location.line < first:
                raise LabFault(f"{_place(location)}: {diagnostic.spelling} (evaluating the contract's constants)")
            wrong.add(location.line - first)
        if not wrong:
            return dict(_enum_values(unit))
        remaining = [name for at, name in enumerate(remaining) if at not in wrong]


def _enum_values(unit: cindex.TranslationUnit) -> Iterator[tuple[str, int]]:
    for cursor in unit.cursor.get_children():
        if cursor.kind == cindex.CursorKind.ENUM_DECL and cursor.location.file.name == _MAIN:
            for member in cursor.get_children():
                if member.spelling.startswith(_VALUE):
                    yield str(member.spelling).removeprefix(_VALUE), int(member.enum_value)


def _parse(source: str, toolchain: Toolchain) -> cindex.TranslationUnit:
    flags = [f"--target={TARGET}", "-std=c17", "-nostdinc", "-ferror-limit=0", *toolchain.include_flags]
    try:
        return cindex.Index.create().parse(_MAIN, args=flags, unsaved_files=[(_MAIN, source)])
    except cindex.LibclangError as error:
        raise LabFault(f"libclang does not load: {error}; run ci/setup") from error
    except cindex.TranslationUnitLoadError as error:
        raise LabFault(f"libclang does not read the Windows headers in {toolchain.windows_include}: {error}") from error


def _errors(unit: cindex.TranslationUnit, toolchain: Toolchain) -> Iterator[cindex.Diagnostic]:
    """Errors, but for those inside of clang's own headers.

    libclang (the Python package's) may be newer than the clang whose headers it reads: then it rejects the bodies of
    some vector intrinsics. Nothing in a contract depends on these.
    """
    for diagnostic in unit.diagnostics:
        source = diagnostic.location.file
        own = source is not None and Path(source.name).is_relative_to(toolchain.builtin_include)
        if diagnostic.severity >= cindex.Diagnostic.Fatal or (
            diagnostic.severity == cindex.Diagnostic.Error and not own
        ):
            yield diagnostic


def _place(location: cindex.SourceLocation) -> str:
    return f"{location.file.name if location.file else _MAIN}:{location.line}"
