"""Encoding of values as JSON and tensors, and decoding, which runs no code from a file.

A value that JSON does not have is an object with the key "!", which names its kind. Classes, and objects with
parameters, are looked up by name in a fixed list; nothing else can be named.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_ssldec import augment, networks

TAG = "!"
FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# Arrays of these types are stored as tensors; unsigned ones as signed ones, because torch does not have all.
DTYPES = {
    np.dtype(name): np.dtype(stored)
    for name, stored in {
        **{name: name for name in ("bool", "int8", "int16", "int32", "int64", "uint8")},
        **{name: name for name in ("float16", "float32", "float64")},
        "uint16": "int16",
        "uint32": "int32",
        "uint64": "int64",
    }.items()
}
# Objects that are rebuilt from their parameters, which they keep in attributes of the same names.
OBJECTS: dict[str, type] = {
    name: value
    for name, value in vars(augment).items()
    if isinstance(value, type) and value.__module__ == augment.__name__
}
NETWORKS: dict[str, type[nn.Module]] = {
    f"{value.__module__}.{value.__qualname__}": value
    for value in (getattr(networks, name) for name in networks.__all__)
    if isinstance(value, type) and issubclass(value, nn.Module)
}
CLASSES: dict[str, type] = {
    **{
        f"torch.{package.__name__.split('.')[1]}.{name}": value
        for package, base in ((torch.optim, torch.optim.Optimizer), (nn, nn.Module))
        for name, value in vars(package).items()
        if isinstance(value, type) and issubclass(value, base)
    },
    **NETWORKS,
}
_NAME_OF_CLASS = {value: name for name, value in CLASSES.items()}


class UnwritableError(Exception):
    """A value that cannot be written to a file."""


class Encoder:
    """Encode values as JSON, and collect their tensors.

    Attributes
    ----------
    tensors : dict of str to Tensor
        The tensors so far, on the CPU, by their names in the JSON.

    Examples
    --------
    >>> encoder = Encoder()
    >>> encoder.encode({"shape": (2, 3)}, "x")
    {'shape': {'!': 'tuple', 'items': [2, 3]}}
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def encode(self, value: Any, name: str) -> Any:
        """Return a value as JSON.

        Parameters
        ----------
        value : object
            The value.
        name : str
            Name of tensors in it.

        Raises
        ------
        UnwritableError
            If the value cannot be written.
        """
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}
        if kind in (list, tuple):
            items = [self.encode(item, f"{name}.{i}") for i, item in enumerate(value)]
            return items if kind is list else {TAG: "tuple", "items": items}
        if kind is dict:
            return self._dict(value, name)
        if isinstance(value, np.generic):
            return {TAG: "scalar", "array": self._array(np.asarray(value), name)}
        if kind is np.ndarray:
            return self._array(value, name)
        return self._known(value, name)

    def _known(self, value: Any, name: str) -> dict[str, Any]:
        """Return what is known by its kind: tensors, devices, classes and objects."""
        kind = type(value)
        if kind in (Tensor, nn.Parameter):
            return {TAG: "tensor", "name": self._keep(value, name)}
        if kind is torch.device:
            return {TAG: "device", "name": str(value)}
        if isinstance(value, type) and value in _NAME_OF_CLASS:
            return {TAG: "class", "name": _NAME_OF_CLASS[value]}
        if OBJECTS.get(kind.__name__) is kind:
            parameters = {p: self.encode(getattr(value, p), f"{name}.{p}") for p in _parameters(kind)}
            return {TAG: "object", "class": kind.__name__, "parameters": parameters}
        raise UnwritableError(f"{name} is {value!r}")

    def _dict(self, value: dict, name: str) -> dict[str, Any]:
        pairs = [[key, self.encode(item, f"{name}.{key}")] for key, item in value.items()]
        if all(type(key) is str for key in value) and TAG not in value:
            return dict(pairs)
        keys = [self.encode(key, f"{name}.{i}") for i, key in enumerate(value)]
        return {TAG: "dict", "keys": keys, "values": [item for _, item in pairs]}

    def _array(self, array: np.ndarray, name: str) -> dict[str, Any]:
        if array.dtype.kind == "U":  # as code points, because the size of a safetensors header is limited
            strings = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
            codes = strings.reshape(-1).view(np.int32).reshape(*array.shape, strings.itemsize // 4)
            return {TAG: "strings", "name": self._keep(torch.from_numpy(codes), name)}
        if array.dtype == object:
            return self._objects(array, name)
        dtype = array.dtype.newbyteorder("=")
        if dtype not in DTYPES:
            raise UnwritableError(f"{name} is an array of {array.dtype}")
        stored = np.array(array, dtype=dtype, order="C").view(DTYPES[dtype])
        return {TAG: "array", "dtype": dtype.name, "name": self._keep(torch.from_numpy(stored), name)}

    def _objects(self, array: np.ndarray, name: str) -> dict[str, Any]:
        items = array.ravel().tolist()
        if items and all(type(item) is str for item in items):
            strings = array.astype(str)
            if (strings == array).all():  # numpy drops trailing zero characters
                return {TAG: "objects", "strings": self._array(strings, name)}
        return {
            TAG: "objects",
            "shape": list(array.shape),
            "items": [self.encode(item, f"{name}.{i}") for i, item in enumerate(items)],
        }

    def _keep(self, tensor: Tensor, name: str) -> str:
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
            raise UnwritableError(f"{name} is a tensor of {tensor.dtype}, {tensor.layout}")
        while name in self.tensors:
            name += "_"
        # A copy: safetensors refuses tensors that share memory.
        self.tensors[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        return name


class Decoder:
    """Decode JSON. Every name in it is looked up in a list; nothing is imported or evaluated.

    Parameters
    ----------
    tensors : dict of str to Tensor
        The tensors of the file.

    Examples
    --------
    >>> Decoder({}).decode({"shape": {"!": "tuple", "items": [2, 3]}})
    {'shape': (2, 3)}
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def decode(self, node: Any) -> Any:
        """Return the value of a piece of JSON.

        Parameters
        ----------
        node : object
            A result of `Encoder.encode`.

        Raises
        ------
        ValueError, TypeError, KeyError
            If `Encoder` does not write such a piece.
        """
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        if TAG not in node:
            return {key: self.decode(item) for key, item in node.items()}
        readers: dict[Any, Callable[[dict[str, Any]], Any]] = {
            "float": lambda node: FLOATS[node["value"]],
            "tuple": lambda node: tuple(self._list(node["items"])),
            "dict": self._dict,
            "scalar": lambda node: self._of(np.ndarray, node["array"])[()],
            "array": self._array,
            "strings": lambda node: self._strings(self.tensors[node["name"]].numpy()),
            "objects": self._objects,
            "tensor": lambda node: self.tensors[node["name"]],
            "device": lambda node: torch.device(node["name"]),
            "class": lambda node: CLASSES[node["name"]],
            "object": self._object,
        }
        tag = node[TAG]
        if not isinstance(tag, str) or tag not in readers:
            raise ValueError(f"unknown kind of value {tag!r}")
        return readers[tag](node)

    def _dict(self, node: dict[str, Any]) -> dict:
        return dict(zip(self._list(node["keys"]), self._list(node["values"]), strict=True))

    def _array(self, node: dict[str, Any]) -> np.ndarray:
        dtype = np.dtype({name.name: name for name in DTYPES}[node["dtype"]])
        stored = self.tensors[node["name"]].numpy()
        if stored.dtype != DTYPES[dtype]:
            raise ValueError(f"an array of {stored.dtype} stands for one of {dtype}")
        return stored.copy().view(dtype)

    def _list(self, node: Any) -> list:
        if not isinstance(node, list):
            raise TypeError(f"expected a list, got {node!r}")
        return self.decode(node)

    def _of(self, kind: type, node: Any) -> Any:
        value = self.decode(node)
        if not isinstance(value, kind):
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    def _strings(self, codes: np.ndarray) -> np.ndarray:
        if codes.dtype != np.int32 or codes.ndim == 0 or codes.shape[-1] == 0:
            raise ValueError("strings are stored in another form")
        if codes.size and (codes.min() < 0 or codes.max() > 0x10FFFF):
            raise ValueError("strings hold what is not a character")
        return codes.reshape(-1).copy().view(f"=U{codes.shape[-1]}").reshape(codes.shape[:-1])

    def _objects(self, node: dict[str, Any]) -> np.ndarray:
        if "strings" in node:
            return self._of(np.ndarray, node["strings"]).astype(object)
        items = self._list(node["items"])
        array = np.empty(len(items), dtype=object)
        for i, item in enumerate(items):  # numpy.array would read lists among the items as further axes
            array[i] = item
        return array.reshape([int(size) for size in node["shape"]])

    def _object(self, node: dict[str, Any]) -> Any:
        known = OBJECTS[node["class"]]
        values = self._of(dict, node["parameters"])
        parameters = _parameters(known)
        if set(values) != set(parameters):
            raise ValueError(f"{node['class']} takes {sorted(parameters)}, got {sorted(values)}")
        args: list[Any] = []
        for name, parameter in parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                args.extend(values.pop(name))
        return known(*args, **values)


def _parameters(known: type) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(known).parameters)
