"""gunicorn's configuration, derived from Burble's settings table (`backend/settings.py`)."""

import contextlib
import os
import resource
import sys
from typing import Any

# A reload executes this file again in the master, which must then see the settings table as it is now.
sys.modules.pop("backend.settings", None)

import backend  # noqa: E402
from backend import keys, logs, reloading, tracing  # noqa: E402
from backend.log_stream import never_block  # noqa: E402
from backend.runtime import METRICS, private_folder, remove_folder  # noqa: E402
from backend.settings import misspelt_variables, read_settings  # noqa: E402

try:
    settings = read_settings()
    keys.check(settings)
    tracing.check(settings)
    runtime_folder = private_folder(settings.runtime_path)
    if settings.closed:
        private_folder(settings.state_path, "BURBLE_STATE_DIR")
except (ValueError, OSError) as error:
    raise SystemExit(f"Burble cannot start:\n{error}") from None

wsgi_app = "backend.app:create_app()"
bind = settings.bind
workers = settings.workers
loglevel = settings.log_level
logconfig_dict = logs.config(settings)

# uvicorn's worker and not gunicorn's own `asgi` one: under it the application notices a client that left at once, and
# its protocol can be told to drop one that does not read (`backend/http_protocol.py`); it is also the cheaper of the
# two here, by about a tenth of the processor time per token.
worker_class = "backend.worker.Worker"
keepalive = 30
# What connects faster than it is taken in waits, instead of trying again after a second; the kernel has its own limit.
backlog = 8192

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

# Each connection is an open file, and a common limit is 1,024; beyond it a worker can only hang up.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))

# Two stacks on one machine must never touch each other. gunicorn finds "its" dirty arbiter by the name of the process
# and the temporary folder, and kills it if it is another stack's (arbiter.py, _cleanup_orphaned_dirty_arbiter).
proc_name = settings.instance
control_socket = str(runtime_folder / "control.sock")
# All processes of this stack look in the folder that was the right one at its start, whatever a reload changes.
os.environ["BURBLE_RUNTIME_DIR"] = str(runtime_folder)
# prometheus_client decides by it, when it is imported, that it counts for all of them together.
metrics_folder = private_folder(runtime_folder / METRICS)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_folder)


def on_starting(arbiter: Any) -> None:
    never_block(arbiter.log.error_log)
    logs.install()
    for count in metrics_folder.iterdir():  # of a stack that was killed
        count.unlink()
    for sentence in misspelt_variables():
        arbiter.log.warning(sentence)
    keys.keep_copy(settings)
    if warning := keys.remark(settings):
        arbiter.log.warning(warning)
    reloading.install_in_master(arbiter)


def on_reload(arbiter: Any) -> None:
    keys.keep_copy(settings)
    reloading.do_not_wait(arbiter)


def on_dirty_starting(dirty_arbiter: Any) -> None:
    reloading.install_in_dirty_arbiter(dirty_arbiter)


def post_fork(_arbiter: Any, _worker: Any) -> None:
    backend.forget_modules()


def on_exit(_arbiter: Any) -> None:
    remove_folder(runtime_folder)


def when_ready(arbiter: Any) -> None:
    host, _, port = settings.bind.rpartition(":")
    host = "localhost" if host in ("", "0.0.0.0", "[::]") else host
    address = f"http://{host}:{port}/"
    if settings.log_format == "json":
        arbiter.log.info("Burble is up: %s", address)
        return
    with contextlib.suppress(OSError):  # a full disk, or a pipe that nobody reads any more
        print(
            f"\n  Burble is up: open {address} in your browser (Ctrl+C stops it)."
            "\n  Whoever asks before the model is loaded waits for it, and is told so.\n",
            flush=True,
        )
