"""The servers that are compared, and how each is started and stopped.

Every one listens on a free loopback port, answers `GET /health/ready` with 200 once it can stream, and streams the
reply file to `POST /chat`. Each start is a fresh process in a session of its own; leaving `serve` ends that session.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import proc

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 8.0


class ContenderFailed(Exception):
    """A server did not start or ended by itself; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One column: its name and the command that serves on a port."""

    name: str
    command: Callable[[int], list[str]]


@dataclass(frozen=True, slots=True)
class Server:
    """A running contender: its port on 127.0.0.1 and its session, which is also the id of its first process."""

    port: int
    session: int


BURBLE = Contender(
    "Burble",
    lambda port: [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn_conf.py")],
)

PLAIN_FASTAPI = Contender(
    "plain FastAPI",
    lambda port: [
        *(sys.executable, "-m", "uvicorn", "bench.plain_fastapi:app"),
        *("--host=127.0.0.1", f"--port={port}", "--loop=uvloop", "--http=httptools"),
        *("--log-level=warning", "--no-access-log"),
    ],
)

BARE_UVLOOP = Contender(
    "bare uvloop", lambda port: [sys.executable, "-m", "bench.floor", str(port)]
)

CONTENDERS = (BURBLE, PLAIN_FASTAPI, BARE_UVLOOP)


@contextmanager
def serve(contender: Contender, reply: Path, delay_ms: float, max_running: int) -> Iterator[Server]:
    """Run a contender that pauses `delay_ms` before each word of `reply`, and end it with all its processes.

    Raises `ContenderFailed` when it is not ready in time.
    """
    port = _free_port()
    with (
        tempfile.TemporaryDirectory(prefix="burble-bench-") as folder,
        (Path(folder) / "log").open("wb") as log,
    ):
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("BURBLE_")
        }
        process = subprocess.Popen(
            contender.command(port),
            cwd=folder,  # not where a .env may lie
            env=inherited
            | {
                "PYTHONPATH": str(ROOT),
                "BURBLE_BIND": f"127.0.0.1:{port}",
                "BURBLE_WORKERS": "2",
                "BURBLE_DIRTY_WORKERS": "1",
                "BURBLE_MODEL": "simulated",
                "BURBLE_MAX_RUNNING": str(max_running),
                "BURBLE_SIMULATED_MIN_DELAY_MS": str(delay_ms),
                "BURBLE_SIMULATED_MAX_DELAY_MS": str(delay_ms),
                "BURBLE_SIMULATED_REPLY_FILE": str(reply),
                "BURBLE_RUNTIME_DIR": str(Path(folder) / "run"),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _is_ready(process, port):
                tail = (Path(folder) / "log").read_text(errors="replace")[-2000:]
                raise ContenderFailed(
                    f"{contender.name} was not ready within {START_TIMEOUT_S:.0f} s:\n{tail}"
                )
            yield Server(port, process.pid)
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return True
        except (OSError, http.client.HTTPException):  # not listening yet
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop, and kill what is left of its session after a while."""
    session = process.pid
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass  # killed below
    for pid in proc.members(session):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself in the meantime
            pass
    process.wait()
