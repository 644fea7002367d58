"""The disc that Windows Setup and a new Windows take their answers from: answer file, agent, scripts, certificate."""

from __future__ import annotations

import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hotswap.errors import UsageError
from hotswap.machine.qemu_profile import QemuProfile, WindowsSettings
from hotswap.paths import package_data
from hotswap.transport.media import Media, build_media

ANSWERS = "autounattend.xml"
_TEMPLATE = "autounattend.xml.j2"
_SCRIPTS = ("install.cmd", "update.cmd")
_FOLDER = "hotswap"
# Letters that the medium with the drivers may get in Setup.
_LETTERS = "DEFGH"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})+")
_PRODUCT_KEY = re.compile(r"([A-Z0-9]{5}-){4}[A-Z0-9]{5}")
# Size in MiB; 0: the rest. The last one is for Windows.
_UEFI_PARTITIONS = (("EFI", 260), ("MSR", 16), ("Primary", 0))
_BIOS_PARTITIONS = (("Primary", 500), ("Primary", 0))


def answer_file(profile: QemuProfile, computer_name: str, password: str) -> bytes:
    """`autounattend.xml` for a machine. UsageError when the profile's settings for Windows make no sense."""
    settings = _checked(profile)
    environment = Environment(
        loader=FileSystemLoader(package_data("vm") / "windows"), autoescape=True, undefined=StrictUndefined
    )
    uefi = profile.firmware == "uefi"
    text = environment.get_template(_TEMPLATE).render(
        uefi=uefi,
        partitions=_UEFI_PARTITIONS if uefi else _BIOS_PARTITIONS,
        edition=settings.edition,
        language=settings.language,
        product_key=settings.product_key,
        driver_paths=[f"{letter}:\\{folder}" for letter in _LETTERS for folder in settings.drivers],
        computer_name=computer_name,
        password=password,
    )
    return text.encode()


def answers_disc(
    image: Path, profile: QemuProfile, agent_exe: Path, certificate: Path, computer_name: str, password: str
) -> Media:
    """Write the disc for an installation. It holds a password: its folder is only for this user."""
    files = _agent_files(agent_exe)
    files[ANSWERS] = answer_file(profile, computer_name, password)
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    files[f"{_FOLDER}/test-signing.cer"] = loaded.public_bytes(Encoding.DER)
    if not profile.secure_boot:
        files[f"{_FOLDER}/test-signing.on"] = b""
    return build_media(image, files, volume="HOTSWAP_SETUP")


def agent_disc(image: Path, agent_exe: Path) -> Media:
    """Write the disc for a boot: an installed Windows takes the agent over from it, when it has another one."""
    return build_media(image, _agent_files(agent_exe), volume="HOTSWAP_AGENT")


def _agent_files(agent_exe: Path) -> dict[str, Path | bytes]:
    folder = package_data("vm") / "windows"
    files: dict[str, Path | bytes] = {f"{_FOLDER}/hsagent.exe": agent_exe}
    for name in _SCRIPTS:
        # cmd.exe finds labels only where lines end as they do on Windows.
        files[f"{_FOLDER}/{name}"] = (folder / name).read_bytes().replace(b"\n", b"\r\n")
    return files


def _checked(profile: QemuProfile) -> WindowsSettings:
    settings = profile.windows
    if settings is None:
        raise UsageError(f"machine {profile.name!r} is no Windows: its profile has no table [windows]")
    if not _LANGUAGE.fullmatch(settings.language):
        raise UsageError(f"machine {profile.name!r}: windows.language is {settings.language!r}; say en-US, for example")
    if settings.product_key and not _PRODUCT_KEY.fullmatch(settings.product_key):
        raise UsageError(f"machine {profile.name!r}: windows.product_key is none: 5 times 5 letters and digits")
    return settings
