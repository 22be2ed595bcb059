"""Restarts, reloads and kills: what a stack promises its readers while its processes come and go."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from backend.http_protocol import LAST_REQUEST_S
from e2e.stack import MODEL, ROOT, Stack, alive, http_client, paused, wait_for

pytestmark = pytest.mark.long

KILLS = 20
STACKS = 4  # at once, where a test has more than one


def script(name: str, *steps: Sequence[object]) -> str:
    return json.dumps({"name": name, "steps": steps})


class Reader:
    """A client in a thread of its own, which reads one stream to its end and keeps what it got."""

    def __init__(self, stack: Stack, prompt: str, *, resumable: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.ids: list[int] = []
        self.generation_id = ""
        self.done = False  # [DONE] came
        self.ended_at = 0.0
        self.cut = False  # the connection broke
        self.status = 0
        self._stack = stack
        self._body = {"prompt": prompt, "resumable": resumable}
        self._asked_late = False  # so that a worker that leaves may not have waited for it
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        return "".join(event.get("token", "") for event in self.events)

    @property
    def error(self) -> str | None:
        return next((event["error"]["code"] for event in self.events if "error" in event), None)

    def wait_text(self, text: str) -> Reader:
        wait_for(lambda: text in self.text, f"{text!r} in {self.text!r}")
        return self

    def wait_status(self, status: str) -> Reader:
        wait_for(
            lambda: any(event.get("status") == status for event in self.events), f"status {status}"
        )
        return self

    def join(self) -> Reader:
        self._thread.join(120)
        assert not self._thread.is_alive(), f"no end: {self.events[-3:]}"
        return self

    def _read(self) -> None:
        self._ask()
        while not self.status and self._asked_late:
            self._ask()
        while self.cut and self._body["resumable"] and self.generation_id:
            self._resume()
        self.ended_at = time.monotonic()

    def _ask(self) -> None:
        connected_at = time.monotonic()

        def trace(step: str, _: object) -> None:
            nonlocal connected_at
            if step == "connection.connect_tcp.complete":
                connected_at = time.monotonic()
            elif step == "http11.receive_response_headers.started":  # the request is sent
                # Nobody has promised to wait longer for a request.
                self._asked_late = time.monotonic() - connected_at > LAST_REQUEST_S / 2

        self.cut = self._asked_late = False
        try:
            with http_client.stream(
                "POST", self._stack.url + "/chat", json=self._body, extensions={"trace": trace}
            ) as response:
                self.status = response.status_code
                self.generation_id = response.headers.get("x-generation-id", "")
                self._take(response)
        except httpx.TransportError:
            self.cut = True

    def _resume(self) -> None:
        headers = {"Last-Event-ID": str(self.ids[-1] if self.ids else 0)}
        url = f"{self._stack.url}/chat/{self.generation_id}"
        try:
            with http_client.stream("GET", url, headers=headers) as response:
                self.status = response.status_code
                self.cut = False
                if self.status == 200:
                    self._take(response)
        except httpx.TransportError:
            time.sleep(0.01)
            self.cut = True

    def _take(self, response: httpx.Response) -> None:
        number = 0
        for line in response.iter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line == "data: [DONE]":
                self.done = True
            elif line.startswith("data: "):
                self.events.append(json.loads(line[6:]))
                if number:
                    self.ids.append(number)


def words(name: str, count: int) -> str:
    return "".join(f"{name}-{index} " for index in range(count))


@contextmanager
def crowd(stack: Stack, size: int, count: int = 30) -> Iterator[list[Reader]]:
    """Keep `size` clients asking one question after the other until the block ends; yields all they have read."""
    readers: list[Reader] = []
    enough = threading.Event()

    def ask(number: int) -> None:
        turn = 0
        while not enough.is_set():
            turn += 1
            reader = Reader(
                stack, script(f"c{number}.{turn}", ["words", count]), resumable=number % 2 == 0
            )
            readers.append(reader)
            reader.join()
            enough.wait(0.1)  # else they take the machine from the processes that start

    with ThreadPoolExecutor(size) as pool:
        asking = [pool.submit(ask, number) for number in range(size)]
        try:
            yield readers
        finally:
            enough.set()
        for future in asking:
            future.result()


# SIGTERM


def test_sigterm_lets_running_streams_finish(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack()
    plain = Reader(stack, script("a", ["say", "begun "], ["wait", "go"], ["say", "ended"]))
    resumable = Reader(
        stack, script("b", ["say", "begun "], ["wait", "go"], ["say", "ended"]), resumable=True
    )
    plain.wait_text("begun")
    resumable.wait_text("begun")
    stack.master.terminate()
    wait_for(lambda: not stack.answers("/health"), "the port to close")
    stack.open_gate("go")
    for reader in (plain.join(), resumable.join()):
        assert reader.text == "begun ended"
        assert reader.done
    assert wait_for(lambda: stack.returncode is not None, "the master to leave") is True
    assert stack.returncode == 0
    wait_for(lambda: not stack.processes(), "every process to leave")
    assert any(line.startswith("close") for line in stack.journal())
    assert "Error" not in stack.log()


def test_sigterm_ends_what_takes_too_long_with_a_terminal_event(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(dirty_graceful_timeout=1, max_running=1)
    running = Reader(stack, script("a", ["say", "begun"], ["wait", "never"])).wait_text("begun")
    queued = Reader(stack, script("b", ["say", "x"])).wait_status("queued")
    stack.master.terminate()
    for reader in (running.join(), queued.join()):
        assert reader.error == "shutdown"
        assert not reader.done
        assert not reader.cut
    stack.wait_journal("end a")
    wait_for(lambda: not stack.processes(), "every process to leave")


def test_ctrl_c_ends_what_runs_at_once_with_a_terminal_event(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(dirty_graceful_timeout=300)
    running = Reader(stack, script("a", ["say", "begun"], ["wait", "never"])).wait_text("begun")
    # The HTTP workers hear of it twice, from the terminal and from the master, and the engine last.
    with paused(stack.engines()[0]):
        stack.interrupt()
        wait_for(
            lambda: "Waiting for connections to close" in stack.log(), "a worker to wait for it"
        )
        time.sleep(0.5)
    wait_for(lambda: not stack.processes(), "every process to leave")
    assert running.join().error == "shutdown"
    assert not running.done
    assert not running.cut
    assert "end a" in stack.journal()


# HUP


def replace_engine(stack: Stack, act: Callable[[], None]) -> psutil.Process:
    """Do what makes another engine take over, wait until the old one has left, and return that."""
    (old,) = stack.engines()
    act()
    wait_for(lambda: not alive(old), "the old engine to leave")
    wait_for(lambda: len(stack.engines()) == 1, "the new engine")
    return old


def ask_until_it_is_there(stack: Stack, prompt: str) -> str:
    """Return the answer of an engine that is on its way: for ten seconds a question waits for it by itself."""
    while True:
        response = http_client.post(stack.url + "/chat/sync", json={"prompt": prompt})
        if response.status_code != 503:
            return str(response.json()["response"])
        assert response.json()["code"] == "model_unavailable"


def reload_under_way(stack: Stack, readers: list[Reader]) -> None:
    """Reload; return once there is a new engine and requests were served after it."""
    before = {engine.pid for engine in stack.engines()}
    stack.hup()
    wait_for(lambda: {engine.pid for engine in stack.engines()} - before, "a new engine")
    served = len(readers)
    wait_for(lambda: len(readers) > served + 6, "requests after the reload")


@pytest.mark.timeout(600)
def test_reloads_lose_no_request_and_no_token(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(dirty_timeout=300)  # as long as one of its answers waits
    across = Reader(
        stack, script("across", ["say", "begun "], ["wait", "end"], ["say", "ended"])
    ).wait_text("begun")
    first = stack.engines()[0].pid
    with crowd(stack, 6) as readers:
        for _ in range(KILLS):
            reload_under_way(stack, readers)
    stack.open_gate("end")
    assert across.join().text == "begun ended"
    for reader in readers:
        name = json.loads(reader._body["prompt"])["name"]  # type: ignore[arg-type]
        assert reader.text == words(name, 30), (reader.status, reader.cut, reader.events[-2:])
        assert reader.done
    wait_for(lambda: len(stack.engines()) == 1, "the retired engines to leave")
    assert stack.engines()[0].pid != first


def test_a_reload_takes_up_new_code_a_new_model_and_new_settings(
    start_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    for name in ("backend", "frontend"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "tests")
        )
    shutil.copy(ROOT / "gunicorn_conf.py", tmp_path)
    (tmp_path / "mine.py").write_text(MY_MODEL.format(word="first"))
    (tmp_path / ".env").write_text("BURBLE_MAX_PROMPT_CHARS=50\n")
    stack = start_stack(root=tmp_path, model="mine:Mine")

    def ask(prompt: str = "x") -> str:
        response = http_client.post(stack.url + "/chat/sync", json={"prompt": prompt})
        return str(response.json().get("response", response.status_code))

    assert ask() == "first"
    assert ask("x" * 60) == "422"
    (tmp_path / "mine.py").write_text(MY_MODEL.format(word="second"))
    (tmp_path / ".env").write_text("BURBLE_MAX_PROMPT_CHARS=100\n")
    framing = tmp_path / "backend" / "sse.py"
    framing.write_text(
        framing.read_text()
        + "\n_token = token\n\n\ndef token(text: str) -> bytes:\n    return _token(text.upper())\n"
    )
    ops = tmp_path / "backend" / "routes" / "ops.py"
    ops.write_text(ops.read_text().replace('{"status": "ok"}', '{"status": "new"}'))
    old = stack.http_workers()
    stack.hup()
    wait_for(lambda: ask("x" * 60) == "SECOND", "the new code")
    wait_for(
        lambda: http_client.get(stack.url + "/health").json() == {"status": "new"}, "the new routes"
    )
    wait_for(lambda: len(stack.engines()) == 1, "the old engine to leave")
    wait_for(lambda: not any(map(alive, old)), "the old HTTP workers to leave")
    assert ask("x" * 60) == "SECOND"


@pytest.mark.parametrize(
    ("path", "content"),
    [(".env", "BURBLE_WORKERS=none\n"), ("backend/app.py", "def create_app(:\n")],
)
def test_a_reload_that_cannot_start_changes_nothing(
    start_stack: Callable[..., Stack], tmp_path: Path, path: str, content: str
) -> None:
    for name in ("backend", "frontend"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gunicorn_conf.py", tmp_path)
    stack = start_stack(root=tmp_path)
    wait_for(lambda: stack.log().count("startup complete") == 2, "both HTTP workers")
    before = [process.pid for process in stack.engines() + stack.http_workers()]
    (tmp_path / path).write_text(content)
    stack.hup()
    wait_for(lambda: "Not reloaded" in stack.log(), "the refusal in the log")
    assert [process.pid for process in stack.engines() + stack.http_workers()] == before
    response = http_client.post(stack.url + "/chat/sync", json={"prompt": "still here"})
    assert response.json() == {"response": "still here "}


@pytest.mark.long
@pytest.mark.parametrize("line", ["BURBLE_MODEL=simulatd", "BURBLE_MODEL=simulated"])
def test_a_replaced_process_is_as_the_others_whatever_is_in_the_file(
    start_stack: Callable[..., Stack], tmp_path: Path, line: str
) -> None:
    for name in ("backend", "frontend"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gunicorn_conf.py", tmp_path)
    (tmp_path / ".env").write_text(f"BURBLE_MODEL={MODEL}\n")
    stack = start_stack(root=tmp_path, model=None)
    wait_for(lambda: stack.log().count("startup complete") == 2, "both HTTP workers")
    (tmp_path / ".env").write_text(line + "\n")
    for process in [*stack.http_workers(), *stack.engines()]:
        process.kill()
    wait_for(lambda: stack.log().count("startup complete") == 4, "two more HTTP workers")
    wait_for(lambda: stack.answers("/health/ready"), "another engine")
    for _ in range(4):
        response = http_client.post(
            stack.url + "/chat/sync", json={"prompt": "still here", "model": MODEL}
        )
        assert response.json() == {"response": "still here "}


MY_MODEL = """
class Mine:
    def init(self): pass
    def generate(self, prompt): yield "{word}"
    def close(self): pass
"""


def test_a_reload_to_a_model_that_does_not_load_keeps_the_old_one(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    first = stack.engines()[0].pid
    (stack.script / "fail-load").touch()
    stack.hup()
    wait_for(lambda: len(stack.engines()) == 2, "the new engine")
    wait_for(
        lambda: sum(line.startswith("load") for line in stack.journal()) >= 2, "its try to load"
    )
    for _ in range(10):
        assert http_client.post(stack.url + "/chat/sync", json={"prompt": "still here"}).json() == {
            "response": "still here "
        }
    (in_vain,) = {engine.pid for engine in stack.engines()} - {first}
    stack.hup()
    wait_for(lambda: len({engine.pid for engine in stack.engines()} - {first, in_vain}), "one more")
    wait_for(lambda: len(stack.engines()) == 2, "the one that tried in vain to leave")
    (stack.script / "fail-load").unlink()
    # Its next try may have to wait until the tries before are a minute old.
    wait_for(lambda: len(stack.engines()) == 1, "the new engine to take over", 120)


# SIGKILL


def test_a_killed_http_worker_costs_a_resumable_reader_nothing(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack()
    for kill in range(KILLS):
        steps: list[list[Any]] = [["words", 20], ["wait", f"go{kill}"], ["words", 20]]
        readers = [
            Reader(stack, script(f"k{kill}.{number}", *steps), resumable=True)
            for number in range(4)
        ]
        for number, reader in enumerate(readers):
            reader.wait_text(f"k{kill}.{number}-19 ")
        os.kill(stack.http_workers()[kill % 2].pid, signal.SIGKILL)
        stack.open_gate(f"go{kill}")
        for number, reader in enumerate(readers):
            reader.join()
            assert reader.text == words(f"k{kill}.{number}", 20) * 2
            assert reader.ids == list(range(1, len(reader.ids) + 1))
            assert reader.done
        wait_for(lambda: len(stack.http_workers()) == 2, "a new HTTP worker")


def test_a_killed_dirty_worker_is_reported_to_every_reader_and_replaced(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(max_running=2, dirty_timeout=300)  # nobody waits for that
    for kill in range(KILLS):
        prompt = script(f"k{kill}", ["say", "begun"], ["wait", "never"])
        running = [
            Reader(stack, prompt, resumable=bool(number)).wait_text("begun") for number in range(2)
        ]
        queued = [
            Reader(stack, prompt, resumable=bool(number)).wait_status("queued")
            for number in range(2)
        ]
        killed_at = time.monotonic()
        stack.engines()[0].kill()
        for reader in running + queued:
            reader.join()
            assert reader.error == "engine_lost"
            assert not reader.done
            assert reader.ended_at - killed_at < 60  # at once, on a busy machine
        assert ask_until_it_is_there(stack, "next one") == "next one "
        lost = http_client.get(f"{stack.url}/chat/{running[1].generation_id}")
        assert lost.status_code == 404


def test_a_killed_dirty_arbiter_cuts_no_stream_and_leaves_no_orphan(
    start_stack: Callable[..., Stack],
) -> None:
    def kill_arbiter(stack: Stack, name: str) -> None:
        prompt = script(name, ["say", "begun "], ["wait", name], ["say", "ended"])
        reader = Reader(stack, prompt).wait_text("begun")
        arbiter = stack.dirty_arbiter()
        assert arbiter

        def kill() -> None:
            arbiter.kill()
            wait_for(
                lambda: len(stack.engines()) > 1, "a second engine, while the first one drains"
            )
            stack.open_gate(name)

        old = replace_engine(stack, kill)
        assert reader.join().text == "begun ended"
        assert reader.done
        assert f"close {old.pid}" in stack.journal()
        wait_for(stack.answers, "the new engine")

    def kill_arbiters(_: int) -> None:
        stack = start_stack()
        replace_engine(stack, stack.hup)  # an arbiter after a reload must be as good as the first
        for kill in range(KILLS // STACKS):
            kill_arbiter(stack, f"k{kill}")

    # Most of the time nothing happens but that one process notices the end of another.
    with ThreadPoolExecutor(STACKS) as pool:
        list(pool.map(kill_arbiters, range(STACKS)))


def test_a_killed_master_leaves_no_process_and_no_port_behind() -> None:
    def kill_one(_: int) -> None:
        stack = Stack().start()
        try:
            reader = Reader(
                stack, script("a", ["say", "begun "], ["wait", "go"], ["say", "ended"])
            ).wait_text("begun")
            stack.master.kill()
            wait_for(lambda: not stack.answers("/health"), "the port to close")
            stack.open_gate("go")
            assert reader.join().text == "begun ended"
            wait_for(lambda: not stack.processes(), "every process to leave")
        finally:
            stack.stop()

    with ThreadPoolExecutor(STACKS) as pool:
        list(pool.map(kill_one, range(KILLS)))


# Neighbours, and models that do not load


def test_two_stacks_do_not_see_each_other(start_stack: Callable[..., Stack]) -> None:
    one = start_stack(runtime_dir=None)
    reader = Reader(
        one, script("a", ["say", "begun "], ["wait", "go"], ["say", "ended"]), resumable=True
    ).wait_text("begun")
    engine = one.engines()[0].pid
    two = start_stack(runtime_dir=None)
    assert http_client.get(f"{two.url}/chat/{reader.generation_id}").status_code == 404
    assert two.engines()[0].pid != engine
    two.stop()
    one.open_gate("go")
    assert reader.join().text == "begun ended"
    assert [process.pid for process in one.engines()] == [engine]


def test_requests_that_come_while_the_model_loads_wait_for_it(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(ready=False, before=lambda stack: (stack.script / "hold-load").touch())
    wait_for(stack.engine_states, "the engine")
    reader = Reader(stack, "good morning").wait_status("loading")
    detail = "Not ready: loading"
    wait_for(
        lambda: http_client.get(stack.url + "/health/ready").json()["detail"] == detail, detail
    )
    stack.open_gate("load")
    assert reader.join().text == "good morning "


def test_a_model_that_does_not_load_says_why_and_is_tried_again(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(ready=False, before=lambda stack: (stack.script / "fail-load").touch())
    detail = "Not ready: failed (OSError: the weights are not there)"
    wait_for(
        lambda: http_client.get(stack.url + "/health/ready").json()["detail"] == detail, detail
    )
    response = http_client.post(stack.url + "/chat", json={"prompt": "x"})
    assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
    assert int(response.headers["retry-after"]) > 0
    (stack.script / "fail-load").unlink()
    wait_for(stack.answers, "the model to load after all", 120)
    assert len(stack.engines()) == 1


def test_a_model_that_kills_its_process_while_loading_is_tried_five_times_a_minute_at_most(
    start_stack: Callable[..., Stack],
) -> None:
    began = time.monotonic()
    stack = start_stack(ready=False, before=lambda stack: (stack.script / "crash-load").touch())

    def tries() -> int:
        return sum(line.startswith("load") for line in stack.journal())

    wait_for(lambda: tries() >= 5, "five tries", 120)
    # Only now is an engine up that stays: it has the tries before it on record, and waits.
    wait_for(
        lambda: any(time.time() - engine.create_time() > 1 for engine in stack.engines()),
        "an engine that waits",
    )
    minutes = (time.monotonic() - began) // 60
    assert tries() == 5 or (minutes and tries() <= 5 * (minutes + 1))
