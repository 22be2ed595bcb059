"""One running Burble: gunicorn with all its processes, on a free port of the loopback address."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from backend.link import HEADER, EngineState

ROOT = Path(__file__).parent.parent
MODEL = "e2e.scripted_model:ScriptedModel"

# One for all, for it reads the certificates, which takes longer than most requests. Each has a connection of its own,
# and none is sent the cookies of another.
http_client = httpx.Client(
    limits=httpx.Limits(max_keepalive_connections=0),
    timeout=60,
    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
)

Result = TypeVar("Result")


def wait_for(condition: Callable[[], Result], what: str, timeout_s: float = 60) -> Result:
    """Return the first truthy result of `condition`; fail with `what` and the last result after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s for {what}; last: {result!r}")
        time.sleep(0.02)
    return result


def _ports() -> Iterator[int]:
    """Return the ports below those that a system gives to connections by itself, or this test process's share of them.

    Each comes once: between the moment when one is found free and the moment when it is taken it must be nobody else's.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = range(10_000 + number, 32_768, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    return iter(random.sample(share, len(share)))


_unused_ports = _ports()


def free_port() -> int:
    """Return a port that nobody listens on."""
    for port in _unused_ports:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue  # it is taken
            return port
    raise AssertionError("no port is left")


def alive(process: psutil.Process) -> bool:
    """Whether a process runs: one that has ended may wait as a zombie for somebody to ask how."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def paused(process: psutil.Process) -> Iterator[None]:
    """Hold a process still, so that another one has to do what comes meanwhile."""
    process.suspend()
    try:
        wait_for(lambda: process.status() == psutil.STATUS_STOPPED, f"{process} to stand still")
        yield
    finally:
        process.resume()


def _close_output() -> None:
    os.close(1)
    os.close(2)


class Stack:
    """Starts, watches and ends one stack.

    `settings` are those of the settings table, in lower case; one of None is left out. `root` is the folder of the
    project, or of a copy of it. `script` is the folder of the scripted model (`e2e/scripted_model.py`).
    """

    tls: None = None  # what speaks it stands in front of a stack (`e2e/proxy.py`)

    def __init__(self, *, model: str = MODEL, root: Path = ROOT, **settings: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="burble-test-"))
        self.script = self.folder / "script"
        self.script.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = self.folder / "log"
        self.python_path = [root, ROOT]
        self.closed_output = False  # it begins without standard output and standard error
        self.on_ready: Callable[[], object] = lambda: None
        self._root = root
        self._dirty_arbiter: psutil.Process | None = None
        self._settings = {
            "bind": f"127.0.0.1:{self.port}",
            "model": model,
            "runtime_dir": self.folder / "run",
            "state_dir": self.folder / "state",
        }
        self._settings.update(settings)
        self._settings = {
            name: value for name, value in self._settings.items() if value is not None
        }
        self._process: subprocess.Popen[bytes]

    def start(self, ready: bool = True) -> Stack:
        """Start; return once every HTTP worker is `ready` (or, without that, once one answers at all)."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("BURBLE_")
        }
        environment |= {
            f"BURBLE_{name.upper()}": str(value) for name, value in self._settings.items()
        }
        python_path = ":".join(map(str, self.python_path))
        environment |= {"SCRIPT_FOLDER": str(self.script), "PYTHONPATH": python_path}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", str(self._root / "gunicorn_conf.py")],
                # Not where a developer's .env lies; a copy of the project brings its own.
                cwd=self.folder if self._root == ROOT else self._root,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_close_output if self.closed_output else None,
            )
        path = "/health/ready" if ready else "/health"
        wait_for(
            lambda: self.answers(path) or self.returncode is not None, f"{path} of the stack", 120
        )
        assert self.returncode is None, "gunicorn did not start" + (
            f":\n{self.log()}" if self.log_path.is_file() else ""
        )
        if ready:
            wait_for(lambda: len(self.http_workers()) == self.workers, "all HTTP workers")
            self.wait_for_each_worker(self.answers, f"{path} of each HTTP worker")
        self.on_ready()
        return self

    def stop(self) -> None:
        """End every process of the stack at once, by Ctrl+C, and by force what does not take it."""
        family = self.processes()
        if self._process.poll() is None:
            self.interrupt()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                pass
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self, path: str = "/health/ready") -> bool:
        try:
            return http_client.get(self.url + path, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    # Its processes

    @property
    def master(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    @property
    def runtime_folder(self) -> Path:
        default = Path(tempfile.gettempdir(), f"burble-127.0.0.1_{self.port}-{os.getuid()}")
        return Path(str(self._settings.get("runtime_dir", default)))

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    @property
    def workers(self) -> int:
        """How many HTTP workers it is to have."""
        return int(str(self._settings.get("workers", 2)))

    def hup(self) -> None:
        self.master.send_signal(signal.SIGHUP)

    def interrupt(self) -> None:
        """Press Ctrl+C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def http_workers(self) -> list[psutil.Process]:
        arbiter = self.dirty_arbiter()
        return [
            child
            for child in self._children(self.master)
            if arbiter is None or child.pid != arbiter.pid
        ]

    def dirty_arbiter(self) -> psutil.Process | None:
        """The dirty arbiter: the child of the master that has the engines as its children, or had them."""
        children = self._children(self.master)
        if self._dirty_arbiter not in children:
            engines = {process.pid for process in self.engines()}
            self._dirty_arbiter = next(
                (
                    child
                    for child in children
                    if any(grandchild.pid in engines for grandchild in self._children(child))
                ),
                None,
            )
        return self._dirty_arbiter

    def wait_for_each_worker(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition on what is answered holds whichever HTTP worker answers."""
        workers = self.http_workers()
        for worker in workers:
            with ExitStack() as others:
                for other in workers:
                    if other != worker:
                        others.enter_context(paused(other))
                wait_for(condition, what)

    def wait_for_engines(self, count: int) -> None:
        """Wait until each HTTP worker has found so many ready engines."""

        def ready() -> int:
            states = http_client.get(f"{self.url}/health/ready").json()["engines"]
            return sum(state["state"] == "ready" for state in states)

        self.wait_for_each_worker(lambda: ready() == count, f"{count} engines")

    def engines(self) -> list[psutil.Process]:
        """The dirty workers whose engine can be connected to, oldest first."""
        found = []
        for link in self._links():
            credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            try:
                process = psutil.Process(int.from_bytes(credentials[:4], sys.byteorder))
                found.append((process.create_time(), process))
            except psutil.NoSuchProcess:
                continue  # it was killed in between
        return [process for _, process in sorted(found, key=lambda each: each[0])]

    def engine_states(self) -> list[EngineState]:
        """What the engines say of themselves now, which each HTTP worker hears a little later."""
        found = []
        for link in self._links():
            with link.makefile("rb") as stream:
                try:
                    header = stream.read(HEADER.size)
                    found.append(json.loads(stream.read(HEADER.unpack(header)[2])))
                except (ConnectionError, ValueError, struct.error):
                    continue  # it was killed in between
        return found

    def _links(self) -> Iterator[socket.socket]:
        """Connect to one engine after the other."""
        for path in self.runtime_folder.glob("engine-*.sock"):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(60)
                try:
                    sock.connect(str(path))
                except TimeoutError:
                    raise
                except OSError:
                    continue
                yield sock

    def processes(self) -> list[psutil.Process]:
        """Every process that carries this stack's folder in its environment, orphans included."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("SCRIPT_FOLDER") == str(self.script)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    @staticmethod
    def _children(process: psutil.Process) -> list[psutil.Process]:
        def lives(child: psutil.Process) -> bool:
            try:
                return bool(child.status() != psutil.STATUS_ZOMBIE)
            except psutil.NoSuchProcess:
                return False

        try:
            return [child for child in process.children() if lives(child)]
        except psutil.NoSuchProcess:
            return []

    # The scripted model

    def open_gate(self, name: str) -> None:
        """Let every script that waits at this gate go on, now and later."""
        (self.script / f"gate-{name}").touch()

    def clear(self) -> None:
        """Let every script go on to its end, and forget all gates and what the journal says."""
        (self.script / "every-gate").touch()
        wait_for(lambda: self.engine_states() and not self.busy, "the end of every script")
        for path in self.script.iterdir():
            path.unlink()

    @property
    def busy(self) -> bool:
        """Whether anything runs, or waits in line."""
        return any(engine["running"] + engine["queued"] for engine in self.engine_states())

    def journal(self) -> list[str]:
        """What the scripted models did, in order: `load PID`, `start NAME`, `end NAME`, `close PID`."""
        path = self.script / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def wait_journal(self, line: str, count: int = 1) -> None:
        wait_for(
            lambda: self.journal().count(line) >= count, f"{count} × {line!r} in {self.journal()}"
        )
