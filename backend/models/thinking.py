"""Splits what a model writes into what it thinks and what it answers.

Many models think between tags, in the text itself: `<think>Let me see.</think> Hello!`. A server before them may take
the tags out, or not. `PAIRS` and `ANSWERS` are the tags that models are documented to send.

Where a tag counts: an answer may *talk* about `<think>`, in a sentence or in code, and that must stay text. But models
think before they answer. So a tag that opens counts only where nothing but white space stands between it and the start,
or between it and a thinking that was closed; from the first character of the answer on, all is text. Inside a thinking
the first tag of the same kind that closes it counts, wherever it stands: that is how these models are read everywhere,
and what they were trained to.

White space (spaces, tabs and line ends) around the tags belongs to them: it is neither thinking nor answer, however
late it arrives. Where no tag follows, it is what it was.
"""

from __future__ import annotations

from backend.models import Delta

# What opens a thinking, and what may close it.
PAIRS = {
    # DeepSeek R1, Qwen3, GLM, MiniMax, Nemotron and most others (the reasoning parsers of vLLM and SGLang).
    "<think>": ("</think>",),
    # Models that a prompt asks for it (Open WebUI's documentation, "Reasoning & Thinking Models").
    "<thinking>": ("</thinking>",),
    "<thought>": ("</thought>",),
    "<reasoning>": ("</reasoning>",),
    "<|begin_of_thought|>": ("<|end_of_thought|>",),
    # Magistral (vLLM's parser `mistral`).
    "[THINK]": ("[/THINK]",),
    # Seed-OSS (vLLM's parser `seed_oss`).
    "<seed:think>": ("</seed:think>",),
    # Kimi-VL (SGLang's parser `kimi`).
    "◁think▷": ("◁/think▷",),
    # Gemma 4 (Google's "Gemma 4 Prompt Formatting").
    "<|channel>thought": ("<channel|>",),
    # gpt-oss (OpenAI's harmony format). The prompt ends with `<|start|>assistant`, and some servers (llama.cpp) leave
    # `<|end|>` out.
    "<|channel|>analysis<|message|>": ("<|end|>", "<|start|>assistant"),
    "<|start|>assistant<|channel|>analysis<|message|>": ("<|end|>", "<|start|>assistant"),
}

# What opens the answer, of models that mark this as well: gpt-oss.
ANSWERS = (
    "<|channel|>final<|message|>",
    "<|start|>assistant<|channel|>final<|message|>",
)

OPENING = (*PAIRS, *ANSWERS)
CLOSING = tuple(dict.fromkeys(tag for tags in PAIRS.values() for tag in tags))
WHITE = " \t\r\n"
# White space before a tag is held back up to here: a model that falls into writing nothing else costs no more for it.
MAX_WHITE = 256


class ThinkingSplitter:
    """Splits one answer, piece by piece. It holds back only what may still become a tag, or white space before one.

    `inside` says that the thinking is open from the start, because the prompt's template ends with the tag that opens
    it, as those of DeepSeek R1 and Qwen3's thinking models do. A model that repeats the tag is forgiven, and any tag
    that closes a thinking closes this one.
    """

    def __init__(self, inside: bool = False) -> None:
        # The answer has begun: from here on all is text, and need not come through here.
        self.answering = False
        self._held = ""
        # What may close the thinking that is open, if any; whether a tag may come next that opens the thinking or the
        # answer; and whether white space that comes next belongs to a tag.
        self._closing = CLOSING if inside else ()
        self._may_open = True
        self._after_tag = inside

    def feed(self, text: str) -> list[Delta]:
        """Return what `text` completes, in order; no piece of it is empty."""
        if self.answering:
            return [Delta(text=text)] if text else []
        return self._split(self._held + text, last=False)

    def finish(self) -> list[Delta]:
        """Return what was held back: at the end nothing can become a tag any more."""
        return self._split(self._held, last=True)

    def _split(self, text: str, last: bool) -> list[Delta]:
        deltas = []
        self._held = ""
        while text and not self.answering:
            if self._may_open:
                text, waits = self._open(text, last)
                if waits:
                    self._held = text
                    break
            if self._closing:
                thought, text = self._think(text, last)
                if thought:
                    deltas.append(Delta(thinking=thought))
        if text and self.answering:
            deltas.append(Delta(text=text))
        return deltas

    def _open(self, text: str, last: bool) -> tuple[str, bool]:
        """Take a tag off the beginning. Returns the rest, and whether more must be known before one is there."""
        start = text.lstrip(WHITE)
        if self._after_tag:
            text = start
        tags = tuple(PAIRS) if self._closing else OPENING
        tag = next((tag for tag in tags if start.startswith(tag)), "")
        waits = len(text) - len(start) <= MAX_WHITE and any(tag.startswith(start) for tag in tags)
        if waits and not tag and not last:
            return text, True
        if tag in PAIRS:
            self._closing, self._after_tag = PAIRS[tag], True
        self._may_open = False
        self.answering = not self._closing
        return start[len(tag) :] if tag else text, False

    def _think(self, text: str, last: bool) -> tuple[str, str]:
        """Take what is thinking off the beginning. Returns it, and the rest after the tag that closes it."""
        if self._after_tag:
            text = text.lstrip(WHITE)
        tags = [tag for tag in self._closing if tag[0] in text]  # none, as a rule
        found = [(text.find(tag), tag) for tag in tags]
        end, tag = min(((end, tag) for end, tag in found if end >= 0), default=(-1, ""))
        if tag:
            self._closing, self._after_tag, self._may_open = (), True, True
            return text[:end].rstrip(WHITE), text[end + len(tag) :]
        end = len(text) if last else _certain(text, tags)
        self._held = text[end:]
        self._after_tag = self._after_tag and end == 0
        return text[:end], ""


def _certain(text: str, tags: list[str]) -> int:
    """Return how much of a thinking's text is thinking whatever follows, if one of `tags` may close it.

    A tag's first character stands in it only once, so the last one in the text is the only beginning to look at.
    """
    end = len(text)
    for tag in tags:
        begin = text.rfind(tag[0])
        if tag.startswith(text[begin:]):
            end = begin
    return max(len(text[:end].rstrip(WHITE)), end - MAX_WHITE)
