"""Whether a driver image can work in a guest, found out in milliseconds and without starting one."""

from __future__ import annotations

import hashlib
import struct
import sys
import uuid
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pefile
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from hotswap.driver.endpoint_table import EndpointTable, read_endpoint_table
from hotswap.driver.exports import Export, GuestExports, ModuleExports

_AMD64 = 0x8664
_PE32_PLUS = 0x20B
_NATIVE = 1
_RELOCATIONS_STRIPPED = 0x0001
_EXECUTABLE_IMAGE = 0x0002
_DLL = 0x2000
_DYNAMIC_BASE = 0x0040
_SECTION_EXECUTE = 0x20000000
_SECTION_WRITE = 0x80000000
_PAGE = 0x1000
_CHECKSUM_OFFSET = 64  # of the checksum in the optional header
_DEBUG_CODEVIEW = 2
_CODEVIEW_RSDS = b"RSDS"
_DIRECTORY: Mapping[str, int] = {str(name): int(at) for name, at in pefile.directory_entry_types}
_SECURITY = _DIRECTORY["IMAGE_DIRECTORY_ENTRY_SECURITY"]
_DATA_DIRECTORIES = [_DIRECTORY[f"IMAGE_DIRECTORY_ENTRY_{name}"] for name in ("IMPORT", "EXPORT", "DEBUG", "BASERELOC")]
_SIGNED_DATA = 2
_IMPORT_LIMIT = 0x1000
_SIZE_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why the image will not work: a stable id, and a line that says what to do."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """What preflight found. `facts` holds what is known of the image (imports, exports, PDB, signer, sections, ...)."""

    image: Path
    sha256: str
    problems: tuple[Problem, ...]
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against deploying the image."""
        return not self.problems

    def __str__(self) -> str:
        first = f"{self.image.name}: {'ok' if self.ok else 'not usable'}"
        return "\n".join([first, *map(_line, self.problems), *_endpoint_lines(self.facts.get("endpoints"))])


def preflight(
    image: Path, *, ntoskrnl: Path | GuestExports | None = None, siblings: Sequence[Path] = ()
) -> PreflightReport:
    """Check one driver image; never raises for what is wrong with the image, and never starts anything.

    `ntoskrnl` is the guest's own kernel file (hal.dll and others are looked for beside it); without it imports are not
    checked against the guest. `siblings` are images deployed together with this one, whose exports it may import.
    Raises OSError when the image, LabFault when the guest's own modules cannot be read.
    """
    size = image.stat().st_size
    content = image.read_bytes() if size <= _SIZE_LIMIT else b""
    sha256 = hashlib.sha256(content).hexdigest()
    if not content.startswith(b"MZ"):
        what = "is empty" if size == 0 else "is too large" if size > _SIZE_LIMIT else "does not begin with MZ"
        return _refuse(image, sha256, "not-a-pe", f"it {what}: give a driver image (.sys)")
    try:
        opened = pefile.PE(data=content, fast_load=True, max_symbol_exports=_IMPORT_LIMIT)
    except pefile.PEFormatError as error:
        return _refuse(image, sha256, "not-a-pe", f"{error}; give a driver image (.sys)")
    except Exception as error:  # pefile lets all sorts of errors out on broken files
        return _refuse(image, sha256, "corrupt", f"its headers cannot be read ({error}); build or copy it again")
    guest = _guest(ntoskrnl, siblings)
    try:
        return _check(image, content, sha256, opened, guest)
    except Exception as error:  # as above; the checks themselves are covered by tests on whole files
        if not isinstance(error, _BROKEN_FILE_ERRORS):
            raise
        return _refuse(image, sha256, "corrupt", f"it cannot be read to its end ({error}); build or copy it again")
    finally:
        opened.close()


_BROKEN_FILE_ERRORS = (
    pefile.PEFormatError,
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


def _line(problem: Problem) -> str:
    return f"  {problem.id}: {problem.message}"


def _endpoint_lines(endpoints: object) -> Iterator[str]:
    for entry in endpoints if isinstance(endpoints, list) else []:
        yield f"  endpoint {entry['signature']} at 0x{entry['rva']:X}"


def _refuse(image: Path, sha256: str, problem: str, why: str) -> PreflightReport:
    return PreflightReport(image, sha256, (Problem(problem, f"{image.name} is not a usable PE image: {why}"),))


def _guest(ntoskrnl: Path | GuestExports | None, siblings: Sequence[Path]) -> GuestExports | None:
    """The guest's modules and the siblings' exports; read before the image, so that their faults stay theirs."""
    if ntoskrnl is None:
        return None
    guest = ntoskrnl if isinstance(ntoskrnl, GuestExports) else GuestExports(ntoskrnl)
    guest.module(guest.kernel.name)
    guest.module("hal.dll")
    if not siblings:
        return guest
    known = {**guest.siblings, **{path.name.lower(): ModuleExports.read(path) for path in siblings}}
    return GuestExports(guest.kernel, known, guest.read_already)


def _check(image: Path, content: bytes, sha256: str, opened: pefile.PE, guest: GuestExports | None) -> PreflightReport:
    header, optional = opened.FILE_HEADER, opened.OPTIONAL_HEADER
    if header.Machine != _AMD64 or optional.Magic != _PE32_PLUS:
        # The rest of the layout would be read wrongly.
        message = f"the machine is 0x{header.Machine:04X}, not AMD64 (0x8664): build for x64"
        return PreflightReport(image, sha256, (Problem("machine", message),), {"machine": int(header.Machine)})
    opened.parse_data_directories(directories=_DATA_DIRECTORIES)
    certificates, subject = _signature(content, opened)
    table = read_endpoint_table(opened)
    problems = [
        *_header_problems(opened, content),
        *_section_problems(opened),
        *(Problem("endpoint-table", message) for message in (table.problems if table else ())),
        *_import_problems(opened, guest),
        *_signature_problems(content, opened, certificates, subject),
    ]
    return PreflightReport(image, sha256, tuple(problems), _facts(opened, subject, guest, table))


def _header_problems(opened: pefile.PE, content: bytes) -> Iterator[Problem]:
    header, optional = opened.FILE_HEADER, opened.OPTIONAL_HEADER
    if not header.Characteristics & _EXECUTABLE_IMAGE:
        yield Problem("executable", "the image is not marked executable: the linker reported errors, link it again")
    if optional.Subsystem != _NATIVE:
        yield Problem(
            "subsystem", f"the subsystem is {optional.Subsystem}, not NATIVE (1): link with --subsystem,native"
        )
    if header.Characteristics & _DLL:
        yield Problem("dll", "the image is a DLL: link it as an executable (no -shared); exports work without")
    if header.Characteristics & _RELOCATIONS_STRIPPED or not optional.DllCharacteristics & _DYNAMIC_BASE:
        yield Problem("relocations", "the image cannot be moved: link with --dynamicbase and keep the relocations")
    right = _checksum(content, optional.get_file_offset() + _CHECKSUM_OFFSET)
    if optional.CheckSum != right:
        yield Problem(
            "checksum",
            f"the checksum is 0x{optional.CheckSum:08X}, the file's is 0x{right:08X}: "
            "the file was changed or not finished; sign it (osslsigncode sets the checksum) or link with /RELEASE",
        )
    if optional.SectionAlignment < _PAGE or optional.SectionAlignment % _PAGE:
        yield Problem("alignment", f"sections are aligned to 0x{optional.SectionAlignment:X}: link with 0x1000")
    ends = [section.PointerToRawData + section.SizeOfRawData for section in opened.sections]
    if ends and max(ends) > len(content):
        yield Problem("truncated", f"the sections reach to byte {max(ends)} of {len(content)}: copy the file again")


def _checksum(content: bytes, field_offset: int) -> int:
    """The image's checksum: 16-bit words added with the carry fed back, plus the length (pefile takes 100 x longer)."""
    padded = bytearray(content + b"\0" * (len(content) % 2))
    padded[field_offset : field_offset + 4] = bytes(4)
    words = array("H", bytes(padded))
    if sys.byteorder == "big":
        words.byteswap()
    total = sum(words)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(content)


def _section_problems(opened: pefile.PE) -> Iterator[Problem]:
    entry = opened.OPTIONAL_HEADER.AddressOfEntryPoint
    holds_entry = False
    for section in opened.sections:
        name = _section_name(section)
        executable = bool(section.Characteristics & _SECTION_EXECUTE)
        if executable and section.Characteristics & _SECTION_WRITE:
            yield Problem("write-execute", f"section {name} is writable and executable: Windows with HVCI refuses it")
        extent = max(section.Misc_VirtualSize, section.SizeOfRawData)
        holds_entry |= executable and section.VirtualAddress <= entry < section.VirtualAddress + extent
        if section.VirtualAddress % _PAGE:
            yield Problem("alignment", f"section {name} starts at 0x{section.VirtualAddress:X}, not on a page")
    if entry == 0:
        yield Problem("entry-point", "the image has no entry point: link with --entry,DriverEntry")
    elif not holds_entry:
        yield Problem("entry-point", f"the entry point 0x{entry:X} is in no executable section: link it again")


def _import_problems(opened: pefile.PE, guest: GuestExports | None) -> Iterator[Problem]:
    for module, names in _imports(opened).items():
        ordinals = [name for name in names if isinstance(name, int)]
        if ordinals:
            listed = ", ".join(f"#{ordinal}" for ordinal in ordinals[:5])
            yield Problem("import-ordinal", f"{listed} of {module}: ordinals differ between guests, import by name")
        if guest is None:
            continue
        if guest.module(module) is None:
            yield Problem(
                "import-module",
                f"it imports {module}, which neither the guest nor the deployed set has: "
                "deploy that driver as well, or do without it",
            )
            continue
        for name in (name for name in names if isinstance(name, str)):
            found = guest.find(module, name)
            if found is Export.MISSING:
                yield Problem(
                    "import-missing",
                    f"{module} of this guest has no {name}: look it up with "
                    "MmGetSystemRoutineAddress and do without where it is not there",
                )
            elif found is Export.RAISES:
                yield Problem(
                    "import-raises",
                    f"{name} of {module} is only a thunk in this guest, which raises when called: "
                    "use another function (MmGetSystemRoutineAddress does not tell either)",
                )


def _imports(opened: pefile.PE) -> dict[str, list[str | int]]:
    found: dict[str, list[str | int]] = {}
    for entry in getattr(opened, "DIRECTORY_ENTRY_IMPORT", []):
        names = found.setdefault(bytes(entry.dll).decode("ascii", "replace"), [])
        for symbol in entry.imports:
            by_name = symbol.name is not None and not symbol.import_by_ordinal
            names.append(bytes(symbol.name).decode("ascii", "replace") if by_name else int(symbol.ordinal or 0))
    return found


def _signature(content: bytes, opened: pefile.PE) -> tuple[bytes, str | None]:
    """The PKCS #7 bytes of the security directory, and the subject of the first certificate in them."""
    if len(opened.OPTIONAL_HEADER.DATA_DIRECTORY) <= _SECURITY:
        return b"", None
    directory = opened.OPTIONAL_HEADER.DATA_DIRECTORY[_SECURITY]
    # The one directory whose address is an offset into the file.
    entry = content[directory.VirtualAddress : directory.VirtualAddress + directory.Size]
    if directory.VirtualAddress == 0 or len(entry) < 8:
        return b"", None
    length, _revision, kind = struct.unpack_from("<IHH", entry)
    blob = _trim(entry[8:length])
    if kind != _SIGNED_DATA or not blob:
        return b"", None
    try:
        certificates: list[x509.Certificate] = pkcs7.load_der_pkcs7_certificates(blob)
        return blob, certificates[0].subject.rfc4514_string() if certificates else None
    except Exception:  # parts of the certificates are parsed lazily, each with errors of its own
        return blob, None


def _trim(blob: bytes) -> bytes:
    """A DER sequence without the zeros that pad it to 8 bytes in the file."""
    if len(blob) < 2 or blob[0] != 0x30 or blob[1] & 0x80 == 0:
        return blob
    begin = 2 + (blob[1] & 0x7F)
    return blob[: begin + int.from_bytes(blob[2:begin], "big")]


def _signature_problems(content: bytes, opened: pefile.PE, signature: bytes, subject: str | None) -> Iterator[Problem]:
    if not signature:
        yield Problem(
            "signature", "the image is not signed: sign it (a test certificate does, see hotswap.driver.signing)"
        )
    elif subject is None:
        yield Problem("signature", "the signature cannot be read: sign the image again")
    elif not any(digest in signature for digest in _authenticode_digests(content, opened)):
        yield Problem("signature-mismatch", "the image was changed after it had been signed: sign it again")


def _authenticode_digests(content: bytes, opened: pefile.PE) -> list[bytes]:
    """What a signature signs: the file but for its checksum, the security directory entry, and the signature itself."""
    optional = opened.OPTIONAL_HEADER
    checksum = optional.get_file_offset() + _CHECKSUM_OFFSET
    directory = optional.DATA_DIRECTORY[_SECURITY]
    entry = directory.get_file_offset()
    end = directory.VirtualAddress
    covered = content[:checksum] + content[checksum + 4 : entry] + content[entry + 8 : end]
    covered += content[end + directory.Size :]
    return [hashlib.new(algorithm, covered).digest() for algorithm in ("sha256", "sha1", "sha384", "sha512")]


def _facts(
    opened: pefile.PE, subject: str | None, guest: GuestExports | None, table: EndpointTable | None
) -> dict[str, object]:
    optional = opened.OPTIONAL_HEADER
    exports = getattr(opened, "DIRECTORY_ENTRY_EXPORT", None)
    exception = optional.DATA_DIRECTORY[_DIRECTORY["IMAGE_DIRECTORY_ENTRY_EXCEPTION"]]
    pdb = _pdb(opened)
    return {
        "machine": int(opened.FILE_HEADER.Machine),
        "version": f"{optional.MajorImageVersion}.{optional.MinorImageVersion}",
        "time_stamp": int(opened.FILE_HEADER.TimeDateStamp),
        "entry_point": int(optional.AddressOfEntryPoint),
        "image_size": int(optional.SizeOfImage),
        "sections": [_section_name(section) for section in opened.sections],
        "imports": _imports(opened),
        "exports": sorted(s.name.decode("ascii", "replace") for s in exports.symbols if s.name) if exports else [],
        "relocations": sum(len(block.entries) for block in getattr(opened, "DIRECTORY_ENTRY_BASERELOC", [])),
        # 12 bytes each; none means that no stack can be walked through this image.
        "unwind_entries": int(exception.Size) // 12,
        "pdb": pdb[0] if pdb else None,
        "pdb_guid": pdb[1] if pdb else None,
        "signer": subject,
        # Of section .shsept (V2 of DriverProxy); None where the image has none, as all drivers built before it.
        "endpoints": _endpoints(table) if table else None,
        "kernel": str(guest.kernel) if guest else None,
    }


def _endpoints(table: EndpointTable) -> list[dict[str, object]]:
    return [{**asdict(endpoint), "signature": endpoint.signature} for endpoint in table.endpoints]


def _pdb(opened: pefile.PE) -> tuple[str, str] | None:
    """Name and GUID (with age) of the debug information, as a symbol server knows it."""
    for debug in getattr(opened, "DIRECTORY_ENTRY_DEBUG", []):
        if debug.struct.Type != _DEBUG_CODEVIEW:
            continue
        data = bytes(opened.get_data(debug.struct.AddressOfRawData, debug.struct.SizeOfData))
        if len(data) > 24 and data.startswith(_CODEVIEW_RSDS):
            age = struct.unpack_from("<I", data, 20)[0]
            guid = uuid.UUID(bytes_le=data[4:20])
            return data[24:].split(b"\0", 1)[0].decode("utf-8", "replace"), f"{guid.hex.upper()}{age:X}"
    return None


def _section_name(section: pefile.SectionStructure) -> str:
    return bytes(section.Name).rstrip(b"\0").decode("ascii", "replace")
