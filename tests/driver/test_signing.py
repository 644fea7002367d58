"""The key is this user's alone, and a signature tells whether an image was changed."""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from hotswap.driver import signing
from hotswap.driver.build import DriverBuild
from hotswap.driver.signing import SigningKey, make_key, sign, verify
from hotswap.errors import LabFault


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_key_is_for_its_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = make_key(tmp_path / "signing")
    finally:
        os.umask(before)
    assert mode(key.key) == 0o600
    assert mode(tmp_path / "signing") == 0o700
    assert b"PRIVATE KEY" in key.key.read_bytes()


def test_the_certificate_is_for_code_signing(key: SigningKey) -> None:
    certificate = x509.load_pem_x509_certificate(key.certificate.read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CODE_SIGNING]
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 3072
    assert certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365)


def test_the_key_is_made_once(key: SigningKey) -> None:
    assert make_key(key.key.parent) == key


def test_a_lost_key_is_said_so(tmp_path: Path) -> None:
    made = make_key(tmp_path / "signing")
    made.key.unlink()
    with pytest.raises(LabFault, match="is gone"):
        make_key(tmp_path / "signing")


def test_a_broken_certificate_is_said_so(tmp_path: Path) -> None:
    made = make_key(tmp_path / "signing")
    made.certificate.write_text("nothing")
    with pytest.raises(LabFault, match="remove that folder"):
        make_key(tmp_path / "signing")


@pytest.fixture
def image(build: DriverBuild, tmp_path: Path) -> Path:
    return Path(shutil.copy(build.driver("hotswap_v1").path, tmp_path / "a driver.sys"))


def test_signing_again_gives_the_same_bytes(image: Path, key: SigningKey) -> None:
    sums = []
    for _ in range(2):
        sign(image, key)
        sums.append(hashlib.sha256(image.read_bytes()).hexdigest())
        assert verify(image, key) is None
    assert sums[0] == sums[1]


def test_a_changed_image_is_told(image: Path, key: SigningKey) -> None:
    sign(image, key)
    content = bytearray(image.read_bytes())
    content[0x450] ^= 1
    image.write_bytes(content)
    assert verify(image, key) == "a driver.sys was changed after it had been signed"


def test_another_key_is_told(image: Path, key: SigningKey, tmp_path: Path) -> None:
    sign(image, make_key(tmp_path / "other"))
    wrong = verify(image, key)
    assert wrong is not None
    assert "is not signed with the key" in wrong


def test_what_is_no_image_cannot_be_signed_and_stays(tmp_path: Path, key: SigningKey) -> None:
    text = tmp_path / "text.sys"
    text.write_text("no image at all")
    with pytest.raises(LabFault, match=r"signing .*text\.sys"):
        sign(text, key)
    assert [path.name for path in tmp_path.iterdir()] == ["text.sys"]
    assert text.read_text() == "no image at all"


def test_the_private_key_is_on_no_command_line(image: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    run = signing._osslsigncode

    def watch(arguments: list[str]) -> tuple[int, str]:
        seen.extend(arguments)
        return run(arguments)

    monkeypatch.setattr(signing, "_osslsigncode", watch)
    sign(image, key)
    secret = [line for line in key.key.read_text().splitlines() if not line.startswith("-----")]
    assert str(key.key) in seen
    assert not any(part in argument for part in secret for argument in seen)
    assert not any(argument in ("-t", "-ts") for argument in seen), "signing must not reach for a network"
