"""The documentation names every public class and function."""

import importlib
import inspect
import pkgutil
import re
from dataclasses import fields, is_dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

import sklearn_ssldec
from sklearn_ssldec import baselines, clustering
from sklearn_ssldec._estimators.defaults import (
    DRAWN_IMAGE_CYCLE,
    DRAWN_ROW_CYCLE,
    choose_auto,
    default_frequency,
    pretrain_epochs,
)
from sklearn_ssldec._estimators.voxelwise import BaseSegmenter
from sklearn_ssldec._training.net import KERNEL_WEIGHT_DECAY
from sklearn_ssldec.algorithm import Model, Settings
from sklearn_ssldec.calibration import TemperatureScaledClassifier

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
    "sklearn_ssldec.query",
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
    listed = set(re.findall(r"^   ~(sklearn_ssldec\.\S+)$", (ROOT / "docs" / "api.rst").read_text(), re.M))
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


def links(path):
    """Yield the relative targets of the links and images of a Markdown file, as (file, anchor)."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target.partition("#")[::2]


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_links_from_pages_that_sphinx_does_not_build_lead_somewhere(name):
    for file, anchor in links(ROOT / name):
        target = ROOT / (file or name)
        assert target.exists(), file
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{file}#{anchor}"


def rows_of_table(text):
    """Return the rows of a Markdown table whose first cell is a parameter, as {parameter: other cells}."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.M)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in rows}


def first_value(cell):
    """Return the value with which a cell begins: a number, a constant, or two numbers and an arrow."""
    start, _, end = re.match(r"(None|True|False|[\d.e-]+)( → ([\d.]+))?", cell).groups()
    if end is not None:
        return float(start), float(end)
    constants = {"None": None, "True": True, "False": False}
    return constants[start] if start in constants else float(start)


def default_of(estimator, auto, name):
    """Return what a parameter is where it is not set."""
    part, _, key = name.rpartition("__")
    if part == "head" or name == "alpha":
        return getattr(auto, name.replace("__", "_"))
    if name == "optimizer__weight_decay":
        return auto.net.get("kernel_decay", KERNEL_WEIGHT_DECAY)
    if name == "net__reduction":
        return 1  # of rows; of images `image_reduction`
    if name == "cycle__fallback":
        return auto.guidance.fallback
    if name == "cycle__neighbors":
        return auto.neighbors
    if part in ("cycle", "net"):
        known = (
            {"predict_views": False}
            | {each.name: each.default for each in fields(Settings)}
            | auto.cycle
            | auto.net
        )
        return known[key]
    value = estimator.get_params()[name]
    if value != "auto":
        return value
    if name == "pretrain_epochs":
        return pretrain_epochs(10, auto.net["batch_size"], auto)
    return auto.net[name] if name == "batch_size" else auto.cycle[name]


@pytest.fixture(scope="module")
def autos():
    """Return the defaults for tables, points and images, so many of these that `max_iter` is the least."""
    cpu = torch.device("cpu")
    table, points = (choose_auto(np.zeros((50, n)), cpu, variances=np.ones(n)) for n in (9, 2))
    return table, points, choose_auto(np.broadcast_to(0.0, (10_000, 1, 28, 28)), cpu, drawn=True)


def tables_of_defaults():
    text = (ROOT / "docs" / "explanation" / "defaults.md").read_text()
    return map(rows_of_table, text.split("These are the same for all:"))


def test_the_tables_of_defaults_name_all_parameters():
    """A parameter that is added, renamed or dropped must change there too."""
    estimator = sklearn_ssldec.SSLDECClassifier()
    differ, same = tables_of_defaults()
    autos = {name for name, value in estimator.get_params().items() if isinstance(value, str)} - {"device"}
    of_drawn = {"cycle__min_confidence"}  # docs/how_to/images.md has it
    of_machine = {"net__precision", "net__cuda_graphs", "net__data_parallel"}
    parts = set(estimator._parts) - of_machine - of_drawn
    assert autos | parts <= differ.keys() | same.keys()
    known = {*estimator.get_params(), *estimator._parts, "optimizer__weight_decay"}
    assert differ.keys() | same.keys() <= known


def test_the_tables_of_defaults_tell_the_defaults(autos):
    estimator = sklearn_ssldec.SSLDECClassifier()
    differ, same = tables_of_defaults()
    chosen = {"module", "augment", "pretrain_epochs", "class_prior", "teachers", "cycle__targets"}
    chosen.add("cycle__frequency")  # it has words
    for name in differ.keys() - chosen:
        told = [first_value(cell) for cell in differ[name][:3]]
        assert told == [default_of(estimator, auto, name) for auto in autos], name
    for name in same.keys() - {"optimizer"}:
        for auto in autos:
            assert default_of(estimator, auto, name) == first_value(same[name][0]), name
    told = [re.match(r"\w+", cell)[0] for cell in differ["cycle__frequency"][:3]]
    assert told == [default_frequency(shape) for shape in [(9,), (2,), (1, 28, 28)]]
    table, points, images = autos
    assert (
        f"within {table.pretrain_batches} to {table.max_pretrain_batches} batches"
        in differ["pretrain_epochs"][0]
    )
    assert first_value(differ["pretrain_epochs"][1]) == default_of(estimator, points, "pretrain_epochs")
    assert f"{images.pretrain_batches} batches" in differ["pretrain_epochs"][2]


def test_the_table_of_drawn_targets_tells_the_defaults():
    estimator, cpu = sklearn_ssldec.SSLDECClassifier(), torch.device("cpu")
    rows = rows_of_table((ROOT / "docs" / "how_to" / "images.md").read_text())
    many = np.broadcast_to(0.0, (10_000, 1, 28, 28))
    drawn, every = (choose_auto(many, cpu, drawn=value) for value in (True, False))
    table = choose_auto(np.zeros((50, 9)), cpu, variances=np.ones(9), drawn=True)
    for name, cells in rows.items():
        for cell, auto in zip(cells, (drawn, every, table), strict=True):
            assert first_value(cell) == default_of(estimator, auto, name), name
    changed = {*DRAWN_ROW_CYCLE, *DRAWN_IMAGE_CYCLE, "max_rows", "ema_decay"}
    assert {name.rpartition("__")[2] for name in rows} == changed


def test_the_table_of_defaults_tells_what_guides_the_targets(autos):
    differ, _ = tables_of_defaults()
    assert [cell.startswith("estimated") for cell in differ["class_prior"][:3]] == [
        auto.guidance.estimate_shares for auto in autos
    ]
    told = [[] if cell == "None" else cell.split("; ") for cell in differ["teachers"][:3]]
    asked = [(*auto.guidance.teachers, *auto.guidance.in_doubt) for auto in autos]
    assert [len(names) for names in told] == [len(teachers) for teachers in asked]


def test_the_table_of_defaults_tells_the_augmentation(autos):
    differ, _ = tables_of_defaults()
    *noises, images = (auto.augment for auto in autos)
    affine = images.weak
    told = [[float(value) for value in re.findall(r"[\d.]+", cell)] for cell in differ["augment"][:3]]
    for values, noise in zip(told, noises, strict=False):
        scale = float(torch.as_tensor(noise.scale).mean())
        assert values == pytest.approx([scale, scale * noise.final_share])
    assert told[2] == [affine.degrees, affine.scale, affine.shift]
    assert affine.shear == affine.scale


def defined_here():
    """Yield the public classes and functions of the package, and the public methods that they define."""
    modules = pkgutil.walk_packages(sklearn_ssldec.__path__, "sklearn_ssldec.")
    for module in sorted(module.name for module in modules):
        for name, value in public_names(module):
            if value.__module__ != module:
                continue
            yield f"{module}.{name}"
            if inspect.isclass(value):
                for method, member in vars(value).items():
                    is_method = inspect.isroutine(inspect.unwrap(getattr(value, method)))
                    if not method.startswith("_") and (is_method or isinstance(member, property)):
                        yield f"{module}.{name}.{method}"


# Sections, their order and form; and each parameter of the signature, with its type.
CHECKS = (
    "PR01",
    "PR02",
    "PR03",
    "PR04",
    "PR06",
    "PR07",
    "PR08",
    "PR09",
    "PR10",
    "RT03",
    "RT04",
    "SS02",
    "SS03",
)
CHECKS += ("GL03", "GL05", "GL07", "GL08", "YD01")
# A section on what is returned. In private modules the summary says it.
PUBLIC_CHECKS = ("RT01",)


def public_members(cls):
    """Yield the public methods and properties that a class defines."""
    for name, member in vars(cls).items():
        is_method = inspect.isroutine(inspect.unwrap(getattr(cls, name)))
        if not name.startswith("_") and (is_method or isinstance(member, property)):
            yield name


def documented_objects():
    """Yield the names of all public classes, functions and methods of the package, private modules too."""
    for module in pkgutil.walk_packages(sklearn_ssldec.__path__, "sklearn_ssldec."):
        for name, value in public_names(module.name):
            if value.__module__ == module.name:
                yield f"{module.name}.{name}"
                if inspect.isclass(value):
                    yield from (f"{module.name}.{name}.{member}" for member in public_members(value))


def sections(obj):
    """Return the names that the sections of a docstring document, as {section: set of names}."""
    doc = pytest.importorskip("numpydoc.docscrape").NumpyDocString(inspect.getdoc(obj) or "")
    return {
        section: {name.strip(" *") for row in doc[section] for name in row.name.split(",")}
        for section in ("Parameters", "Attributes")
    }


def takes_documented_parameters(name):
    """Tell whether the parameters that a docstring does not list are listed elsewhere.

    The fields of a dataclass are its attributes, a protocol has no constructor, and a class or a method that
    overrides another has the other's parameters.
    """
    obj = pkgutil.resolve_name(name)
    if not inspect.isclass(obj):
        owner, _, method = name.rpartition(".")
        owner = pkgutil.resolve_name(owner)
        bases = [*owner.__mro__[1:], Model] if inspect.isclass(owner) else []
        others = [getattr(base, method) for base in bases if hasattr(base, method)]
        own = set(inspect.signature(obj).parameters) - {"self"}
        return any(own <= sections(other)["Parameters"] for other in others)
    if is_dataclass(obj) or hasattr(obj, "_fields"):
        fields = {each.name for each in dataclass_fields(obj)} if is_dataclass(obj) else set(obj._fields)
        return fields == sections(obj)["Attributes"]
    return getattr(obj, "_is_protocol", False) or "__init__" not in vars(obj)


def numpydoc_errors(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    checks = CHECKS if "._" in name else CHECKS + PUBLIC_CHECKS
    errors = [(code, text) for code, text in validate(name)["errors"] if code in checks]
    return [
        f"{name}: {code} {text}"
        for code, text in errors
        if code != "PR01" or not takes_documented_parameters(name)
    ]


@pytest.mark.parametrize(
    ("summary", "parameters", "codes"),
    [
        ("Assign.", "q : Tensor\n    Soft assignments.", ["RT01"]),
        ("Assign.", "q : Tensor\n    Soft assignments.\n\nReturns\n-------\nTensor\n    Classes.", []),
        ("assign.", "q : Tensor\n    Soft assignments.", ["SS02", "RT01"]),
        ("Assign.", "q\n    Soft assignments.", ["PR04", "RT01"]),
        ("Assign.", "p : Tensor\n    Soft assignments.", ["PR01", "PR02", "RT01"]),
    ],
)
def test_numpydoc_finds_faults_of_a_docstring(summary, parameters, codes, monkeypatch):
    docstring = f"{summary}\n\nParameters\n----------\n{parameters}\n"
    monkeypatch.setattr(clustering.hard_assignment, "__doc__", docstring)
    assert [e.split()[1] for e in numpydoc_errors("sklearn_ssldec.clustering.hard_assignment")] == codes


def test_docstrings_are_numpydoc():
    assert [error for name in documented_objects() for error in numpydoc_errors(name)] == []


ESTIMATORS = [
    sklearn_ssldec.SSLDECClassifier,
    baselines.SupervisedClassifier,
    baselines.PseudoLabelClassifier,
    baselines.PiModelClassifier,
    baselines.TemporalEnsemblingClassifier,
    baselines.FixMatchClassifier,
    baselines.UDAClassifier,
    baselines.MeanTeacherClassifier,
    sklearn_ssldec.SSLDECSegmenter,
    baselines.PseudoLabelSegmenter,
]


@pytest.mark.parametrize("cls", [*ESTIMATORS, TemperatureScaledClassifier], ids=lambda cls: cls.__name__)
def test_the_docstring_of_an_estimator_names_its_parameters(cls):
    told = sections(cls)["Parameters"]
    assert told - {"kwargs"} == set(cls._get_param_names())
    parts = re.findall(r"^ *- ``(\w+)``", inspect.getdoc(cls), re.M)
    assert parts == list(getattr(cls, "_parts", ()))


def fitted(cls):
    """Return an estimator of this class, fitted in no time."""
    if issubclass(cls, TemperatureScaledClassifier):
        X, truth = make_blobs(40, centers=2, random_state=0)
        inner = fitted(sklearn_ssldec.SSLDECClassifier)
        return cls(inner, cv=2).fit(pd_frame(X), np.where(np.arange(40) < 16, truth, -1))
    quick = {"pretrain_epochs": 1, "random_state": 0, "device": "cpu"}
    if "max_iter" in cls().get_params():
        quick["max_iter"] = 1
    if issubclass(cls, BaseSegmenter):
        maps = np.zeros((2, 12, 12), dtype=int)
        maps[:, 3:8, 3:8] = 1
        images = maps + 0.1 * np.random.default_rng(0).standard_normal(maps.shape)
        quick |= {"module__width": 0.1, "patch_size": 8, "min_batches": 1, "patches_per_epoch": 2}
        return cls(**quick).fit(images, [maps[0], None])
    X, truth = make_blobs(40, 5, centers=2, random_state=0)  # a table: there are teachers
    return cls(**quick).fit(pd_frame(X), np.where(np.arange(40) < 16, truth, -1))


def pd_frame(X):
    return pytest.importorskip("pandas").DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cls", [*ESTIMATORS, TemperatureScaledClassifier], ids=lambda cls: cls.__name__)
def test_the_docstring_of_an_estimator_names_its_attributes(cls):
    estimator = fitted(cls)
    is_public = re.compile(r"[a-z]\w*_").fullmatch
    assert {name for name in dir(estimator) if is_public(name)} == sections(cls)["Attributes"]
