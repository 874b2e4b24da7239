"""X on disk stays there, and memory grows by Q, P and indices only."""

import subprocess
import sys

import numpy as np
import pytest

from sklearn_ssldec._samples.rows import VALUES_AT_A_TIME, feature_moments

# A GiB of zeros, which take no place on the disk, but for the labeled rows.
FIT = """
import resource, sys, warnings
import numpy as np
from sklearn_ssldec import SSLDECClassifier

N, N_FEATURES, MIB = 2**18, 1024, 2**20
warnings.simplefilter("ignore")
X = np.memmap(sys.argv[1], dtype=np.float32, mode="w+", shape=(N, N_FEATURES))
y = np.full(N, -1)
y[:: N // 16] = np.arange(16) % 2
for i in np.flatnonzero(y >= 0):
    X[i] = np.random.default_rng(i).standard_normal(N_FEATURES) + y[i]
X.flush()
X = np.memmap(sys.argv[1], dtype=np.float32, mode="r", shape=(N, N_FEATURES))
clf = SSLDECClassifier(
    module__hidden_units=(4,), max_iter=1, pretrain_epochs=2, batch_size=1024, device="cpu",
    cycle__max_labeled_epochs=1, random_state=0,
)
rows = np.flatnonzero(y >= 0)
clf.fit(X[rows], y[rows])  # imports, kernels and pools are there
with open("/proc/self/status") as status:
    now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (now + int(sys.argv[2]) * MIB,) * 2)
clf.fit(X, y)
print(clf.predict(X).shape, clf.label_distributions_.shape)
np.array(X)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the memory as Linux does")
def test_a_memory_map_is_not_read_into_memory(tmp_path):
    command = [sys.executable, "-c", FIT, str(tmp_path / "X"), "128"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.strip() == "(262144,) (262144, 2)", result.stderr
    assert "MemoryError" in result.stderr, "there was room for a copy of X: the limit is none"


def test_variances_are_computed_a_part_at_a_time():
    X = np.random.default_rng(0).standard_normal((3 * VALUES_AT_A_TIME // 128, 100)).astype(np.float32)
    X[:, 0] += 1000
    np.testing.assert_allclose(feature_moments(X).variance, X.astype(np.float64).var(axis=0), rtol=1e-5)
