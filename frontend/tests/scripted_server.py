"""Serves the frontend's files, and replies that a test wrote down; `scripted_server.js` is the other side.

Also the specification's examples, and under `?policy` any file with the page's Content-Security-Policy.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from backend.security import PAGE_POLICY
from frontend.tests import spec_examples

FRONTEND = Path(__file__).parent.parent


@dataclass
class Script:
    replies: list[dict[str, Any]]
    requests: list[dict[str, Any]] = field(default_factory=list)
    released: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scripts: ClassVar[dict[str, Script]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, directory=str(FRONTEND))

    def do_GET(self) -> None:
        match self.path.split("/"):
            case ["", "script", key]:
                self.reply_json(self.scripts[key].requests)
            case ["", "scripted", key, *_]:
                self.play(self.scripts[key])
            case ["", "examples", "commonmark.json"]:
                self.reply_json(spec_examples.commonmark())
            case _:
                super().do_GET()

    def do_PUT(self) -> None:
        self.scripts[self.path.split("/")[2]] = Script(json.loads(self.body()))
        self.reply_json(None)

    def do_POST(self) -> None:
        script = self.scripts[self.path.split("/")[2]]
        if self.path.endswith("/release"):
            script.released.release()
            self.reply_json(None)
        else:
            self.play(script)

    def play(self, script: Script) -> None:
        self.close_connection = True
        body = self.body()
        request = {
            "method": self.command,
            "path": "/" + self.path.split("/", 3)[3],
            "lastEventId": self.headers["Last-Event-ID"],
            "body": json.loads(body) if body else None,
            "hungUp": False,
        }
        with self.lock:
            position = len(script.requests)
            script.requests.append(request)
        reply = script.replies[position] if position < len(script.replies) else {"status": 500}
        try:
            self.send(script, reply)
        except OSError:
            request["hungUp"] = True
            return
        if reply.get("then") == "hold":
            try:
                request["hungUp"] = self.connection.recv(1) == b""
            except OSError:
                request["hungUp"] = True

    def send(self, script: Script, reply: dict[str, Any]) -> None:
        then = reply.get("then", "end")
        if not reply.get("silent"):
            status = reply.get("status", 200)
            headers = {
                "Content-Type": "text/event-stream",
                "Connection": "close",
                **reply.get("headers", {}),
            }
            if status != 204:
                headers["Transfer-Encoding"] = "chunked"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in reply.get("body", []):
                if piece == "WAIT":
                    script.released.acquire(timeout=20)
                else:
                    data = (
                        bytes.fromhex(piece["hex"]) if isinstance(piece, dict) else piece.encode()
                    )
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                    self.wfile.flush()
            if then == "end" and status != 204:
                self.wfile.write(b"0\r\n\r\n")
        if then == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def reply_json(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        if self.path.endswith("?policy"):
            self.send_header("Content-Security-Policy", PAGE_POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"
