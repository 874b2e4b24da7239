"""Files of other devices and versions, damaged and hostile ones: nothing in them runs."""

import contextlib
import copy
import json
import os
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._files import container
from sklearn_ssldec.persistence import ESTIMATORS, load, save

SMALL = {"device": "cpu", "random_state": 0, "max_iter": 2, "module__hidden_units": (8, 8)}


@pytest.fixture(scope="module")
def fitted(blobs):
    X, y, _ = blobs
    return SSLDECClassifier(**SMALL).fit(X, y)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# Devices and versions ---------------------------------------------------------------------------------------


def resealed(path, change):
    """Change the content of a file, with a checksum that is right again."""
    content, tensors = container.unseal(path.read_bytes())
    change(content, tensors)
    path.write_bytes(
        container.seal({k: v for k, v in content.items() if k not in ("sha256", "format")}, tensors)
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_file_from_a_gpu_loads_on_the_cpu(blobs, fitted, path):
    X, _, _ = blobs
    save(fitted, path)
    resealed(path, lambda content, _: content.update(device="cuda:0"))
    with pytest.warns(UserWarning, match="written on 'cuda:0', which is not there"):
        again = load(path)
    assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert load(path, device="cpu").device == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_trained_on_cuda_and_loaded_on_the_cpu(blobs, path):
    X, y, _ = blobs
    estimator = SSLDECClassifier(**{**SMALL, "device": "cuda"}).fit(X, y)
    save(estimator, path)
    assert_array_equal(load(path).predict_proba(X), estimator.predict_proba(X))
    on_cpu = load(path, device="cpu")
    assert on_cpu.nets_[0].module_.head.centers.device.type == "cpu"
    np.testing.assert_allclose(on_cpu.predict_proba(X), estimator.predict_proba(X), atol=1e-5)


def test_other_versions(fitted, path, monkeypatch):
    save(fitted, path)
    resealed(path, lambda content, _: content["versions"].update(torch="1.13.1", skorch="0.15.0"))
    with pytest.warns(UserWarning, match=r"written with torch 1.13.1 \(here 2.*skorch 0.15.0"):
        load(path)
    monkeypatch.setattr(container, "FORMAT", 2)
    save(fitted, path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has format 2, and this version knows formats up to 1; update"):
        load(path)


# Broken and hostile files -----------------------------------------------------------------------------------


def test_a_good_file_survives_a_failed_save(fitted, path, monkeypatch):
    save(fitted, path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save(fitted, path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_missing_file_is_a_missing_file(path):
    with pytest.raises(FileNotFoundError):
        load(path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code ran",))


@pytest.mark.parametrize(
    "data",
    [b"", b"1234567", b"\xff" * 100, b"PK\x03\x04" + bytes(100), pickle.dumps([1, 2]), pickle.dumps(Bomb())],
)
def test_other_files_are_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"model.safetensors cannot be loaded: it is"):
        load(path)


def test_other_safetensors_files_are_refused(path):
    import safetensors.torch

    safetensors.torch.save_file({"weight": torch.ones(3)}, path)
    with pytest.raises(ValueError, match="damaged, or was not written by sklearn_ssldec"):
        load(path)


def mutated(data, rng):
    """Flip a bit, cut, drop, double or overwrite a stretch: one accident that changes the data."""
    start, stop = sorted(rng.integers(0, len(data) + 1, size=2))
    how = rng.integers(5)
    if how == 0:
        start = min(start, len(data) - 1)
        return data[:start] + bytes([data[start] ^ (1 << rng.integers(8))]) + data[start + 1 :]
    if how == 1:
        return data[:start]
    if how == 2:
        return data[:start] + data[stop:]
    if how == 3:
        return data[:stop] + data[start:]
    return data[:start] + rng.bytes(min(8, stop - start)) + data[min(start + 8, stop) :]


N_CASES = int(os.environ.get("SSLDEC_FUZZ", "80"))  # `make fuzz` runs many more


def test_damage_is_always_noticed(fitted, path):
    save(fitted, path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(N_CASES):
        broken = mutated(data, rng)
        if broken == data:
            continue
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="cannot be loaded"):
            load(path)


def places(node, found):
    """Collect every (container, key) of nested JSON."""
    for key in range(len(node)) if isinstance(node, list) else list(node):
        found.append((node, key))
        if isinstance(node[key], (list, dict)):
            places(node[key], found)
    return found


ODD = [
    None, True, 0, -1, 10**12, 10**400, 1e308, "", "\x00", "__class__", "cpu", "meta", "os.system", [], {},
    [[]], {"!": "class", "name": "os.system"}, {"!": "class", "name": "torch.optim.SGD"}, {"!": "unheard of"},
    {"!": "object", "class": "Compose", "parameters": {"augmentations": [1]}}, {"!": "float", "value": "nan"},
    {"!": "array", "dtype": "float32", "name": "attributes.label_distributions_"},
    {"!": "device", "name": "cuda"}, {"!": "tuple", "items": [10**9, 10**9]},
    {"!": "dict", "keys": [[]], "values": [1]},
]  # fmt: skip


def forged(content, tensors, rng):
    """Replace, drop or rename a few pieces of the content, or exchange tensors."""
    for _ in range(rng.integers(1, 4)):
        found = places(content, [])
        node, key = found[rng.integers(len(found))]
        how = rng.integers(6)
        if how == 0 and isinstance(node, dict):
            names = ["predict", "__class__", "_kwargs", "x", "!", "classes_", "device"]
            node[names[rng.integers(len(names))]] = node.pop(key)
        elif how == 1:
            node.pop(key)
        elif how == 2:
            other = found[rng.integers(len(found))]
            node[key] = copy.deepcopy(other[0][other[1]])
        elif how == 3:
            one, other = rng.choice(sorted(tensors), 2)
            tensors[one], tensors[other] = tensors[other].clone(), tensors[one].clone()
        else:
            node[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])


@pytest.mark.filterwarnings("ignore")
def test_forged_files_are_refused_or_harmless(fitted, path, monkeypatch):
    """With the checksum right: a ValueError, or an estimator that holds data of this library's types."""
    save(fitted, path)
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(N_CASES):
        content, tensors = container.unseal(original)
        forged(content, tensors, rng)
        data = {k: v for k, v in content.items() if k not in ("sha256", "format")}
        try:
            path.write_bytes(container.seal(data, tensors))
        except ValueError:  # integers of more digits than Python writes
            continue
        with contextlib.suppress(ValueError):
            assert type(load(path)).__name__ in ESTIMATORS


def test_deep_nesting_is_refused(fitted, path):
    save(fitted, path)
    deep = "[" * 100_000 + "]" * 100_000

    def nest(content, tensors):
        content["attributes"]["deep_"] = "DEEP"

    content, tensors = container.unseal(path.read_bytes())
    nest(content, tensors)
    text = json.dumps(content, separators=(",", ":")).replace('"DEEP"', deep)
    import safetensors.torch

    path.write_bytes(safetensors.torch.save(tensors, {container.HEADER_KEY: text}))
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(path)


def test_sizes_without_weights_take_no_memory(fitted, path):
    save(fitted, path)
    huge = {"!": "tuple", "items": [10**6, 10**6]}  # 4 TB
    resealed(path, lambda content, _: content["nets"][0]["kwargs"].update(hidden_units=huge))
    with pytest.raises(ValueError, match="weights are not those of the module"):
        load(path)
