"""The HTTPS side of the endpoint: one connection a thread, on this computer's loopback only."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from hotswap.wsman.authentication import Account, Challenge, ConnectionLogin
from hotswap.wsman.runner import Runner
from hotswap.wsman.service import Answer, WsmanService
from hotswap.wsman.soap import MOST_ENVELOPE

PATH = "/wsman"
_IDLE_SECONDS = 180.0
_HANDSHAKE_SECONDS = 10.0
_MOST_DRAINED = 16 << 20
_TYPES = ("application/soap+xml",)


class WsmanEndpoint:
    """Listens on 127.0.0.1 from its making until `close`; `port` is where."""

    def __init__(self, runner: Runner, account: Account, certificate: Path, key: Path) -> None:
        """`certificate` and `key` are PEM files."""
        self.service = WsmanService(runner)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        self._server = _Server(self.service, account, context, hashlib.sha256(der).digest())
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, hang up, end every shell."""
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        self.service.close()
        self._thread.join()

    def __enter__(self) -> WsmanEndpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, service: WsmanService, account: Account, context: ssl.SSLContext, certificate_hash: bytes
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service
        self.account = account
        self.context = context
        self.certificate_hash = certificate_hash
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request_thread(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Shake hands here, and not where all connections are accepted: a client may be slow at it."""
        with self._lock:
            self._connections.add(request)
        try:
            request.settimeout(_HANDSHAKE_SECONDS)
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A client that breaks off, or speaks no TLS, is not worth a word.
            with contextlib.suppress(OSError), self.context.wrap_socket(request, server_side=True) as secured:
                self.finish_request(secured, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)
            self.shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Microsoft-HTTPAPI/2.0"
    sys_version = ""
    timeout = _IDLE_SECONDS
    wbufsize = -1  # one packet a response
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._login = ConnectionLogin(self.server.account, self.server.certificate_hash)

    def do_POST(self) -> None:
        """One request."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(411)
            return
        if int(length) > MOST_ENVELOPE:
            # A client reads the answer once it has sent all; one that sends far too much is not waited for.
            left = min(int(length), _MOST_DRAINED)
            while left and (piece := self.rfile.read(min(left, 1 << 16))):
                left -= len(piece)
            self._refuse(413)
            return
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            self.close_connection = True
            return
        who = self._login.check(self.headers.get("Authorization"))
        if isinstance(who, Challenge):
            self._answer(Answer(401, b""), challenge=who)
        elif self.path.partition("?")[0].rstrip("/").lower() != PATH:
            self._answer(Answer(404, b""))
        elif self.headers.get_content_type() not in _TYPES:
            self._answer(Answer(415, b""))
        elif not body:
            self._answer(Answer(200, b""))  # a client that logs in first, and asks then
        else:
            self._answer(self.server.service.handle(body, who))

    def do_GET(self) -> None:
        """WS-Management is POST alone."""
        self._refuse(405)

    do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - http.server's names

    def _refuse(self, status: int) -> None:
        """Answer without having read the request, after which the connection is of no use."""
        self.close_connection = True
        self._answer(Answer(status, b""))

    def _answer(self, answer: Answer, challenge: Challenge | None = None) -> None:
        self.send_response(answer.status)
        for scheme in challenge.schemes if challenge else ():
            self.send_header("WWW-Authenticate", scheme)
        if self.close_connection:
            self.send_header("Connection", "close")
        if answer.body:
            self.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
