"""A local model in the whole stack: loaded from a folder by the dirty worker, streamed, stopped, several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from e2e.client import asynchronous, chat, stop
from e2e.stack import Stack, http_client

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    from backend.tests.local import tiny

    folder = tiny.save(
        tmp_path_factory.mktemp("model") / "Tiny-Fox-1M", max_position_embeddings=4096
    )
    stack = Stack(model="transformers", transformers_model=folder, transformers_device="cpu")
    yield stack.start()
    stack.stop()


def test_models_tells_of_it(local_stack: Stack) -> None:
    (model,) = http_client.get(f"{local_stack.url}/models").json()["models"]
    assert model["name"] == "Tiny-Fox-1M"
    assert model["context_tokens"] == 4096
    assert model["thinking"] is True


@asynchronous
async def test_several_chats_at_once_are_streamed_and_the_same_as_alone(local_stack: Stack) -> None:
    async def ask(seed: int) -> str:
        answer = await chat(local_stack, "hello", max_tokens=50, temperature=1.0, seed=seed)
        await answer.rest()
        assert (answer.status, answer.error) == (200, None)
        assert answer.finish_reason in ("length", "stop")
        return answer.text

    alone = [await ask(seed) for seed in range(3)]
    assert await asyncio.gather(*map(ask, range(3))) == alone
    assert len(set(alone)) == 3


@asynchronous
async def test_stop_ends_one_answer_and_leaves_the_other(local_stack: Stack) -> None:
    stopped = await chat(local_stack, "hello", max_tokens=3000, temperature=1.0, seed=7)
    other = await chat(local_stack, "hello", max_tokens=60, temperature=1.0, seed=1)
    await stopped.until(lambda answer: len(answer.events) > 5)
    assert await stop(local_stack, stopped.id) in (200, 204)
    await stopped.rest()
    await other.rest()
    assert stopped.done
    assert stopped.finish_reason not in ("stop", "length")
    assert other.finish_reason in ("length", "stop")


@asynchronous
async def test_a_conversation_that_does_not_fit_says_so(local_stack: Stack) -> None:
    answer = await chat(local_stack, "x" * 5000)
    await answer.rest()
    assert answer.error == "prompt_too_long"
