"""Texts of parameters, by which a checkpoint recognizes its fit."""

from __future__ import annotations

import inspect
import re
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import joblib
import numpy as np
from torch import Tensor, nn

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# Objects within objects are looked into so far.
DEPTH = 6


def describe(value: Any) -> str:
    """Return a text that is the same in another process, and another one where the value differs.

    Where a repr tells no more than an address, as those of functions and of objects without one of their own
    do, a digest follows: of the code of a function and the values that it holds, and of an object's
    parameters.

    Parameters
    ----------
    value : object
        A parameter.

    Examples
    --------
    >>> describe({"degrees": 15}), describe(np.ndarray)
    ("{'degrees': 15}", 'numpy.ndarray')
    >>> describe(lambda x: x + 1) == describe(lambda x: x + 2)
    False
    """
    text = describe_kind(value)
    if isinstance(value, nn.Module):
        tensors = [tensor.detach().cpu().numpy() for tensor in value.state_dict().values()]
        return f"{text} {joblib.hash(tensors)}"
    if isinstance(value, Tensor):
        return f"{text} {joblib.hash(value.detach().cpu().numpy())}"
    if isinstance(value, np.ndarray):
        return f"{text} {joblib.hash(value)}"
    if isinstance(value, type) or not (has_name(value) or ADDRESS.search(repr(value))):
        return text
    found = contents(value)
    return f"{text} {joblib.hash(found)}" if found else text


def describe_kind(value: Any) -> str:
    """Return a text of what a value is, which does not tell what objects without a repr hold.

    Parameters
    ----------
    value : object
        A parameter.
    """
    if has_name(value):
        return f"{value.__module__}.{value.__qualname__}"
    return ADDRESS.sub("", repr(value))


def has_name(value: Any) -> bool:
    """Return whether a value is a class or a function.

    Parameters
    ----------
    value : object
        A parameter.
    """
    return isinstance(value, type) or hasattr(value, "__qualname__")


def contents(value: Any, depth: int = DEPTH) -> Any:
    """Return what a function or an object holds, as texts in lists; "" if that cannot be told.

    Parameters
    ----------
    value : object
        What is looked into.
    depth : int, default=6
        How far.
    """
    if isinstance(value, FunctionType):
        held = [cell.cell_contents for cell in value.__closure__ or () if has_contents(cell)]
        parts = [*held, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).items()]
        return [_code(value.__code__), *_of_each(parts, depth)]
    if isinstance(value, MethodType):
        return _of_each([value.__self__, value.__func__], depth)
    if isinstance(value, partial):
        return _of_each([value.func, *value.args, *value.keywords.items()], depth)
    if isinstance(value, list | tuple):
        return _of_each(value, depth)
    named = {str(key): each for key, each in value.items()} if isinstance(value, dict) else parameters(value)
    return [[key, _of_each([named[key]], depth)] for key in sorted(named)] or ""


def parameters(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that its constructor takes; if it takes none, the public ones.

    Other attributes often change with its use, as counts and caches do.

    Parameters
    ----------
    value : object
        The object.
    """
    held = getattr(value, "__dict__", {})
    try:
        own = set(inspect.signature(type(value).__init__).parameters) & set(held)
    except ValueError:  # of what is written in C
        own = set()
    return {name: held[name] for name in own or held if not name.startswith("_") and not name.endswith("_")}


def has_contents(cell: Any) -> bool:
    """Return whether a variable of an enclosing function has a value yet.

    Parameters
    ----------
    cell : cell
        The variable.
    """
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _of_each(values: Any, depth: int) -> list[Any]:
    if depth == 0:
        return []
    return [
        [describe_kind(each), contents(each, depth - 1)]
        if not isinstance(each, type) and (has_name(each) or ADDRESS.search(repr(each)))
        else describe(each)
        for each in values
    ]


def _code(code: CodeType) -> list[Any]:
    """Return what a function does: its instructions, and the constants and names in them."""
    constants = [_code(each) if isinstance(each, CodeType) else _constant(each) for each in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]


def _constant(value: Any) -> str:
    # A set has another order in each process.
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
