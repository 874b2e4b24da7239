"""Two processes that train a network together, over gloo, end where one alone does."""

import json
import runpy
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._training import distributed
from sklearn_ssldec._training.distributed import Processes, first_alone
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec.baselines import PiModelClassifier

SCRIPT = """
import json, os, sys, warnings
import numpy as np, torch
import torch.distributed as dist
from sklearn.datasets import make_moons, load_digits
from sklearn_ssldec import SSLDECClassifier, SSLDECSegmenter
from sklearn_ssldec.datasets import mask_labels
from sklearn_ssldec._training.net import SSLDECNet

torch.set_num_threads(1)
warnings.simplefilter("ignore")
together = "RANK" in os.environ
if together:
    dist.init_process_group("gloo")
rank = dist.get_rank() if together else 0
shares = []  # the rows that this process trains on
augmented_batch = SSLDECNet.augmented_batch
SSLDECNet.augmented_batch = lambda self, X, t: shares.append(len(X)) or augmented_batch(self, X, t)

X, truth = make_moons(1200, noise=0.1, random_state=0)
y = mask_labels(truth, 8, random_state=0)
common = {"device": "cpu", "random_state": 0, "net__data_parallel": together}
# Without noise, what is random within a batch does not tell the processes from one.
exact = {"augment": None, "pretrain_epochs": 20, "max_iter": 4, "lr": 1e-3, "pretrain_lr": 1e-3}
clf = SSLDECClassifier(**common, **exact, module__hidden_units=(16, 16), class_prior=[0.4, 0.6])
clf.fit(X, y)
results = {"moons": clf.predict_proba(X[::40]).tolist(), "rows": shares[-1], "n_iter": clf.n_iter_}
results["loss"] = [record["loss"] for record in clf.history_]

clf = SSLDECClassifier(**common, max_iter=20, checkpoint_dir=sys.argv[1] + "/fit").fit(X, y)
results["noisy"] = clf.score(X, truth)
clf = SSLDECClassifier(**common, max_iter=20, checkpoint_dir=sys.argv[1] + "/fit").fit(X, y)
results["resumed"] = clf.score(X, truth)

maps = np.zeros((4, 24, 24), dtype=int)
maps[:, 6:18, 6:18] = 1
images = maps + 0.2 * np.random.default_rng(0).standard_normal(maps.shape)
seg = SSLDECSegmenter(
    **common, augment=None, pretrain_epochs=4, max_iter=1, patches_per_epoch=8, patch_size=24, min_batches=1,
    module__width=0.1, module__dropout=0.0, net__ema_decay=0.0, lr=1e-3, pretrain_lr=1e-3,
)
seg.fit(images, [maps[0], maps[1], None, None])
results["volumes"] = seg.score(images, maps)
with open(f"{sys.argv[1]}/{'one' if not together else rank}.json", "w") as file:
    json.dump(results, file)
if together:
    dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process alone gets, and each of two."""
    folder = tmp_path_factory.mktemp("processes")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    for place in ("alone", "together"):
        (folder / place).mkdir()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(sys, "argv", [str(script), str(folder / "alone")])
        patch.setattr(SSLDECNet, "augmented_batch", SSLDECNet.augmented_batch)  # the script changes it
        runpy.run_path(str(script))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, script, folder / "together"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    files = [folder / "alone" / "one.json", folder / "together" / "0.json", folder / "together" / "1.json"]
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_two_processes_end_where_one_does(results):
    alone, first, second = results
    assert first["moons"] == second["moons"], "both have the same network"
    np.testing.assert_allclose(first["moons"], alone["moons"], atol=1e-3)
    np.testing.assert_allclose(first["loss"], alone["loss"], rtol=1e-3)
    assert first["n_iter"] == alone["n_iter"]
    assert first["rows"] + second["rows"] == alone["rows"]
    for one in results:
        assert one["noisy"] > 0.95
        assert one["resumed"] == one["noisy"]
    assert first["volumes"] == pytest.approx(alone["volumes"], abs=0.1)


class Two(Processes):
    def __init__(self, rank):
        self.rank, self.size = rank, 2


@pytest.mark.parametrize("weighted", [False, True])
def test_the_shares_of_a_batch_make_up_its_mean_loss(weighted):
    values = torch.tensor([1.0, 2, 4, 8, 16, 32, 64])  # five of its own, and an labeled_rows of two
    weight = torch.tensor([1.0, 1, 0, 1, 1, 3, 2]) if weighted else None
    batch = values[:, None], Targets(values[:, None], weight, 5)
    whole = values.mean() if weight is None else (weight * values).sum() / weight.sum()
    losses, n_own = [], []
    for rank in (0, 1):
        X, targets, factor = Two(rank).own_share(*batch)
        assert torch.equal(X, targets.p)
        w = torch.ones(len(X)) if weight is None else targets.weight
        losses.append(factor * (w * X[:, 0]).sum() / w.sum())
        n_own.append(targets.n_own)
    assert torch.stack(losses).mean() == pytest.approx(whole.item())
    assert n_own == [3, 2]


def test_a_small_batch_is_taken_by_all():
    batch = torch.ones(3, 1), Targets(torch.ones(3, 1), None, 3)
    assert [Two(rank).own_share(*batch)[2] for rank in (0, 1)] == [1.0, 1.0]
    assert len(Two(1).own_share(*batch)[0]) == 3


def test_without_processes_it_is_an_error(moons):
    with pytest.raises(ValueError, match=r"start the script by torchrun.*init_process_group"):
        SSLDECClassifier(net__data_parallel=True).fit(*moons[:2])
    with pytest.raises(TypeError, match=r"PiModelClassifier\(\) got an unexpected.*'net__data_parallel'"):
        PiModelClassifier(net__data_parallel=True)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_the_first_process_does_not_keep_the_others_waiting(rank, monkeypatch):
    events = []
    monkeypatch.setattr(distributed.dist, "get_rank", lambda: rank)
    monkeypatch.setattr(distributed.dist, "barrier", lambda: events.append("barrier"))

    @first_alone()
    def open_folder():
        events.append("block")
        raise ValueError("another fit")

    with pytest.raises(ValueError, match="another fit"):
        open_folder()
    assert events == (["block", "barrier"] if rank == 0 else ["barrier", "block"])
