"""A plug to pull, between a page and its stack."""

from __future__ import annotations

import socket
import threading
import time


class Relay:
    """A plug to pull: passes bytes between any number of clients and a port, until a test cuts or keeps them back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._ends: set[socket.socket] = set()
        self._plugged_in = True
        self._lock = threading.Lock()  # so that who comes in just now is cut as well, or not let in
        self.flaps = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, in the middle of whatever it carries."""
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            shut(end)

    def unplug(self) -> None:
        """Break every connection, and each new one until `plug_in`."""
        with self._lock:
            self._plugged_in = False
        self.cut()

    def plug_in(self) -> None:
        self._plugged_in = True

    def flap(self, times: int) -> None:
        """Break every connection, and so many `times` the next one a moment after it has an answer; then unplug."""
        self.flaps = times
        self.cut()

    def hold(self) -> None:
        """Keep back what the server says until `let_go`."""
        self._flowing.clear()

    def let_go(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        shut(self._listener)
        self._listener.close()
        self.let_go()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            with self._lock:
                if not self._plugged_in:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._port))
                self._ends |= {client, server}
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            threading.Thread(
                target=self._pump, args=(server, client, self._flowing), daemon=True
            ).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, flowing: threading.Event | None = None
    ) -> None:
        with source:  # each end is the source of one direction, which closes it
            try:
                while data := source.recv(65536):
                    if flowing:
                        flowing.wait()
                    sink.sendall(data)
                    if flowing and self.flaps:
                        time.sleep(0.2)
                        with self._lock:
                            if self.flaps:
                                # Who sees that it was the last one may plug in.
                                self._plugged_in = self.flaps > 1
                                self.flaps -= 1
                        break
            except OSError:
                pass  # cut; the other direction hears of it below
            shut(sink)


def shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was shut before
