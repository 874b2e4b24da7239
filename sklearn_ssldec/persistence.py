"""Save and load fitted estimators in files that contain data only: no pickle, no code.

A file has the safetensors format, with weights and arrays under legible names, and everything else as JSON in
its header. docs/explanation/file_format.md explains the format and the checks.
"""

from __future__ import annotations

import importlib
import inspect
import os
from importlib.metadata import version
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import Tensor, nn

from sklearn_ssldec import baselines
from sklearn_ssldec._estimators.base import BaseSSLDEC
from sklearn_ssldec._estimators.classifier import SSLDECClassifier
from sklearn_ssldec._estimators.segmenter import SSLDECSegmenter
from sklearn_ssldec._estimators.task import Method
from sklearn_ssldec._files.container import seal, unseal, write
from sklearn_ssldec._files.encoding import NETWORKS, Decoder, Encoder, UnwritableError
from sklearn_ssldec._samples.placing import resolve_device
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.seeds import seeded
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec._warnings import warn
from sklearn_ssldec.networks.embedding import EmbeddingNetwork, build_network

ESTIMATORS: dict[str, type[BaseSSLDEC]] = {
    estimator.__name__: estimator
    for estimator in (
        SSLDECClassifier,
        baselines.SupervisedClassifier,
        baselines.PseudoLabelClassifier,
        baselines.PiModelClassifier,
        baselines.TemporalEnsemblingClassifier,
        baselines.FixMatchClassifier,
        baselines.UDAClassifier,
        baselines.MeanTeacherClassifier,
        SSLDECSegmenter,
        baselines.PseudoLabelSegmenter,
    )
}
PACKAGES = ("torch", "scikit-learn", "skorch", "numpy")  # a file records their versions


def save(estimator: BaseSSLDEC, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to a file, from which `load` restores it.

    The file gets its name only when it is complete, so an older file is never left damaged.

    Parameters
    ----------
    estimator : SSLDECClassifier, SSLDECSegmenter or one of the baselines
        A fitted estimator.
    path : str or path-like
        The file, by convention ``*.safetensors``.

    Raises
    ------
    TypeError
        If it is not an estimator of this library, but for example a pipeline or a subclass, or if its network
        has state that is not a tensor.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Warns
    -----
    UserWarning
        If parameters or attributes, such as functions and callbacks, cannot be written; it names them. There
        is no warning for a `module` that is not from this library, because `load` asks for it.

    See Also
    --------
    load : Restores the estimator; has an example.
    """
    known = ESTIMATORS.get(type(estimator).__name__)
    if known is not type(estimator):
        raise TypeError(
            f"save writes {', '.join(ESTIMATORS)}, got {type(estimator).__name__}. Of a pipeline, save the "
            "last step."
        )
    check_is_fitted(estimator)
    encoder = Encoder()
    values = estimator.get_params(deep=False)
    if values["checkpoint_dir"] is not None:
        values["checkpoint_dir"] = os.fspath(values["checkpoint_dir"])
    parameters, left_out = _encode_all(values, encoder, "parameters")
    attributes, lost = _encode_all(
        {k: v for k, v in vars(estimator).items() if k not in {*values, "_kwargs", "nets_"}},
        encoder,
        "attributes",
    )
    content = {
        "versions": {name: version(name) for name in PACKAGES},
        "estimator": type(estimator).__name__,
        "parameters": parameters,
        "left_out": left_out,
        "attributes": attributes,
        "device": str(estimator.nets_[0].device),
        "nets": [_encode_net(net, encoder, f"nets.{i}") for i, net in enumerate(estimator.nets_)],
    }
    data = seal(content, encoder.tensors)
    unseal(data)  # what cannot be read should fail now
    write(data, path)
    if unwritten := [name for name in left_out if name != "module"] + lost:
        warn(
            f"{os.fspath(path)} is written without {', '.join(unwritten)}, which have no form as "
            "data. Pass parameters among them to load again, if fit is to have them."
        )


def load(
    path: str | os.PathLike[str],
    *,
    module: Any = None,
    device: str | torch.device | None = None,
    **parameters: Any,
) -> BaseSSLDEC:
    """Restore the estimator that `save` wrote to a file.

    Its predictions are the same bit by bit on the same kind of device, and so are its fitted attributes. The
    state of the optimizer is not in the file; `fit` starts anew. Loading runs no code from the file, whatever
    it contains.

    Parameters
    ----------
    path : str or path-like
        The file.
    module : Module class, Module instance, callable or import path, default=None
        The estimator's `module`, needed if it was not "auto" or a network of this library. An import path
        such as ``"mypackage.networks.Net"`` is imported. No name in the file is ever imported.
    device : str or torch.device, default=None
        Device of the networks, and the estimator's parameter `device`. None is the device on which they were
        trained, or the CPU if this machine does not have it.
    **parameters : dict
        Further parameters of the estimator, which replace those in the file, or could not be written.

    Returns
    -------
    SSLDECClassifier, SSLDECSegmenter or one of the baselines
        The fitted estimator.

    Raises
    ------
    ValueError
        If the file is damaged, has a newer format, was not written by `save`, or does not fit `module`.

    Warns
    -----
    UserWarning
        If the file was written with another major version of torch, scikit-learn, skorch or numpy, if a
        parameter that could not be written is not passed, or if the device does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_ssldec import SSLDECClassifier
    >>> from sklearn_ssldec.persistence import load, save
    >>> X = np.random.RandomState(0).rand(40, 2)
    >>> y = np.where(np.arange(40) < 20, X[:, 0] > 0.5, -1)
    >>> clf = SSLDECClassifier(max_iter=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(clf, Path(folder) / "model.safetensors")
    ...     again = load(Path(folder) / "model.safetensors")
    >>> bool((again.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    if isinstance(module, str) and module != "auto":
        module = _imported(module)
    given = {**parameters, **{k: v for k, v in {"module": module, "device": device}.items() if v is not None}}
    with open(path, "rb") as file:
        data = file.read()
    notes: list[str] = []
    try:
        estimator = _decode(*unseal(data), given, notes)
    except Exception as error:  # there are more ways to damage a file than one can list
        reason = f"{error} is missing in it, or not known here" if isinstance(error, KeyError) else error
        raise ValueError(f"{os.fspath(path)} cannot be loaded: {reason}") from error
    for note in notes:
        warn(f"{os.fspath(path)} {note}")
    return estimator


def _encode_all(values: dict[str, Any], encoder: Encoder, prefix: str) -> tuple[dict[str, Any], list[str]]:
    """Return values as JSON, and the names of those that cannot be written."""
    nodes, left_out = {}, []
    for name, value in values.items():
        try:
            nodes[name] = encoder.encode(value, f"{prefix}.{name}")
        except UnwritableError:
            left_out.append(name)
    return nodes, left_out


def _net_options(net_class: type[SSLDECNet]) -> set[str]:
    """Return the names of the net's parameters that a file contains: its own, and some of skorch's."""
    of_skorch = {"module", "args", "kwargs", "criterion", "train_split", "iterator_train", "generator"}
    classes = [c for c in net_class.__mro__ if issubclass(c, SSLDECNet)]
    own = {name for c in classes for name in inspect.signature(c).parameters}
    return {"lr", "batch_size", *own} - of_skorch


def _encode_net(net: SSLDECNet, encoder: Encoder, name: str) -> dict[str, Any]:
    network: Any = net.module_
    for key, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"save cannot write {key!r} of the network: its state is no tensor but {value!r}."
            )
        encoder.encode(value, f"{name}.state.{key}")
    kwargs, left_out = _encode_all(network.recipe["kwargs"], encoder, f"{name}.kwargs")
    # An augmentation that cannot be written is left out: only training needs it.
    options, _ = _encode_all(
        {key: getattr(net, key) for key in sorted(_net_options(type(net)))}, encoder, f"{name}.options"
    )
    records = [{key: value for key, value in epoch.items() if key != "batches"} for epoch in net.history]
    return {
        "module": network.recipe["module"],
        "kwargs": kwargs,
        "left_out": left_out,
        "shape": list(network.recipe["shape"]),
        "options": options,
        "history": encoder.encode(records, f"{name}.history"),
    }


def _decode(
    content: dict[str, Any], tensors: dict[str, Tensor], given: dict[str, Any], notes: list[str]
) -> BaseSSLDEC:
    """Return the estimator, and add warnings for its user to the notes."""
    decoder = Decoder(tensors)
    notes += _version_notes(content["versions"])
    estimator = ESTIMATORS[content["estimator"]](**{**decoder.decode(content["parameters"]), **given})
    estimator._validate_params()
    for name, node in content["attributes"].items():
        # An attribute from a file must not hide a method.
        if not name.isidentifier() or name.startswith("__") or hasattr(estimator, name):
            raise ValueError(f"it has an attribute {name!r}")
        setattr(estimator, name, decoder.decode(node))
    missing = sorted(set(content["left_out"]) - set(given))
    optimizer = {} if "optimizer" in missing else {"optimizer": estimator.optimizer}
    if optimizer:
        optimizer |= {name: v for name, v in estimator._kwargs.items() if name.startswith("optimizer__")}
    device = _device(content["device"], given, notes)
    method = estimator._method()
    nets = []
    for i, spec in enumerate(content["nets"]):
        network = _rebuild(spec, decoder, f"nets.{i}.state.", method, len(estimator.classes_), given)
        options = {name: decoder.decode(spec["options"][name]) for name in spec["options"]}
        if not set(options) <= _net_options(method.net):
            raise ValueError(f"its nets have the options {sorted(options)}")
        net = method.net(network, **options, **optimizer, device=device, verbose=0).initialize()
        net.module = EmbeddingNetwork  # as fit leaves it
        net.history = History({"batches": [{}], **record} for record in decoder.decode(spec["history"]))
        nets.append(net)
    estimator.nets_ = nets
    check_is_fitted(estimator)
    if missing:
        notes.append(
            f"was written without {', '.join(missing)}. Predictions do not need it; fit has the default, "
            "unless it is passed to load."
        )
    return estimator


def _rebuild(
    spec: dict[str, Any],
    decoder: Decoder,
    prefix: str,
    method: Method,
    n_classes: int,
    given: dict[str, Any],
) -> EmbeddingNetwork:
    """Return a network with the weights of the file."""
    module = given.get("module", "auto")
    if isinstance(module, str):
        module = NETWORKS.get(spec["module"])
    if module is None:
        raise ValueError(
            f"its networks are made of {spec['module']}; pass that, or its import path, as module"
        )
    passed = {name.removeprefix("module__"): v for name, v in given.items() if name.startswith("module__")}
    if absent := [name for name in spec["left_out"] if name not in passed]:
        raise ValueError(
            f"it could not hold {', '.join(f'module__{name}' for name in absent)}; pass it again"
        )
    kwargs = {**{name: decoder.decode(node) for name, node in spec["kwargs"].items()}, **passed}
    # This library's networks are built without memory: a file may claim sizes for which it has no weights.
    is_given = any(isinstance(value, nn.Module) for value in passed.values())  # that of a Backbone
    device = "meta" if module in NETWORKS.values() and not is_given else "cpu"
    with seeded(0, torch.device("cpu")), torch.device(device):
        sample = torch.zeros(2, *spec["shape"], dtype=torch.float32)
        network = build_network(
            module,
            kwargs,
            sample,
            n_classes,
            method.head,
            voxelwise=issubclass(method.net, VoxelNet),
        )
    state = {name.removeprefix(prefix): t for name, t in decoder.tensors.items() if name.startswith(prefix)}
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    stored = {name: tuple(value.shape) for name, value in state.items()}
    if differing := sorted(name for name in shapes | stored if shapes.get(name) != stored.get(name)):
        name = differing[0]
        raise ValueError(
            f"its weights are not those of the module: {name} has the shape {stored.get(name)} in the file "
            f"and {shapes.get(name)} in the network"
        )
    if device == "meta":
        if unset := {name for name, _ in network.named_buffers()} - shapes.keys():
            raise ValueError(f"its network has buffers that no file holds: {', '.join(sorted(unset))}")
        network.to_empty(device="cpu")
    network.load_state_dict(state)
    return network


def _device(recorded: str, given: dict[str, Any], notes: list[str]) -> torch.device:
    if "device" in given:
        return resolve_device(given["device"])
    device = torch.device(recorded)
    try:
        available = torch.zeros(1, device=device).cpu().device.type == "cpu"
    except (RuntimeError, AssertionError):  # for an absent device, or for a torch built without it
        available = False
    if available:
        return device
    notes.append(f"was written on {recorded!r}, which is not there; its networks are on the CPU now.")
    return torch.device("cpu")


def _version_notes(theirs: dict[str, str]) -> list[str]:
    differing = [
        f"{name} {theirs[name]} (here {version(name)})"
        for name in PACKAGES
        if theirs[name].split(".")[0] != version(name).split(".")[0]
    ]
    return [f"was written with {', '.join(differing)}; results may differ."] if differing else []


def _imported(path: str) -> Any:
    """Import an object that the caller names as "package.module.Name"."""
    package, _, name = path.rpartition(".")
    if not package:
        raise ValueError(f"module must be an import path such as 'mypackage.networks.Net', got {path!r}.")
    return getattr(importlib.import_module(package), name)
