"""What a template can be asked for, and what it makes of a conversation."""

from __future__ import annotations

import pytest

from backend.models.local.chat_template import ChatTemplate
from backend.tests.local import tiny

SAY = "{% for message in messages %}{{ message.content }}{% endfor %}"


def template(source: str) -> ChatTemplate:
    return ChatTemplate(tiny.wrap(tiny.byte_level(), source))


@pytest.mark.parametrize(
    ("source", "can_think"),
    [
        (SAY, False),
        (SAY + "{% if enable_thinking is defined and enable_thinking %}!{% endif %}", True),
        (SAY + "{%- if not thinking %}</think>{% endif %}", True),
        # A variable of the template's own is no switch, nor is what only looks like one.
        ("{% set thinking = 'x' %}{{ thinking }}" + SAY, False),
        (SAY + "{{ messages[0].thinking }} enable_thinking", False),
        # Statements that only the library knows, and some that no one knows.
        ("{% generation %}{% for m in messages %}{% if thinking %}{% break %}{% endif %}{% endfor %}"
         "{%- endgeneration -%}", True),
        ("{% frobnicate %}{% if enable_thinking %}{% endif %}", True),
    ],
)  # fmt: skip
def test_a_model_can_think_if_its_template_asks_whether_to(source: str, can_think: bool) -> None:
    assert template(source).can_think is can_think


@pytest.mark.parametrize(
    ("end", "opens"),
    [("<think>", True), ("<think>\n\n", True), ("<think></think>", False), ("", False), ("[THINK]", True)],
)  # fmt: skip
def test_a_prompt_may_end_inside_a_thinking(end: str, opens: bool) -> None:
    prompt = template(SAY + end).encode([{"role": "user", "content": "hello"}], thinking=False)
    assert prompt.opens_thinking is opens


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
def test_the_switch_is_set_as_the_request_says(name: str) -> None:
    chat = template(f"{{% if {name} %}}yes{{% else %}}no{{% endif %}}")
    tokenizer = tiny.wrap(tiny.byte_level())
    for thinking, expected in ((True, "yes"), (False, "no")):
        prompt = chat.encode([{"role": "user", "content": "x"}], thinking=thinking)
        assert tokenizer.decode(prompt.tokens) == expected
