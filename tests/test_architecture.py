"""Imports point one way, from what users call to the mathematics (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

import sklearn_ssldec

PACKAGE = Path(sklearn_ssldec.__file__).parent
STOREYS = [
    {"clustering", "labels", "inputs", "volumes", "patches", "batches"}
    | {"augment", "views", "device", "interrupt", "processes", "metrics", "container"},
    {"networks", "net", "voxel_net", "algorithm", "encoding", "checkpoint", "outcomes"},
    {"building", "_base", "classifier", "_rowwise", "_voxelwise", "segmenter", "baselines"},
    {"datasets", "model_selection", "scans", "display", "calibration", "persistence"},
]


def storey(name):
    return next(i for i, names in enumerate(STOREYS) if name in names)


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn_ssldec."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize(
    "path", [p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py"], ids=lambda p: p.stem
)
def test_imports_point_down(path):
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for other in imported_modules(path):
        assert storey(other) <= storey(name), f"{name} imports {other}"


def test_algorithm_knows_neither_sklearn_nor_skorch():
    tree = ast.parse((PACKAGE / "algorithm.py").read_text())
    roots = {
        (node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    } | {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert roots.isdisjoint({"sklearn", "skorch", "numpy"})


def test_files_hold_one_thing():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
