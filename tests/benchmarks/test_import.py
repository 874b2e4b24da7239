"""Time to import the package, as a ratio to that of what it stands on.

Not run with the tests: ``make benchmark``.
"""

import resource
import subprocess
import sys

BASE = "import skorch, sklearn, torch"


def seconds(statements):
    """Return the processor's time that a process takes for it, the least of five."""
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", statements], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def test_import_time():
    base, ours = seconds(BASE), seconds("from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter")
    print(
        f"\nimport of sklearn_ssldec: {ours:.2f} s, torch, scikit-learn and skorch {base:.2f} s, "
        f"ratio {ours / base:.3f}"
    )
    assert ours / base < 1.15
