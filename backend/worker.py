"""The gunicorn worker that runs the HTTP side: uvicorn's, with what it lacks for quiet restarts."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from uvicorn_worker import UvicornWorker

from backend.http_protocol import Protocol
from backend.settings import Settings

HEARTBEAT_S = 1.0
# After Ctrl+C, that the engines are given to end their streams, and the clients to take that. A master that was already
# stopping waits for two seconds only, and kills.
ENDING_S = 5.0


class Worker(UvicornWorker):
    """uvicorn under gunicorn."""

    CONFIG_KWARGS = {  # noqa: RUF012 (uvicorn-worker declares it so)
        "loop": "uvloop",
        "http": Protocol,
        "ws": "none",
        "lifespan": "on",
        "server_header": False,
        "proxy_headers": False,  # the application knows whom to believe
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Bare: uvloop would close gunicorn's wrapper a second time, and the log would call that an error.
        self.sockets = [listener.sock for listener in self.sockets]
        Protocol.write_timeout_s = Settings().write_timeout

    def init_signals(self) -> None:
        super().init_signals()
        # Pressed twice, Ctrl+C leaves uvicorn no time to tell the application that it ends. When it has finished it
        # raises the signal once more, and that ends the process.
        signal.signal(signal.SIGINT, _end)

    async def _serve(self) -> None:
        beating = asyncio.create_task(self._beat())
        try:
            await super()._serve()
        finally:
            beating.cancel()

    def _install_sigquit_handler(self) -> None:
        # uvicorn-worker's own handler stops nothing: the master would wait for its time limit, and kill.
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, self._end_soon)

    def _end_soon(self) -> None:
        """Stop as at a Ctrl+C, of which the terminal may have told this process before its master did.

        A second one would make uvicorn cut off what an engine has not ended yet: that comes only after a while.
        """
        signal.raise_signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(ENDING_S, signal.raise_signal, signal.SIGINT)

    async def _beat(self) -> None:
        """Report to the master, also while the last streams of a restart run out, which uvicorn's own report does not.

        Without a master leave: nobody else would ever end this process, and it holds the port.
        """
        while os.getppid() == self.ppid:
            self.notify()  # type: ignore[no-untyped-call]
            await asyncio.sleep(HEARTBEAT_S)
        os.kill(os.getpid(), signal.SIGTERM)


def _end(number: int, _frame: object) -> None:
    from backend import tracing  # this process's own: the module above is as old as the master

    tracing.end()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
