"""Test signing: a key of this user's own, made on first use, and osslsigncode to sign and verify with it."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from filelock import FileLock

from hotswap.errors import LabFault
from hotswap.paths import cache_home

SUBJECT = "HotSwap test signing"
_YEARS = 10
_KEY_BITS = 3072
_TOOL_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Where key and certificate (PEM) are, the certificate's SHA-256, and the signing time that is put into signatures.

    The time is that of the certificate's begin, so that the same image and key always give the same bytes.
    """

    key: Path
    certificate: Path
    fingerprint: str
    signing_time: int


def make_key(folder: Path | None = None) -> SigningKey:
    """The signing key in `folder` (default: `cache_home()/signing`), made now if it is not there yet.

    The folder is for this user only (0700), the private key as well (0600). Raises LabFault.
    """
    folder = cache_home() / "signing" if folder is None else folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        key = folder / "key.pem"
        certificate = folder / "certificate.pem"
        with FileLock(folder / ".lock"):
            # The certificate is written last: where it is, the key is whole.
            if not certificate.exists():
                _generate(key, certificate)
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        if not key.exists():
            raise LabFault(f"the signing key {key} is gone, its certificate is not; remove {folder} to make a new one")
        key.chmod(0o600)
    except (OSError, ValueError) as error:
        raise LabFault(f"making the signing key in {folder}: {error}; remove that folder to make a new one") from error
    begin = loaded.not_valid_before_utc
    if datetime.datetime.now(datetime.UTC) > loaded.not_valid_after_utc:
        raise LabFault(f"the test certificate {certificate} has expired; remove {folder} to make a new one")
    return SigningKey(key, certificate, loaded.fingerprint(hashes.SHA256()).hex(), int(begin.timestamp()))


def sign(image: Path, key: SigningKey) -> None:
    """Sign a PE image in place (SHA-256, with page hashes, no network); sets its checksum too. Raises LabFault."""
    signed = image.with_name(image.name + ".signed")
    signed.unlink(missing_ok=True)
    command = ["sign", "-certs", str(key.certificate), "-key", str(key.key), "-h", "sha256", "-ph"]
    command += ["-time", str(key.signing_time), "-in", str(image), "-out", str(signed)]
    try:
        status, output = _osslsigncode(command)
        if status != 0 or not signed.exists():
            raise LabFault(f"signing {image} with osslsigncode ended with {status}: {_last_lines(output)}")
        shutil.copymode(image, signed)
        signed.replace(image)
    finally:
        signed.unlink(missing_ok=True)


def verify(image: Path, key: SigningKey) -> str | None:
    """None when the image bears a whole signature of this key, else what is wrong with it in one line."""
    status, output = _osslsigncode(["verify", "-CAfile", str(key.certificate), "-in", str(image)])
    if "MISMATCH" in output:
        return f"{image.name} was changed after it had been signed"
    # Up to 2.9 osslsigncode tells some failures by its last line only.
    if status != 0 or "Signature verification: ok" not in output:
        return f"{image.name} is not signed with the key {key.fingerprint[:16]}: {_last_lines(output)}"
    return None


def _generate(key_path: Path, certificate_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    # Whole seconds, a day back: a guest's clock may be behind.
    begin = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key_path, private, 0o600)
    _write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    # The mode is given at creation: the key is never readable for others, not even for a moment.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _osslsigncode(arguments: list[str]) -> tuple[int, str]:
    program = shutil.which("osslsigncode")
    if program is None:
        raise LabFault("signing needs osslsigncode, not found here; run ci/setup, or install the package osslsigncode")
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TOOL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"osslsigncode {arguments[0]} did not run to its end: {error}") from error
    return done.returncode, done.stdout


def _last_lines(output: str) -> str:
    # OpenSSL's error queue is noise: it has entries for attempts that were given up for others that worked.
    lines = [line.strip() for line in output.splitlines() if line.strip() and ":error:" not in line]
    return "; ".join(lines[-3:]) or "no output"
