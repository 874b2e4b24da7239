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
        target = ROOT / file
        assert target.exists(), file
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{file}#{anchor}"


def test_the_tables_of_defaults_tell_the_defaults():
    """A parameter that is renamed or dropped, or gets another default, must change there too."""
    text = (ROOT / "docs" / "explanation" / "defaults.md").read_text()
    rows = re.compile(r"^\| `(\w+)` \| ([^|]*) \|", re.M)
    auto, fixed = map(rows.findall, text.split("These are the same for rows and images:"))
    defaults = sklearn_ssldec.SSLDECClassifier().get_params()
    named = {name for name, _ in auto} | {"device"}
    assert named == {name for name, value in defaults.items() if isinstance(value, str) and value == "auto"}
    for name, told in fixed:
        if not name.startswith("optimizer"):
            assert defaults[name] == float(told), name
