"""Who a client is: HTTP Basic, and Negotiate with NTLM, bound to the TLS channel. Windows' own names for these."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field

import spnego
from spnego.channel_bindings import GssChannelBindings

_SCHEMES = ("Negotiate", 'Basic realm="WSMAN"')


@dataclass(frozen=True, slots=True)
class Account:
    """The one user of an endpoint."""

    user: str
    password: str = field(repr=False)


@dataclass(slots=True)
class Challenge:
    """What a connection that has not logged in is answered with: values of WWW-Authenticate."""

    schemes: tuple[str, ...] = _SCHEMES


class ConnectionLogin:
    """The login of one connection. NTLM authenticates the connection, Basic each request.

    NTLM reads the account out of the file that NTLM_USER_FILE names in this process's environment, as every SPNEGO
    library does.
    """

    def __init__(self, account: Account, certificate_hash: bytes) -> None:
        """`certificate_hash`: SHA-256 of this server's certificate, which NTLM's answer must be bound to."""
        self._account = account
        self._bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + certificate_hash)
        self._context: spnego.ContextProxy | None = None
        self._user: str | None = None

    def check(self, header: str | None) -> str | Challenge:
        """The user's name when the request may pass, else what to answer."""
        if header is None:
            return self._user or Challenge()
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "basic":
            return self._basic(token)
        if scheme.lower() in ("negotiate", "ntlm"):
            return self._negotiate(scheme, token)
        return Challenge()

    def _basic(self, token: str) -> str | Challenge:
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return Challenge()
        right_user = hmac.compare_digest(user.lower().encode(), self._account.user.lower().encode())
        right_password = hmac.compare_digest(password.encode(), self._account.password.encode())
        return self._account.user if right_user and right_password else Challenge()

    def _negotiate(self, scheme: str, token: str) -> str | Challenge:
        try:
            data = base64.b64decode(token, validate=True)
        except binascii.Error:
            return Challenge()
        try:
            if self._context is None or self._context.complete:
                self._user = None
                raw = data.startswith(b"NTLMSSP\0")
                self._context = spnego.server(
                    channel_bindings=self._bindings,
                    protocol="ntlm" if raw else "negotiate",
                    options=spnego.NegotiateOptions.use_ntlm if raw else spnego.NegotiateOptions.use_negotiate,
                )
            answer = self._context.step(data)
            if self._context.complete:
                self._user = self._account.user
                return self._user
        except Exception:
            # The library reads what anybody sends, and raises all sorts; why it failed is not the client's business.
            self._context = None
            return Challenge()
        return Challenge((f"{scheme} {base64.b64encode(answer or b'').decode()}",))
