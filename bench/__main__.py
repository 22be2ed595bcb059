"""`python -m bench`: what a token and a stream cost, Burble beside two others, as a Markdown table.

All columns come from one run on one machine, each from fresh processes, in turns; a ratio within a run says more than
a number of one machine. It takes about five minutes; `--quick` shows in less than one that everything works.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench import proc
from bench.contenders import (
    BURBLE,
    CONTENDERS,
    PLAIN_FASTAPI,
    ROOT,
    Contender,
    ContenderFailed,
    Server,
    serve,
)
from bench.load import Report, percentile

TOKENS_PER_S = 20
DELAY_MS = 1000 / TOKENS_PER_S
MAX_GAP_MS = 100.0
MAX_RUNNING = 5000
OPEN_PER_S = 500
WARM_UP_STREAMS = 50
BUSY_LOAD_SHARE = 0.9  # of a core: from here on the load generator may be what is measured
BUSY_OTHERS_SHARE = 0.15  # of a core: from here on something else disturbs
PACKAGES = ("gunicorn", "uvicorn", "uvicorn-worker", "fastapi", "starlette", "uvloop", "httptools")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. Times are in seconds."""

    few: int = 300  # paced streams
    many: int = 1000
    most: int = 4000  # where the search for the largest number ends
    step: int = 250  # how exactly it is searched
    search_s: float = 60.0  # after so long no further number is tried
    window_s: float = 6.0
    probe_window_s: float = 4.0
    paced_words: int = 320  # 16 s: longer than opening `most` streams and a window
    flat_out_streams: int = 50
    flat_out_words: int = 20_000
    requests: int = 50  # one after the other
    bursts: int = 5  # of `few` requests at once


QUICK = Plan(
    few=50,
    many=100,
    most=200,
    step=100,
    window_s=1.0,
    probe_window_s=1.0,
    paced_words=60,
    flat_out_streams=10,
    flat_out_words=2000,
    requests=10,
    bursts=2,
)

Results = dict[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the key of its result, its label and how its number is written."""

    key: str
    label: str
    write: Callable[[float], str]
    with_ratio: bool = True


def decimal(value: float) -> str:
    return f"{value:,.1f}"


def whole(value: float) -> str:
    return f"{value:,.0f}"


def rows(plan: Plan) -> list[Row]:
    few, many = f"{plan.few:,}", f"{plan.many:,}"
    many_paced = f"{many} × {TOKENS_PER_S} tokens/s"
    model_s = f"{DELAY_MS:.0f} of them the model's"
    held = f"streams held at {TOKENS_PER_S} tokens/s, p99 gap under {MAX_GAP_MS:.0f} ms"
    return [
        Row("cpu few", f"processor time per token, {few} × {TOKENS_PER_S} tokens/s (µs)", decimal),
        Row("cpu many", f"processor time per token, {many_paced} (µs)", decimal),
        Row("flat out", f"{plan.flat_out_streams} streams without a pause (tokens/s)", whole),
        Row("first one p50", "first token, one request at a time, p50 (ms)", decimal),
        Row("first one p99", "first token, one request at a time, p99 (ms)", decimal),
        Row("first burst p50", f"first token, {few} requests at once, p50 (ms)", decimal),
        Row("first burst p99", f"first token, {few} requests at once, p99 (ms)", decimal),
        Row("first many p99", f"first token, {many_paced}, p99 (ms, {model_s})", decimal),
        Row("gap many p99", f"gap between tokens, {many_paced}, p99 (ms, {model_s})", decimal),
        Row("lost many", f"lost tokens, {many_paced}", whole, with_ratio=False),
        Row("memory", f"memory per open stream, {many} streams (KiB)", decimal),
        Row("held", f"{held} (at most {plan.most:,} tried)", whole),
    ]


class Bench:
    """Measures one contender after the other and keeps what it found, and what there is to doubt."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self.results: dict[str, Results] = {contender.name: {} for contender in CONTENDERS}
        self.warnings: list[str] = []
        self.other_shares: list[float] = []
        self.load_shares: dict[str, float] = {contender.name: 0.0 for contender in CONTENDERS}

    def run(self) -> None:
        """Measure everything; each kind of measurement for all contenders before the next kind."""
        for measure in (self._first_tokens, self._flat_out, self._paced):
            for contender in CONTENDERS:
                measure(contender)
        disturbed = [share for share in self.other_shares if share >= BUSY_OTHERS_SHARE]
        if disturbed:
            self.warnings.append(
                f"In {len(disturbed)} of {len(self.other_shares)} runs at a fixed pace other programs used the machine"
                f" too, up to {max(disturbed):.0%} of a core: repeat this on a quiet machine."
            )

    def _first_tokens(self, contender: Contender) -> None:
        plan, results = self._plan, self.results[contender.name]
        reply = self._reply(20)
        with serve(contender, reply, 0, MAX_RUNNING) as server:
            self._load(
                contender, "warm-up", server, reply, streams=WARM_UP_STREAMS, to_the_end=True
            )
            one = self._load(
                contender, "single requests", server, reply, repeat=plan.requests, to_the_end=True
            )
            burst = self._load(
                contender,
                "bursts",
                server,
                reply,
                streams=plan.few,
                repeat=plan.bursts,
                to_the_end=True,
            )
        for name, report in (("first one", one), ("first burst", burst)):
            results[f"{name} p50"] = percentile(report.first_token_ms, 0.5)
            results[f"{name} p99"] = percentile(report.first_token_ms, 0.99)

    def _flat_out(self, contender: Contender) -> None:
        reply = self._reply(self._plan.flat_out_words)
        with serve(contender, reply, 0, MAX_RUNNING) as server:
            report = self._load(
                contender,
                "without a pause",
                server,
                reply,
                streams=self._plan.flat_out_streams,
                to_the_end=True,
            )
        self.results[contender.name]["flat out"] = report.tokens_per_s

    def _paced(self, contender: Contender) -> None:
        plan, results = self._plan, self.results[contender.name]
        reply = self._reply(plan.paced_words)
        with serve(contender, reply, DELAY_MS, MAX_RUNNING) as server:
            # A small warm-up: after one of full size the allocator would hold in stock what is to be seen.
            self._load(
                contender,
                "warm-up",
                server,
                reply,
                streams=WARM_UP_STREAMS,
                open_per_second=OPEN_PER_S,
                window=1,
            )
            self._wait_until_idle(contender, server)
            idle_bytes = proc.anonymous_bytes(server.session)
            many = self._load(
                contender,
                f"{plan.many:,} paced streams",
                server,
                reply,
                streams=plan.many,
                open_per_second=OPEN_PER_S,
                window=plan.window_s,
                to_the_end=True,
            )
            results["cpu many"] = many.server_cpu_s / many.window_tokens * 1e6
            results["memory"] = (many.server_anonymous_bytes - idle_bytes) / plan.many / 1024
            results["first many p99"] = percentile(many.first_token_ms, 0.99)
            results["gap many p99"] = many.window_gaps_ms[1]
            results["lost many"] = many.lost_tokens
            self._wait_until_idle(contender, server)
            few = self._load(
                contender,
                f"{plan.few:,} paced streams",
                server,
                reply,
                streams=plan.few,
                open_per_second=OPEN_PER_S,
                window=plan.window_s,
            )
            results["cpu few"] = few.server_cpu_s / few.window_tokens * 1e6
            results["held"] = self._search_held(
                contender, server, reply, plan.many if self._is_held(many) else 0
            )

    def _search_held(self, contender: Contender, server: Server, reply: Path, held: int) -> int:
        """Double the number of streams until they are not held, then halve the interval."""
        plan = self._plan
        too_many: int | None = None if held else plan.many
        deadline = time.monotonic() + plan.search_s
        while time.monotonic() < deadline:
            tried = min(2 * held, plan.most)
            if too_many is not None:
                tried = (held + too_many) // 2 // plan.step * plan.step
            if tried in (held, 0):
                break
            self._wait_until_idle(contender, server)
            report = self._load(
                contender,
                f"{tried:,} streams tried",
                server,
                reply,
                streams=tried,
                open_per_second=OPEN_PER_S,
                window=plan.probe_window_s,
                may_fail=True,
            )
            if self._is_held(report):
                held = tried
            else:
                too_many = tried
        return held

    def _is_held(self, report: Report) -> bool:
        return not (report.failures or report.lost_tokens or report.silent_streams) and (
            report.window_tokens > 0 and report.window_gaps_ms[1] < MAX_GAP_MS
        )

    def _load(
        self,
        contender: Contender,
        what: str,
        server: Server,
        reply: Path,
        *,
        streams: int = 1,
        repeat: int = 1,
        open_per_second: int = 0,
        window: float = 0,
        to_the_end: bool = False,
        may_fail: bool = False,
    ) -> Report:
        """Run the load generator. Raises `ContenderFailed` when nothing useful came of it."""
        command = [
            sys.executable,
            "-m",
            "bench.load",
            str(server.port),
            str(server.session),
            "--reply",
            str(reply),
        ]
        command += [
            "--streams",
            str(streams),
            "--repeat",
            str(repeat),
            "--open-per-second",
            str(open_per_second),
        ]
        command += ["--window", str(window), *(["--to-the-end"] if to_the_end else [])]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        report = Report(**json.loads(done.stdout))
        self._note(contender, what, report, may_fail)
        nothing = not report.first_token_ms or (window and not report.window_tokens)
        if nothing and not may_fail:
            raise ContenderFailed(f"{contender.name}, {what}: no token came: {report.failures}")
        return report

    def _note(self, contender: Contender, what: str, report: Report, may_fail: bool) -> None:
        where = f"{contender.name}, {what}"
        gaps = f", p99 gap {report.window_gaps_ms[1]:.0f} ms" if report.window_tokens else ""
        print(
            f"{where}: {report.failures or 'all well'}{gaps}, load {report.load_cpu_share:.0%}",
            file=sys.stderr,
        )
        self.load_shares[contender.name] = max(
            self.load_shares[contender.name], report.load_cpu_share
        )
        if report.failures and not may_fail:
            self.warnings.append(
                f"{where}: of {report.streams:,} streams failed {report.failures}."
            )
        if report.load_cpu_share >= BUSY_LOAD_SHARE:
            self.warnings.append(
                f"{where}: the load generator used {report.load_cpu_share:.0%} of a core, so it bounds this number."
            )
        if report.window_s:
            self.other_shares.append(report.other_cpu_share)

    def _wait_until_idle(self, contender: Contender, server: Server) -> None:
        """Wait until the server uses less than a twentieth of a core: until it has let go of what was closed."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            before = sum(proc.cpu_seconds(server.session).values())
            time.sleep(0.4)
            if sum(proc.cpu_seconds(server.session).values()) - before <= 0.02:
                return
        self.warnings.append(f"{contender.name}: still busy 10 s after all streams were closed.")

    def _reply(self, words: int) -> Path:
        """Write the text that models answer with: numbered words, so that a lost or a doubled one shows."""
        path = self._folder / f"{words}.txt"
        path.write_text(" ".join(f"word{number:05}" for number in range(words)))
        return path


def table(bench: Bench, plan: Plan) -> str:
    """Return the results as Markdown, with what must be known to read them."""
    names = [contender.name for contender in CONTENDERS]
    lines = [
        f"| | {' | '.join(f'**{name}**' if name == BURBLE.name else name for name in names)} | Burble / plain |"
    ]
    lines.append("|---" * (len(names) + 2) + "|")
    for row in rows(plan):
        values = [bench.results[name][row.key] for name in names]
        burble, plain = (
            bench.results[BURBLE.name][row.key],
            bench.results[PLAIN_FASTAPI.name][row.key],
        )
        ratio = f"{burble / plain:.2f}" if row.with_ratio and plain else ""
        lines.append(
            f"| {row.label} | {' | '.join(row.write(value) for value in values)} | {ratio} |"
        )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in bench.load_shares.items())
    return "\n".join(
        [
            *lines,
            "",
            "- **Burble**: the whole stack, two HTTP workers and one dirty worker, with its logs, resuming and limits."
            f" BURBLE_MAX_RUNNING={MAX_RUNNING} for the last row, everything else by default.",
            "- **plain FastAPI**: the same model in a `StreamingResponse`, one uvicorn process (uvloop, httptools, no"
            " access log), so one core at most.",
            "- **bare uvloop**: one process, a protocol that writes ready bytes at the same pace and parses nothing;"
            " without a pause, 1,000 tokens to a write.",
            "- Processor time is user and system time of all of a server's processes in the steady state.",
            f"- The model pauses {DELAY_MS:.0f} ms before each word where it says {TOKENS_PER_S} tokens/s, elsewhere"
            " not at all. Times to the first token include connecting.",
            "- Memory is anonymous memory (Pss_Anon) with all streams open, about"
            f" {TOKENS_PER_S * (plan.window_s + 2):.0f} tokens each, above idle; the kernel's buffers are not in it.",
            "- A gap is the time between two reads that brought a token. In every run the text of every stream is"
            " compared with the reply.",
            "- The load generator is one more process on the same machine. It used at most this much of a core:"
            f" {shares}.",
            *(f"- ⚠ {warning}" for warning in bench.warnings),
            "",
            machine(),
        ]
    )


def machine() -> str:
    """Name the machine and the versions of what was measured."""
    models = [
        line
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{model}, {os.cpu_count()} cores, {system}, {versions}."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: small numbers, which mean little"
    )
    plan = QUICK if parser.parse_args().quick else Plan()
    # A kill, like Ctrl-C, unwinds the stack, and with it every process that was started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="burble-bench-") as folder:
        bench = Bench(plan, Path(folder))
        try:
            bench.run()
        except ContenderFailed as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    print(table(bench, plan))
    print(f"({time.monotonic() - started:.0f} s)", file=sys.stderr)
    return 1 if bench.results[BURBLE.name]["lost many"] else 0


if __name__ == "__main__":
    sys.exit(main())
