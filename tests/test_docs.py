"""The documentation names every public class and function."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import sklearn_ssldec

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / "docs" / "api.rst").exists(), reason="needs the documentation, which the wheel does not hold"
)
# What users call; the others are how it is built.
PUBLIC_MODULES = [
    "sklearn_ssldec",
    "sklearn_ssldec.algorithm",
    "sklearn_ssldec.augment",
    "sklearn_ssldec.baselines",
    "sklearn_ssldec.calibration",
    "sklearn_ssldec.clustering",
    "sklearn_ssldec.datasets",
    "sklearn_ssldec.display",
    "sklearn_ssldec.labels",
    "sklearn_ssldec.metrics",
    "sklearn_ssldec.model_selection",
    "sklearn_ssldec.networks",
    "sklearn_ssldec.persistence",
    "sklearn_ssldec.scans",
]


def public_names(module_name):
    """Yield the classes and functions that a module defines, or lists in __all__."""
    module = importlib.import_module(module_name)
    for name, value in vars(module).items():
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if name in getattr(module, "__all__", ()) or value.__module__ == module_name:
            yield name, value


def test_api_reference_names_everything_public():
    listed = set(re.findall(r"^   (sklearn_ssldec\.\S+)$", (ROOT / "docs" / "api.rst").read_text(), re.M))
    public = {f"{module}.{name}" for module in PUBLIC_MODULES for name, _ in public_names(module)}
    assert public == listed


def test_everything_public_has_a_docstring():
    modules = ["sklearn_ssldec"] + [
        module.name for module in pkgutil.walk_packages(sklearn_ssldec.__path__, "sklearn_ssldec.")
    ]
    missing = []
    for module_name in modules:
        assert importlib.import_module(module_name).__doc__, module_name
        for name, value in public_names(module_name):
            members = [] if not inspect.isclass(value) else vars(value).items()
            methods = [
                (f"{name}.{method}", member)
                for method, member in members
                if not method.startswith("_") and inspect.isroutine(inspect.unwrap(getattr(value, method)))
            ]
            missing += [f"{module_name}.{n}" for n, v in [(name, value), *methods] if not inspect.getdoc(v)]
    assert missing == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("plot_*.py")), ids=lambda path: path.stem)
def test_examples_have_a_title(path):
    text = path.read_text()
    title, underline = text.splitlines()[1:3]
    assert set(underline) == {"="}
    assert len(underline) == len(title)
    compile(text, str(path), "exec")
