"""A reader of `docs/your-model.md` with a model of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.chat_page import ChatPage
from e2e.stack import ROOT, Stack, free_port, http_client, wait_for

StartStack = Callable[..., Stack]

PAGE = (ROOT / "docs" / "your-model.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_class_that_the_page_begins_with_answers(
    start_stack: StartStack, open_chat: Callable[..., ChatPage]
) -> None:
    indented = re.search(r"^   ```python\n(.*?)^   ```$", PAGE, re.DOTALL | re.MULTILINE)
    assert indented
    code = re.sub("^   ", "", indented[1], flags=re.MULTILINE)

    def save(stack: Stack) -> None:
        (stack.folder / "my_model.py").write_text(code, encoding="utf-8")

    stack = start_stack(model="my_model:Echo", before=save)
    chat = open_chat(stack.url)
    chat.send("Hello there")
    chat.wait_answer("You said: Hello there")


@pytest.mark.long
def test_why_a_model_cannot_be_loaded_is_said(start_stack: StartStack) -> None:
    stack = start_stack(model="my_modle:Echo", ready=False)
    reason: Any = ""
    while "ModuleNotFoundError" not in reason:
        reason = http_client.get(stack.url + "/health/ready").json().get("detail", "")
    assert f"There is no my_modle.py in {stack.folder}, where README.md lies" in reason


def ask(url: str) -> str:
    """Return the answer, or nothing as long as nobody is there to give one."""
    try:
        answer = http_client.post(url + "/chat/sync", json={"prompt": "you"}).json()
    except httpx.TransportError:
        return ""
    return str(answer.get("response", ""))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, whose recipes find their programs in this environment."""
    ignore = shutil.ignore_patterns("tests", "__pycache__")
    for name in ("backend", "frontend"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    for name in ("Justfile", "gunicorn_conf.py"):
        shutil.copy(ROOT / name, tmp_path)
    # In the place of uv: all that it does here is to start a program of the environment.
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\nshift 2  # run --quiet\nexec "$@"\n')
    uv.chmod(0o755)
    return tmp_path


@pytest.fixture
def developing(project: Path) -> Iterator[str]:
    """`just dev` with `my_model:Model`; yields its address."""
    port = free_port()
    (project / "my_model.py").write_text(saying("Hello "))
    programs = Path(sys.executable).parent
    process = subprocess.Popen(
        [programs / "just", "dev"],
        cwd=project,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "UV": str(project / "uv"),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "BURBLE_MODEL": "my_model:Model",
            "BURBLE_BIND": f"127.0.0.1:{port}",
            "BURBLE_RUNTIME_DIR": str(project / "run"),
        },
        start_new_session=True,
    )
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)


def saying(greeting: str) -> str:
    return (
        f"class Model:\n    def generate(self, prompt):\n        yield {greeting!r}\n"
        "        yield prompt\n"
    )


@pytest.mark.long
def test_a_model_that_is_saved_is_taken_up_however_it_is_saved(
    project: Path, developing: str
) -> None:
    wait_for(lambda: ask(developing) == "Hello you", "the first model", 120)
    for greeting in ("Good morning ", "Good evening "):
        # As many editors save: a new file takes the place of the old one.
        (project / "saved").write_text(saying(greeting))
        (project / "saved").replace(project / "my_model.py")
        wait_for(lambda greeting=greeting: ask(developing) == greeting + "you", greeting, 120)  # type: ignore[misc]
