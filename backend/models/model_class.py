"""From a path in `BURBLE_MODEL` to its class, with a sentence for everything that is no model."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from backend.link import SAMPLING


def find(path: str) -> type[Any]:
    """Import the class that `package.module:ClassName` names.

    Raises `ImportError` or `AttributeError` where there is none, `TypeError` for one that cannot be a model, and
    whatever its module raises.
    """
    module_name, _, name = path.partition(":")
    module = _import(module_name)
    if not hasattr(module, name):
        raise AttributeError(f"{module_name} has no {name}{_what_it_has(module)}")
    found: Any = getattr(module, name)
    if not isinstance(found, type):
        raise TypeError(f"{path} is no class")
    _check(found, path)
    return found


def _import(name: str) -> ModuleType:
    plain = name.removesuffix(".py").strip("./").replace("/", ".")
    if plain != name:
        raise ModuleNotFoundError(
            f"{name} is a file's name; write it as Python imports it, {plain}:ClassName", name=name
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name
        if missing is None:
            raise
        if not f"{name}.".startswith(f"{missing}."):  # found, and it imports what is not there
            raise ModuleNotFoundError(
                f"{name} needs {missing}, which is not installed: `uv add` the package that has it",
                name=missing,
            ) from error
        raise ModuleNotFoundError(
            f"There is no {name.replace('.', '/')}.py in {Path.cwd()}, where README.md lies, "
            f"and no package of the name {name} is installed",
            name=name,
        ) from None


def _what_it_has(module: ModuleType) -> str:
    has = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and hasattr(value, "generate")
    ]
    return f"; it has {', '.join(has)}" if has else ", nor any class with a method generate"


def _check(model_class: type[Any], path: str) -> None:
    generate = getattr(model_class, "generate", None)
    if generate is None:
        raise TypeError(f"{path} is no model: it has no generate")
    if inspect.iscoroutinefunction(generate):
        raise TypeError("generate must be a generator or an async generator: it has to yield")
    _self, *taken = inspect.signature(generate).parameters.values()
    if not taken:
        raise TypeError("generate must take the prompt, or messages: def generate(self, prompt)")
    for parameter in taken[1:]:
        bare = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if bare and parameter.name in SAMPLING:
            raise TypeError(
                f"generate must have a default for {parameter.name}: most requests leave it out"
            )
        if bare and parameter.name != "thinking":
            raise TypeError(
                f"generate must have a default for {parameter.name}: nothing but the prompt, "
                f"thinking, {', '.join(SAMPLING)} is ever given to it"
            )
