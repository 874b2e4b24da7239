"""A warning names the line of the user's code, through any depth of this package and of scikit-learn."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssldec import _warnings
from sklearn_ssldec._warnings import warn

# A function of this package, as far as its module's name tells.
INSIDE: dict = {"__name__": "sklearn_ssldec.labels", "warn": warn}
exec(
    compile(
        "def inner(category=UserWarning):\n    warn('told', category)\n"
        "def outer(category=UserWarning):\n    [inner(category) for _ in range(1)]\n",
        "inside.py",
        "exec",
    ),
    INSIDE,
)


class Warns(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        INSIDE["outer"]()
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


Warns.fit = type(Warns.fit)(Warns.fit.__code__, {**globals(), "__name__": "sklearn_ssldec.fake"})


X, Y = np.arange(8.0)[:, None], np.arange(8) % 2


def line_of_here():
    return sys._getframe(1).f_lineno


@pytest.mark.parametrize(
    "call",
    [
        lambda: (INSIDE["inner"](), line_of_here()),
        lambda: (INSIDE["outer"](), line_of_here()),
        lambda: (Warns().fit(X, Y), line_of_here()),
        lambda: (make_pipeline(StandardScaler(), Warns()).fit(X, Y), line_of_here()),
        lambda: (cross_val_score(Warns(), X, Y, cv=2), line_of_here()),
        lambda: (GridSearchCV(Warns(), {}, cv=2).fit(X, Y), line_of_here()),
    ],
    ids=["own", "nested", "fit", "pipeline", "cross_val_score", "search"],
)
def test_the_users_line_is_named(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, line = call()
    assert caught
    assert {(str(w.message), w.filename, w.lineno) for w in caught} == {("told", __file__, line)}


def test_category_is_kept():
    with pytest.warns(RuntimeWarning, match="told") as caught:
        INSIDE["outer"](RuntimeWarning)
    assert caught[0].filename == __file__


def test_without_a_users_line_the_outermost_is_named():
    # A program whose every module is of the package, as `python -m` of one of its modules. It loads the one
    # module alone, which is quick.
    program = (
        "import sys; from importlib import util; spec = util.spec_from_file_location(*sys.argv[1:]);"
        "module = util.module_from_spec(spec); spec.loader.exec_module(module);"
        "globals()['__name__'] = 'sklearn_ssldec.x'\nmodule.warn('told')"
    )
    command = [sys.executable, "-c", program, warn.__module__, _warnings.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "<string>:2: UserWarning: told" in done.stderr
