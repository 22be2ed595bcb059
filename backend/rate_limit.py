"""How much one account may ask for: questions a minute, generations at once, and tokens in 24 hours.

All three are checked in one transaction over all processes (`backend/shared_counts.py`), before an engine hears of the
question; one that they refuse counts for nothing. Where no limit is set nothing is done, and no file made.

- Questions are counted in a moving window of a minute, once the rest of the request is found valid.
- A generation holds its place from then on until its log ends, waiting in line and nobody reading it included.
- Tokens are charged when a generation ends, however it does, as its last event tells them. So those that run last may
  use more than was left. The 24 hours begin with the first tokens, and again with the first after them.

Answers say what is left, by draft-ietf-httpapi-ratelimit-headers-11 (sections 3 and 4); its registry of units has none
for tokens, so that one is ours:

    RateLimit-Policy: "minute";q=20;w=60, "concurrent";q=3;qu="concurrent-requests", "tokens";q=9000;w=86400;qu="tokens"
    RateLimit: "minute";r=19;t=60, "concurrent";r=2, "tokens";r=8770;t=4711
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from limits import RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from backend.engine_client import EngineClient, Stream
from backend.errors import BurbleError, RateLimited, TokensUsedUp, TooManyGenerations
from backend.leases import DAY_S, Leases, Settlement, tokens_key
from backend.link import GenerationRequest
from backend.settings import Settings
from backend.shared_counts import SharedCounts

# A generation's place is free a moment after its last event has gone out, and who was waiting for that may be faster:
# it is looked for again after each of these, the second of which is for machines that are busy.
MOMENTS_S = (0.03, 0.3)
MINUTE_S = 60
GUESS_S = 2  # after which who has too many at once may try again: nobody knows when one ends
FLUSH_S = 2.0  # that writing may take: what a worker that leaves has not written yet, and that a place was not used


class Started(NamedTuple):
    """A generation that was admitted and has begun, and what its answer's headers tell of the limits."""

    stream: Stream
    headers: Mapping[str, str]


class Limit(NamedTuple):
    """One limit of one account as it stands: what is left, and for how many seconds that is all; None: nobody knows."""

    name: str
    left: int
    reset_s: int | None
    error: type[RateLimited]

    def __str__(self) -> str:
        item = f'"{self.name}";r={self.left}'
        return item if self.reset_s is None else f"{item};t={self.reset_s}"


class RateLimits:
    """The limits of one HTTP worker's settings. Its methods belong to the event loop."""

    def __init__(self, settings: Settings, counts: SharedCounts) -> None:
        self._per_minute = settings.limit_requests_per_minute
        self._at_once = settings.limit_concurrent_generations
        self._tokens = settings.limit_tokens_per_day
        self._policy = ", ".join(
            policy
            for limit, policy in (
                (self._per_minute, f'"minute";q={self._per_minute};w={MINUTE_S}'),
                (self._at_once, f'"concurrent";q={self._at_once};qu="concurrent-requests"'),
                (self._tokens, f'"tokens";q={self._tokens};w={DAY_S};qu="tokens"'),
            )
            if limit
        )
        self._counts = counts
        self._leases = Leases(self._counts)
        self._settlement = Settlement(self._counts)
        self._minute = MovingWindowRateLimiter(self._counts)
        self._item = RateLimitItemPerMinute(self._per_minute or 1, namespace="questions")
        # One: threads would only wait for each other, and a disk that hangs would take more of them.
        self._thread = ThreadPoolExecutor(1, "limits")

    async def start(self, engines: EngineClient, request: GenerationRequest) -> Started:
        """Start a generation, if its account may have one more.

        Raises `RateLimited`, `TooManyGenerations`, `TokensUsedUp`, `CountsUnavailable`, and what `engines.start` does.
        """
        if not self._policy:
            return Started(await engines.start(request), {})
        caller = request["caller"]
        lease, headers = await self.admit(caller["account"])
        try:
            stream = await engines.start({**request, "caller": {**caller, "lease": lease}})
        except BaseException as error:
            # Where an engine has accepted it all the same, it is the engine's by now, or will be.
            if lease:
                self._settlement.refused(lease)
                if isinstance(
                    error, BurbleError
                ):  # who hears that it is refused may ask again at once
                    await asyncio.to_thread(self._settlement.flush, FLUSH_S)
            raise
        if lease:
            self._settlement.handed_over(lease, stream.engine_pid)
        return Started(stream, headers)

    async def admit(self, account: str) -> tuple[str, dict[str, str]]:
        """Count one more question of this account, and return its lease and what headers tell of the limits then.

        Whoever gets a lease has to hand it to an engine. Raises `RateLimited` and its kin, or `CountsUnavailable`.
        """
        loop = asyncio.get_running_loop()
        lease, limits = await loop.run_in_executor(self._thread, self._admit, account)
        for moment_s in MOMENTS_S:
            if lease is not None or {limit.name for limit in _used_up(limits)} != {"concurrent"}:
                break
            await asyncio.sleep(moment_s)
            lease, limits = await loop.run_in_executor(self._thread, self._admit, account)
        headers = {"RateLimit-Policy": self._policy, "RateLimit": ", ".join(map(str, limits))}
        if lease is None:
            # The one that lasts longest: before that is over nothing else helps.
            worst = max(_used_up(limits), key=lambda limit: limit.reset_s or 0)
            raise worst.error(retry_after=worst.reset_s or GUESS_S, headers=headers)
        return lease, headers

    async def close(self) -> None:
        """Write what is not written yet."""
        await asyncio.to_thread(self._settlement.close, FLUSH_S)
        self._thread.shutdown(wait=False)

    def _admit(self, account: str) -> tuple[str | None, list[Limit]]:
        """Count one more question in one transaction, and return its lease; None when it is refused."""
        with self._counts.transaction() as (_, now):
            limits = self._limits(account, now)
            if _used_up(limits):
                return None, limits
            if self._per_minute:
                self._minute.hit(self._item, account)
            # Tokens are charged by it as well.
            lease = self._leases.take(account) if self._at_once or self._tokens else ""
        return lease, [
            limit if limit.name == "tokens" else limit._replace(left=limit.left - 1)
            for limit in limits
        ]

    def _limits(self, account: str, now: float) -> list[Limit]:
        """Return how each limit stands."""
        limits = []
        if self._per_minute:
            reset, left = self._minute.get_window_stats(self._item, account)
            limits.append(Limit("minute", left, _whole_s(reset - now), RateLimited))
        if self._at_once:
            left = max(0, self._at_once - self._leases.count(account, self._at_once))
            limits.append(Limit("concurrent", left, None, TooManyGenerations))
        if self._tokens:
            key = tokens_key(account)
            used = self._counts.get(key)
            reset_s = _whole_s(self._counts.get_expiry(key) - now) if used else DAY_S
            limits.append(Limit("tokens", max(0, self._tokens - used), reset_s, TokensUsedUp))
        return limits


def _used_up(limits: list[Limit]) -> list[Limit]:
    return [limit for limit in limits if not limit.left]


def _whole_s(seconds: float) -> int:
    """Round up: who waits that long is not early."""
    return max(1, math.ceil(seconds))
