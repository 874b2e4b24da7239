"""Networks that were trained elsewhere: frozen, with a rate of their own, and as features."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import Callback, Freezer
from torch import nn

from sklearn_ssldec import SSLDECClassifier, persistence
from sklearn_ssldec.networks import Backbone

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {"pretrain_epochs": 3, "max_iter": 1, "min_batches": 2, "random_state": 0, "device": "cpu"}


def bars(n=40):
    """Return images with a horizontal or a vertical bar, 4 labels a class, and the truth."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    X = 0.3 * rng.standard_normal((n, 3, 16, 16)).astype(np.float32)
    for image, kind in zip(X, truth, strict=True):
        first = rng.integers(3, 10)
        image[(slice(None), slice(first, first + 3)) if kind else (..., slice(first, first + 3))] += 2
    return X, np.where(np.arange(n) < 8, truth, -1), truth


class Trained(nn.Module):
    """Stands for a network that was trained elsewhere: with batch normalisation, and dropout."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 5, stride=2),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Dropout(0.1),
                nn.AdaptiveMaxPool2d(2),
            )

    def forward(self, x):
        return self.layers(x).flatten(1)


def state(clf):
    return {name: value.clone() for name, value in clf.nets_[0].module_.state_dict().items()}


def changed(clf, backbone):
    """Return the names in the backbone's state that differ after the fit."""
    after = state(clf)
    prefix = next(name for name in after if name.endswith("layers.0.weight")).removesuffix("layers.0.weight")
    return {
        name for name, value in backbone.state_dict().items() if not torch.equal(value, after[prefix + name])
    }


def test_a_frozen_backbone_stays_as_it_is():
    X, y, _ = bars()
    backbone = Trained()
    clf = SSLDECClassifier(Backbone, module__network=backbone, module__frozen=True, **QUICK).fit(X, y)
    assert changed(clf, backbone) == set()
    assert not clf.nets_[0].module_.embedding.train().network.training


STATISTICS = {"layers.1.running_mean", "layers.1.running_var", "layers.1.num_batches_tracked"}


@pytest.mark.parametrize("frozen_norm", [True, False])
def test_fit_trains_a_copy_of_a_backbone(frozen_norm):
    X, y, _ = bars()
    backbone = Trained()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    given = {"module__network": backbone, "module__frozen_norm": frozen_norm}
    clf = SSLDECClassifier(Backbone, **given, n_estimators=2, **QUICK).fit(X, y)
    assert changed(clf, backbone) == set(before) - (STATISTICS if frozen_norm else set())
    for name, value in backbone.state_dict().items():
        assert_array_equal(value, before[name])
    first, second = (net.module_.embedding.network.layers[0].weight for net in clf.nets_)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("where", ["module", "module__network"])
def test_freezer_freezes_weights_but_no_statistics(where):
    X, y, _ = bars()
    backbone = Trained()
    given = {"module": backbone}
    if where == "module__network":
        given = {"module": Backbone, where: backbone, "module__frozen_norm": False}
    pattern = "embedding.*" if where == "module" else "embedding.network.*"
    clf = SSLDECClassifier(**given, callbacks=[Freezer(pattern)], **QUICK).fit(X, y)
    assert changed(clf, backbone) == STATISTICS


def test_parts_have_rates_of_their_own():
    X, y, _ = bars()
    backbone = Trained()

    def moved(**kwargs):
        clf = SSLDECClassifier(Backbone, module__network=backbone, **kwargs, **QUICK).fit(X, y)
        after = clf.nets_[0].module_.embedding.network.layers[0].weight
        return (after - backbone.layers[0].weight).abs().max().item(), clf

    free, _ = moved()
    slow, clf = moved(optimizer__param_groups=[("embedding.network.*", {"lr": 1e-5})])
    assert 0 < slow < 0.1 * free
    rates = {group["lr"] for group in clf.nets_[0].optimizer_.param_groups}
    assert min(rates) / max(rates) == pytest.approx(1e-5 / clf.nets_[0].lr)


def test_what_is_frozen_stays_so_in_a_fit_that_goes_on(tmp_path):
    class Killed(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == self.at:
                raise RuntimeError("killed")

        def __init__(self, at):
            self.at = at

    X, y, _ = bars()
    backbone = Trained()
    kwargs = {**QUICK, "max_iter": 3, "module__network": backbone, "checkpoint_dir": tmp_path / "fit"}
    whole = SSLDECClassifier(Backbone, callbacks=[Freezer("embedding.network.*")], **kwargs)
    whole.set_params(checkpoint_dir=None).fit(X, y)
    kwargs["callbacks"] = [Freezer("embedding.network.*"), Killed(6)]
    with pytest.raises(RuntimeError, match="killed"):
        SSLDECClassifier(Backbone, **kwargs).fit(X, y)
    Killed.on_epoch_end = lambda self, net, **kwargs: None
    resumed = SSLDECClassifier(Backbone, **kwargs).fit(X, y)
    assert resumed.n_iter_ > 1
    assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


def test_a_saved_classifier_is_loaded_with_the_same_backbone(tmp_path):
    X, y, _ = bars()
    clf = SSLDECClassifier(Backbone, module__network=Trained(), **QUICK).fit(X, y)
    path = tmp_path / "model.safetensors"
    with pytest.warns(UserWarning, match="without module__network"):
        persistence.save(clf, path)
    with pytest.raises(ValueError, match="could not hold module__network; pass it again"):
        persistence.load(path)
    again = persistence.load(path, module__network=Trained())
    assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_features_of_a_pipeline_step():
    X, y, truth = bars(60)
    backbone = Trained().eval()

    def features(images):
        with torch.no_grad():
            return backbone(torch.from_numpy(images)).numpy()

    clf = SSLDECClassifier(max_iter=2, teachers=None, random_state=0)
    pipeline = make_pipeline(FunctionTransformer(features), StandardScaler(), clf)
    assert pipeline.fit(X, y).score(X, truth) > 0.8


def test_a_network_that_returns_no_features_is_refused():
    class Outputs(nn.Module):
        def forward(self, x):
            return {"features": x}

    X, y, _ = bars()
    with pytest.raises(ValueError, match=r"network must map a batch to a tensor .* it returned dict"):
        SSLDECClassifier(Backbone, module__network=Outputs(), **QUICK).fit(X, y)


def of_timm():
    return pytest.importorskip("timm").create_model("resnet10t", pretrained=False, num_classes=0)


def of_torchvision():
    network = pytest.importorskip("torchvision").models.squeezenet1_1(weights=None)
    network.classifier = nn.AdaptiveAvgPool2d(1)
    return network


def of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = transformers.ViTModel(config)

        def forward(self, x):
            return self.model(x).pooler_output

    return Pooled()


@pytest.mark.parametrize("make", [of_timm, of_torchvision, of_transformers])
@pytest.mark.parametrize("frozen", [False, True])
def test_networks_of_other_libraries(make, frozen):
    X, y, _ = bars()
    X = X.repeat(2, axis=2).repeat(2, axis=3)  # 32 pixels
    clf = SSLDECClassifier(Backbone, module__network=make(), module__frozen=frozen, **QUICK).fit(X, y)
    assert clf.predict(X).shape == (40,)
