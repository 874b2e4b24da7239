"""What voxels differ in from rows: parameters, and how they are placed, trained on and predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sklearn_ssldec._estimators.base import BaseSSLDEC
from sklearn_ssldec._estimators.defaults import Auto, choose_auto_voxels
from sklearn_ssldec._estimators.ensemble import mean_probabilities
from sklearn_ssldec._samples.patches import as_patch_size
from sklearn_ssldec._samples.placing import place, resolve_device
from sklearn_ssldec._samples.volumes import as_volumes, is_collection, statistics
from sklearn_ssldec._samples.voxels import Volumes
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.clustering import ClusteringLayer, target_distribution
from sklearn_ssldec.networks.embedding import EmbeddingNetwork


class BaseVoxelwise(BaseSSLDEC):
    """A `BaseSSLDEC` whose samples are the voxels of volumes."""

    _parameter_constraints: ClassVar[dict] = {
        **BaseSSLDEC._parameter_constraints,
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "labeled_weight": [Interval(Real, 0, None, closed="left")],
        "balance": [Interval(Real, 0, 1, closed="both")],
        "frequency": [StrOptions({"soft", "hard"})],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "target_views": [Interval(Integral, 0, None, closed="left")],
        "patch_size": [StrOptions({"auto"}), Integral, tuple, list],
        "patches_per_epoch": [Interval(Integral, 1, None, closed="left")],
        "tile_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "scaling": [StrOptions({"volume"}), None],
        "unlabeled_label": [Integral],
        "ignore_label": [Integral, None],
    }

    _net_class: ClassVar[type[SSLDECNet]] = VoxelNet
    _voxelwise: ClassVar[bool] = True

    def _choose_auto(self, X: Any) -> Auto:
        return choose_auto_voxels(self.n_dims_, resolve_device(self.device))

    def _make_head(self, n_features: int, n_classes: int) -> nn.Module:
        return ClusteringLayer(n_classes, n_features, self.alpha_, axis=1, spread=self.center_spread_)

    def _make_target(self, prior: Tensor | None) -> Callable[[Tensor], Tensor]:
        return partial(target_distribution, prior=prior, frequency=self.frequency)

    def _changed_settings(self) -> dict[str, Any]:
        # The balance of a segmenter is that of its patches.
        return {"balance": None, "class_mean": True}

    def _place(self, X: Any, device: torch.device) -> tuple[Volumes, Tensor]:
        volumes, ignored = X
        samples = self._as_samples(volumes, ignored, device)
        size = self.patch_size
        if isinstance(size, str):
            size = getattr(self.module, "training_patch_size", 32 if self.n_dims_ == 3 else 64)
        patch = samples.patch(0, (0,) * self.n_dims_, as_patch_size(size, self.n_dims_)).to(device)
        return samples, torch.stack([patch, patch])

    def _net_parameters(self, network: EmbeddingNetwork, samples: Volumes, two: Tensor) -> dict[str, Any]:
        with torch.no_grad():
            inner = network.eval()(two).shape[2:]
        margin = [(n - m) / 2 for n, m in zip(two.shape[2:], inner, strict=True)]
        if any(m < 0 or m % 1 for m in margin):
            raise ValueError(
                "module must return embeddings of the spatial shape of its input, or smaller by the same "
                f"number of voxels on both sides; of {tuple(two.shape[2:])} it made {tuple(inner)}. "
                "Try another patch_size."
            )
        parameters = {
            "patch_size": tuple(two.shape[2:]),
            "margin": tuple(int(m) for m in margin),
            "context": getattr(network.embedding, "context", 0),
            "stride": getattr(network.embedding, "stride", 1),
            "patches_per_epoch": self.patches_per_epoch,
            "balance": self.balance,
            "tile_size": self.tile_size,
        }
        self._check_sizes(samples, parameters["margin"])
        return parameters

    def _as_samples(self, volumes: list, ignored: list, device: torch.device) -> Volumes:
        shift, scale = statistics(volumes)  # also looks for values that are not finite
        n_bytes = sum(volume.nbytes for volume in volumes)
        if device.type == "cuda" and n_bytes > torch.cuda.mem_get_info(device)[0] // 4:
            device = torch.device("cpu")
        images = [place(volume, device) for volume in volumes]
        if self.scaling is None:
            return Volumes(images, ignored)
        return Volumes(
            images, ignored, torch.from_numpy(shift).to(device), torch.from_numpy(scale).to(device)
        )

    def _check_sizes(self, samples: Volumes, margin: Sequence[int]) -> None:
        """Refuse volumes smaller than what the network sees for one voxel."""
        field = tuple(2 * m + 1 for m in margin)
        for i in range(len(samples.images)):
            shape = samples.shape(i)
            if any(n < f for n, f in zip(shape, field, strict=True)):
                raise ValueError(
                    f"X[{i}] has spatial shape {shape}, smaller than the {field} voxels that the network "
                    "sees for one. Take a network with fewer convolutions, or pass the slices of a thin "
                    "volume as images."
                )

    def _as_maps(self, codes: np.ndarray, shapes: list, ignored: list) -> list[np.ndarray]:
        """Return label maps of the codes of all voxels that take part."""
        maps, start = [], 0
        for shape, mask in zip(shapes, ignored, strict=True):
            takes_part = np.ones(shape, dtype=bool) if mask is None else ~mask
            stop = start + int(takes_part.sum())
            labels = np.full(shape, self.ignore_label or 0, dtype=self.classes_.dtype)
            labels[takes_part] = self.classes_[codes[start:stop]]
            maps.append(labels)
            start = stop
        return maps

    def _probabilities(self, X: Any) -> Iterator[np.ndarray]:
        """Yield the class probabilities of one volume after the other; all are checked before the first."""
        check_is_fitted(self)
        volumes = as_volumes(is_collection(X), self.n_dims_, self.n_channels_)
        samples = self._as_samples(volumes, [None] * len(volumes), torch.device("cpu"))
        self._check_sizes(samples, self.nets_[0].margin)
        for i in range(len(volumes)):
            members = []
            for net in self.nets_:
                with net.threads():
                    members.append(net.predict_volume(samples, i).cpu().numpy())
            yield mean_probabilities(members, axis=0)
