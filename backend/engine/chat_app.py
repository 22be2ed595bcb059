"""The dirty app: gunicorn's door to the engine.

gunicorn imports this module once, in its master, and every dirty worker inherits it; a reload never replaces it. So it
holds nothing but the door: what is behind it is imported in `init`, in the new process, from the files as they are
then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gunicorn.dirty.app import DirtyApp

from backend import forget_modules

if TYPE_CHECKING:
    from backend.engine.process import EngineProcess


class ChatApp(DirtyApp):
    """The chat as an ordinary dirty app, so that gunicorn's own clients work as well:

        client.stream("backend.engine.chat_app:ChatApp", "generate", "hello")

    HTTP workers do not come this way: they use the engine's link, which serves any number of streams at once.

    This is the app of the first model that `BURBLE_MODEL` names; `ChatApp2` is the second one's, and so on.
    """

    number = 1

    _process: EngineProcess

    def init(self) -> None:
        """Start the engine. Returns at once: the model loads while the engine already answers, and a load that fails
        is tried again there. gunicorn would answer an exception with a thousand new processes.
        """
        forget_modules()
        from backend.engine.process import EngineProcess

        self._process = EngineProcess(self.number)
        self._process.start()

    def generate(self, prompt: str) -> Iterator[str]:
        """Yield the answer's tokens."""
        return self._tokens(prompt, thinking=False)

    def generate_with_thinking(self, prompt: str) -> Iterator[str]:
        """Yield `[thinking`, a `.` for each piece of thought, `]` and two line ends, and then the answer's tokens."""
        return self._tokens(prompt, thinking=True)

    def close(self) -> None:
        """Drain and stop the engine."""
        self._process.stop()

    def _tokens(self, prompt: str, thinking: bool) -> Iterator[str]:
        from backend.link import NOBODY

        request: Any = {
            "messages": [{"role": "user", "content": prompt}],
            "thinking": thinking,
            "resumable": False,
            "sampling": {},
            "queue": True,
            "caller": NOBODY,
        }
        for event in self._process.events(request):
            if "error" in event:
                raise RuntimeError(event["error"])
            if event["token"]:
                yield str(event["token"])


def app_path(number: int) -> str:
    """Return gunicorn's name for the app of the model with this number: 1, 2, 3 … as `BURBLE_MODEL` lists them."""
    return f"{__name__}:{ChatApp.__name__}{'' if number == 1 else number}"


def __getattr__(name: str) -> type[ChatApp]:
    """Make the app of another model when gunicorn looks for it, for a reload may bring more of them."""
    number = name.removeprefix(ChatApp.__name__)
    if number == name or not number.isdecimal():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return type(name, (ChatApp,), {"number": int(number)})
