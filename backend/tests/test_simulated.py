from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.models import Delta, End
from backend.models.simulated import (
    CODE,
    EXPLANATION,
    GREETING,
    OTHERWISE,
    STREAMING,
    SimulatedModel,
)
from backend.settings import Settings

pytestmark = pytest.mark.anyio

Ask = Callable[..., Any]


@pytest.fixture
def ask(make_settings: Callable[..., Settings]) -> Ask:
    async def ask(prompt: str, reply_file: Path | None = None, **keywords: Any) -> list[Any]:
        settings = make_settings(
            simulated_min_delay_ms=0, simulated_max_delay_ms=0, simulated_reply_file=reply_file
        )
        model = SimulatedModel(settings)
        model.init()
        try:
            items = model.generate([{"role": "user", "content": prompt}], **keywords)
            return [item async for item in items]
        finally:
            model.close()

    return ask


@pytest.mark.parametrize(
    ("prompt", "reply"),
    [
        ("hello", GREETING),
        ("Hi there", GREETING),
        ("well, HEY!", GREETING),
        ("explain this", EXPLANATION),
        ("What is streaming?", STREAMING),
        ("some code, please", CODE),
    ],
)
async def test_a_keyword_chooses_the_answer_and_the_tokens_join_to_it(
    ask: Ask, prompt: str, reply: str
) -> None:
    tokens = await ask(prompt)
    assert "".join(tokens) == reply
    assert len(tokens) > 30


@pytest.mark.parametrize(
    "prompt",
    ["this", "what is the ship", "they", "shellos", "unexplained", "upstreaming", "decode"],
)
async def test_a_keyword_inside_another_word_is_none(ask: Ask, prompt: str) -> None:
    assert "".join(await ask(prompt)) == OTHERWISE.replace("{prompt}", prompt)


async def test_a_token_is_a_word_with_the_white_space_after_it(ask: Ask) -> None:
    tokens = await ask("hello")
    assert tokens[:3] == ["Hello! ", "I'm ", "a "]
    for token in tokens:
        assert token.strip()
        assert not token[0].isspace()


async def test_the_greeting_introduces_a_simulation(ask: Ask) -> None:
    assert "".join(await ask("hi")).startswith("Hello! I'm a simulated AI assistant")


async def test_the_answer_about_code_holds_code_that_compiles(ask: Ask) -> None:
    _, fenced, after = "".join(await ask("code")).split("```")
    language, _, code = fenced.partition("\n")
    assert language == "python"
    compile(code, "reply", "exec")
    assert after.startswith("\n")


async def test_the_last_message_is_the_one_that_is_answered(
    make_settings: Callable[..., Settings],
) -> None:
    model = SimulatedModel(make_settings(simulated_min_delay_ms=0, simulated_max_delay_ms=0))
    items = model.generate(
        [
            {"role": "user", "content": "code"},
            {"role": "assistant", "content": "streaming"},
            {"role": "user", "content": "hello"},
        ]
    )
    assert "".join([str(item) async for item in items]) == GREETING


@pytest.mark.parametrize("prompt", ["{", "{0} {prompt} %s", "\\1 \\g<0>"])
async def test_a_prompt_is_quoted_as_it_is(ask: Ask, prompt: str) -> None:
    assert f"“{prompt}”" in "".join(await ask(prompt))
    thoughts = "".join(
        item.thinking for item in await ask(prompt, thinking=True) if item.__class__ is Delta
    )
    assert prompt in thoughts


async def test_thinking_comes_first_in_at_least_three_pieces(ask: Ask) -> None:
    items = await ask("hello", thinking=True)
    thoughts = [item for item in items if isinstance(item, Delta)]
    assert len(thoughts) >= 3
    assert all(thought.thinking and not thought.text for thought in thoughts)
    assert items[: len(thoughts)] == thoughts
    assert "".join(items[len(thoughts) :]) == GREETING


async def test_without_thinking_there_are_no_thoughts(ask: Ask) -> None:
    assert not any(isinstance(item, Delta) for item in await ask("hello"))


async def test_max_tokens_cuts_the_answer_and_says_so(ask: Ask) -> None:
    whole = await ask("hello")
    assert await ask("hello", max_tokens=3) == [*whole[:3], End("length")]
    assert await ask("hello", max_tokens=len(whole)) == whole
    assert await ask("hello", max_tokens=10**30) == whole


async def test_every_sampling_setting_is_taken(ask: Ask) -> None:
    await ask("hello", temperature=0.5, top_p=0.5, stop=["x"], seed=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n  leading white space",
        "   \n\t\n",
        "one\r\ntwo\r\n\r\n  three\rfour",
        "no line end",
        "ends with space \n",
        "\ufeffmark, 中文 😀 a\u2028b\u00a0c\x0bd",
    ],
)
async def test_a_reply_file_replaces_every_answer_letter_by_letter(
    ask: Ask, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "reply.md"
    file.write_bytes(text.encode())
    assert "".join(await ask("hello", reply_file=file)) == text
    assert "".join(await ask("anything else", reply_file=file)) == text


async def test_the_pace_lies_between_the_two_delays(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    model = SimulatedModel(make_settings())
    tokens = [item async for item in model.generate([{"role": "user", "content": "hello"}])]
    assert len(pauses) == len(tokens)  # one before each, the first too
    assert 0.030 <= min(pauses) < max(pauses) <= 0.080
