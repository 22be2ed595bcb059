"""gunicorn's configuration, derived from Burble's settings table (`backend/settings.py`)."""

import os
import sys
from typing import Any

# A reload executes this file again in the master, which must then see the settings table as it is now.
sys.modules.pop("backend.settings", None)

import backend  # noqa: E402
from backend import reloading  # noqa: E402
from backend.runtime import private_folder, remove_folder  # noqa: E402
from backend.settings import misspelt_variables, read_settings  # noqa: E402

try:
    settings = read_settings()
except ValueError as error:
    raise SystemExit(f"Burble cannot start:\n{error}") from None

wsgi_app = "backend.app:create_app()"
bind = settings.bind
workers = settings.workers
loglevel = settings.log_level

# uvicorn's worker and not gunicorn's own `asgi` one: under it the application notices a client that left at once, and
# its protocol can be told to drop one that does not read (`backend/worker.py`); it is also the cheaper of the two here,
# by about a tenth of the processor time per token.
worker_class = "backend.worker.Worker"
keepalive = 30

# An app for each model, and to each app workers of its own (`backend/reloading.py`, `next_app`).
dirty_apps = reloading.dirty_apps(settings)
dirty_workers = sum(model.workers for model in settings.models)
# The engine has its own watchdog for each generation (`dirty_timeout`). gunicorn's kills the whole worker when its main
# thread is silent, so it has to be the slower of the two.
dirty_timeout = max(60, int(settings.dirty_timeout) + 30)
# Everything nests: the engine finishes or ends its streams, closes the model, and then the HTTP workers, which relay
# these streams, have nothing left to wait for.
dirty_graceful_timeout = reloading.dirty_graceful_timeout(settings)
graceful_timeout = dirty_graceful_timeout + 4

# Two stacks on one machine must never touch each other. gunicorn finds "its" dirty arbiter by the name of the process
# and the temporary folder, and kills it if it is another stack's (arbiter.py, _cleanup_orphaned_dirty_arbiter).
proc_name = settings.instance
runtime_folder = private_folder(settings.runtime_path)
control_socket = str(runtime_folder / "control.sock")
# All processes of this stack look in the folder that was the right one at its start, whatever a reload changes.
os.environ["BURBLE_RUNTIME_DIR"] = str(runtime_folder)


def on_starting(arbiter: Any) -> None:
    for sentence in misspelt_variables():
        arbiter.log.warning(sentence)
    reloading.install_in_master(arbiter)


def on_reload(arbiter: Any) -> None:
    reloading.do_not_wait(arbiter)


def on_dirty_starting(dirty_arbiter: Any) -> None:
    reloading.install_in_dirty_arbiter(dirty_arbiter)


def post_fork(_arbiter: Any, _worker: Any) -> None:
    backend.forget_modules()


def on_exit(_arbiter: Any) -> None:
    remove_folder(runtime_folder)


def when_ready(_arbiter: Any) -> None:
    host, _, port = settings.bind.rpartition(":")
    host = "localhost" if host in ("", "0.0.0.0", "[::]") else host
    print(
        f"\n  Burble is ready: open http://{host}:{port}/ in your browser (Ctrl+C stops it)\n",
        flush=True,
    )
