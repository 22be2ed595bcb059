"""A model whose every exception quotes the prompt and the answer, wherever Python reports exceptions."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import AsyncIterator


class Leaky:
    """Raises at the end of each answer, with causes, after all that nobody catches has been raised as well."""

    async def generate(self, prompt: str) -> AsyncIterator[object]:
        answer = f"The answer to {prompt}"
        yield answer
        self._raise_where_nobody_catches(f"{prompt} {answer}")
        logging.getLogger("a.library").warning("a library warns: %s", ValueError(prompt))
        warnings.warn("a warning of a library's", UserWarning, stacklevel=1)
        await asyncio.sleep(0.05)
        if prompt.endswith("item"):
            yield {answer}
        try:
            try:
                int(prompt)
            except ValueError as error:
                error.add_note(answer)
                raise ExceptionGroup(prompt, [KeyError(answer), OSError(28, prompt)]) from error
        except ExceptionGroup:
            raise RuntimeError(prompt)  # noqa: B904 (its context is meant)

    def _raise_where_nobody_catches(self, text: str) -> None:
        async def in_task() -> None:
            raise ValueError(text)

        def in_callback(text: str) -> None:
            raise ValueError(text)

        class Unraisable:
            def __del__(self) -> None:
                raise ValueError(text)

        task = asyncio.create_task(in_task())
        task.add_done_callback(lambda _: None)
        del task
        asyncio.get_running_loop().call_soon(in_callback, text)
        thread = threading.Thread(target=in_callback, args=[text])
        thread.start()
        thread.join()
        unraisable = Unraisable()
        del unraisable
