"""Keys of one machine: made for it, kept in files that only their owner may read, never on a command line."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hotswap.errors import LabFault


def make_ssh_key(path: Path) -> str:
    """Make an Ed25519 key in a new file (OpenSSH's format, 0600). Returns its public half, `ssh-ed25519 AAAA...`."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    write_secret(path, private)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read; it appears when it is whole. LabFault when it cannot be written."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise LabFault(f"writing the key file {path}: {error.strerror}") from error


def ssh_fingerprint(public: str) -> str:
    """`SHA256:...` of a public key, as ssh-keygen prints it."""
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
