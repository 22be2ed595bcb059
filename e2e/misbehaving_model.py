"""A model that does to its process what the prompt says: what no model should do, and some do.

A prompt `DEED` is done before the first token, in the event loop; `thread DEED` by a synchronous generator. Any other
prompt is said back.
"""

from __future__ import annotations

import asyncio
import locale
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from backend.models import ModelBroken

JOURNAL = Path(os.environ.get("SCRIPT_FOLDER", ""), "journal")
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def note(line: str) -> None:
    with JOURNAL.open("a") as journal:
        journal.write(line + "\n")


def fork() -> None:
    """Go on twice."""
    if os.fork() == 0:
        note(f"child {os.getpid()}")


def fork_and_leave() -> None:
    if os.fork() == 0:
        os._exit(0)


def fork_and_stay() -> None:
    """Leave a child behind that has all files of its parent, and outlives it."""
    if (child := os.fork()) == 0:
        time.sleep(600)
        os._exit(0)
    note(f"child {child}")


def end_a_child() -> None:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    child.terminate()
    child.join(20)
    note(f"ended {child.exitcode}")


def leave_a_program() -> None:
    note(f"child {subprocess.Popen(SLEEPER).pid}")


def change_the_process() -> None:
    os.chdir("/")
    os.environ.clear()
    os.umask(0o777)
    sys.stdout = sys.stderr = None
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    asyncio.set_event_loop(None)
    locale.setlocale(locale.LC_ALL, "C")
    sys.setrecursionlimit(200)
    for name in ("TERM", "INT", "USR2"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, "SIG" + name)])


def print_much() -> None:
    for _ in range(20_000):
        print("much " * 40)


def start_threads() -> None:
    for _ in range(50):
        threading.Thread(target=time.sleep, args=(600,)).start()


def close_files() -> None:
    os.closerange(3, 4096)


def close_links() -> None:
    """Close what are sockets only."""
    for number in range(3, 256):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):  # noqa: PTH115
                os.close(number)
        except OSError:
            continue


def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()


def interrupt() -> None:
    raise KeyboardInterrupt


def leave() -> None:
    sys.exit(1)


def leave_at_once() -> None:
    os._exit(1)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def is_broken() -> None:
    raise ModelBroken


def says_much() -> str:
    return "much " * 2_000_000


DEEDS = {
    deed.__name__: deed
    for deed in (
        fork,
        fork_and_leave,
        fork_and_stay,
        end_a_child,
        leave_a_program,
        change_the_process,
        print_much,
        start_threads,
        close_files,
        close_links,
        stop_the_loop,
        interrupt,
        leave,
        leave_at_once,
        crash,
        is_broken,
        says_much,
    )
}


def do(prompt: str) -> str:
    return (DEEDS[prompt]() or "done") if prompt in DEEDS else prompt


class InLoop:
    async def generate(self, prompt: str) -> AsyncIterator[str]:
        if prompt == "wait":
            yield "begun"
            await asyncio.sleep(600)
        yield do(prompt)
        await asyncio.sleep(0.05)
        yield "!"


class InThread:
    max_running = 4

    def generate(self, prompt: str) -> Iterator[str]:
        if prompt == "wait":
            yield "begun"
            time.sleep(600)
        yield do(prompt)
        time.sleep(0.05)
        yield "!"
