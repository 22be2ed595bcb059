"""`python -m bench.page`: what it costs a browser to show a long answer while it is written, as a Markdown table.

An answer arrives four tokens a frame in the page's own layout, and the processor time of the page's main thread is
taken: for Burble's renderer; for the floor, which shows every complete line as a block of plain text; and for what one
writes first, all of the text again through `marked` and `innerHTML` in each frame. Contenders take turns and the
median counts, since the machine may have other things to do. Then the real page at the real stack: how long after the
last token the end of the answer is on the screen. All of it takes half an hour; `--quick` shows in a minute or two that
everything works.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.__main__ import machine
from bench.page import answer, turns
from bench.page.marked import VERSION, MarkedUnavailable, module
from bench.page.stage import TOKENS_PER_FRAME, Cost, perform
from bench.page.turns import Turn
from e2e import browser


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. Sizes are in tokens; a longer answer costs on its way what a shorter one costs in all."""

    text: tuple[int, ...] = (2000, 5000, 10_000, 20_000)
    code: tuple[int, ...] = (2000, 20_000)
    naive: int = 5000  # beyond it, a run of the naive way takes minutes
    repeat: int = 3
    turn_tokens: int = turns.TOKENS
    turns: int = 5


QUICK = Plan(text=(500, 1000), code=(1000,), naive=500, repeat=1, turn_tokens=300, turns=2)


class Bench:
    """Runs all contenders; results are the medians of their runs."""

    def __init__(self, plan: Plan, with_naive: bool) -> None:
        self._plan = plan
        self._with_naive = with_naive
        self._executable = browser.ensure()
        self.costs: dict[tuple[str, str], list[Cost]] = {}  # by text and contender
        self.removed: dict[str, float] = {}  # by text: nodes that Burble takes out per token
        self.turns: list[Turn] = []

    def measure_text(self) -> None:
        self._measure("text", answer.answer, self._plan.text, "textFloor")

    def measure_code(self) -> None:
        self._measure("code", answer.code, self._plan.code, "codeFloor")

    def measure_turns(self) -> None:
        print("the real page", file=sys.stderr)
        self.turns = turns.run(self._executable, self._plan.turn_tokens, self._plan.turns)

    def ms(self, text: str, contender: str, size: int) -> float | None:
        """Return what this many tokens cost, or None where that was not measured."""
        costs = [cost.ms[size] for cost in self.costs.get((text, contender), ()) if size in cost.ms]
        return statistics.median(costs) if costs else None

    def _measure(
        self, text: str, write: Callable[[int], list[str]], sizes: Sequence[int], floor: str
    ) -> None:
        tokens = write(max(sizes))
        for number in range(self._plan.repeat):
            in_turn = ["burble", floor] if number % 2 == 0 else [floor, "burble"]
            for contender in in_turn:
                self._perform(text, contender, tokens, sizes)
            if self._with_naive and text == "text":
                few = [size for size in sizes if size <= self._plan.naive]
                self._perform(text, "naive", tokens[: max(few)], few)
        counted = perform(self._executable, "burble", tokens, [max(sizes)], counting=True)
        self.removed[text] = counted.removed / len(tokens)

    def _perform(
        self, text: str, contender: str, tokens: Sequence[str], sizes: Sequence[int]
    ) -> None:
        started = time.monotonic()
        cost = perform(self._executable, contender, tokens, sizes)
        self.costs.setdefault((text, contender), []).append(cost)
        said = ", ".join(f"{size:,}: {ms:,.0f} ms" for size, ms in cost.ms.items())
        print(f"{text}, {contender}: {said} ({time.monotonic() - started:.0f} s)", file=sys.stderr)


def table(bench: Bench, plan: Plan) -> str:
    """Return the results as Markdown, with what must be known to read them."""
    lines = []
    if bench.costs:
        lines += [
            "| answer | tokens | **Burble** (ms) | a token (µs) | floor (ms) | Burble / floor | marked (ms)"
            " | marked / Burble |",
            "|---" * 8 + "|",
            *_cost_rows(bench, "text", plan.text, "textFloor"),
            *_cost_rows(bench, "code", plan.code, "codeFloor"),
            "",
            *_growth(bench, plan.text),
            *(
                f"- Nodes that Burble takes out of the document, per token of {text}: {removed:.3f}."
                for text, removed in bench.removed.items()
            ),
            f"- Processor time of the page's main thread, {TOKENS_PER_FRAME} tokens a frame, following the end; the"
            f" median of {plan.repeat} run(s), in turns.",
            "- **floor**: every complete line as a block of plain text (in code: as a piece of text), in groups of 32.",
            f"- **marked**: all of the text again through marked {VERSION} and `innerHTML`, in each frame.",
        ]
    if bench.turns:
        lines += [
            "",
            "| turn | last section on the screen after the last token (ms) | main thread (µs/token) |",
            "|---|---|---|",
            *(
                f"| {number} | {turn.shown_after_ms:.0f} | {turn.main_thread_ms / plan.turn_tokens * 1000:.0f} |"
                for number, turn in enumerate(bench.turns, 1)
            ),
            "",
            f"- The real page at the real stack, one conversation: answers of {plan.turn_tokens:,} tokens at"
            f" {turns.TOKENS_PER_S} tokens/s.",
        ]
    return "\n".join([*lines, "", machine()])


def _cost_rows(bench: Bench, text: str, sizes: Sequence[int], floor_name: str) -> list[str]:
    rows = []
    for size in sizes:
        burble, floor = bench.ms(text, "burble", size), bench.ms(text, floor_name, size)
        naive = bench.ms(text, "naive", size)
        if burble is None or floor is None:
            continue
        cells = [
            text,
            f"{size:,}",
            f"{burble:,.0f}",
            f"{burble / size * 1000:.0f}",
            f"{floor:,.0f}",
        ]
        cells.append(f"{burble / floor:.2f}")
        cells += [f"{naive:,.0f}", f"{naive / burble:.1f}"] if naive else ["", ""]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _growth(bench: Bench, sizes: Sequence[int]) -> list[str]:
    """Say how much more a token costs in a long answer than in a short one."""
    said = []
    for name, contender in (("Burble", "burble"), ("the floor", "textFloor")):
        short = bench.ms("text", contender, min(sizes))
        long = bench.ms("text", contender, max(sizes))
        if short and long:
            said.append(f"{name} {(long / max(sizes)) / (short / min(sizes)):.2f}")
    if not said:
        return []
    return [f"- A token of {max(sizes):,}, against one of {min(sizes):,}: {', '.join(said)}."]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: the numbers mean little"
    )
    parser.add_argument(
        "--only",
        choices=("text", "code", "turns"),
        action="append",
        help="one part; may be repeated",
    )
    parser.add_argument("--repeat", type=int, help="runs of each contender")
    parser.add_argument(
        "--naive", type=int, metavar="TOKENS", help="the longest answer that marked is given"
    )
    arguments = parser.parse_args()
    changed = {
        name: value
        for name in ("repeat", "naive")
        if (value := getattr(arguments, name)) is not None
    }
    plan = replace(QUICK if arguments.quick else Plan(), **changed)
    parts = arguments.only or ["text", "code", "turns"]
    # A kill, like Ctrl-C, unwinds the stack, and with it every process that was started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    bench = Bench(plan, with_naive="text" in parts and _has_marked())
    try:
        if "text" in parts:
            bench.measure_text()
        if "code" in parts:
            bench.measure_code()
        if "turns" in parts:
            bench.measure_turns()
    except KeyboardInterrupt:
        return 130
    print(table(bench, plan))
    return 0


def _has_marked() -> bool:
    try:
        module()
    except MarkedUnavailable as error:
        print(f"Without the naive way, for want of marked: {error}.", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
