"""Turns a conversation into the tokens of a prompt, by the template that comes with the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, TemplateError
from jinja2.meta import find_undeclared_variables

from backend.errors import InvalidRequest
from backend.link import Message
from backend.models.thinking import PAIRS

# By what names templates ask whether the model shall think: Qwen3, SmolLM3, GLM and others; DeepSeek V3.1, Granite.
SWITCHES = ("enable_thinking", "thinking")
# A statement of the library's own, which changes nothing here and is unknown to a plain environment.
GENERATION = re.compile(r"{%-?\s*(end)?generation\s*-?%}")
LONGEST_TAG = 32  # tokens that a thinking tag and the white space after it may take


class Prompt(NamedTuple):
    """A conversation as the model reads it. `opens_thinking` says that the answer begins inside a thinking."""

    tokens: list[int]
    opens_thinking: bool


class ChatTemplate:
    """The chat template of a tokenizer. `can_think` says whether it has a switch for thinking.

    Raises `ValueError` for a tokenizer without one: it belongs to a model that completes texts and knows no chat.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        if not tokenizer.chat_template:
            raise ValueError(
                "the model's tokenizer has no chat template, so it was not made for conversations; "
                "take the variant that was, often named …-Instruct, …-Chat or …-it"
            )
        self._switch = _switch(tokenizer.get_chat_template())
        self.can_think = self._switch is not None

    def encode(self, messages: Sequence[Message], thinking: bool) -> Prompt:
        """Return the prompt. What looks like a control token in a message is encoded as the text that it is.

        Raises `InvalidRequest` for a conversation that the template does not take.
        """
        switch = {self._switch: thinking} if self._switch else {}
        try:
            tokens: list[int] = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                add_generation_prompt=True,
                sanitize_control_tokens=True,
                return_dict=False,
                **switch,
            )
        except TemplateError as error:
            reason = error.message or "its chat template fails."
            raise InvalidRequest(
                f"The model does not take such a conversation: {reason}"
            ) from error
        if not tokens:
            raise InvalidRequest("The model's chat template makes nothing of this conversation.")
        end = self._tokenizer.decode(tokens[-LONGEST_TAG:], skip_special_tokens=False)
        return Prompt(tokens, opens_thinking=end.rstrip().endswith(tuple(PAIRS)))


def _switch(template: str) -> str | None:
    """Return the variable that a template asks for and nobody but the caller can set."""
    environment = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=False)
    try:
        asked = find_undeclared_variables(environment.parse(GENERATION.sub("", template)))
    except TemplateError:  # it uses what only the library's own environment knows
        asked = {name for name in SWITCHES if name in template}
    return next((name for name in SWITCHES if name in asked), None)
