"""A proxy in front of a stack, that a test lets fail."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from e2e.stack import free_port, http_client


class Gateway:
    """Passes requests on to a stack, below a `prefix`, and notes what was asked for, as `METHOD path`.

    `fails` decides by the path which of them get an answer of the gateway's own: a status and a body. The path
    that `hangs` gets none. While it is `down` nobody can connect, and who has connected before cannot ask any more;
    what was asked by then is still answered.
    """

    def __init__(self, url: str, prefix: str = "") -> None:
        self.fails: Callable[[str], tuple[int, bytes] | None] = lambda path: None
        self.hangs = ""
        self.asked: list[str] = []
        self._target = url
        self._prefix = prefix
        self._port = free_port()  # it comes back to it
        self._server = self._listen(self._port)
        self.url = f"http://127.0.0.1:{self._port}{prefix}"

    def close(self) -> None:
        self.down()

    def up(self) -> None:
        self._server = self._listen(self._port)

    def down(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                super().handle_one_request()
                self.close_connection = True  # else a client could go on while it is down

            def answer(self) -> None:
                # A browser keeps the connections of requests that it has given up before it sent them.
                if listening.fileno() < 0:
                    return
                with contextlib.suppress(ConnectionError):  # the client has left
                    gateway._answer(self)

            do_GET = do_HEAD = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        listening = server.socket
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.removeprefix(self._prefix)
        self.asked.append(f"{request.command} {path}")
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if path == self.hangs:
            threading.Event().wait()
        if failure := self.fails(path):
            status, content = failure
            request.send_response(status)
            request.send_header("Content-Type", "text/javascript")
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content)
            return
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        with http_client.stream(
            request.command, self._target + path, headers=headers, content=body
        ) as response:
            request.send_response_only(response.status_code)
            for name, value in response.headers.items():
                if name not in ("transfer-encoding", "connection"):
                    request.send_header(name, value)
            request.end_headers()
            for chunk in response.iter_raw():
                request.wfile.write(chunk)
                request.wfile.flush()
