"""Ask a model without the server: to print in it, to step through it, to test it.

uv run python -m examples.by_hand
"""

import asyncio

from backend.link import NOBODY, GenerationRequest
from backend.models import load_model
from backend.settings import Settings
from examples.async_echo import AsyncEcho
from examples.echo import Echo

# A generator is a generator.
for piece in Echo().generate("one two"):
    print(piece, end="", flush=True)


async def conversation() -> None:
    async for piece in AsyncEcho().generate([{"role": "user", "content": "one two"}]):
        print(piece, end="", flush=True)

    # As the server does it: constructor, init, and only what the signature asks for.
    model = await load_model("examples.weights:Markov", Settings())
    print(f"\n{model.abilities}")
    request: GenerationRequest = {
        "model": None,
        "messages": [{"role": "user", "content": "one"}],
        "thinking": False,
        "resumable": False,
        "sampling": {"max_tokens": 60, "seed": 1},
        "queue": True,
        "caller": NOBODY,
    }
    async for item in model.stream(request):
        print(item, end="", flush=True)
    await model.close()


asyncio.run(conversation())
