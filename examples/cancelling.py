"""What Stop does to a model: `finally` runs, where an async generator waits, and at the next `yield` of another.

BURBLE_MODEL=examples.cancelling:Waiting,examples.cancelling:Working uv run just dev
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator


class Waiting:
    async def generate(self, prompt: str) -> AsyncIterator[str]:
        try:
            while True:
                yield "waiting … "
                await asyncio.sleep(1)  # Stop raises CancelledError here, at once
        finally:
            print("Waiting was stopped", flush=True)


class Working:
    def generate(self, prompt: str) -> Iterator[str]:
        results: queue.Queue[str] = queue.Queue()
        stopped = threading.Event()
        worker = threading.Thread(target=self._work, args=(results, stopped))
        worker.start()
        try:
            while True:
                try:
                    yield results.get(timeout=0.1)
                except queue.Empty:
                    yield ""  # goes to nobody; without it Stop would not be noticed before the next result
        finally:
            stopped.set()
            worker.join()
            print("Working was stopped", flush=True)

    def _work(self, results: queue.Queue[str], stopped: threading.Event) -> None:
        while not stopped.wait(1):
            results.put("working … ")
