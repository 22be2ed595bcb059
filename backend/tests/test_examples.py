"""Every file in `examples/` does what it says, through the seam that the server uses, and `docs/your-model.md` shows
what is in these files.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import re
import runpy
import sys
import textwrap
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
from gunicorn.dirty.app import DirtyApp

from backend.errors import ModelError
from backend.link import NOBODY, GenerationRequest
from backend.models import Delta, End, LoadedModel, load_model
from backend.settings import Settings

pytestmark = pytest.mark.anyio

MakeSettings = Callable[..., Settings]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your-model.md").read_text(encoding="utf-8")
FILES = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "examples").glob("*.py"))
    if path.name != "__init__.py"
}
# The command in each file's docstring, and the models that it names.
COMMANDS = {
    name: (ast.get_docstring(ast.parse(text)) or "").splitlines()[2] for name, text in FILES.items()
}
MODELS = {
    name: re.findall(r"[\w.]+:\w+", command)
    for name, command in COMMANDS.items()
    if "BURBLE_MODEL=" in command
}
WAIT_S = 20


def request(*questions: str, thinking: bool = False, **sampling: Any) -> GenerationRequest:
    return {
        "model": None,
        "messages": [{"role": "user", "content": question} for question in questions],
        "thinking": thinking,
        "resumable": False,
        "sampling": sampling,
        "queue": True,
        "caller": NOBODY,
    }


def generation(model: LoadedModel, question: GenerationRequest) -> aclosing[Any]:
    items: Any = model.stream(question)
    return aclosing(items)


async def answer(model: LoadedModel, *questions: str, **more: Any) -> list[Any]:
    return [item async for item in model.stream(request(*questions, **more))]


@pytest.fixture
async def load(make_settings: MakeSettings) -> AsyncIterator[Callable[[str], Any]]:
    """Load a model as the server does; it is closed at the end."""
    models: list[LoadedModel] = []

    async def load(model_id: str) -> LoadedModel:
        models.append(await load_model(model_id, make_settings(model=model_id)))
        return models[-1]

    yield load
    for model in models:
        await model.close()


# The examples


async def test_echo(load: Any) -> None:
    model = await load(*MODELS["echo.py"])
    assert model.max_running == 1
    assert await answer(model, "before", "one two") == ["You said: ", "one ", "two "]


async def test_async_echo_sees_the_whole_conversation_and_serves_many_at_once(load: Any) -> None:
    model = await load(*MODELS["async_echo.py"])
    assert (model.abilities["name"], model.max_running) == ("Echo with a memory", 100)
    answers = await asyncio.gather(*(answer(model, "before", f"last {n}") for n in range(100)))
    assert ["".join(pieces) for pieces in answers] == [
        f"\n1. before \n2. last {number} " for number in range(100)
    ]


async def test_thinking(load: Any) -> None:
    model = await load(*MODELS["thinking.py"])
    assert model.abilities["thinking"]
    thoughts = [
        Delta(thinking="2 divides it, and leaves 6. "),
        Delta(thinking="2 divides it, and leaves 3. "),
    ]
    assert await answer(model, "and 12?", thinking=True) == [*thoughts, "12 = 2 × 2 × 3"]
    assert await answer(model, "and 12?") == ["12 = 2 × 2 × 3"]
    assert await answer(model, "none") == ["Tell me a number, and I take it apart."]


@pytest.mark.parametrize("model_id", MODELS["cancelling.py"])
async def test_cancelling_runs_finally(
    load: Any, model_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = await load(model_id)
    threads = threading.active_count()
    async with asyncio.timeout(WAIT_S), generation(model, request("go on")) as items:
        assert await anext(items) == f"{model_id.partition(':')[2].lower()} … "
    assert capsys.readouterr().out == f"{model_id.partition(':')[2]} was stopped\n"
    # The thread of its own is gone; the seam keeps the one in which the generator ran.
    assert threading.active_count() <= threads + 1


async def test_working_notices_a_stop_while_nothing_comes(
    load: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await load("examples.cancelling:Working")
    working = threading.Event()

    def work(_self: Any, _results: Any, stopped: threading.Event) -> None:
        working.set()
        stopped.wait()

    monkeypatch.setattr(sys.modules["examples.cancelling"].Working, "_work", work)
    items = asyncio.create_task(answer(model, "go on"))
    assert await asyncio.to_thread(working.wait, WAIT_S)
    items.cancel()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(asyncio.CancelledError):
            await items
    assert "Working was stopped" in capsys.readouterr().out


async def test_weights(load: Any) -> None:
    model = await load(*MODELS["weights.py"])
    assert (model.abilities["name"], model.max_running) == ("README's parrot", 4)
    assert model.abilities["context_tokens"] == 100_000
    *pieces, end = await answer(model, "Your own model", max_tokens=40, seed=1)
    assert len(pieces) == 40
    assert end == End("length", prompt_tokens=14, completion_tokens=40)
    assert await answer(model, "Your own model", max_tokens=40, seed=1) == [*pieces, end]
    # What it writes is made of what it has read.
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    written = "".join(["model", *pieces])
    assert all(written[start : start + 6] in text for start in range(len(written) - 5))


async def test_weights_are_freed(make_settings: MakeSettings) -> None:
    model = await load_model("examples.weights:Markov", make_settings())
    await model.close()
    assert not hasattr(model._model, "following")


def test_by_hand(capsys: pytest.CaptureFixture[str], no_environment: None) -> None:
    runpy.run_module("examples.by_hand", run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.startswith("You said: one two \n1. one two \n{'name': ")
    assert "completion_tokens=60" in printed


# Another server's stream


class Upstream(ThreadingHTTPServer):
    """A server that answers with the words of the question, and waits where the last of them is "wait"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), UpstreamRequest)
        self.asked: list[dict[str, Any]] = []
        self.left = threading.Event()  # a client has hung up while it was waiting


class UpstreamRequest(BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        words = body["messages"][-1]["content"].split()
        for word in words:
            self._send({"choices": [{"index": 0, "delta": {"content": word + " "}}]})
        if words[-1] == "wait" and not self.connection.recv(1):
            self.server.left.set()
            return
        self._send({"choices": []})  # as the one with the usage is
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, chunk: dict[str, Any]) -> None:
        chunk |= {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """The server that OpenAI's client finds in the environment."""
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()
        thread.join()


async def test_openai_stream(load: Any, upstream: Upstream) -> None:
    model = await load(*MODELS["openai_stream.py"])
    assert await answer(model, "before", "one two", temperature=0.5) == ["one ", "two "]
    (asked,) = upstream.asked
    assert [message["content"] for message in asked["messages"]] == ["before", "one two"]
    assert (asked["temperature"], asked["stream"]) == (0.5, True)


@pytest.mark.parametrize("waits", [True, False])
async def test_openai_stream_ends_the_request_at_a_stop(
    load: Any, upstream: Upstream, waits: bool
) -> None:
    model = await load(*MODELS["openai_stream.py"])
    async with generation(model, request("one wait")) as items:
        assert [await anext(items), await anext(items)] == ["one ", "wait "]
        if waits:
            waiting = asyncio.create_task(anext(items))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
    assert await asyncio.to_thread(upstream.left.wait, WAIT_S)


async def test_openai_stream_tells_the_user_that_nobody_is_there(
    load: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")  # nothing listens on port 1
    model = await load(*MODELS["openai_stream.py"])
    model._model.client.max_retries = 0
    with pytest.raises(ModelError, match="cannot be reached"):
        await answer(model, "anybody?")


# A class that was written for gunicorn, as it stands there


@pytest.fixture
def paste(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], str]:
    """Make a module of a class, and return what `BURBLE_MODEL` calls it."""

    def paste(pasted: type) -> str:
        module = types.ModuleType("pasted")
        setattr(module, pasted.__name__, pasted)
        monkeypatch.setitem(sys.modules, "pasted", module)
        return f"pasted:{pasted.__name__}"

    return paste


async def test_an_async_generate_around_a_client_that_blocks(
    load: Any, paste: Callable[[type], str], upstream: Upstream
) -> None:
    class Pasted(DirtyApp):
        def init(self) -> None:
            self.client = openai.OpenAI()

        async def generate(self, prompt):  # type: ignore[no-untyped-def]
            stream = self.client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": prompt}], stream=True
            )
            for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

        def close(self) -> None:
            self.client.close()

    model = await load(paste(Pasted))
    assert await answer(model, "one two") == ["one ", "two "]


async def test_an_app_without_close_and_with_actions_of_its_own(
    load: Any, paste: Callable[[type], str]
) -> None:
    class Pasted(DirtyApp):
        def init(self) -> None:
            self.greeting = "Hello "

        def generate(self, prompt):  # type: ignore[no-untyped-def]
            yield self.greeting
            yield prompt

        def generate_with_thinking(self, prompt):  # type: ignore[no-untyped-def]
            yield from self.generate(prompt)  # type: ignore[no-untyped-call]

    model = await load(paste(Pasted))
    assert not model.abilities["thinking"]
    assert await answer(model, "you") == ["Hello ", "you"]


# A local model


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a model of two layers that knows the bytes, and nothing else."""
    transformers: Any = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = str(tmp_path_factory.mktemp("tiny-model"))
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<end>"]
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<end>",
        pad_token="<end>",
        chat_template="{% for message in messages %}{{ message['content'] }} {% endfor %}",
    ).save_pretrained(folder)
    end = names.index("<end>")
    config = transformers.GPT2Config(
        vocab_size=len(names),
        n_positions=256,
        n_embd=32,
        n_layer=2,
        n_head=2,
        eos_token_id=end,
        bos_token_id=end,
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def pipeline_model(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PIPELINE_MODEL", tiny_model)
    monkeypatch.delitem(sys.modules, "examples.transformers_pipeline", raising=False)
    (model_id,) = MODELS["transformers_pipeline.py"]
    return str(model_id)


class Dictation:
    """Makes a pipeline's model write "a a a …", at no great pace, and counts its steps."""

    def __init__(self, model: LoadedModel) -> None:
        self.steps = 0
        pipeline = model._model.pipeline
        self._tokens = pipeline.tokenizer.convert_tokens_to_ids(["a", "Ġ"])
        pipeline.model.register_forward_hook(self._dictate)

    def _dictate(self, _model: Any, _given: Any, output: Any) -> None:
        time.sleep(0.02)
        output.logits[:] = -1e9
        output.logits[..., self._tokens[self.steps % 2]] = 0
        self.steps += 1


async def test_transformers_pipeline(load: Any, pipeline_model: str) -> None:
    model = await load(pipeline_model)
    dictation = Dictation(model)
    pieces = await answer(model, "one", max_tokens=6)
    assert "".join(pieces) == "a a a "
    assert len(pieces) > 1
    assert dictation.steps == 6


async def test_transformers_pipeline_stops_long_before_its_end(
    load: Any, pipeline_model: str
) -> None:
    model = await load(pipeline_model)
    dictation = Dictation(model)
    async with generation(model, request("one", max_tokens=200)) as items:
        assert (await anext(items)).startswith("a")
    steps = dictation.steps
    assert steps < 100
    assert await answer(model, "one", max_tokens=2)
    assert dictation.steps == steps + 2  # the first goes on no more


async def test_transformers_pipeline_tells_what_the_pipeline_raised(
    load: Any, pipeline_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await load(pipeline_model)

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(model._model.pipeline.model, "generate", fail)
    with pytest.raises(MemoryError, match="no room"):
        await answer(model, "one")


async def test_a_generate_that_yields_what_a_pipeline_returns(
    load: Any, paste: Callable[[type], str], tiny_model: str
) -> None:
    class Pasted(DirtyApp):
        def init(self) -> None:
            from transformers import pipeline

            self.generator = pipeline("text-generation", model=tiny_model)

        def generate(self, prompt):  # type: ignore[no-untyped-def]
            for result in self.generator(prompt, max_new_tokens=5, do_sample=True):
                yield result["generated_text"]

        def close(self) -> None:
            del self.generator

    (text,) = await answer(await load(paste(Pasted)), "one")
    assert text.startswith("one")


# The page


def blocks(language: str) -> list[tuple[str, str]]:
    """Return what the page shows in this language, and with each the text before it."""
    found = re.finditer(r"^( *)```(\w*)\n(.*?)\n\1```$", PAGE, re.DOTALL | re.MULTILINE)
    return [
        (textwrap.dedent(match[3]), PAGE[: match.start()])
        for match in found
        if match[2] == language
    ]


def test_what_the_page_shows_is_in_the_file_that_it_names() -> None:
    shown = blocks("python")
    assert len(shown) >= 6
    for code, before in shown:
        named = re.findall(r"\(\.\./examples/(\w+\.py)\)", before)[-1]
        # Out of a class it is shown as if it stood alone.
        indented = [textwrap.indent(code, " " * 4 * depth) for depth in range(5)]
        assert any(f"\n{each}\n" in FILES[named] for each in indented), f"not in {named}:\n{code}"
        ast.parse(code)


def test_the_page_names_every_example_and_its_command() -> None:
    commands = [line for code, _ in blocks("") for line in code.splitlines()]
    for name, command in COMMANDS.items():
        assert f"](../examples/{name})" in PAGE
        assert (
            command in commands or f"`{command.replace('python -m', 'python -m pdb -m')}`" in PAGE
        )


def test_every_model_that_the_page_names_is_there() -> None:
    for module, name in re.findall(r"\b(examples\.\w+):(\w+)", PAGE):
        assert f"class {name}:" in FILES[f"{module.removeprefix('examples.')}.py"]


def test_what_the_page_links_to_is_there() -> None:
    for target in re.findall(r"\]\(\.\./([^)#]*)\)", PAGE):
        assert (ROOT / target).exists(), target


def test_what_the_page_tells_to_import_is_there() -> None:
    models = importlib.import_module("backend.models")
    for name in ("Delta", "Prefill", "End"):
        assert f"`{name}(" in PAGE
        assert hasattr(models, name)
